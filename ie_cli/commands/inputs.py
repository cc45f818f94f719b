"""What the commands share: their input data and their model."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from ie_cli.commands.console import busy, say, warn
from ie_cli.commands.input_options import Undecided, watching
from ie_cli.document import Document
from ie_cli.errors import DataError, ModelError, counted
from ie_cli.formats import Reading, is_container, read_documents
from ie_cli.system.standard_streams import standard_input_is_closed
from ie_cli.system.streams import open_input

if TYPE_CHECKING:
    from ie_cli.formats.common.base import Tokens
    from ie_cli.inference.extractor import Extractor
    from ie_cli.inference.pipeline import Counts, Engine
    from ie_cli.inference.splitting import Split
    from ie_cli.recipe.schema import DataSection, Recipe, TaskSection


@dataclass(frozen=True, slots=True)
class Input:
    """Input data of a command; options that are None are detected or taken from the model's recipe.

    `undecided` has the options that are checked when the format is detected.
    """

    path: str
    _: KW_ONLY
    format: str | None = None
    text_column: int | None = None
    label_columns: Sequence[int] | None = None
    joiner: str | None = None
    named_columns: Sequence[str] | None = None
    undecided: Undecided | None = field(default=None, compare=False)

    def given_options(self) -> list[str]:
        """Return the names in `Reading` of the options that are given."""
        given = {
            "text_column": self.text_column,
            "label_columns": self.label_columns,
            "joiner": self.joiner,
            "columns": self.named_columns,
        }
        return [name for name, value in given.items() if value is not None]

    def reading(
        self,
        *,
        quiet: bool = False,
        trained: DataSection | None = None,
        tokens: Tokens | None = None,
        predicates: Collection[str] = (),
    ) -> Reading:
        """Return how to read the data; columns and joiner default to those of the data that the model was trained on.

        Args:
            quiet: whether to omit the reports.
            trained: the data section of the model's recipe.
            tokens: what the tokens of the model's training data were.
            predicates: the predicates of the model.
        """
        from ie_cli.data.dataset import reading_of

        reading = reading_of(trained, predicates=predicates) if trained is not None else Reading()
        if self.text_column is not None:
            reading = replace(reading, text_column=self.text_column)
        if self.label_columns is not None:
            reading = replace(reading, label_columns=tuple(self.label_columns))
        reading = replace(reading, tokens=tokens) if self.joiner is None else replace(reading, joiner=self.joiner)
        if self.named_columns is not None:
            reading = replace(reading, columns=dict(one.split("=", 1) for one in self.named_columns))
        return reading if quiet else replace(reading, report=say)

    @property
    def columns(self) -> tuple[int, ...]:
        """The columns of the tags, if they are given."""
        return tuple(self.label_columns or ())

    def beside(self, path: str, *, text_column: int | None, label_columns: Sequence[int] | None) -> Input:
        """Return another file of the same texts, or this one, whose format is detected, with columns of its own."""
        column = self.text_column if text_column is None and path == self.path else text_column
        named = self.named_columns if path == self.path else None
        return replace(
            self,
            path=path,
            format=None,
            text_column=column,
            label_columns=label_columns,
            named_columns=named,
            undecided=None,
        )

    def require_exists(self) -> None:
        """Check that the file exists, before a model is loaded.

        Raises:
            DataError: it does not, or stdin is closed.
        """
        if self.path == "-" and standard_input_is_closed():
            raise DataError("stdin is closed", hint="name a file, or redirect one to stdin: `< FILE`.")
        if self.path != "-" and ":" not in self.path and not os.path.exists(self.path):
            with open_input(self.path):  # raises, with a suggestion
                pass

    def size(self) -> int | None:
        """Return the number of bytes of a local file that is not compressed, or None."""
        if self.path == "-" or self.path.endswith((".gz", ".zst")) or not os.path.isfile(self.path):
            return None
        if is_container(self.path, self.format):  # it is not read line by line
            return None
        return os.path.getsize(self.path) or None

    def options(self) -> dict[str, Any]:
        """Return the reading options as JSON values."""
        columns = None if self.label_columns is None else list(self.label_columns)
        options = {"from": self.format, "text-column": self.text_column, "label-column": columns}
        # Jobs of earlier versions, which had no such options, can still be resumed.
        options |= {} if self.joiner is None else {"joiner": self.joiner}
        return options if self.named_columns is None else options | {"column": list(self.named_columns)}

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Read the documents."""
        reading, detected = watching(self, reading, lambda name: None)
        return read_documents(self.path, format=self.format, reading=reading, detected=detected)


MODEL_VARIABLE = "IE_MODEL"


