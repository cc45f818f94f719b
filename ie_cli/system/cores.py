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


def cores() -> int:
    """Return the number of threads that a command may use: ``OMP_NUM_THREADS``, or else the processor cores it may run on."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if given.isdecimal() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):  # a container may have fewer cores than the machine
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
