"""What a run says of its pairs of texts before it starts: what is truncated, and which batches teach nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ie_cli.errors import counted
from ie_cli.training.length_buckets import LengthBuckets
from ie_cli.training.level_buckets import LevelBuckets
from ie_cli.training.setup import TaskSetup, TrainingSetup


def pair_notes(setup: TrainingSetup, samplers: Sequence[LengthBuckets], *, accumulation: int = 1) -> Iterator[str]:
    """Yield what a user should know of the pairs of a run.

    Args:
        setup: the model and its training data.
        samplers: the sampler of each task, in the order of the tasks.
        accumulation: number of batches in a step, whose pairs are all compared with each other.
    """
    several = [name for name, task in setup.tasks.items() if task.codec.reads != "windows"]
    if len(several) > 1:
        yield (
            f"the tasks {', '.join(several)} compare the same two texts of a record, which has one score and one label: "
            f"`ie predict` writes those of {several[-1]}, or of the task that --task names"
        )
    for (name, task), sampler in zip(setup.tasks.items(), samplers, strict=True):
        before = f"{name}: " if len(setup.tasks) > 1 else ""
        yield from (f"{before}{note}" for note in _of_texts(task))
        if setup.model.head(name).additive or not isinstance(sampler, LevelBuckets):
            continue
        if accumulation == 1 and (single := sampler.single_level()):
            yield (
                f"{before}{single} of {counted(len(sampler), 'batch', 'batches')} of an epoch have pairs of one class or grade "
                f"only, from which {task.section.head.name} learns nothing: raise training.batch_size, or add pairs of the "
                "others"
            )


def _of_texts(task: TaskSetup) -> Iterator[str]:
    counts = task.dataset.counts
    if counts.truncated:
        yield (
            f"{counts.truncated} of {counted(2 * counts.windows, 'text')} in train exceed encoder.max_length and lose their "
            "ends: raise encoder.max_length if the ends matter"
        )
