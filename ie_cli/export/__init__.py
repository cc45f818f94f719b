"""Export of a model as a graph, and its comparison with the original model."""
