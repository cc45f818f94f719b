"""Compute what prediction and training cost on more than one machine, and simulate stragglers and failures.

    python benchmarks/scale.py            # prints the tables of docs/guide/scale.md
    python benchmarks/scale.py --write    # replaces them there

All numbers come from scale.json: measured speeds of this machine, published peaks and assumed shares of them for GPUs, and, once
they are measured, the speeds of one and two processes. Units are seconds, bytes, tokens and floating-point operations.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
PARAMETERS = Path(__file__).parent / "scale.json"
PAGE = ROOT / "docs" / "guide" / "scale.md"
HOUR, DAY = 3600.0, 86400.0
RUNS = 200
"""The number of simulated runs for each row of a table."""


# --- Costs in closed form


def flops_per_token(encoder: dict[str, Any], length: float) -> float:
    """Return the operations of a forward pass for one token of a text of `length` tokens.

    Two for each weight of the layers, and ``4 · length · hidden`` in each layer for the products with all keys and values.
    """
    hidden, layers = encoder["hidden"], encoder["layers"]
    weights = layers * (4 * hidden**2 + 2 * hidden * encoder["feed_forward"])
    return float(2 * weights + 4 * length * hidden * layers)


def tokens_per_second(device: dict[str, Any], work: str, flops: float) -> float:
    """Return the measured speed of a device, or its peak times the assumed share of it.

    Args:
        device: a device of the parameters.
        work: ``predict`` or ``train``; a step of training has three times the operations of a forward pass.
        flops: the operations of a forward pass for one token.
    """
    if work in device:
        return float(device[work])
    return float(device["peak"] * device[f"{work}_share"] / (flops * (3 if work == "train" else 1)))


def all_reduce_seconds(size: float, devices: int, *, link: float, latency: float) -> float:
    """Return the time of a ring all-reduce of `size` bytes: 2(n-1) messages of size/n bytes, one after the other."""
    if devices == 1:
        return 0.0
    return 2 * (devices - 1) * (size / devices / link + latency)


def exchange_seconds(size: float, devices: int, device: dict[str, Any]) -> float:
    """Return the time of the all-reduce of a number of devices, in nodes with a faster link inside if the device has one.

    Each node adds up its parts first, and each of its devices then exchanges one part with the same device of other nodes.
    """
    node, links = device.get("node", 1), {"link": device["link"], "latency": device["latency"]}
    if node == 1:
        return all_reduce_seconds(size, devices, **links)
    inside = {"link": device["node_link"], "latency": device["latency"]}
    within = all_reduce_seconds(size, min(node, devices), **inside)
    return within + all_reduce_seconds(size / node, max(1, devices // node), **links)


def checkpoint_seconds(p: dict[str, Any]) -> float:
    """Return the time of a checkpoint: the weights and two moments of each, written to disk."""
    return float(p["encoder"]["parameters"] * p["checkpoint"]["bytes_per_parameter"] / p["checkpoint"]["disk"])


def step_seconds(compute: float, exchange: float, *, overlap: float) -> float:
    """Return the time of a step: the exchange is hidden behind at most the share `overlap` of the computation."""
    return compute + max(0.0, exchange - overlap * compute)


# --- Simulations


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What makes workers slower than planned.

    Attributes:
        sigma: the standard deviation of the logarithm of a shard's time, whose mean stays the same.
        slow_share: the share of the workers that are slow.
        slow_factor: by how much these are slower.
        between: mean seconds between two failures of a worker; infinity for none.
        restart: seconds until a failed worker works again.
    """

    sigma: float = 0.0
    slow_share: float = 0.0
    slow_factor: float = 1.0
    between: float = math.inf
    restart: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The seconds until the last shard is done, and the number of shards that a failure made start again."""

    seconds: float
    retries: int


def simulate_shards(seconds: Sequence[float], workers: int, weather: Weather, seed: int) -> Outcome:
    """Simulate workers that take one shard after the other; a failure loses the shard in work, which is tried again.

    Args:
        seconds: the planned time of each shard.
        workers: the number of workers.
        weather: what makes them slower.
        seed: of all draws.
    """
    random = np.random.default_rng(seed)
    speed = np.where(random.random(workers) < weather.slow_share, weather.slow_factor, 1.0)
    noise = random.lognormal(-(weather.sigma**2) / 2, weather.sigma, len(seconds))
    queue = [(one * factor) for one, factor in zip(seconds, noise.tolist(), strict=True)][::-1]
    free = [(0.0, worker) for worker in range(workers)]
    done, retries = 0.0, 0
    while queue:
        now, worker = heapq.heappop(free)
        shard = queue.pop()
        needed = shard * float(speed[worker])
        fails = float(random.exponential(weather.between)) if math.isfinite(weather.between) else math.inf
        if fails < needed:
            retries += 1
            queue.append(shard)
            heapq.heappush(free, (now + fails + weather.restart, worker))
            continue
        done = max(done, now + needed)
        heapq.heappush(free, (now + needed, worker))
    return Outcome(done, retries)


def expected_shard_seconds(seconds: float, between: float, restart: float) -> float:
    """Return the mean time of a shard on a worker that fails at random: ``(between + restart)(e^(seconds/between) - 1)``."""
    return (between + restart) * math.expm1(seconds / between)


def simulate_checkpoints(
    work: float, interval: float, *, cost: float, restart: float, between: float, seed: int
) -> float:
    """Simulate a run that stores a checkpoint after every `interval` seconds of work, and return its duration in seconds.

    A failure, also in a checkpoint or a restart, loses the work since the last checkpoint.
    """
    random = np.random.default_rng(seed)
    now, done = 0.0, 0.0
    while done < work:
        part = min(interval, work - done)
        needed, fails = part + cost, float(random.exponential(between))
        if fails >= needed:
            now, done = now + needed, done + part
            continue
        now += fails
        while (again := float(random.exponential(between))) < restart:
            now += again
        now += restart
    return now


def expected_run_seconds(work: float, interval: float, *, cost: float, restart: float, between: float) -> float:
    """Return the mean duration of such a run (Daly, FGCS 22, 2006, equation 20)."""
    return between * math.exp(restart / between) * math.expm1((interval + cost) / between) * work / interval


def best_interval(cost: float, between: float) -> float:
    """Return Young's interval between checkpoints, ``√(2 · cost · between)`` (CACM 17, 1974)."""
    return math.sqrt(2 * cost * between)


