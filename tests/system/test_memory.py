"""Settings of the C library: `ie train` makes them, a program that calls `train` keeps its own."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.runner import ie

from ie_cli.recipe.loader import dump_recipe
from ie_cli.system.memory import keep_freed_memory
from ie_cli.training.events import Finished
from ie_cli.training.run import train

NAMES = {-1: "M_TRIM_THRESHOLD", -2: "M_TOP_PAD", -4: "M_MMAP_MAX"}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What `mallopt` of a glibc was given; nothing is really set."""
    made: dict[str, int] = {}
    real = ctypes.CDLL

    def load(name: Any = None, *arguments: Any, **options: Any) -> Any:
        if name is not None:
            return real(name, *arguments, **options)
        return SimpleNamespace(mallopt=lambda option, value: made.update({NAMES[option]: value}))

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    return made


def small(folder: Path) -> Any:
    data = write_jsonl(folder / "data.jsonl", documents())
    return recipe(data, training={"epochs": 1, "device": "cpu"})


def test_the_command_keeps_freed_memory(settings: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(dump_recipe(small(tmp_path)), encoding="utf-8")
    assert ie("train", str(tmp_path / "recipe.yaml"), "--output", str(tmp_path / "run")).exit_code == 0
    assert settings == {"M_MMAP_MAX": 0, "M_TRIM_THRESHOLD": 2**31 - 1, "M_TOP_PAD": 2**26}


def test_training_from_python_leaves_the_process_alone(settings: dict[str, int], tmp_path: Path) -> None:
    assert isinstance(list(train(small(tmp_path), tmp_path / "run"))[-1], Finished)
    assert settings == {}


def test_other_c_libraries_are_left_alone(settings: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    keep_freed_memory()
    assert settings == {}
