"""Scoring of a model or a prediction file on gold data."""
