"""Measure the CoSENT loss by levels against the published form over all pairs of samples.

python benchmarks/cosent.py

Each form runs in a process of its own, whose peak memory is that of the form.
"""

from __future__ import annotations

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from torch import Tensor

from ie_cli.modeling.losses.cosent import cosent_loss

BATCHES = (32, 512, 4096)
LEVELS = {"2 classes": 2, "3 classes": 3, "grades": 1_000_000}
_RUNS = 7


def dense_loss(cosines: Tensor, levels: Tensor, scale: float = 20.0) -> Tensor:
    """Return the loss of kexue.fm/archives/8847 as published: a matrix of differences, masked by -1e12."""
    scaled = scale * cosines
    differences = scaled[:, None] - scaled[None, :]
    ordered = (levels[:, None] < levels[None, :]).float()
    masked = differences - (1 - ordered) * 1e12
    return torch.cat([cosines.new_zeros(1), masked.flatten()]).logsumexp(0)


def measure(form: str, batch: int, levels: int) -> tuple[float, float, float]:
    """Return the milliseconds of a step, the megabytes that it adds to the peak memory, and its relative error."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    cosines = (torch.rand(batch) * 2 - 1).requires_grad_()
    gold = torch.randint(levels, (batch,)).float()
    loss = dense_loss if form == "dense" else cosent_loss
    loss(cosines[:8], gold[:8]).backward()  # loads the libraries
    before, times = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _ in range(_RUNS):
        began = time.perf_counter()
        value = loss(cosines, gold)
        value.backward()
        times.append(1e3 * (time.perf_counter() - began))
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    exact = cosent_loss(cosines.detach().double(), gold)
    return min(times), memory, abs(value.item() - exact.item()) / exact.item()


def main() -> None:
    """Print one Markdown table."""
    print(f"torch {torch.__version__}, 1 thread, float32, forward + backward, best of {_RUNS}\n")
    print(
        "| pairs in a batch | levels | dense: ms | MB | relative error | by levels: ms | MB | relative error | faster |"
    )
    print("|--:|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for batch in BATCHES:
        for name, levels in LEVELS.items():
            found = []
            for form in ("dense", "levels"):
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                    found.append(pool.submit(measure, form, batch, levels).result())
            cells = " | ".join(f"{ms:.2f} | {memory:.1f} | {error:.0e}" for ms, memory, error in found)
            print(f"| {batch:,} | {name} | {cells} | {found[0][0] / found[1][0]:.0f}x |", flush=True)


if __name__ == "__main__":
    main()
