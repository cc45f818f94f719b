"""Trained models: the model directory, the backends, and the pipeline from text to annotation."""
