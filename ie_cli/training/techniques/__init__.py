"""Techniques: what a run does differently from plain gradient descent, each in four verbs and a state."""
