"""Sharing of the processor cores with other commands."""

from __future__ import annotations

import os


def share_cores() -> None:
    """Make torch's waiting threads sleep early; call this before torch is imported.

    By default they spin for milliseconds: two commands on one machine then compete for cores and each runs ten times
    slower instead of twice (benchmarks/RESULTS.md).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
