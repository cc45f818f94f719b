"""A model as a graph, compared with its origin."""
