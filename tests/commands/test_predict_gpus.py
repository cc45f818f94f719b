"""Which GPUs `ie predict` uses, on machines whose GPUs do not exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from support.runner import ie, said
from support.shard_inputs import EXPORTED, SKIPPING, enter_inputs, predict
from support.shard_jobs import outputs
from support.untrained import write_model

from ie_cli.commands import predict_shards
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.shard_workers import Outcome, ShardJob, attempt
from ie_cli.inference.shards import Shard


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> Path:
    return enter_inputs(tmp_path, monkeypatch, model)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices on which models are loaded; they are loaded on the CPU, and workers are in this process."""
    seen: list[str] = []
    load = Extractor.from_pretrained

    def loaded(path: Any, *, device: str, **options: Any) -> Extractor:
        seen.append(device)
        return load(path, device="cpu", **options)

    def workers_here(job: ShardJob, shards: Sequence[Shard], *, workers: int) -> Iterator[Outcome]:
        predictors = [job.load(number) for number in range(workers)]
        for number, shard in enumerate(shards):
            yield attempt(predictors[number % workers], shard)

    monkeypatch.setattr(Extractor, "from_pretrained", loaded)
    monkeypatch.setattr(predict_shards, "predict_in_processes", workers_here)
    return seen


@pytest.mark.parametrize(
    ("options", "gpus", "expected"),
    [
        ((), 2, ["cuda:0", "cuda:1", "cuda:0"]),
        (("--device", "cuda"), 4, ["cuda:0", "cuda:1", "cuda:2"]),
        (("--device", "cuda:1"), 2, ["cuda:1"] * 3),
        (("--device", "cpu"), 2, ["cpu"] * 3),
        ((), 0, ["auto"] * 3),
    ],
)
def test_workers_take_the_gpus_in_turn_and_write_the_same(
    options: tuple[str, ...],
    gpus: int,
    expected: list[str],
    here: Path,
    devices: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    predict(*SKIPPING, *options, "-o", "one/")
    devices.clear()
    said = predict(*SKIPPING, *options, "-o", "several/", "--workers", "3")
    assert devices == expected
    assert "GPU" not in said
    assert outputs(here / "several") == outputs(here / "one")  # the manifests, too: a job can go on with other GPUs


def test_an_exported_model_needs_no_gpu(here: Path, devices: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IE_MODEL", str(EXPORTED))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert "GPU" not in predict(*SKIPPING, "-o", "one/")
    predict(*SKIPPING, "-o", "several/", "--workers", "2")
    assert devices == ["auto"] * 3


@pytest.mark.parametrize("output", ["{}/", "{}.jsonl", "-"])
def test_one_process_says_once_that_other_gpus_are_idle(
    output: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    hint = "hint: 1 of 4 GPUs is used; `ie predict INPUTS -o DIRECTORY/ --workers 4` uses all of them for several files"
    assert predict(*SKIPPING, "-o", output.format("out")).count(hint) == 1
    assert "GPU" not in predict(*SKIPPING, "-o", output.format("quiet"), "--quiet")
    assert "GPU" not in predict(*SKIPPING, "-o", output.format("cpu"), "--device", "cpu")
    if output == "{}/":
        assert "GPU" not in predict(*SKIPPING, "-o", "out/")  # nothing is left to do
        assert "GPU" not in predict(*SKIPPING, "-o", "alone/", "--workers", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "GPU" not in predict(*SKIPPING, "-o", output.format("last"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--device", "cuda:1"), "--device cuda:1: Ray gives each actor its GPU: use --gpus-per-actor 1 instead."),
        (("--device", "cuda"), "--device cuda requires --gpus-per-actor with --engine ray."),
        (("--device", "cpu", "--gpus-per-actor", "1"), "--device cpu and --gpus-per-actor contradict each other."),
    ],
)
def test_on_ray_only_ray_chooses_gpus(options: tuple[str, ...], expected: str, here: Path) -> None:
    result = ie("predict", *SKIPPING, "-o", "out/", "--engine", "ray", *options)
    assert result.exit_code == 2
    assert expected in " ".join(said(result).replace("│", " ").split())
    assert not Path("out").exists()
