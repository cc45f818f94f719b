"""Scores and error analyses."""
