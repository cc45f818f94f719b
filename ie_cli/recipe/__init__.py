"""Recipes: their schema, reading them from YAML, and error messages about them."""
