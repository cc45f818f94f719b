"""Stores for tests: the memory of the process, and an S3 server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.request import Request, urlopen

import fsspec
import pytest

HAS_S3 = all(find_spec(name) is not None for name in ("s3fs", "moto", "flask"))
needs_s3 = pytest.mark.skipif(not HAS_S3, reason="s3fs or the server of moto is not installed")


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Start a server with the empty bucket `bucket`, and yield its file system; processes that are started later use it too."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        settings = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        # All servers of a process have the same content.
        with urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")):
            pass
        fsspec.filesystem("s3").clear_instance_cache()  # it would use the server of another test
        system = fsspec.filesystem("s3")
        system.mkdir("bucket")
        yield system
    finally:
        server.stop()
        if (cached := fsspec.registry.get("s3")) is not None:
            cached.clear_instance_cache()
