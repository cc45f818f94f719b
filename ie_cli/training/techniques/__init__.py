"""Techniques: deviations from plain gradient descent, each with four methods and a state."""
