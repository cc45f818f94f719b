"""What a run says of its joined texts before it starts: how many and how long, and which cannot be joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ie_cli.data.findings import Finding
from ie_cli.errors import counted
from ie_cli.training.context_buckets import ContextBuckets
from ie_cli.training.length_buckets import LengthBuckets
from ie_cli.training.setup import TaskSetup, TrainingSetup

_TRIED = 50
"""Number of joined texts of the first epoch that are made to see whether the tokenizer separates their texts."""


def context_notes(setup: TrainingSetup, samplers: Sequence[LengthBuckets]) -> Iterator[Finding]:
    """Yield what a user should know of the joined texts of a run.

    Args:
        setup: the model and its training data.
        samplers: the sampler of each task, in the order of the tasks.
    """
    for (name, task), sampler in zip(setup.tasks.items(), samplers, strict=True):
        if isinstance(sampler, ContextBuckets):
            before = f"{name}: " if len(setup.tasks) > 1 else ""
            yield from (replace(found, text=f"{before}data.context: {found.text}") for found in _notes(task, sampler))


def _notes(task: TaskSetup, sampler: ContextBuckets) -> Iterator[Finding]:
    joined = sampler.samples.joined()
    if not len(joined):
        yield Finding(
            "warning",
            "no texts are joined, because no two that follow each other fit into a window: raise encoder.max_length or "
            "data.context.share, or omit data.context",
        )
        return
    typical, share = sampler.extent(), sampler.samples.rows_of(joined) / len(sampler.lengths)
    yield Finding(
        "note",
        f"{share:.0%} of {counted(len(sampler.lengths), 'window')} are joined in an "
        f"epoch, up to {typical.texts} at a time, which have up to {typical.tokens} tokens",
    )
    samples = [sampler.samples[number] for number in joined[:: -(-len(joined) // _TRIED)].tolist()]
    tried = [sample for sample in samples if isinstance(sample, tuple)]
    made = set() if task.joiner is None else set(task.joiner.rows(task.dataset, tried).documents)
    documents = sampler.documents
    if apart := sum(tuple(documents[list(group)].tolist()) not in made for group in tried):
        yield Finding(
            "warning",
            f"{apart} of {counted(len(tried), 'joined text')} that were tried stay in parts, because a token contains the end "
            "of one text and the start of the next: set data.context.joiner",
        )
