"""Where real corpora and encoders are looked for; they belong to others, and the project contains none of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_SHARED = Path(__file__).parent.parent.parent.parent / "shared"
DATA = Path(os.environ.get("IE_REAL_DATA", _SHARED / "data"))
ENCODERS = Path(os.environ.get("IE_REAL_ENCODERS", _SHARED / "encoders"))


def real(directory: Path, name: str) -> Path:
    """A file or directory of real data; the test is skipped where it is missing."""
    path = directory / name
    if not path.exists():
        pytest.skip(f"no {path}")
    return path
