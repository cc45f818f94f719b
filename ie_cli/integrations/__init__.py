"""Engines of others that run the work of `ie`; each is optional, and imported only where it is used."""
