"""The speeds and memory of `heads.py`: rounds in turn, one process per head, compared with the first head pair by pair."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import heads
from harness import Reply, Worker, alternate, compare, seconds
from trials import write_lines

ROUNDS = 3


def measure(options: heads.Options) -> None:
    """Print tables of training and extraction."""
    for job in ("train", "predict"):
        with ExitStack() as stack:
            arguments = {head: arguments_of(options, head, job) for head in options.heads}
            known = {head: each for head, each in arguments.items() if each is not None}
            with ThreadPoolExecutor() as pool:  # loading the libraries takes longest
                starts = [
                    pool.submit(Worker, head, sys.executable, "worker_heads", each) for head, each in known.items()
                ]
            workers = [stack.enter_context(start.result()) for start in starts]
            if not workers:
                print(f"{job}: no model in {options.work}: train first", flush=True)
                continue
            replies = alternate(workers, ROUNDS, tell=lambda text: print(text, file=sys.stderr, flush=True))
        print(table(job, replies), flush=True)


def arguments_of(options: heads.Options, head: str, job: str) -> dict[str, Any] | None:
    """Return the options of a worker; None if the head has no trained model."""
    if job == "train":
        write_lines(options.work / "data" / "recipe.yaml", ["name: trial\n"])
        fields = heads.settings(options, heads.Job("speed", head, 1.0, 1))
        train, _ = heads.split(options, options.speed_sentences)
        fields += [f"data.train={train}", "data.dev=null", "training.epochs=1"]
        return {"job": job, "recipe": str(options.work / "data" / "recipe.yaml"), "settings": fields}
    models = sorted((options.work / "runs").glob(f"{options.task}-train-*-{head}-*-1/model"))
    if not models:
        return None
    form = next(field.partition("=")[2] for field in options.corpus.settings if field.startswith("data.format="))
    return {"job": job, "model": str(models[-1]), "data": str(options.data / Path(options.corpus.dev)), "format": form}


def table(job: str, replies: dict[str, list[Reply]]) -> str:
    """Return a Markdown table; the ratio is that of speeds, the head over the baseline."""
    first = next(iter(replies))
    memory = "gpu_mb" if "gpu_mb" in replies[first][0] else "rss_mb"
    kind = "of the GPU, " if memory == "gpu_mb" else ""
    lines = [
        f"| head | {job}: sentences/s | against {first}, pairs of rounds | peak memory {kind}MB |",
        "|---|--:|--:|--:|",
    ]
    for head, each in replies.items():
        if not each:
            continue
        spread = seconds(each)
        rate = each[0]["items"] / spread.median
        pairs = compare(each, replies[first]).pairs
        ratio = f"{1 / pairs.median:.2f} ({1 / pairs.high:.2f} to {1 / pairs.low:.2f})"
        lines.append(f"| {head} | {rate:.1f} | {ratio} | {max(reply[memory] for reply in each):,.0f} |")
    return "\n".join(lines)
