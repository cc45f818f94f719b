"""Check a recipe and its data for problems before training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ie_cli.data.dataset import Split, splits, unused_option_of
from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.names import unknown_name
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.doctor.label_findings import label_findings
from ie_cli.doctor.near_findings import near_findings
from ie_cli.doctor.pairs import pairs_to_learn
from ie_cli.doctor.reach import Reach
from ie_cli.doctor.split_findings import about, between
from ie_cli.doctor.survey import Survey
from ie_cli.doctor.unknown_characters import UnknownCharacters
from ie_cli.encoding.pairs import PairSequences
from ie_cli.encoding.tokenizer import TextTokenizer, recipe_tokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_features import hash_tokenizer
from ie_cli.encoding.word_vocabulary import word_tokenizer
from ie_cli.errors import DataError, IEError
from ie_cli.recipe.encoder_functions import changes_of_pretrained
from ie_cli.recipe.schema import HASH_CNN, TINY, Recipe, TaskSection
from ie_cli.tasks import TASKS
from ie_cli.tasks.diagnosis import require_learnable

if TYPE_CHECKING:
    from ie_cli.training.initial_model import InitialModel


def check(recipe: Recipe) -> Iterator[Finding]:
    """Read each split once, and yield the findings by task and split.

    If the encoder cannot be loaded, the data are checked nevertheless, but for what depends on its tokens.
    """
    from ie_cli.training.initial_model import InitialModel, describe_new_head

    tokenizer: TextTokenizer | None = None
    tasks, reasons = recipe.instances(), dict[str, str]()
    try:
        start = InitialModel.of(recipe)
        tokenizer = _tokenizer(recipe, start)
        reasons = {} if start is None else start.reasons_for_new_heads(tasks)
    except IEError as error:
        yield from _errors(error)
    if tokenizer is not None:  # an encoder that does not support an option is an error, not a warning
        yield from (Finding("warning", text) for text in changes_of_pretrained(recipe))
    for name, reason in reasons.items():
        yield Finding("warning", ("" if len(tasks) == 1 else f"{name}: ") + describe_new_head(reason))
    schemas: dict[str, LabelSchema] = {}
    for name in tasks:
        for finding in _check_task(recipe, name, tokenizer, schemas):
            yield finding if len(tasks) == 1 else replace(finding, text=f"{name}: {finding.text}")
    if len(tasks) > 1 and schemas.keys() == tasks.keys():  # weights may belong to any task
        try:
            _validate_names(recipe, schemas)
        except IEError as error:
            yield from _errors(error)


def check_data(recipe: Recipe) -> Iterator[Finding]:
    """Read each split of data without a recipe once, and yield the findings that depend neither on an encoder nor on a head.

    Args:
        recipe: the task of the data and their files.
    """
    yield from _check_task(recipe, next(iter(recipe.instances())), None, {}, alone=True)


def _errors(error: IEError) -> Iterator[Finding]:
    yield Finding("error", error.message)
    yield from (Finding("note", f"hint: {hint}") for hint in filter(None, [error.hint]))


def _check_task(
    recipe: Recipe, name: str, tokenizer: TextTokenizer | None, schemas: dict[str, LabelSchema], *, alone: bool = False
) -> Iterator[Finding]:
    """Check a task, and add its schema to `schemas` if a model would have one.

    Args:
        recipe: the recipe.
        name: the name of the task.
        tokenizer: the tokenizer of the encoder; None if there is none.
        schemas: the schemas of the tasks before it.
        alone: whether the data are checked without a recipe of the user.
    """
    section = recipe.instances()[name]
    task = TASKS[section.task]
    train, dev, test = splits(section.data)
    if (unused := unused_option_of(section.data)) is not None:
        yield from _errors(unused)
    schema, problem = _schema_of(recipe, name, train) if task.schema_first and not alone else (None, None)
    surveys: dict[str, Survey] = {}
    for part, split in (("train", train), ("dev", dev), ("test", test)):
        if split is None or (split.keep is not None and part == "dev" and "train" not in surveys):
            continue  # a share of data that cannot be read
        try:
            surveys[part] = _survey(split, recipe, section, surveys.get("train"), tokenizer=tokenizer, schema=schema)
        except DataError as error:
            yield from _errors(error)
            continue
        bad = surveys["train"].bad.count > 0 if split.keep is not None else False
        encoder = recipe.encoder if tokenizer is not None else None
        empty = part != "train" and "train" in surveys and surveys["train"].is_empty
        yield from about(part, surveys[part], section, encoder, rest_is_bad=bad, train_is_empty=empty, alone=alone)
    if "train" not in surveys:
        return
    yield from between(surveys, section, alone=alone)
    yield from near_findings({part: survey.distinct for part, survey in surveys.items()})
    yield from label_findings(surveys, section)
    if not alone:
        yield from pairs_to_learn(surveys["train"].statistics, section, recipe.training)
    known = surveys["train"].statistics.known_names()
    if unknown := unknown_name(section.data, set().union(*(survey.renamed for survey in surveys.values())), known):
        yield from _errors(unknown)
    if not (task.schema_first and surveys["train"].bad.count):  # its schema would be that of a part of the data
        preview, failure = _preview(recipe, name, surveys["train"].statistics, alone=alone)
        problem = problem or failure
        if preview is not None:
            schemas[name] = preview
    if problem is not None:
        yield from _errors(problem)
    else:
        for part, found in surveys.items():
            yield from _annotation(part, found, train.sources)
    if dev is None and not alone:
        yield Finding(
            "warning",
            "no dev data: nothing is evaluated, and the last weights are kept; with 50 examples or more, data.dev: 0.1 splits "
            "some off the training data",
        )


def _survey(
    split: Split,
    recipe: Recipe,
    section: TaskSection,
    train: Survey | None,
    *,
    tokenizer: TextTokenizer | None,
    schema: LabelSchema | None,
) -> Survey:
    """Survey a split; what `head.whole_words: auto` excludes is known when train has been read.

    Args:
        split: the split.
        recipe: the recipe.
        section: the section of the task.
        train: the survey of train; None if it is this split, or cannot be read.
        tokenizer: the tokenizer of the encoder.
        schema: the schema that may exclude gold items.
    """
    task, wanted = TASKS[section.task], section.head.whole_words
    whole = wanted is True or (wanted == "auto" and train is not None and train.statistics.has_whole_words)
    found = Survey.of(split, task, _reach(recipe, section, tokenizer, schema, whole_words=whole))
    if train is None and wanted == "auto" and found.statistics.split_words and found.statistics.has_whole_words:
        return Survey.of(split, task, _reach(recipe, section, tokenizer, schema, whole_words=True))
    return found


def _reach(
    recipe: Recipe,
    section: TaskSection,
    tokenizer: TextTokenizer | None,
    schema: LabelSchema | None,
    *,
    whole_words: bool,
) -> Reach:
    """Return a new count of reachable items; without a tokenizer, each character is a token."""
    made = recipe.encoder.from_scratch and recipe.training.init_from is None  # no character is unknown
    built = made or tokenizer is None
    tokens = tokenizer or TextTokenizer(word_tokenizer(()), mode="char")
    plan = WindowPlan.of(recipe.encoder, special_tokens=tokens.special_tokens)
    unknown = None if built else UnknownCharacters(tokens)
    reads = section.head.reads
    sequences = None if reads == "windows" else PairSequences.build(reads, tokens, recipe.encoder.max_length)
    return Reach(TASKS[section.task], section.head, tokens, plan, schema, unknown, sequences, whole_words=whole_words)


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


def _schema_of(recipe: Recipe, name: str, train: Split) -> tuple[LabelSchema | None, IEError | None]:
    """Return the schema that may exclude gold items, or the error that training would raise; neither if data are unreadable."""
    try:
        statistics = DatasetStatistics.of(train)
    except DataError:  # the pass over the data lists every problem
        return None, None
    schema, problem = _preview(recipe, name, statistics)
    # A schema without constraints excludes nothing here: labels that are missing from train are reported separately.
    return (schema if schema is not None and schema.constrained else None), problem


def _preview(
    recipe: Recipe, name: str, statistics: DatasetStatistics, *, alone: bool = False
) -> tuple[LabelSchema | None, IEError | None]:
    """Return the schema that a model would have, or None if the data contain nothing to learn, or the error of training.

    The names that a recipe mentions are compared with those of the data, unless the data are checked alone.
    """
    section = recipe.instances()[name]
    try:
        schema = TASKS[section.task].preview_schema(recipe, section, statistics)
        if schema is not None and not alone:
            _validate_names(recipe, {name: schema})
    except IEError as error:
        return None, error
    return schema, None


def _validate_names(recipe: Recipe, schemas: Mapping[str, LabelSchema]) -> None:
    from ie_cli.training.setup import validate_names

    validate_names(recipe, schemas)


def _tokenizer(recipe: Recipe, start: InitialModel | None) -> TextTokenizer:
    """Return the encoder's tokenizer; that of `tiny` needs no vocabulary here, as each character or word is a token anyway."""
    if start is None and recipe.encoder.name == HASH_CNN:
        return recipe_tokenizer(hash_tokenizer(), recipe.encoder)
    from ie_cli.modeling.encoder import load_tokenizer_alone, tiny_tokenizer

    if start is not None:
        return recipe_tokenizer(start.encoder(recipe.encoder)[1], recipe.encoder)
    if recipe.encoder.name == TINY:
        words = recipe.encoder.vocabulary == "words"
        return recipe_tokenizer(word_tokenizer(()) if words else tiny_tokenizer(Counter()), recipe.encoder)
    return recipe_tokenizer(load_tokenizer_alone(recipe.encoder), recipe.encoder)
