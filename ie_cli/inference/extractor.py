"""The Python API: a trained model with everything that prediction needs, loaded from and stored in a directory."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from tokenizers import Tokenizer

from ie_cli.codecs.base import Codec, Decoding, build_codec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import TextTokenizer, recipe_tokenizer
from ie_cli.encoding.tokenizer_loading import read_tokenizer, tokenizer_errors
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import ModelError, RecipeError
from ie_cli.inference.backend_loading import load_onnx_backend, load_torch_backend
from ie_cli.inference.integrity import (
    MIXED_FILES_HINT,
    fingerprints,
    replacing,
    require_consistent,
    verifying,
    write_facts,
)
from ie_cli.inference.model_directory import (
    CARD,
    FACTS,
    METRICS,
    RECIPE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    Form,
    ModelFacts,
    TrainedTask,
    choose_form,
    facts_fields,
    new_directory,
    read_card,
    read_facts,
    read_scores,
)
from ie_cli.inference.model_paths import local_directory
from ie_cli.inference.pipeline import Backend, Engine, Extraction, extract
from ie_cli.inference.publishing import model_files, publish
from ie_cli.inference.splitting import Split, Splitter
from ie_cli.recipe.base import Precision
from ie_cli.recipe.loader import dump_recipe, load_recipe
from ie_cli.recipe.schema import HASH_CNN, Recipe, TaskSection
from ie_cli.system.atomic import replace_text
from ie_cli.system.temporary import scratch
from ie_cli.system.text import write_text
from ie_cli.tasks import TASKS

if TYPE_CHECKING:
    from ie_cli.modeling.model import ExtractionModel


RECIPE_HEAD = "# The complete recipe of this model; paths are relative to the directory in which `ie train` was run.\n"


@dataclass
class Extractor:
    """A trained model with its tasks, its tokenizer and its recipe.

    Attributes:
        backend: runs the model with torch or ONNX Runtime.
        tasks: the tasks by their names in the recipe.
        scores: the scores measured at the end of training, by split.
        card: the model card, stored as README.md.
    """

    backend: Backend
    tasks: Mapping[str, TrainedTask]
    tokenizer: Tokenizer
    recipe: Recipe
    pad_id: int
    scores: dict[str, Any] = field(default_factory=dict)
    card: str | None = None

    def __repr__(self) -> str:
        """Return the names of the model and its tasks; the parts, such as the tokenizer, would fill pages."""
        return f"Extractor({self.recipe.name!r}, tasks={list(self.tasks)}, backend={type(self.backend).__name__})"

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        precision: Precision | Literal["auto"] = "auto",
        backend: Form | Literal["auto"] = "auto",
    ) -> Extractor:
        """Load a model from a directory or from the hub; a directory needs no network.

        Args:
            path: the model directory, or a hub id.
            device: device for torch; an exported model runs on the CPU.
            precision: precision for torch; an exported model runs in the precision it was exported in.
            backend: what runs the model; ``auto`` uses the form in the directory. ONNX Runtime needs neither torch nor
                transformers.

        Raises:
            ModelError: a file is missing or does not fit, or the directory was written by a newer version.
        """
        return _load(local_directory(path), device=device, precision=precision, backend=backend)

    @property
    def schema(self) -> LabelSchema:
        """The labels and predicates of a model with one task.

        Raises:
            ModelError: the model has several tasks.
        """
        if len(self.tasks) > 1:
            raise ModelError(f"the model has several tasks: {', '.join(self.tasks)}", hint="use .tasks[NAME].schema.")
        return next(iter(self.tasks.values())).schema

    def task(self, name: str | None = None) -> tuple[str, TaskSection]:
        """Return the name and section of a task, by its name in the recipe; the name may be omitted if there is only one.

        Raises:
            ModelError: there is no such task, or there are several and no name is given.
        """
        sections = self.recipe.instances()
        if name is None and len(sections) == 1:
            return next(iter(sections.items()))
        if name not in sections:
            got = "but none was named" if name is None else f"got {name}"
            raise ModelError(
                f"the model has the tasks {', '.join(sections)}; {got}",
                hint="name one of them with --task, in Python with `task`.",
            )
        return name, sections[name]

    @property
    def model(self) -> ExtractionModel:
        """The torch module.

        Raises:
            ModelError: the model is an exported model.
        """
        model = getattr(self.backend, "model", None)
        if model is None:
            raise ModelError("an exported model has no torch module", hint="load the original model directory.")
        return model  # type: ignore[no-any-return]

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Write the model directory; an existing one is replaced at the end, in one step.

        Raises:
            ModelError: `path` is neither a model directory nor empty.
        """
        with new_directory(Path(path)) as directory:
            self.write(directory)

    def write(self, directory: Path) -> None:
        """Write the files of the model into an empty directory."""
        self.backend.write(directory)
        self.tokenizer.save(str(directory / TOKENIZER))
        if self.recipe.encoder.name != HASH_CNN:  # whose ids `transformers` cannot make
            config = json.dumps(self._tokenizer_config(), ensure_ascii=False, indent=2)
            write_text(directory / TOKENIZER_CONFIG, f"{config}\n")
        write_text(directory / RECIPE, RECIPE_HEAD + dump_recipe(self.recipe))
        self.write_scores(directory, self.scores)
        write_facts(directory, facts_fields(self.tasks, self.pad_id, fingerprints(directory, self.recipe)))
        if self.card is not None:
            self.write_card(directory, self.card)

    def _tokenizer_config(self) -> dict[str, Any]:
        """Return a configuration with which `transformers.AutoTokenizer` reads `tokenizer.json`; `ie` does not need it."""
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": self.recipe.encoder.max_length,
            "clean_up_tokenization_spaces": False,
            **self.text_tokenizer().special_names(self.pad_id),
        }

    def write_scores(self, path: str | os.PathLike[str], scores: dict[str, Any]) -> None:
        """Store scores in a model directory: `metrics.json`."""
        self.scores = scores
        file = Path(path) / METRICS
        with replacing(file):
            replace_text(file, json.dumps(scores, ensure_ascii=False, indent=2) + "\n")

    def write_card(self, path: str | os.PathLike[str], card: str) -> None:
        """Store a model card in a model directory: `README.md`."""
        self.card = card
        replace_text(Path(path) / CARD, card)

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the model directory to the hub and return its address.

        Raises:
            HubError: the hub cannot be reached, or refuses; or `private` is asked for and the repository is a public one.
        """
        with scratch("push") as room:
            directory = room / "model"
            self.save_pretrained(directory)
            return publish(directory, repo_id, model_files(directory), private=private, token=token)

    def codecs(self) -> dict[str, Codec]:
        """Return the codec of each task."""
        return {
            name: build_codec(section.head, self.tasks[name].schema)
            for name, section in self.recipe.instances().items()
        }

    def text_tokenizer(self) -> TextTokenizer:
        """Return the tokenizer with the tokenization and normalization of the recipe."""
        with tokenizer_errors(TOKENIZER, "restore the directory from a backup, or train again."):
            return recipe_tokenizer(self.tokenizer, self.recipe.encoder)

    def engine(
        self,
        *,
        batch_size: int | None = None,
        threshold: float | None = None,
        flat: bool | None = None,
        split: Split = "auto",
    ) -> Engine:
        """Return the engine for `pipeline.extract`; options default to the recipe.

        Args:
            batch_size: windows per forward pass.
            threshold: minimum score of an item, for all labels.
            flat: remove overlapping entities.
            split: annotate each sentence separately; with ``auto``, cut only texts with more sentences than nearly all of the
                training texts, into groups of their usual size.

        Raises:
            ValueError: a threshold outside [0, 1], a batch size below 1, or another value of `split`.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be between 0 and 1, got {threshold}")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        tokenizer = self.text_tokenizer()
        plan = WindowPlan.of(self.recipe.encoder, special_tokens=tokenizer.special_tokens)
        codecs = self.codecs()
        tasks = tuple(
            Extraction.build(
                name,
                codecs[name],
                Decoding(
                    threshold=self.tasks[name].threshold_in_use(section.head) if threshold is None else threshold,
                    thresholds=section.head.thresholds if threshold is None else {},
                    temperature=self.tasks[name].temperature,
                    flat=section.head.flat if flat is None else flat,
                    decision=self.tasks[name].decision,
                ),
                whole_words=self.tasks[name].whole_words,
            )
            for name, section in self.recipe.instances().items()
        )
        return Engine(
            backend=self.backend,
            tokenizer=tokenizer,
            plan=plan,
            tasks=tasks,
            pad_id=self.pad_id,
            batch_size=batch_size or self.recipe.training.eval_batch_size,
            ahead=getattr(self.backend, "ahead", 0),
            splitter=Splitter.of(self.recipe, self.tasks, split),
        )

    @overload
    def predict(  # type: ignore[overload-overlap]  # a string is an iterable of strings, too
        self, texts: str | Document, *, threshold: float | None = None, flat: bool | None = None, split: Split = "auto"
    ) -> Document: ...

    @overload
    def predict(
        self,
        texts: Iterable[str | Document],
        *,
        threshold: float | None = None,
        flat: bool | None = None,
        split: Split = "auto",
    ) -> list[Document]: ...

    def predict(
        self,
        texts: str | Document | Iterable[str | Document],
        *,
        threshold: float | None = None,
        flat: bool | None = None,
        split: Split = "auto",
    ) -> Document | list[Document]:
        """Annotate one text, and return a document; or several texts, and return a list of documents.

        Args:
            texts: a string or a document, or several of them.
            threshold: minimum score of an item, for all labels.
            flat: remove overlapping entities.
            split: whether to annotate sentences separately; see `engine`.

        Raises:
            TypeError, ValueError: see `extract`.
        """
        if isinstance(texts, (str, Document)):
            return next(self.extract([texts], threshold=threshold, flat=flat, split=split))
        return list(self.extract(texts, threshold=threshold, flat=flat, split=split))

    def extract(
        self,
        texts: Iterable[str | Document],
        *,
        batch_size: int | None = None,
        threshold: float | None = None,
        flat: bool | None = None,
        split: Split = "auto",
    ) -> Iterator[Document]:
        """Annotate texts, or documents, whose id and meta are kept, as a stream in the given order.

        A separate thread prefetches `texts`.

        Args:
            texts: strings or documents.
            batch_size: windows per forward pass.
            threshold: minimum score of an item, for all labels.
            flat: remove overlapping entities.
            split: whether to annotate sentences separately; see `engine`.

        Raises:
            TypeError: `texts` is a single string, or contains something other than strings and documents.
            ValueError: see `engine`.
        """
        if isinstance(texts, (str, Mapping)) or not isinstance(texts, Iterable):  # a dict would give its keys
            raise TypeError(
                f"expected several strings or documents, got {texts!r:.60}: use predict(text) or extract([text])"
            )
        engine = self.engine(batch_size=batch_size, threshold=threshold, flat=flat, split=split)
        return extract(engine, map(_document, texts))


