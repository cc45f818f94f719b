"""Two processes, connected by gloo, that run functions of tests: started once, because an import of torch takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from torch.distributed import TCPStore

COUNT = 2


class Pair:
    """Two processes that wait for functions to run."""

    def __init__(self, connections: list[Connection]) -> None:
        self._connections = connections

    def run(self, function: Callable[..., Any], *arguments: Any, timeout: float = 120) -> list[Any]:
        """Run a function of a module in both processes, and return both results; an exception fails the test."""
        for connection in self._connections:
            connection.send((function, arguments))
        results = []
        for number, connection in enumerate(self._connections):
            assert connection.poll(timeout), f"process {number} does not answer"
            failed, result = connection.recv()
            results.append(result)
            assert not failed, f"process {number}: {result}"
        return results


def variables(rank: int, port: int) -> dict[str, str]:
    """Return the variables that a launcher gives a process."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(COUNT),
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is that of the tests, whose port the system has chosen
        "OMP_NUM_THREADS": "1",
    }


def run_ranks(code: str, *arguments: str, timeout: float = 100) -> list[subprocess.CompletedProcess[str]]:
    """Run Python code in two new processes, and return what they printed, by their number."""
    store = TCPStore("localhost", 0, None, is_master=True, wait_for_workers=False)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env=os.environ | variables(rank, store.port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(COUNT)
    ]
    try:
        printed = [process.communicate(timeout=timeout) for process in started]
    finally:
        for process in started:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, output, errors)
        for process, (output, errors) in zip(started, printed, strict=True)
    ]


def _serve(connection: Connection, rank: int, port: int) -> None:
    os.environ |= variables(rank, port)
    while (request := connection.recv()) is not None:
        function, arguments = request
        try:
            connection.send((False, function(*arguments)))
        except BaseException:
            connection.send((True, traceback.format_exc()))


@contextmanager
def two_processes() -> Iterator[Pair]:
    """Start both processes, and end them."""
    store = TCPStore("localhost", 0, None, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(COUNT)]
    started = [
        context.Process(target=_serve, args=(inner, rank, store.port), daemon=True)
        for rank, (_, inner) in enumerate(pipes)
    ]
    for process in started:
        process.start()
    try:
        yield Pair([outer for outer, _ in pipes])
    finally:
        for outer, _ in pipes:
            outer.send(None)
        for process in started:
            process.join(2)
            process.kill()
