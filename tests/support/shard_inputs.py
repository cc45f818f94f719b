"""Inputs for `ie predict -o DIRECTORY/`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.corpora import documents
from support.runner import ie, said

EXPORTED = Path(__file__).parent.parent / "fixtures" / "format_v2" / "ner" / "onnx"
"""A model that starts quickly."""
SHARDS = 5
TEXTS = [document.text or "空" for document in documents(12)]
SKIPPING = ("in/*.jsonl.gz", "--on-error", "skip")
"""The inputs of `enter_inputs` for `predict`."""


def enter_inputs(directory: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> Path:
    """Make a directory the current one, with a model and `in/`: files of JSON Lines, of which one has a bad line."""
    monkeypatch.chdir(directory)
    monkeypatch.setenv("IE_MODEL", str(model))
    (directory / "in").mkdir()
    for n in range(SHARDS):
        with gzip.open(directory / "in" / f"{n}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(f"{json.dumps({'text': text * (n + 1)})}\n" for text in TEXTS[: 8 + n])
            file.write("{bad\n" if n == 2 else "")
    return directory


def predict(*arguments: str) -> str:
    """Predict, and return what was said."""
    result = ie("predict", *arguments)
    assert result.exit_code == 0, result.stderr
    return said(result)
