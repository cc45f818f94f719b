"""Prepare everything that the training loop needs: model, tokenizer, and each task's schema, codec and encoded windows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from ie_cli.codecs.base import Codec, build_codec
from ie_cli.data.document_shards import DocumentShards
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.reading import TaskData, read_task_data
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import TextTokenizer, character_table, recipe_tokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_vocabulary import word_tokenizer
from ie_cli.errors import DataError, RecipeError, did_you_mean
from ie_cli.formats.common.base import Tokens
from ie_cli.inference.model_directory import SeenTexts, TrainedTask
from ie_cli.modeling.compilation import compile_encoder
from ie_cli.modeling.cpu.training import prepare_for_training
from ie_cli.modeling.devices import choose_device, choose_precision
from ie_cli.modeling.encoder import hash_encoder, load_encoder, tiny_encoder
from ie_cli.modeling.gpu_attention import prepare_for_device
from ie_cli.modeling.heads.base import build_head
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.base import Precision
from ie_cli.recipe.heads import HeadSection
from ie_cli.recipe.schema import HASH_CNN, TINY, Recipe, TaskSection
from ie_cli.tasks import TASKS, Learning, Task, TrainingItems
from ie_cli.tasks.diagnosis import require_learnable
from ie_cli.tasks.whole_words import decide_whole_words
from ie_cli.training.encoded_dataset import EncodedDataset, encode_dataset
from ie_cli.training.initial_model import InitialModel, InitialWeights
from ie_cli.training.seen_texts import seen_texts, with_context
from ie_cli.training.text_joining import TextJoiner
from ie_cli.training.window_encoding import Encoding

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class TaskSetup:
    """One task of a run.

    Attributes:
        name: name of the task in the recipe.
        weights: loss weights of the labels by score matrix; None if all are 1.
        joiner: joins texts in training (`data.context`); None if all are separate.
        whole_words: whether the task finds only spans of whole words.
    """

    name: str
    task: Task
    section: TaskSection
    codec: Codec
    data: TaskData
    dataset: EncodedDataset
    weights: Weights | None
    joiner: TextJoiner | None = None
    whole_words: bool = False

    @property
    def schema(self) -> LabelSchema:
        """The labels that the task learns."""
        return self.codec.schema

    @cached_property
    def unannotated(self) -> tuple[str, ...]:
        """Those of ``dev`` and ``test`` that contain no items of the task, so that scores on them are meaningless."""
        parts = {"dev": self.data.dev_documents, "test": self.data.test_documents}
        return tuple(
            name
            for name, documents in parts.items()
            if documents is not None and not any(self.task.items(document) for document in documents)
        )


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """A model with new heads, and its training data.

    Attributes:
        initial: what the weights were taken from, if the run starts from a trained model.
        rate_factors: whether some weights of heads learn faster; not in runs that an older version began.
        language: the ISO 639 code of the texts, by which sentences are counted.
    """

    model: ExtractionModel
    tokenizer: Tokenizer
    text_tokenizer: TextTokenizer
    pad_id: int
    tasks: Mapping[str, TaskSetup]
    device: torch.device
    precision: Precision
    initial: InitialWeights | None = None
    rate_factors: bool = True
    language: str = "en"

    def weights_on(self, device: torch.device) -> dict[str, Weights] | None:
        """Return the loss weights by task and score matrix on a device, or None if all are 1."""
        found: dict[str, Weights] = {
            name: {matrix: part.to(device) for matrix, part in task.weights.items()}
            for name, task in self.tasks.items()
            if task.weights is not None
        }
        return found or None

    def trained_tasks(self) -> dict[str, TrainedTask]:
        """Return the tasks for the model directory."""
        return {
            name: TrainedTask(
                task.schema, tokens=task.data.train.tokens, seen=self._seen[name], whole_words=task.whole_words
            )
            for name, task in self.tasks.items()
        }

    @cached_property
    def _seen(self) -> dict[str, SeenTexts | None]:
        """The size of each task's training texts, as they are joined; None if they are pairs."""
        return {name: self._seen_by(task) for name, task in self.tasks.items()}

    def _seen_by(self, task: TaskSetup) -> SeenTexts | None:
        if task.codec.reads != "windows":
            return None
        documents = task.data.documents
        alone = seen_texts(documents, self.text_tokenizer, language=self.language)
        context = task.section.data.context
        return (
            alone if context is None or task.joiner is None else with_context(alone, task.dataset, context, task.joiner)
        )

    @property
    def has_dev(self) -> bool:
        """Whether any task has development data."""
        return any(task.data.dev is not None for task in self.tasks.values())

    @property
    def can_score(self) -> bool:
        """Whether the development data of any task contain items; otherwise scores cannot decide when to stop."""
        return any(task.data.dev is not None and "dev" not in task.unannotated for task in self.tasks.values())

    def encoder_facts(self) -> str:
        """Return the configuration and the tokenizer of the encoder as text, without their origin."""
        config = self.model.encoder.config.to_dict()  # type: ignore[operator,union-attr]
        fields = {
            name: value for name, value in config.items() if name not in ("_name_or_path", "transformers_version")
        }
        return json.dumps(fields, sort_keys=True, default=str) + self.tokenizer.to_str()


