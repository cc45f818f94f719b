"""Losses that never build the tensor of all scores."""