@dataclass(frozen=True)
class ModelChoice:
    """A model, and the options to run it with; the path may be that of a run, or None for the newest run."""

    path: str | None
    _: KW_ONLY
    threshold: float | None = None
    flat: bool | None = None
    split: Split = "auto"
    batch_size: int | None = None
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    backend: Literal["auto", "torch", "onnx"] = "auto"
    task: str | None = None
    quiet: bool = False

    @cached_property
    def directory(self) -> str:
        """The model directory or hub id, looked up once: while a command runs, a run may write a newer model."""
        from ie_cli.inference.model_paths import existing_directory, newest_model

        if self.path is None:
            return str(newest_model())
        with self._naming_variable():
            return str(existing_directory(self.path) or self.path)

    @property
    def _from_variable(self) -> bool:
        return self.path is not None and self.path == os.environ.get(MODEL_VARIABLE)

    @contextmanager
    def _naming_variable(self) -> Iterator[None]:
        """Name the variable in an error, if the model comes from it: the command line does not show it."""
        try:
            yield
        except ModelError as error:
            if not self._from_variable:
                raise
            raise ModelError(f"{MODEL_VARIABLE}: {error.message}", hint=error.hint) from error

    def options(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        fields = ("threshold", "flat", "batch_size", "precision", "device", "backend")
        options = {name.replace("_", "-"): getattr(self, name) for name in fields}
        # Jobs of earlier versions, which had no such options, can still be resumed: their models know no trained size.
        options |= {} if self.task is None else {"task": self.task}
        return options if self.split == "auto" else options | {"split": self.split}

    def announce(self) -> None:
        """Print the path of the model if the command line does not name it."""
        if (self.path is None or self._from_variable) and not self.quiet:
            say(f"model: {self.directory}{f' ({MODEL_VARIABLE})' if self._from_variable else ''}")

    def load(self) -> Extractor:
        """Load the model; print its path if the command line does not name it."""
        self.announce()
        path = self.directory
        with busy("starting", quiet=self.quiet):
            from ie_cli.inference.extractor import Extractor

        with self._naming_variable(), busy("loading the model", quiet=self.quiet):
            return Extractor.from_pretrained(path, device=self.device, precision=self.precision, backend=self.backend)

    @property
    def runs_on_torch(self) -> bool:
        """Whether torch runs the model, and is installed; an exported model never uses a GPU."""
        from ie_cli.inference.model_directory import choose_form
        from ie_cli.inference.model_paths import local_directory

        return choose_form(local_directory(self.directory), self.backend) == "torch" and find_spec("torch") is not None

    def for_process(self, process: int) -> ModelChoice:
        """Return the choice of one of several processes of a machine, which take its GPUs in turn."""
        if not self.runs_on_torch:
            return self
        from ie_cli.modeling.devices import device_of_process

        return replace(self, device=device_of_process(self.device, process))

    def report_idle_gpus(self) -> None:
        """Print a hint if this process, the only one, uses one of several GPUs that nobody has chosen; torch is imported."""
        if self.quiet or not self.runs_on_torch:
            return
        from ie_cli.modeling.devices import SHARED, gpu_count

        if self.device in SHARED and (gpus := gpu_count()) > 1:
            command = f"ie predict INPUTS -o DIRECTORY/ --workers {gpus}"
            say(f"hint: 1 of {gpus} GPUs is used; `{command}` uses all of them for several files")

    def engine(self) -> tuple[Engine, Extractor]:
        """Load the model, and return its engine, restricted to a task if one is named, and the model.

        Raises:
            DataError: an option for entities and relations is given, but the model only compares pairs of texts.
            ModelError: the model has no such task.
        """
        extractor = self.load()
        sections = extractor.recipe.instances().values() if self.task is None else [extractor.task(self.task)[1]]
        self.require_applicable(sections, "model" if self.task is None else f"task {self.task}")
        engine = extractor.engine(
            batch_size=self.batch_size, threshold=self.threshold, flat=self.flat, split=self.split
        )
        return engine if self.task is None else engine.only(self.task), extractor

    def require_applicable(self, sections: Iterable[TaskSection], what: str) -> None:
        """Check that options for entities and relations are given only if some of the tasks in use have these.

        Args:
            sections: the tasks in use.
            what: what they are, for the message.

        Raises:
            DataError: an option applies to none of them.
        """
        given = {"threshold": self.threshold is not None, "flat": self.flat is True, "nested": self.flat is False}
        given["split"] = self.split == "sentences"
        option = next((name for name, is_given in given.items() if is_given), None)
        if option is not None and all(section.head.reads != "windows" for section in sections):
            raise DataError(
                f"--{option} applies to entities and relations, but the {what} compares pairs of texts",
                hint=f"omit --{option}.",
            )


def first_data(recipe: Recipe) -> DataSection:
    """Return the data section of a model's first task, whose reading options are the defaults for other data."""
    return next(iter(recipe.instances().values())).data


def first_tokens(extractor: Extractor) -> Tokens | None:
    """Return what the tokens of the training data of a model's first task were."""
    return next(iter(extractor.tasks.values())).tokens


def warn_truncated(counts: Counts, pair_tasks: Sequence[str]) -> None:
    """Warn if windows exceeded the candidate limit, texts were truncated, pairs are missing, or have several scores."""
    if counts.shortened:
        warn(
            f"{counted(counts.shortened, 'text or pair', 'texts or pairs')} exceeded the model's encoder.max_length: "
            "what they were compared by is their beginning"
        )
    if counts.unpaired:
        warn(
            f"{counts.unpaired} of {counted(counts.texts, 'record')} without text_pair: the model only compares "
            "pairs of texts"
        )
    if counts.contested:
        warn(
            f"{counted(counts.contested, 'pair')} scored by the tasks {', '.join(pair_tasks)}, but a record has one score and "
            f"one label, which are those of {pair_tasks[-1]}: use `ie predict --task NAME` for another task"
        )
    if counts.truncated:
        warn(
            f"{counts.truncated} of {counted(counts.windows, 'window')} exceeded the candidate limit and kept "
            "only the best-scoring candidates: the model is untrained, or the threshold is far too low"
        )