def prepare(
    recipe: Recipe,
    *,
    tokens: Mapping[str, Tokens | None] | None = None,
    earlier: Mapping[str, Any] | None = None,
    whole_words: Collection[str] | None = None,
    sample: int | None = None,
) -> TrainingSetup:
    """Read the data, build the model, encode the windows.

    Args:
        recipe: the recipe.
        tokens: what the tokens of each task's training data are, if it is known from an earlier run.
        earlier: the stored schemas of a run to resume, by task; an earlier version may have learned fewer things.
        whole_words: the tasks of a run to resume that find only spans of whole words; None for a new run.
        sample: encode only about this number of documents, in order to measure what a run costs.

    Raises:
        DataError, ModelError, RecipeError: the data or the encoder cannot be used, or do not fit the recipe.
    """
    sections = recipe.instances()
    start = InitialModel.of(recipe)
    tiny, tokens, earlier = recipe.encoder.name == TINY and start is None, tokens or {}, earlier or {}
    data = {name: _read(section, characters=tiny, tokens=tokens.get(name)) for name, section in sections.items()}
    codecs = {name: _codec(recipe, sections[name], data[name], earlier=earlier.get(name)) for name in sections}
    encoder, tokenizer = _encoder(recipe, data) if start is None else start.encoder(recipe.encoder)
    config: Any = encoder.config
    size = config.hidden_size
    heads = {name: build_head(part.head, hidden_size=size, codec=codecs[name]) for name, part in sections.items()}
    initial = None if start is None else start.initialise(heads, codecs, sections)
    pad_id = getattr(config, "pad_token_id", None) or 0
    text_tokenizer = recipe_tokenizer(tokenizer, recipe.encoder)
    plan = WindowPlan.of(recipe.encoder, special_tokens=text_tokenizer.special_tokens)
    validate_names(recipe, {name: codec.schema for name, codec in codecs.items()})
    weights = loss_weights(recipe, codecs)
    tasks = {}
    for name, section in sections.items():
        whole = decide_whole_words(section.head, data[name].statistics) if whole_words is None else name in whole_words
        encoding = Encoding(
            tokenizer=text_tokenizer,
            plan=plan,
            codec=codecs[name],
            pad_id=pad_id,
            mentions=section.data.mentions,
            texts=section.data.context is not None,
            whole_words=whole,
        )
        tasks[name] = _task_setup(name, section, data[name], encoding, weights=weights[name], sample=sample)
    device = _device_for(encoder, recipe)
    return TrainingSetup(
        model=ExtractionModel(encoder, heads),
        tokenizer=tokenizer,
        text_tokenizer=text_tokenizer,
        pad_id=pad_id,
        tasks=tasks,
        device=device,
        precision=choose_precision(recipe.training.precision, device),
        initial=initial,
        language=recipe.card.first_language,
    )


def _device_for(encoder: nn.Module, recipe: Recipe) -> torch.device:
    """Return the device of a run, and modify the encoder for it."""
    device = choose_device(recipe.training.device)
    if recipe.training.compile:
        compile_encoder(encoder)
    elif device.type == "cpu":  # what this replaces, a compiler fuses itself
        prepare_for_training(encoder)
    prepare_for_device(encoder, device)
    return device


def _task_setup(
    name: str, section: TaskSection, data: TaskData, encoding: Encoding, *, weights: Weights | None, sample: int | None
) -> TaskSetup:
    """Encode the data of a task."""
    task, encoding = TASKS[section.task], replace(encoding, head=section.head)
    return TaskSetup(
        name=name,
        task=task,
        section=section,
        codec=encoding.codec,
        data=data,
        joiner=TextJoiner.of(section.data.context, encoding, head=section.head.name),
        dataset=_encode(data, encoding, task, sample=sample),
        weights=weights,
        whole_words=encoding.whole_words,
    )


def _read(section: TaskSection, *, characters: bool, tokens: Tokens | None) -> TaskData:
    task = TASKS[section.task]
    return read_task_data(
        section.data,
        characters=characters,
        tokens=tokens,
        annotated=lambda document: bool(task.items(document)),
        purpose=section.task,
    )


def _encoder(recipe: Recipe, data: Mapping[str, TaskData]) -> tuple[nn.Module, Tokenizer]:
    """Load the encoder that the recipe names; `tiny` has the characters or words of the training data of all tasks."""
    if recipe.encoder.name == HASH_CNN:
        return hash_encoder(recipe.encoder)
    if recipe.encoder.name != TINY:
        return load_encoder(recipe.encoder)
    table = character_table(recipe.encoder.normalization)  # the vocabulary consists of what the tokenizer will see
    characters = Counter[str]()
    for part in data.values():
        for char, count in part.statistics.characters.items():
            characters[char.translate(table)] += count
    tokenizer = None
    if recipe.encoder.vocabulary == "words":
        tokenizer = word_tokenizer(
            text.translate(table) for part in data.values() for document in part.documents for text in _texts(document)
        )
    return tiny_encoder(recipe.encoder, characters, tokenizer=tokenizer)


