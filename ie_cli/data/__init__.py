"""The splits of a recipe, statistics over them, and the label schema of a model."""
