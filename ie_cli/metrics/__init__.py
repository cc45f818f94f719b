"""Scores, and errors sorted by kind."""
