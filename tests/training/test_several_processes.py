"""Two processes train as one process with the same effective batch; they stop, resume, halve and score together.

In float32 without dropout, losses are equal within 1e-4 of their size, and weights within 1e-4, a fiftieth of what a step
changes: sums are added in another order. The F1 is equal to the last digit, because predictions are made in the same batches.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.corpora import documents, recipe, write_jsonl
from support.joint_runs import assert_close, halved_batches, log, ner, pairs, tasks, watch, weights
from support.two_processes import COUNT, Pair, two_processes

from ie_cli.errors import DataError, IEError
from ie_cli.recipe.schema import Recipe
from ie_cli.system.launcher import launched_rank
from ie_cli.training.checkpoint import read_checkpoint
from ie_cli.training.events import RunStarted, Started
from ie_cli.training.run import train
from ie_cli.training.series import train_folds, train_seeds
from ie_cli.training.shares import divide


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with two_processes() as started:
        yield started


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "entities": (ner, {"eval_every": 2, "ema": 0.9}),
    "accumulated": (ner, {"accumulation": 2, "batch_size": 4}),
    "compared pairs": (pairs, {}),
    "compared pairs, accumulated": (pairs, {"accumulation": 2}),
    "tasks in turn": (tasks, {"epochs": 1}),
    "tasks together, balanced": (tasks, {"epochs": 1, "balance": {"name": "grad_norm"}}),
}


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_with_the_same_effective_batch(case: str, pair: Pair, tmp_path: Path) -> None:
    build, training = CASES[case]
    made = build(tmp_path, **training)
    alone = watch(made, tmp_path / "one", {})
    found = pair.run(watch, halved_batches(made), tmp_path / "two", {})
    assert [one["outcome"] for one in (alone, *found)] == ["", "", ""]
    assert [one["processes"] for one in found] == [[2], [2]]
    assert found[0]["evaluated"] == found[1]["evaluated"] == alone["evaluated"]
    assert_close(tmp_path / "one", tmp_path / "two")
    together = found[0]["seen"] + found[1]["seen"]
    assert Counter(together) == Counter(alone["seen"])  # every example once an epoch, however many are left in the end
    assert all(len(one["seen"]) >= len(together) // 3 for one in found)
    if case == "entities":
        times = len(alone["evaluated"]) + 1  # the last time, the stored model
        assert Counter(found[0]["scored"] + found[1]["scored"]) == dict.fromkeys(range(20), times)
        assert all(len(one["scored"]) >= 8 * times for one in found)


def test_gradients_are_sent_once_per_step(pair: Pair, tmp_path: Path) -> None:
    made = ner(tmp_path, accumulation=3, batch_size=2, epochs=1)  # 5 batches of 4 windows or fewer, 2 steps
    [first, second] = pair.run(watch, made, tmp_path / "run", {})
    assert first["sent"] == second["sent"]
    size = sum(tensor.numel() for tensor in weights(tmp_path / "run").values())
    assert first["sent"][size] == 2
    assert all(numel < 20 for numel in first["sent"] if numel != size)  # losses, whenever they are read


@pytest.mark.parametrize("build", [ner, pairs])
def test_a_process_that_runs_out_of_memory_does_not_block_the_other(build: Any, pair: Pair, tmp_path: Path) -> None:
    made = build(tmp_path, epochs=1)
    pair.run(watch, made, tmp_path / "whole", {})
    found = pair.run(watch, made, tmp_path / "parts", {"windows": (1, 3)})
    assert [one["outcome"] for one in found] == ["", ""]
    assert found[0]["halved"] == found[1]["halved"] == [4]
    assert_close(tmp_path / "whole", tmp_path / "parts")


def test_all_stop_at_the_same_step_and_resume_exactly(pair: Pair, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "train.jsonl", documents())
    made = recipe(file, training={"epochs": 2, "batch_size": 4})  # with dropout
    pair.run(watch, made, tmp_path / "whole", {})
    stopped = pair.run(watch, made, tmp_path / "cut", {"stop_at": (1, 1)})  # the signal arrives at the second one only
    assert {one["outcome"] for one in stopped} == {"Stopped: stopped at step 2 of 6; continue with --resume"}
    assert [path.name for path in (tmp_path / "cut" / "checkpoints").iterdir()] == ["step-000000002"]
    pair.run(watch, made, tmp_path / "cut", {}, True)
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert [line["loss"] for line in log(tmp_path / "whole")] == [line["loss"] for line in log(tmp_path / "cut")]


def test_a_run_is_resumed_with_another_number_of_processes(pair: Pair, tmp_path: Path) -> None:
    made = ner(tmp_path, batch_size=2, epochs=2)  # 5 steps an epoch
    whole = pair.run(watch, made, tmp_path / "whole", {})
    first = pair.run(watch, made, tmp_path / "cut", {"stop_at": (0, 1)})
    checkpoint = read_checkpoint(tmp_path / "cut" / "checkpoints")
    assert checkpoint is not None
    assert {name for name in checkpoint.tensors if "random" in name} == {"random.0", "process.1.random.0"}
    alone = watch(made, tmp_path / "cut", {"stop_at": (0, 6)}, True)
    assert alone["processes"] == [1]
    assert alone["outcome"] == "Stopped: stopped at step 6 of 10; continue with --resume"
    last = pair.run(watch, made, tmp_path / "cut", {}, True)
    assert [one["outcome"] for one in last] == ["", ""]
    assert_close(tmp_path / "whole", tmp_path / "cut")
    parts = [part for one in (*first, alone, *last) for part in one["seen"]]
    assert Counter(parts) == Counter(
        whole[0]["seen"] + whole[1]["seen"]
    )  # each example once an epoch, as without a stop
    with pytest.raises(DataError, match="already exists"):
        next(train(made, tmp_path / "cut"))


PLACES = [
    "run.prepare",
    "run.require_outside",
    "run._facts",
    "loop.build_optimizer",
    "loop.build_balancer",
    "run.open_loggers",
]


@pytest.mark.parametrize("place", PLACES)
def test_an_error_of_one_process_is_that_of_all(place: str, pair: Pair, tmp_path: Path) -> None:
    assert (
        pair.run(fail, ner(tmp_path), tmp_path / "run", place, [1], timeout=60)
        == [["DataError: disk is gone", True]] * 2
    )


def test_an_error_that_all_processes_find_is_reported_once(pair: Pair, tmp_path: Path) -> None:
    made = ner(tmp_path)
    (tmp_path / "taken").write_text("")
    for outcome, everywhere in pair.run(fail, made, tmp_path / "taken", None, []):
        assert "is a file" in outcome
        assert everywhere
    pair.run(watch, made, tmp_path / "run", {"stop_at": (0, 1)})
    for place in ("run.require_same_precision", "run.read_checkpoint", "evaluator.Extractor.from_pretrained"):
        for resumed in pair.run(fail, made, tmp_path / "run", place, [0, 1], True):
            assert resumed == ["DataError: disk is gone", True], place
    (tmp_path / "run" / "run.json").write_text("{")
    for outcome, everywhere in pair.run(fail, made, tmp_path / "run", None, [], True):
        assert "damaged" in outcome
        assert everywhere


def test_what_is_wrong_with_several_runs_is_reported_once_and_at_once(pair: Pair, tmp_path: Path) -> None:
    made = ner(tmp_path)
    named = made.model_copy(update={"data": made.data.model_copy(update={"dev": str(tmp_path / "train.jsonl")})})
    (tmp_path / "taken").write_text("")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "seeds.json").write_text("{")
    for run, output, options, wrong in (
        (train_seeds, tmp_path / "taken", {"seeds": 2}, "is a file"),
        (train_seeds, tmp_path / "runs", {"seeds": 1}, "expected at least 2"),
        (train_folds, tmp_path / "runs", {"folds": 2}, "--folds takes development data"),
        (train_seeds, tmp_path / "all", {"seeds": 2, "resume": True}, "damaged"),
    ):
        for outcome, everywhere in pair.run(fail_in_series, run, named, output, options, timeout=30):
            assert wrong in outcome
            assert everywhere


def test_several_runs_keep_their_batches_with_another_number_of_processes(pair: Pair, tmp_path: Path) -> None:
    made = ner(tmp_path, epochs=1)  # 20 examples: 3 steps of 8, 2 of 16
    for run, name, count in ((train_seeds, "seed", {"seeds": 2}), (train_folds, "fold", {"folds": 2})):
        fields = made.data.model_copy(update={"dev": None if name == "fold" else made.data.dev})
        one, output = made.model_copy(update={"data": fields}), tmp_path / name
        found = pair.run(steps_in_series, run, one, output, {**count, "resume": False}, 1)
        assert found[0] == found[1]
        again = steps_in_series(run, one, output, {**count, "resume": True})
        assert json.loads((output / f"{name}s.json").read_text())["processes"] == COUNT
        runs = [json.loads((output / f"{name}-{number}" / "run.json").read_text()) for number in labels(name)]
        assert [facts["processes"] for facts in runs] == [COUNT] * 2
        if name == "seed":
            assert found[0] == [2]
            assert again == [2]  # the first one is finished


def labels(kind: str) -> tuple[int, int]:
    """The names of two runs."""
    return (42, 43) if kind == "seed" else (1, 2)


def steps_in_series(
    run: Any, made: Recipe, output: Path, options: dict[str, Any], most: int | None = None
) -> list[int]:
    """Start several runs that are compared, stop when a number of them are trained, and return their numbers of steps."""
    steps: list[int] = []
    for event in run(made, output, **options):
        if isinstance(event, Started):
            steps.append(event.steps)
        if isinstance(event, RunStarted) and event.number > (most or event.number):
            break
    return steps


def fail_in_series(run: Any, made: Recipe, output: Path, options: dict[str, Any]) -> list[Any]:
    """Start several runs that are compared, and return the error, and whether it is reported once."""
    try:
        list(run(made, output, **options))
    except IEError as error:
        return [f"{type(error).__name__}: {error}", error.everywhere]
    return []


def fail(made: Recipe, output: Path, place: str | None, ranks: Sequence[int], resume: bool = False) -> list[Any]:
    """Train, with an error at some place of some processes, and return the error, and whether it is reported once."""

    def raising(*arguments: Any, **options: Any) -> Any:
        raise DataError("disk is gone")

    with ExitStack() as stack:
        if place is not None and launched_rank() in ranks:
            stack.enter_context(patch(f"ie_cli.training.{place}", raising))
        try:
            list(train(made, output, resume=resume))
        except IEError as error:
            return [f"{type(error).__name__}: {error}", error.everywhere]
    return []


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60), st.integers(1, 9))
def test_a_batch_is_divided_by_tokens(sizes: list[int], parts: int) -> None:
    found = divide(sizes, parts)
    assert len(found) == parts
    assert sorted(place for part in found for place in part) == list(range(len(sizes)))
    assert all(found) or len(sizes) < parts
    padded = [len(part) * max((sizes[place] for place in part), default=0) for part in found]
    equal = -(-len(sizes) // parts)
    assert max(padded) <= equal * max(sizes)
    by_length = sorted(sizes, reverse=True)
    neighbours = [by_length[start : start + equal] for start in range(0, len(sizes), equal)]
    assert max(padded) <= max(len(part) * part[0] for part in neighbours)  # no worse than shares of equal numbers
