"""Train, measure and run information-extraction models."""
