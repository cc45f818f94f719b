"""What the commands share: the data they read, and the model they run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ie_cli.commands.console import say, warn
from ie_cli.document import Document
from ie_cli.errors import DataError, ModelError
from ie_cli.formats import Reading, read_documents
from ie_cli.system.standard_streams import standard_input_is_closed
from ie_cli.system.streams import open_input

if TYPE_CHECKING:
    from ie_cli.inference.extractor import Extractor
    from ie_cli.inference.pipeline import Engine
    from ie_cli.recipe.schema import DataSection, Recipe


@dataclass(frozen=True, slots=True)
class Input:
    """Data that a command reads; what is not given is detected, or taken from the model's recipe."""

    path: str
    _: KW_ONLY
    format: str | None = None
    text_column: int | None = None
    label_columns: Sequence[int] | None = None

    def reading(self, *, quiet: bool = False, trained: DataSection | None = None) -> Reading:
        """How to read it; columns as in the data that the model was trained on, where nothing else is said."""
        from ie_cli.data.dataset import reading_of

        reading = reading_of(trained) if trained is not None else Reading()
        if self.text_column is not None:
            reading = replace(reading, text_column=self.text_column)
        if self.label_columns is not None:
            reading = replace(reading, label_columns=tuple(self.label_columns))
        return reading if quiet else replace(reading, report=say)

    def require_exists(self) -> None:
        """Tell a wrong file name before seconds are spent on loading a model."""
        if self.path == "-" and standard_input_is_closed():
            raise DataError("stdin: it is closed", hint="name a file, or open it, e.g. `< FILE`.")
        if self.path != "-" and ":" not in self.path and not os.path.exists(self.path):
            with open_input(self.path):  # raises, with a suggestion
                pass

    def options(self) -> dict[str, Any]:
        """How it is read, in what JSON can hold."""
        columns = None if self.label_columns is None else list(self.label_columns)
        return {"input-format": self.format, "text-column": self.text_column, "label-column": columns}

    def documents(self, reading: Reading) -> Iterator[Document]:
        """Its examples."""
        return read_documents(self.path, format=self.format, reading=reading)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model, and how it is run."""

    path: str | None
    _: KW_ONLY
    threshold: float | None = None
    flat: bool | None = None
    batch_size: int | None = None
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu"] = "auto"
    backend: Literal["auto", "torch", "onnx"] = "auto"
    quiet: bool = False

    def directory(self) -> str:
        """The directory, or the id on the hub."""
        return self.path if self.path is not None else str(newest_model(Path("runs")))

    def options(self) -> dict[str, Any]:
        """How it is run."""
        fields = ("threshold", "flat", "batch_size", "precision", "device", "backend")
        return {name.replace("_", "-"): getattr(self, name) for name in fields}

    def load(self) -> Extractor:
        """Load it; without a path the newest under runs/, saying which."""
        path = self.directory()
        if self.path is None and not self.quiet:
            say(f"model: {path}")
        from ie_cli.inference.extractor import Extractor

        return Extractor.from_pretrained(path, device=self.device, precision=self.precision, backend=self.backend)

    def engine(self) -> tuple[Engine, Extractor]:
        """What predicts, and the model that it was made of."""
        extractor = self.load()
        return extractor.engine(batch_size=self.batch_size, threshold=self.threshold, flat=self.flat), extractor


def first_data(recipe: Recipe) -> DataSection:
    """The data of a model's first task: where nothing else is said, other data are read as they were."""
    return next(iter(recipe.instances().values())).data


def newest_model(runs: Path) -> Path:
    """The model directory under runs/ that was written last.

    Raises:
        ModelError: there is none.
    """
    found = sorted(runs.glob("*/model/ie.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ModelError(
            f"no model under {runs.absolute()}",
            hint="train one (`ie train quickstart`), or name its directory, here or in the variable IE_MODEL.",
        )
    return found[-1].parent


def warn_capped(engine: Engine) -> None:
    """Say in how many windows the best were chosen of more than is kept."""
    if engine.counts.capped:
        warn(
            f"in {engine.counts.capped} of {engine.counts.windows} windows more was found than is kept; the best are: "
            "the model is untrained, or the threshold far too low"
        )