def _document(text: str | Document) -> Document:
    if isinstance(text, str):
        return Document(text)
    if isinstance(text, Document):
        return text
    raise TypeError(f"expected a string or a Document, got {text!r:.60}")


def _load(
    path: Path,
    *,
    device: str,
    precision: Precision | Literal["auto"],
    backend: Form | Literal["auto"],
) -> Extractor:
    form = choose_form(path, backend)
    facts = read_facts(path, form)
    try:
        recipe = load_recipe(path / RECIPE, stored=True)
    except RecipeError as error:
        raise ModelError(
            error.message, hint="restore this file from a backup: it is the recipe that the model was trained with."
        ) from error
    tasks = _tasks(path, recipe, facts)
    codecs = {name: build_codec(section.head, tasks[name].schema) for name, section in recipe.instances().items()}
    with verifying(path, form, facts):
        tokenizer = read_tokenizer(path / TOKENIZER, "restore the directory from a backup, or train again.")
        if form == "onnx":
            loaded = load_onnx_backend(path, codecs, precision)
        else:
            loaded = load_torch_backend(
                path, recipe, codecs, tokenizer=tokenizer, facts=facts, device=device, precision=precision
            )
        require_consistent(path, recipe, facts.fingerprints, facts.version)
        scores, card = read_scores(path / METRICS), read_card(path / CARD)
    return Extractor(loaded, tasks, tokenizer, recipe, facts.pad_id, scores, card)


def _tasks(path: Path, recipe: Recipe, facts: ModelFacts) -> dict[str, TrainedTask]:
    """Return the trained tasks of the recipe.

    Raises:
        ModelError: recipe and facts belong to different models.
    """
    sections = recipe.instances()
    known = {name or next(iter(sections)): task for name, task in facts.tasks.items()}
    if known.keys() != sections.keys():
        raise ModelError(
            f"{path}: {RECIPE} has the tasks {', '.join(sections)}, but {FACTS} has {', '.join(known)}",
            hint=MIXED_FILES_HINT,
        )
    for name, section in sections.items():
        if (misfit := TASKS[section.task].misfit(known[name].schema)) is not None:
            raise ModelError(
                f"{path}: {RECIPE} has task: {section.task}, but {FACTS} has {misfit}", hint=MIXED_FILES_HINT
            )
    return known
