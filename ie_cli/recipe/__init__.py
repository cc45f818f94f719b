"""What a user writes: the schema of a recipe, reading it from YAML, and messages about it."""
