"""Check a recipe and its data for problems before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ie_cli.data.dataset import Split, splits
from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.doctor.reach import Reach
from ie_cli.doctor.split_findings import about, between
from ie_cli.doctor.survey import Survey
from ie_cli.encoding.tokenizer import TextTokenizer, recipe_tokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_vocabulary import word_tokenizer
from ie_cli.errors import DataError, IEError
from ie_cli.recipe.schema import Recipe, TaskSection
from ie_cli.tasks import TASKS
from ie_cli.tasks.diagnosis import require_learnable


def check(recipe: Recipe) -> Iterator[Finding]:
    """Read each split once, and yield the findings by task and split."""
    tokenizer = _tokenizer(recipe)
    tasks = recipe.instances()
    for name, section in tasks.items():
        for finding in _check_task(recipe, section, tokenizer):
            yield finding if len(tasks) == 1 else replace(finding, text=f"{name}: {finding.text}")


def _check_task(recipe: Recipe, section: TaskSection, tokenizer: TextTokenizer) -> Iterator[Finding]:
    task = TASKS[section.task]
    train, dev, test = splits(section.data)
    schema, problem = _schema_of(recipe, section, train) if task.schema_first else (None, None)
    plan = WindowPlan.build(
        max_length=recipe.encoder.max_length,
        stride=recipe.encoder.stride,
        special_tokens=tokenizer.special_tokens,
    )
    surveys: dict[str, Survey] = {}
    for name, split in (("train", train), ("dev", dev), ("test", test)):
        if split is not None:
            surveys[name] = Survey.of(split, task, Reach(task, section.head, tokenizer, plan, schema))
            yield from about(name, surveys[name], section, recipe.encoder)
    yield from between(surveys, section)
    if not task.schema_first:
        _, problem = _preview(recipe, section, surveys["train"].statistics)
    if problem is not None:
        yield Finding("error", problem.message)
        yield from (Finding("note", f"hint: {hint}") for hint in filter(None, [problem.hint]))
    else:
        for name, found in surveys.items():
            yield from _annotation(name, found, train.sources)
    if dev is None:
        yield Finding(
            "warning",
            "no dev data: nothing is evaluated, and the last weights are kept; data.dev: 0.1 splits some off the training "
            "data",
        )


def _annotation(split: str, found: Survey, sources: Sequence[str]) -> Iterator[Finding]:
    """Yield what the task finds in the annotation of a split, and an error if train contains nothing that can be learned."""
    task, items = found.task, found.reach.items()
    findings = list(task.findings(split, statistics=found.statistics, names=found.names, items=items))
    yield from findings
    if split == "train" and not any(finding.kind == "error" for finding in findings):
        try:
            require_learnable(task.words, items, sources)
        except DataError as error:
            yield Finding("error", error.message)


def _schema_of(recipe: Recipe, section: TaskSection, train: Split) -> tuple[LabelSchema | None, IEError | None]:
    """Return the schema that may exclude gold items, or the error that training would raise; neither if data are unreadable."""
    try:
        statistics = DatasetStatistics.of(train)
    except DataError:  # the pass over the data lists every problem
        return None, None
    schema, problem = _preview(recipe, section, statistics)
    # A schema without constraints excludes nothing here: labels that are missing from train are reported separately.
    return (schema if schema is not None and schema.constrained else None), problem


def _preview(
    recipe: Recipe, section: TaskSection, statistics: DatasetStatistics
) -> tuple[LabelSchema | None, IEError | None]:
    """Return the schema that a model would have, or None if the data contain nothing to learn, or the error of training."""
    from ie_cli.training.setup import validate_names

    try:
        schema = TASKS[section.task].preview_schema(recipe, section, statistics)
        if schema is not None:
            names = [name for name, part in recipe.instances().items() if part == section]
            validate_names(recipe, dict.fromkeys(names, schema))
    except IEError as error:
        return None, error
    return schema, None


def _tokenizer(recipe: Recipe) -> TextTokenizer:
    """Return the encoder's tokenizer; that of `tiny` needs no vocabulary here, as each character or word is a token anyway."""
    from ie_cli.modeling.encoder import (
        apply_options,
        encoder_config,
        load_tokenizer,
        quiet_transformers,
        tiny_tokenizer,
    )

    if recipe.encoder.name == "tiny":
        words = recipe.encoder.vocabulary == "words"
        return recipe_tokenizer(word_tokenizer(()) if words else tiny_tokenizer(Counter()), recipe.encoder)
    quiet_transformers()
    apply_options(encoder_config(recipe.encoder.name), recipe.encoder)
    return recipe_tokenizer(load_tokenizer(recipe.encoder.name), recipe.encoder)
