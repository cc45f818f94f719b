"""Ray clusters of several nodes, which are all on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_MEMORY = {"object_store_memory": 80 * 2**20}
"""The smallest object store that Ray starts with."""


def import_path() -> str:
    """Return what PYTHONPATH has to be for processes that import what this one can; without Ray, skip the test."""
    pytest.importorskip("ray", reason="Ray is not installed")
    return os.pathsep.join(filter(None, sys.path))


@contextmanager
def ray_nodes(*nodes: dict[str, int]) -> Iterator[Any]:
    """Start a cluster whose nodes have these resources; the first one is its head."""
    from ray.cluster_utils import Cluster

    head, *others = nodes
    cluster = Cluster(initialize_head=True, head_node_args={**head, "include_dashboard": False, **_MEMORY})
    try:
        for node in others:
            cluster.add_node(**node, **_MEMORY)
        yield cluster
    finally:
        cluster.shutdown()


def run_alone(script: str, directory: Path) -> None:
    """Run a script with a directory as its argument, because a process can connect with one cluster only."""
    environment = {**os.environ, "PYTHONPATH": import_path()}
    command = [sys.executable, "-c", script, str(directory)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
