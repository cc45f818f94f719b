"""Encoders, heads and losses, in torch."""
