"""The benchmark of large data: its sentences are read as they were drawn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.benchmark_modules import benchmark_modules

from ie_cli.formats import read_documents


def test_sentences_are_read_with_their_names(tmp_path: Path) -> None:
    with benchmark_modules("large_data") as [large_data]:
        large_data.write(tmp_path / "train.jsonl", 200, seed=1)
        assert list(large_data.sentences(5)) == list(large_data.sentences(200))[:5]
        tree = large_data._tree(os.getpid())
    found = list(read_documents(str(tmp_path / "train.jsonl")))
    names = [document.text[entity.start : entity.end] for document in found for entity in document.entities]
    assert len(found) == 200
    assert len(names) > 200
    assert all(name.endswith("son") and " " in name for name in names)
    assert tree


def test_a_start_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IE_CACHE", str(tmp_path / "cache"))
    with benchmark_modules("large_data") as [large_data]:
        for name in ("train", "dev"):
            large_data.write(tmp_path / f"{name}.jsonl", 60, seed=1)
        monkeypatch.setattr(large_data, "SECONDS", 0.0)
        found = large_data.start(tmp_path)
    assert found["loader"] > 0
    assert found["start_memory"]["resident"] >= found["start_memory"]["anonymous"]
