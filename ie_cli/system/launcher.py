"""What launchers such as `torchrun`, `accelerate launch` and `mpirun` say of a process in its environment; needs no torch."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from ie_cli.errors import TrainingError

_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
_LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Variables set by `torchrun` and `accelerate launch`."""
HINT = "start several processes with `torchrun` or `accelerate launch`; for one, unset RANK, LOCAL_RANK and WORLD_SIZE."

PATIENCE = 20.0
"""How many seconds a process gives the first one to report an error that both may have."""


def number_of_processes(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of processes of a launcher; 1 if there is none.

    Raises:
        TrainingError: it is not a number.
    """
    return max(1, _number(environment, _SIZES, 1))


def launched_rank(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of this process among those of a launcher, counted from 0; 0 if there is none.

    Neither `RANK` alone nor a `WORLD_SIZE` of 1 means that there are several processes.

    Raises:
        TrainingError: the variables of a launcher are incomplete or contradict each other.
    """
    size = _number(environment, _SIZES, 1)
    local = _number(environment, ("LOCAL_RANK",), -1)
    if size <= 1 and local == -1:
        return 0
    by_mpi = size > 1 and "WORLD_SIZE" not in environment
    missing = [] if by_mpi else [name for name in _LAUNCHED if not environment.get(name)]
    if missing:
        given = ", ".join(f"{name}={environment[name]}" for name in _LAUNCHED if environment.get(name))
        raise TrainingError(f"the environment has {given}, but no {' and no '.join(missing)}", hint=HINT)
    rank = _number(environment, _RANKS, 0)
    if not 0 <= rank < max(size, 1):
        raise TrainingError(f"the environment sets process {rank} of {size}, counted from 0", hint=HINT)
    return rank


def wait_to_be_ended() -> None:
    """Wait until the launcher ends this process, because the first one has ended with the same error, but not for long.

    It is called before the processes are connected: a process that is still there does not know of an error of the first one.
    """
    time.sleep(PATIENCE)


def _number(environment: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    """Return the value of the first variable that is set."""
    for name in names:
        if value := environment.get(name):
            try:
                return int(value)
            except ValueError:
                raise TrainingError(f"the environment has {name}={value}, which is not a number", hint=HINT) from None
    return default
