"""Splits of a recipe, counts over them, and the labels that a model knows."""
