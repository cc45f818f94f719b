"""A recipe through all commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.runner import ie
from support.stopping import StopAfter

from ie_cli.recipe.loader import load_recipe
from ie_cli.system.signals import Stopped
from ie_cli.training.run import train


def through_all_commands(recipe: Path, directory: Path, gold: Path, *, export: bool = True) -> dict[str, Any]:
    """check, train with a stop and --resume, eval, predict, export, predict with the export; the scores of eval.

    Without `export`, the model is not exported.
    """
    checked = ie("check", str(recipe))
    assert checked.exit_code == 0, checked.stderr
    run = directory / "run"
    with pytest.raises(Stopped):
        list(train(load_recipe(recipe), run, stop=StopAfter(17)))
    resumed = ie("train", str(recipe), "--output", str(run), "--resume", "--quiet")
    assert resumed.exit_code == 0, resumed.stderr
    straight = ie("train", str(recipe), "--output", str(directory / "straight"), "--quiet")
    assert straight.exit_code == 0, straight.stderr
    weights = [(path / "model" / "model.safetensors").read_bytes() for path in (run, directory / "straight")]
    assert weights[0] == weights[1]
    model = str(run / "model")
    scored = ie("eval", model, str(gold), "--json", "--quiet")
    assert scored.exit_code == 0, scored.stderr
    one = records(gold, model, "float32")
    assert any(record["entities"] or record.get("relations") or record.get("label") for record in one)
    if export:
        exported = ie("export", model, str(directory / "exported"), "--data", str(gold))
        assert exported.exit_code == 0, exported.stderr
        assert_alike(one, records(gold, str(directory / "exported"), "auto"))
    fields: dict[str, Any] = json.loads(scored.stdout)
    return fields


def records(gold: Path, model: str, precision: str) -> list[dict[str, Any]]:
    """Return what `ie predict` writes."""
    found = ie("predict", str(gold), "--model", model, "--quiet", "--precision", precision)
    assert found.exit_code == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def assert_alike(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    """Compare the predictions of a model with those of its export: only scores may differ, those of pairs a little."""
    for record, again in zip(one, other, strict=True):
        for found in (record, again):
            for item in (*found["entities"], *found.get("relations", [])):
                item.pop("score")
        if "score" in record:  # of a pair
            assert again.pop("score") == pytest.approx(record.pop("score"), abs=1e-4)
    assert one == other
