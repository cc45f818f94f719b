"""Sharing of the processor cores with other commands."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


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
    return available_cores()


def available_cores() -> int:
    """Return the number of cores that this process may use: those of its affinity, and no more than its container allows."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # "max" is no limit
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores
