"""Replicas behind a proxy: readiness, and a rolling change of the model without a lost request."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from support.proxy import Replicas, exchange, proxy
from support.waiting import until

from ie_cli.serving.limits import Limits
from ie_cli.serving.server import GRACE_SECONDS, grace_seconds

STUB = Path(__file__).parent.parent / "support" / "stub_serve.py"
DRAIN = 2.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process of Windows gets no signals")


class Replica:
    """A service in a process of its own, whose model gives a name one label."""

    def __init__(self, label: str, *options: str) -> None:
        command = [sys.executable, str(STUB), "serve", "--port", "0", *options]
        environment = {**os.environ, "STUB_LABEL": label}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert self.process.stderr is not None
        found = re.search(r" at http://127\.0\.0\.1:(\d+) ", self.process.stderr.readline())
        assert found is not None
        self.port = int(found[1])

    def stop(self, seconds: float = 20) -> tuple[int, str]:
        """Stop it as containers are stopped, and return the exit code and the rest of the log."""
        self.process.send_signal(signal.SIGTERM)
        _, error = self.process.communicate(timeout=seconds)
        return self.process.returncode, error


@pytest.fixture
def started() -> Iterator[list[Replica]]:
    replicas: list[Replica] = []
    yield replicas
    for replica in replicas:
        if replica.process.poll() is None:
            replica.process.kill()
            replica.process.communicate()


def test_a_rolling_change_of_the_model_loses_no_request(started: list[Replica]) -> None:
    options = ("--drain", str(DRAIN))
    started += [Replica("old", *options), Replica("old", *options)]
    replicas = Replicas()
    for replica in started:
        replicas.add(replica.port)
    answers: list[tuple[float, int, str]] = []
    ended = threading.Event()

    def requests(port: int, text: str) -> None:
        while not ended.is_set():
            begun = time.monotonic()
            status, answer = exchange(port, "POST", "/predict", json.dumps({"text": text}).encode())
            label = json.loads(answer)["entities"][0]["label"] if status == 200 else answer.decode()
            answers.append((begun, status, label))

    with proxy(replicas) as port:
        until(lambda: len(replicas.ready) == 2)
        texts = ["王伟", "王伟慢", "王伟", "王伟慢"]  # some are still in work when a replica is stopped
        clients = [threading.Thread(target=requests, args=(port, text)) for text in texts]
        for client in clients:
            client.start()
        for old in list(started):
            new = Replica("new", *options)
            started.append(new)
            replicas.add(new.port)
            until(lambda port=new.port: port in replicas.ready)  # type: ignore[misc]
            assert old.stop()[0] == 0
            replicas.remove(old.port)
        changed = time.monotonic()
        until(lambda: sum(begun > changed for begun, *_ in answers) > 20)
        ended.set()
        for client in clients:
            client.join()
    assert {status for _, status, _ in answers} == {200}
    assert {label for begun, _, label in answers if begun > changed} == {"new"}
    assert {label for *_, label in answers} == {"old", "new"}
    assert len(answers) > 20
    assert replicas.refused == 0


def test_a_stopping_replica_answers_but_is_not_ready(started: list[Replica]) -> None:
    replica = Replica("person", "--drain", "30")
    started.append(replica)
    with closing(HTTPConnection("127.0.0.1", replica.port, timeout=30)) as connection:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (200, {"status": "ready"})
        assert answer.getheader("connection") != "close"
        replica.process.send_signal(signal.SIGTERM)
        until(lambda: exchange(replica.port, "GET", "/ready")[0] == 503)
        connection.request("GET", "/health")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("connection")) == (200, "close")
    status, body = exchange(replica.port, "POST", "/predict", b'{"text": "x"}')
    assert (status, json.loads(body)["text"]) == (200, "x")
    assert json.loads(exchange(replica.port, "GET", "/ready")[1]).keys() == {"error", "hint"}
    begun = time.monotonic()
    assert replica.stop()[0] == 0  # a second signal
    assert time.monotonic() - begun < 10


def test_a_replica_answers_all_that_it_has_accepted() -> None:
    assert grace_seconds(Limits(timeout=29.5, drain=5)) == 30
    assert grace_seconds(Limits(timeout=1, drain=5)) == GRACE_SECONDS
    assert grace_seconds(Limits(timeout=29.5)) == GRACE_SECONDS
