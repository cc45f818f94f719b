"""The processor cores, which other commands may use too."""

from __future__ import annotations

import os


def share_cores() -> None:
    """Let torch's threads sleep soon when they wait, before it is imported.

    By default they spin for milliseconds: two commands on one machine then take each other's cores and run ten times
    slower each, instead of twice (benchmarks/RESULTS.md).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
