"""With `training.shard_weights`, two processes train as they do with whole weights, and as one process does.

The tolerance is that of `support.joint_runs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.joint_runs import assert_close, halved_batches, ner, watch
from support.two_processes import Pair, two_processes

from ie_cli.recipe.schema import Recipe


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with two_processes() as started:
        yield started


def divided(made: Recipe) -> Recipe:
    """The recipe for each of two processes, with divided weights."""
    fields = halved_batches(made).model_dump()
    fields["training"]["shard_weights"] = True
    return Recipe.model_validate(fields)


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "entities": (ner, {"eval_every": 2, "ema": 0.9}),
}


@pytest.mark.parametrize("case", CASES)
def test_divided(case: str, pair: Pair, tmp_path: Path) -> None:
    build, training = CASES[case]
    made = build(tmp_path, **training)
    alone = watch(made, tmp_path / "one", {})
    found = pair.run(watch, divided(made), tmp_path / "two", {})
    assert [one["outcome"] for one in (alone, *found)] == ["", "", ""]
    assert found[0]["evaluated"] == found[1]["evaluated"] == alone["evaluated"]
    assert_close(tmp_path / "one", tmp_path / "two")