def _codec(recipe: Recipe, section: TaskSection, data: TaskData, *, earlier: Mapping[str, Any] | None) -> Codec:
    """Build the codec of a task with the schema of its training data."""
    if not data.statistics.documents:
        raise DataError(
            f"{', '.join(data.train.sources)}: contains no examples", hint="check data.train and data.format."
        )
    task = TASKS[section.task]
    task.validate(recipe, section, data.statistics)
    schema = task.build_schema(section, data.statistics)
    return build_codec(section.head, schema if earlier is None else schema.as_learned(earlier))


def sample_documents(documents: DocumentShards, count: int) -> list[Document]:
    """Return about `count` documents at regular intervals and, as the last one, the longest; all if there are no more."""
    if len(documents) <= count:
        return list(documents)
    step, found, longest = -(-len(documents) // count), list[Document](), Document("")
    for number, document in enumerate(documents):
        if number % step == 0:
            found.append(document)
        longest = max(longest, document, key=lambda one: sum(map(len, _texts(one))))
    return [*found, longest]


def _texts(document: Document) -> tuple[str, ...]:
    return (document.text,) if document.text_pair is None else (document.text, document.text_pair)


def _encode(data: TaskData, encoding: Encoding, task: Task, *, sample: int | None) -> EncodedDataset:
    if sample is not None:
        return encode_dataset(sample_documents(data.documents, sample), encoding, key=None)
    dataset = encode_dataset(data.documents, encoding, key=data.train.fingerprint or data.documents.content_key)
    if not len(dataset):
        raise DataError(
            f"{', '.join(data.train.sources)}: all texts are empty", hint="check data.train and data.format."
        )
    require_learnable(task.words, training_items(task, dataset), data.train.sources)
    return dataset


def training_items(task: Task, dataset: EncodedDataset, learning: Learning | None = None) -> TrainingItems:
    """Return the gold items that a task learns, and those that it cannot learn."""
    items, counts = task.words.items, dataset.counts
    return TrainingItems(counts.items.get(items, 0), counts.unreachable.get(items, {}), learning)


def loss_weights(recipe: Recipe, codecs: Mapping[str, Codec]) -> dict[str, Weights | None]:
    """Return the loss weights of the labels by task and score matrix; None if all are 1."""
    weights = recipe.training.label_weights
    if not weights:
        return dict.fromkeys(codecs)
    return {
        task: {
            matrix: torch.tensor([weights.get(codec.schema.label_of(name), 1.0) for name in labels])
            for matrix, labels in codec.matrices.items()
        }
        for task, codec in codecs.items()
    }


def validate_names(recipe: Recipe, schemas: Mapping[str, LabelSchema]) -> None:
    """Check that thresholds and weights refer to labels or predicates of the data.

    Args:
        recipe: the recipe.
        schemas: schemas by task; weights are checked only if all tasks are given, because they may belong to any task.

    Raises:
        RecipeError: a name is unknown; the first one is reported.
    """
    sections = recipe.instances()
    named = [
        (
            f"tasks.{name}.head.thresholds" if recipe.tasks else "head.thresholds",
            sections[name].head.thresholds,
            schema.names,
        )
        for name, schema in schemas.items()
    ]
    if recipe.training.label_weights and schemas.keys() == sections.keys():
        known = tuple(name for task, schema in schemas.items() for name in _weighed(sections[task].head, schema))
        named.insert(0, ("training.label_weights", recipe.training.label_weights, known))
    predicates = any(section.head.has_predicates for section in sections.values())
    learned = {name for schema in schemas.values() for name in schema.names}
    for field, given, names in named:
        for name in given:
            if name not in names and name in learned:
                raise RecipeError(
                    f"{field}: '{name}' has no loss of its own with this head",
                    hint=f"use one of: {', '.join(names[:20])}",
                )
            if name not in names:
                raise _unknown(field, name, names, predicates=predicates)


def _weighed(head: HeadSection, schema: LabelSchema) -> list[str]:
    """Return the labels and predicates with a loss of their own: some heads have one label for several roles."""
    rows = {schema.label_of(name) for names in build_codec(head, schema).matrices.values() for name in names}
    return [name for name in schema.names if name in rows]


def _unknown(field: str, name: str, names: Sequence[str], *, predicates: bool) -> RecipeError:
    what = "label or predicate" if predicates else "label"
    return RecipeError(
        f"{field}: the data contain no {what} '{name}'{did_you_mean(name, names)}",
        hint=f"use one of: {', '.join(names[:20])}",
    )
