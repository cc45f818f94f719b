"""Settings of the C library: `ie train` changes them, a program that calls `train` keeps its own."""

from __future__ import annotations

import ctypes
import errno
import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.runner import ie

from ie_cli.errors import DataError, ModelError
from ie_cli.recipe.loader import dump_recipe
from ie_cli.system.memory import is_out_of_memory, keep_freed_memory
from ie_cli.training.events import Finished
from ie_cli.training.run import train

NAMES = {-1: "M_TRIM_THRESHOLD", -2: "M_TOP_PAD", -4: "M_MMAP_MAX"}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Record the arguments of glibc's `mallopt` without setting anything."""
    made: dict[str, int] = {}
    real = ctypes.CDLL

    def load(name: Any = None, *arguments: Any, **options: Any) -> Any:
        if name is not None:
            return real(name, *arguments, **options)
        return SimpleNamespace(mallopt=lambda option, value: made.update({NAMES[option]: value}))

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    return made


def small(directory: Path) -> Any:
    data = write_jsonl(directory / "data.jsonl", documents())
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


class PanicException(BaseException):
    """Raise an error as Rust does."""


class OutOfMemoryError(RuntimeError):
    """What torch raises of a GPU."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("could not create a primitive"),
        RuntimeError("could not create a memory object"),
        RuntimeError("can't start new thread"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code: std::bad_alloc"),
        RuntimeError("bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 12"),
        RuntimeError("malloc of size 4096 failed"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        PanicException("ThreadPoolBuildError { kind: IOError(Os { code: 11, kind: WouldBlock }) }"),
        PanicException("memory allocation of 1048576 bytes failed"),
    ],
)
def test_lack_of_memory_is_recognised_by_the_message_of_each_library(error: BaseException) -> None:
    assert is_out_of_memory(error)
    wrapped = ModelError("config.json: damaged: x")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        None,
        RuntimeError("something"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        OSError(errno.ENOSPC, "No space left on device"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        ImportError("libonnxruntime.so: cannot open shared object file: No such file or directory"),
        KeyboardInterrupt(),
        DataError('x.conll:3: expected a tag such as O or B-PER, got "std::bad_alloc"'),
        ValueError("could not convert string to float: 'not enough memory'"),
        KeyError("Cannot allocate memory"),
    ],
)
def test_other_errors_are_not_taken_for_lack_of_memory(error: BaseException | None) -> None:
    assert not is_out_of_memory(error)
