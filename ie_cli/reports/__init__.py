"""Scores and models as text to read."""
