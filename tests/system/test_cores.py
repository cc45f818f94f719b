"""How many threads a command uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ie_cli.inference.backends.onnx import _session
from ie_cli.system.cores import cores

GRAPH = next((Path(__file__).parent.parent / "fixtures" / "format_v2" / "ner" / "onnx").glob("*.onnx"))


@pytest.mark.parametrize(
    ("given", "expected"), [("3", 3), ("2,4", 2), ("0", None), ("", None), ("many", None), (None, None)]
)
def test_the_variable_or_the_cores(given: str | None, expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 4, 5, 7, 9}, raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert cores() == (expected or 5)


def test_an_exported_model_has_the_threads_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert _session(GRAPH).get_session_options().intra_op_num_threads == 2