# --- Tables


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns after the first are aligned right."""
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def duration(seconds: float) -> str:
    """Return a duration in the unit in which it is easiest to read."""
    for unit, size in (("days", DAY), ("h", HOUR), ("min", 60.0), ("s", 1.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{1000 * seconds:,.1f} ms"


def cluster_name(name: str, count: int) -> str:
    """Return how a number of devices is called in a table."""
    return f"{count:,} cores" if name == "1 core" and count > 1 else name if name == "1 core" else f"{count} × {name}"


def devices_table(p: dict[str, Any]) -> str:
    """Return the speeds of single devices."""
    rows = []
    for name, device in p["devices"].items():
        predict, train = (
            tokens_per_second(device, work, flops_per_token(p["encoder"], p[kind]["tokens"]))
            for work, kind in (("predict", "text"), ("train", "training"))
        )
        shares = "–" if "peak" not in device else f"{device['predict_share']:.0%}, {device['train_share']:.0%}"
        peak = "–" if "peak" not in device else f"{device['peak'] / 1e12:,.0f}"
        rows.append([name, peak, shares, f"{predict:,.0f}", f"{train:,.0f}", device["source"]])
    heads = [
        "device",
        "peak, TFLOP/s",
        "share: prediction, training",
        "prediction, tokens/s",
        "training, tokens/s",
        "source",
    ]
    return table(heads, rows)


def prediction_table(p: dict[str, Any]) -> str:
    """Return what the prediction of all sentences costs on each cluster."""
    text, rows = p["text"], []
    for name, count in p["clusters"]:
        device = p["devices"][name]
        speed = count * tokens_per_second(device, "predict", flops_per_token(p["encoder"], text["tokens"]))
        seconds = text["sentences"] * text["tokens"] / speed
        price = seconds / HOUR * count * device["price"]
        read, written = (text["sentences"] * text[f"{part}_bytes"] / seconds / 1e6 for part in ("input", "output"))
        rate = f"{text['sentences'] / seconds:,.0f}"
        rows.append(
            [cluster_name(name, count), rate, duration(seconds), f"{price:,.0f}", f"{read:,.2f}", f"{written:,.2f}"]
        )
    heads = ["devices", "sentences/s", "time", "price", "read, MB/s", "written, MB/s"]
    return table(heads, rows)


def training_table(p: dict[str, Any]) -> str:
    """Return what a training costs on each cluster, with the same batch for each device."""
    t, rows = p["training"], []
    for name, count in p["clusters"]:
        device = p["devices"][name]
        speed = tokens_per_second(device, "train", flops_per_token(p["encoder"], t["tokens"]))
        batch = device.get("batch", t["batch"])
        compute = batch * t["tokens"] / speed
        size = t["gradient_bytes"] * p["encoder"]["parameters"]
        exchange = exchange_seconds(size, count, device)
        step = step_seconds(compute, exchange, overlap=t["overlap"])
        steps = t["epochs"] * math.ceil(t["sentences"] / (batch * count))
        total = steps * step
        price = total / HOUR * count * device["price"]
        rows.append(
            [cluster_name(name, count), f"{batch * count:,}", f"{steps:,}", duration(compute), duration(exchange)]
            + [f"{compute / step:.0%}", duration(total), f"{price:,.2f}"]
        )
    heads = [
        "devices",
        "sentences per step",
        "steps",
        "computation of a step",
        "all-reduce",
        "efficiency",
        "time",
        "price",
    ]
    return table(heads, rows)


def weather_of(p: dict[str, Any], hours: float) -> Weather:
    """Return the stragglers of the parameters, and failures with a mean number of hours between two of a worker."""
    f = p["failures"]
    slow = {"slow_share": f["slow_share"], "slow_factor": f["slow_factor"]}
    return Weather(sigma=f["sigma"], **slow, between=hours * HOUR, restart=f["restart"])


def shards_table(p: dict[str, Any], runs: int = RUNS) -> str:
    """Return how the size of the shards changes the time of a prediction on 64 workers, by simulation."""
    workers, work, rows = 64, 4 * HOUR, []
    for per_worker in (1, 4, 16, 64, 256):
        seconds = [work / per_worker] * (workers * per_worker)
        row = [str(per_worker), duration(seconds[0])]
        for hours in (p["failures"]["hours_between"], p["failures"]["preemptible_hours"]):
            found = [
                simulate_shards(seconds, workers, weather_of(p, hours), seed)
                for seed in range(max(2, runs // per_worker))
            ]
            times = [outcome.seconds / work for outcome in found]
            row += [
                f"{np.mean(times):.2f}",
                f"{np.quantile(times, 0.95):.2f}",
                f"{np.mean([o.retries for o in found]):.1f}",
            ]
        rows.append(row)
    heads = ["shards per worker", "a shard takes"]
    heads += [f"{what}, {kind}" for kind in ("reliable", "preemptible") for what in ("mean", "95 %", "retries")]
    return table(heads, rows)


def checkpoints_table(p: dict[str, Any], runs: int = RUNS) -> str:
    """Return how the interval between checkpoints changes the time of a run of a day on 64 devices."""
    seconds, rows = checkpoint_seconds(p), []
    cost = {"cost": seconds, "restart": p["checkpoint"]["restart"]}
    for kind in ("hours_between", "preemptible_hours"):
        between = p["failures"][kind] * HOUR / 64
        best = best_interval(seconds, between)
        for interval in (60.0, 600.0, 3600.0, best):
            expected = expected_run_seconds(DAY, interval, **cost, between=between)
            found = [
                simulate_checkpoints(DAY, interval, **cost, between=between, seed=seed)
                for seed in range(max(2, runs // 4))
            ]
            name = f"{duration(interval)}{' (Young)' if interval == best else ''}"
            simulated = f"{np.mean(found) / DAY:.3f}"
            rows.append([f"{between / HOUR:,.2f} h", name, f"{expected / DAY:.3f}", simulated])
    return table(["a failure every", "interval", "time, Daly's formula", "time, simulated"], rows)


def processes_table(p: dict[str, Any]) -> str:
    """Return the measured speeds of one and two processes; a dash where scale.json has none."""
    rows = []
    for work, speeds in p["processes"].items():
        one, two = speeds["one"], speeds["two"]
        efficiency = "–" if one is None or two is None else f"{two / (2 * one):.0%}"
        rows.append([work, *("–" if speed is None else f"{speed:,.1f}" for speed in (one, two)), efficiency])
    return table(["work", "one process, sentences/s", "two processes, sentences/s", "efficiency"], rows)


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "devices": devices_table,
    "prediction": prediction_table,
    "training": training_table,
    "shards": shards_table,
    "checkpoints": checkpoints_table,
    "processes": processes_table,
}


def with_tables(page: str, tables: dict[str, str]) -> str:
    """Return a page with its tables replaced: each follows a line ``<!-- table: NAME -->`` and a blank line.

    Raises:
        ValueError: the page lacks a table.
    """
    for name, text in tables.items():
        pattern = rf"(<!-- table: {name} -->\n\n)(?:\|.*\n)*"
        page, count = re.subn(pattern, lambda match, text=text: f"{match[1]}{text}\n", page)  # type: ignore[misc]
        if count != 1:
            raise ValueError(f"the page has {count} tables named {name}")
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description="Costs on more than one machine.")
    parser.add_argument("--write", action="store_true", help="replace the tables in docs/guide/scale.md")
    options = parser.parse_args(arguments)
    parameters = json.loads(PARAMETERS.read_text(encoding="utf-8"))
    tables = {name: make(parameters) for name, make in TABLES.items()}
    if options.write:
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
        return
    for name, text in tables.items():
        print(f"{name}\n\n{text}\n")


if __name__ == "__main__":
    main()
