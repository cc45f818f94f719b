"""The benchmark of GPUs, run with tiny encoders on a CPU, and where there is no GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from support.benchmark_modules import benchmark_modules


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("IE_CACHE", "")  # the benchmark sets it
    with benchmark_modules("gpu") as [module]:
        yield module


def test_without_a_gpu_it_says_that_it_is_skipped(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.main([])
    assert capsys.readouterr().out == "gpu.py: skipped, because torch finds no GPU here; nothing was measured\n"


def test_every_row_is_measured_with_tiny_encoders(gpu: Any, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--cpu-smoke"])
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]
    assert [(row[0], row[2]) for row in rows] == [
        ("training, Efficient GlobalPointer", "ie"),
        ("training, GPLinker", "ie"),
        ("training, BIO tags", "transformers"),
        ("training, Efficient GlobalPointer", "bert4torch"),
        ("prediction, ner", "ie"),
        ("prediction, ner", "ie, the GPU waits for decoding"),
        ("prediction, relation", "ie"),
        ("prediction, relation", "ie, the GPU waits for decoding"),
        ("forward pass and argmax", "transformers"),
    ]
    for row in rows:
        if row[-1] != "not installed":
            assert float(row[3]) > 0
            assert float(row[4].replace(",", "")) > 0
            assert 0 <= float(row[5].rstrip("%")) < 100


def test_rows_after_the_time_are_omitted(gpu: Any, capsys: pytest.CaptureFixture[str]) -> None:
    gpu.main(["--cpu-smoke", "--minutes", "0"])
    out = capsys.readouterr().out
    assert out.count("omitted: the time is over") == 5  # a model to predict with is missing, too
    assert "0.00" not in out  # no time is printed


def test_a_product_of_matrices_has_its_operations(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: float(next(ticks)))
    assert gpu.gemm_peak(torch.device("cpu"), torch.float32, 8) == 2 * 8**3
