"""Balancers combine several losses into one gradient."""
