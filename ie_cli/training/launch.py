"""Start the processes of a run on this machine with the agent of `torchrun`, and end as the first of them does."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import torch
from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerSpec
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.rendezvous import RendezvousParameters
from torch.distributed.elastic.rendezvous.registry import get_rendezvous_handler

from ie_cli.errors import TrainingError
from ie_cli.modeling.devices import choose_device
from ie_cli.recipe.schema import Recipe
from ie_cli.system.cores import available_cores
from ie_cli.system.launcher import number_of_processes
from ie_cli.system.signals import Stopped, handled_by

_CONSEQUENCES = (signal.SIGTERM, signal.SIGABRT)


def launch(recipe: Recipe, arguments: Sequence[str], *, processes: int) -> int:
    """Run `ie` with some arguments in several processes on this machine, and return the exit code of the run.

    SIGINT and SIGTERM are passed on to all processes, which stop at the same step.

    Args:
        recipe: the recipe.
        arguments: the command line after `ie`.
        processes: the number of processes.

    Raises:
        TrainingError: a launcher has already started several processes, there are fewer GPUs, or a process was killed.
        Stopped: a signal arrived before the processes were started, or before they handled it.
    """
    if (launched := number_of_processes()) > 1:
        raise TrainingError(
            f"--processes {processes}: a launcher has already started {launched} processes",
            hint="omit --processes under `torchrun`, `accelerate launch` or `srun`.",
        )
    if choose_device(recipe.training.device).type == "cuda" and processes > torch.cuda.device_count():
        raise TrainingError(
            f"--processes {processes}: there are {torch.cuda.device_count()} GPUs, and each process needs its own",
            hint="lower --processes, or set training.device: cpu.",
        )
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // processes)))
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = "SIGHUP,SIGQUIT"  # it would kill the processes after some seconds
    logging.disable(logging.CRITICAL)  # the processes report their own errors
    parameters = RendezvousParameters(
        "c10d", "localhost:0", str(uuid.uuid4()), min_nodes=1, max_nodes=1, local_addr="localhost"
    )
    agent = _Agent(
        WorkerSpec(
            role="train",
            local_world_size=processes,
            entrypoint=sys.executable,
            args=("-m", "ie_cli", *arguments),
            rdzv_handler=get_rendezvous_handler(parameters),
            max_restarts=0,
            local_addr="localhost",
        ),
        DefaultLogsSpecs(),
    )
    try:
        with handled_by(agent.forward):
            return exit_code(agent.run(), signum=agent.signum)
    finally:
        logging.disable(logging.NOTSET)


def exit_code(result: RunResult, *, signum: int | None = None) -> int:
    """Return the exit code of a run: that of the first process if it has reported an error, or else of the first that has.

    What ended because of another process is no cause: by SIGTERM, with which the agent ends the others, by SIGABRT, of which the
    libraries report the reason themselves, or with the error that the other one cannot be reached.

    Args:
        result: how the processes ended.
        signum: the signal that was passed on to them, if any.

    Raises:
        TrainingError: a process was killed.
        Stopped: the signal ended a process that had nothing to clean up yet.
    """
    if not result.failures:
        return 0
    codes = {rank: int(failure.exitcode) for rank, failure in result.failures.items()}
    earliest = min(result.failures, key=lambda rank: result.failures[rank].timestamp)
    together = [rank for rank in codes if result.failures[rank].timestamp == result.failures[earliest].timestamp]
    reported = [rank for rank, code in codes.items() if code > 0]
    if signum is not None and not reported and -signum in codes.values():
        raise Stopped(signum)
    killed = next((rank for rank in together if codes[rank] < 0 and -codes[rank] not in _CONSEQUENCES), None)
    if killed is None and reported:
        return codes[0] if 0 in reported else codes[min(reported, key=lambda rank: result.failures[rank].timestamp)]
    number = earliest if killed is None else killed
    hint = "continue from the last checkpoint with --resume."
    if codes[number] == -signal.SIGKILL:
        hint = "if the system has killed it for lack of memory, lower training.batch_size; continue with --resume."
    raise TrainingError(f"process {number} of the run was ended by {_name(-codes[number])}", hint=hint)


def _name(signum: int) -> str:
    """Return the name of a signal; those for real time have only numbers."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


class _Agent(LocalElasticAgent):
    """An agent that passes signals on to all processes, each of which has a session of its own.

    Attributes:
        signum: the last signal.
    """

    signum: int | None = None
    _pids: Sequence[int] = ()

    def forward(self, signum: int, frame: FrameType | None) -> None:
        """Pass a signal on to the processes, or keep it until they are started: half of them would be left behind otherwise."""
        self.signum = signum
        for pid in self._pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signum)

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        if self.signum is not None:
            raise Stopped(self.signum)
        started: dict[int, Any] = super()._start_workers(worker_group)
        self._pids = list(started.values())
        if self.signum is not None:
            self.forward(self.signum, None)
        return started
