"""The costs on more than one machine: the simulations against closed forms, and the page against its parameters."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.benchmark_modules import benchmark_modules


@pytest.fixture(scope="module")
def scale() -> Iterator[Any]:
    with benchmark_modules("scale") as [module]:
        yield module


@pytest.fixture(scope="module")
def parameters(scale: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(scale.PARAMETERS.read_text(encoding="utf-8"))
    return found


# --- shards


@pytest.mark.parametrize(("shards", "workers"), [(1, 1), (7, 3), (12, 4), (5, 8)])
def test_without_variation_the_time_is_that_of_the_rounds(scale: Any, shards: int, workers: int) -> None:
    outcome = scale.simulate_shards([10.0] * shards, workers, scale.Weather(), seed=1)
    assert outcome == scale.Outcome(10.0 * math.ceil(shards / workers), 0)


def test_a_slow_worker_gets_fewer_shards(scale: Any) -> None:
    everyone_slow = scale.simulate_shards([1.0] * 8, 2, scale.Weather(slow_share=1.0, slow_factor=3.0), seed=0)
    assert everyone_slow.seconds == 12.0
    seeds = [
        scale.simulate_shards([1.0] * 60, 2, scale.Weather(slow_share=0.5, slow_factor=3.0), seed=n) for n in range(40)
    ]
    assert {outcome.seconds for outcome in seeds} == {30.0, 45.0, 90.0}  # none, one (of 60, it takes 15), both


def test_variation_keeps_the_mean_of_a_shard(scale: Any) -> None:
    times = [scale.simulate_shards([1.0] * 400, 1, scale.Weather(sigma=0.5), seed=n).seconds for n in range(40)]
    assert statistics.mean(times) / 400 == pytest.approx(1.0, abs=0.02)


def test_the_slowest_of_many_workers_is_as_slow_as_order_statistics_say(scale: Any) -> None:
    times = [scale.simulate_shards([1.0] * 64, 64, scale.Weather(sigma=0.2), seed=n).seconds for n in range(200)]
    grid = np.linspace(-8, 8, 20001)
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    below = np.cumsum(density) * (grid[1] - grid[0])
    expected = np.sum(np.exp(0.2 * grid - 0.02) * 64 * below**63 * density) * (grid[1] - grid[0])
    assert statistics.mean(times) == pytest.approx(float(expected), rel=0.02)


@pytest.mark.parametrize(("between", "restart"), [(5.0, 0.0), (10.0, 3.0), (1e6, 3.0)])
def test_failures_cost_what_the_formula_says(scale: Any, between: float, restart: float) -> None:
    weather = scale.Weather(between=between, restart=restart)
    outcomes = [scale.simulate_shards([4.0] * 500, 1, weather, seed=n) for n in range(10)]
    expected = scale.expected_shard_seconds(4.0, between, restart)
    assert statistics.mean(outcome.seconds for outcome in outcomes) / 500 == pytest.approx(expected, rel=0.04)
    assert statistics.mean(outcome.retries for outcome in outcomes) / 500 == pytest.approx(
        math.expm1(4.0 / between), rel=0.1, abs=0.01
    )


def test_the_same_seed_gives_the_same_outcome(scale: Any) -> None:
    weather = scale.Weather(sigma=0.3, slow_share=0.2, slow_factor=2.0, between=50.0, restart=1.0)
    first, again, other = (scale.simulate_shards([3.0] * 40, 4, weather, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


# --- checkpoints


@pytest.mark.parametrize(("interval", "between"), [(10.0, 100.0), (50.0, 100.0), (20.0, 1e9)])
def test_checkpoints_cost_what_dalys_formula_says(scale: Any, interval: float, between: float) -> None:
    options = {"cost": 2.0, "restart": 5.0, "between": between}
    times = [scale.simulate_checkpoints(10_000, interval, **options, seed=n) for n in range(20)]
    assert statistics.mean(times) == pytest.approx(scale.expected_run_seconds(10_000, interval, **options), rel=0.03)


def test_youngs_interval_is_near_the_best_one(scale: Any) -> None:
    options = {"cost": 5.0, "restart": 60.0, "between": 4000.0}
    young = scale.best_interval(5.0, 4000.0)
    assert young == 200.0
    best = min(scale.expected_run_seconds(1e5, interval, **options) for interval in np.linspace(20, 2000, 500))
    assert scale.expected_run_seconds(1e5, young, **options) == pytest.approx(best, rel=1e-3)


# --- costs


def test_an_encoder_has_two_operations_for_each_weight_and_those_of_attention(scale: Any) -> None:
    bert = {"layers": 12, "hidden": 768, "feed_forward": 3072}
    assert scale.flops_per_token(bert, 0) == 2 * 84_934_656
    assert scale.flops_per_token(bert, 128) - scale.flops_per_token(bert, 0) == 4 * 128 * 768 * 12


def test_a_ring_sends_its_bytes_in_messages(scale: Any) -> None:
    link = {"link": 100.0, "latency": 0.5}
    assert scale.all_reduce_seconds(1000, 1, **link) == 0
    assert scale.all_reduce_seconds(1000, 2, **link) == 2 * (500 / 100 + 0.5)
    assert scale.all_reduce_seconds(1000, 5, **link) == pytest.approx(2 * 4 / 5 * 1000 / 100 + 8 * 0.5)
    device = {"link": 100.0, "latency": 0.0, "node": 8, "node_link": 1000.0}
    assert scale.exchange_seconds(800, 8, device) == pytest.approx(2 * 7 / 8 * 800 / 1000)
    assert scale.exchange_seconds(800, 16, device) == pytest.approx(2 * 7 / 8 * 800 / 1000 + 2 * 1 / 2 * 100 / 100)
    assert scale.exchange_seconds(800, 1, device) == 0


def test_computation_hides_a_share_of_the_exchange(scale: Any) -> None:
    assert scale.step_seconds(10, 4, overlap=0.5) == 10
    assert scale.step_seconds(10, 8, overlap=0.5) == 13
    assert scale.step_seconds(10, 8, overlap=0) == 18


def test_measured_speeds_have_precedence_over_computed_ones(scale: Any) -> None:
    device = {"peak": 600.0, "predict_share": 0.5, "train_share": 0.25}
    assert scale.tokens_per_second(device, "predict", 3.0) == 100
    assert scale.tokens_per_second(device, "train", 5.0) == 10
    assert scale.tokens_per_second({**device, "train": 7}, "train", 5.0) == 7


# --- the page


def test_the_page_has_the_tables_of_the_parameters(scale: Any, parameters: dict[str, Any]) -> None:
    page = scale.PAGE.read_text(encoding="utf-8")
    assert scale.with_tables(page, {name: make(parameters) for name, make in scale.TABLES.items()}) == page
    with pytest.raises(ValueError, match="0 tables named devices"):
        scale.with_tables("", {"devices": "| a |"})


def test_speeds_of_processes_become_an_efficiency(scale: Any, parameters: dict[str, Any]) -> None:
    filled = {
        **parameters,
        "processes": {"training": {"one": 10.0, "two": 19.0}, "prediction": {"one": 4.0, "two": None}},
    }
    lines = scale.processes_table(filled).splitlines()
    assert lines[2:] == ["| training | 10.0 | 19.0 | 95% |", "| prediction | 4.0 | – | – |"]


def test_the_parameters_are_those_of_the_results(scale: Any, parameters: dict[str, Any]) -> None:
    results = (scale.ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    core = parameters["devices"]["1 core"]
    for work, sentences in (("predict", 480), ("train", 320)):
        rows = [
            line.split(" | ") for line in results.splitlines() if line.startswith(f"| ours | bfloat16 | {sentences} ")
        ]
        assert round(float(rows[0][5].replace(",", "")) / 2) == pytest.approx(core[work], abs=1)
