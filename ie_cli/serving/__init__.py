"""Serve predictions through a web page and an HTTP API."""
