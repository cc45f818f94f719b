"""Balancers combine several losses into one gradient."""

from __future__ import annotations

from collections.abc import Callable

from ie_cli.training.balancing.base import Balancer
from ie_cli.training.balancing.plain_sum import PlainSum

__all__ = ["BALANCERS", "Balancer"]

BALANCERS: dict[str, Callable[[], Balancer]] = {"sum": PlainSum}
