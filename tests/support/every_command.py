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


def through_all_commands(recipe: Path, directory: Path, gold: Path) -> dict[str, Any]:
    """check, train with a stop and --resume, eval, predict, export, predict with the export; the scores of eval."""
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
    exported = ie("export", model, str(directory / "exported"), "--data", str(gold))
    assert exported.exit_code == 0, exported.stderr
    found = [
        ie("predict", str(gold), "--model", path, "--quiet", "--precision", precision)
        for path, precision in ((model, "float32"), (str(directory / "exported"), "auto"))
    ]
    assert [result.exit_code for result in found] == [0, 0]
    one, other = ([json.loads(line) for line in result.stdout.splitlines()] for result in found)
    for record, again in zip(one, other, strict=True):
        for item in (
            *record["entities"],
            *record.get("relations", []),
            *again["entities"],
            *again.get("relations", []),
        ):
            item.pop("score")
        if "score" in record:  # of a pair
            assert again.pop("score") == pytest.approx(record.pop("score"), abs=1e-4)
    assert one == other
    assert any(record["entities"] or record.get("relations") or record.get("label") for record in one)
    fields: dict[str, Any] = json.loads(scored.stdout)
    return fields
