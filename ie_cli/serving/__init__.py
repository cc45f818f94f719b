"""A web page and an HTTP API around prediction."""
