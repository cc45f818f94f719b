"""Scoring a model, or a file of predictions, on gold data."""
