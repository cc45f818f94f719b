"""A head is called before every step of training, with the share of the steps that is completed."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import documents, recipe, write_jsonl

from ie_cli.modeling.heads.base import MatrixHead
from ie_cli.training.run import train


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_head_gets_the_progress_of_the_training(
    accumulation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[float] = []
    monkeypatch.setattr(MatrixHead, "begin_step", lambda head, progress: got.append(progress))
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    sizes = {"epochs": 2, "batch_size": 8 // accumulation, "accumulation": accumulation}
    list(train(recipe(data, data={"dev": None}, training=sizes), tmp_path / "run"))
    steps = len(set(got))
    assert sorted(got) == got
    assert sorted(set(got)) == pytest.approx([step / steps for step in range(steps)])
    assert len(got) > (accumulation - 1) * steps
    assert steps > 2
