from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("ie", deadline=None)  # the first example of a test pays for imports and compilation
settings.load_profile("ie")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep encoded windows out of the user's cache, and the hub out of the tests."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("IE_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("IE_MODEL", raising=False)
    return folder
