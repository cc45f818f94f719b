from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

# The models of the tests are too small for two threads, and tests run side by side: threads would only wait for each
# other. Set before torch is imported, and inherited by the commands that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
# The hub library reads this when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"
# Of fixtures that live longer than a test; a test has one of its own, below.
os.environ["IE_CACHE"] = tempfile.mkdtemp(prefix="ie-tests-")

import pytest
from hypothesis import settings

settings.register_profile("ie", deadline=None)  # the first example of a test pays for imports and compilation
settings.load_profile("ie")


def pytest_configure() -> None:
    """Undo what `nohup` and `&` in a script do: a process whose SIGINT is ignored hands that on to all it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure() -> None:
    """Remove the cache of this process."""
    shutil.rmtree(os.environ["IE_CACHE"], ignore_errors=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep encoded windows out of the cache of the user."""
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("IE_CACHE", str(directory))
    monkeypatch.delenv("IE_MODEL", raising=False)
    return directory
