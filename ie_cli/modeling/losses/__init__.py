"""Losses that are computed without building the tensor of all scores."""
