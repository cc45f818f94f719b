"""Measure the factorised and the streamed loss against the dense form.

python benchmarks/loss.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ie_cli.modeling.losses.factorised import Gold, factorised_loss, valid_entries
from ie_cli.modeling.losses.streamed import Projection, streamed_loss

SHAPES = [(16, 10, 64), (16, 49, 128), (32, 49, 128), (16, 200, 128), (16, 49, 256)]


def dense_loss(scores: Tensor, mask: Tensor, gold: Gold) -> Tensor:
    """kexue.fm/archives/7359 on a tensor ``[batch, labels, L, L]``, nothing saved."""
    lowest = torch.finfo(scores.dtype).min
    sample, label, first, last = gold.entries.unbind(1)
    positive = torch.zeros(scores.shape, dtype=torch.bool)
    positive[sample, label, first, last] = True
    negative = valid_entries(mask)[:, None] & ~positive
    zero = scores.new_zeros(*scores.shape[:2], 1)
    out = torch.cat([zero, scores.masked_fill(~negative, lowest).flatten(2)], dim=2).logsumexp(2)
    inside = torch.cat([zero, (-scores).masked_fill(~positive, lowest).flatten(2)], dim=2).logsumexp(2)
    return (out + inside).sum() / len(scores)


def milliseconds(step: Callable[[], None], runs: int) -> float:
    """Return the median time of a step after one warm-up step."""
    step()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times)


def gold_of(batch: int, labels: int, length: int, mask: Tensor) -> Gold:
    """Return four gold entries per sentence."""
    first = torch.randint(length // 2, (4 * batch,))
    entries = [torch.arange(batch).repeat(4), torch.randint(labels, (4 * batch,)), first, first + 2]
    return Gold.build(torch.stack(entries, dim=1), mask)


def efficient(batch: int, labels: int, length: int) -> tuple[float, float, float]:
    """Milliseconds of the dense and the factorised form, forward and backward, and how far their values differ."""
    factors = [
        torch.randn(shape, requires_grad=True)
        for shape in ((batch, length, length), (batch, labels, length), (batch, labels, length))
    ]
    mask = torch.ones(batch, length, dtype=torch.bool)
    gold = gold_of(batch, labels, length, mask)

    def dense() -> Tensor:
        pair, start, end = factors
        return dense_loss(pair[:, None] + start[..., None] + end[:, :, None], mask, gold)

    def fast() -> Tensor:
        return factorised_loss(*factors, mask, gold)

    error = abs(dense().item() - fast().item()) / dense().item()
    return milliseconds(lambda: dense().backward(), 3), milliseconds(lambda: fast().backward(), 15), error


def full(batch: int, labels: int, length: int, hidden: int = 384, size: int = 64) -> tuple[float, float]:
    """Milliseconds of the dense and the streamed form, projection included, forward and backward."""
    x = torch.randn(batch, length, hidden, requires_grad=True)
    weight = (torch.randn(labels, 2 * size, hidden) * 0.05).requires_grad_()
    bias = torch.zeros(labels, 2 * size, requires_grad=True)
    mask = torch.ones(batch, length, dtype=torch.bool)
    gold = gold_of(batch, labels, length, mask)

    def dense() -> None:
        query, key = Projection(weight, bias, True).vectors(x, 0, labels)
        dense_loss(query @ key.transpose(2, 3), mask, gold).backward()

    return milliseconds(dense, 3), milliseconds(lambda: streamed_loss(x, weight, bias, mask, gold).backward(), 5)


def main() -> None:
    """Print one Markdown table."""
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, float32, forward + backward, medians in ms\n")
    print(
        "| batch x labels x length | efficient: dense | factorised | ratio | relative difference | full: dense | streamed |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|", flush=True)
    for shape in SHAPES:
        dense, fast, error = efficient(*shape)
        slow, stream = full(*shape)
        name = "x".join(map(str, shape))
        print(
            f"| {name} | {dense:.0f} | {fast:.1f} | {dense / fast:.0f} | {error:.0e} | {slow:.0f} | {stream:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
