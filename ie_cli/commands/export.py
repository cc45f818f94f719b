"""`ie export`: export a trained model to run without torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ie_cli.commands.console import console, say
from ie_cli.commands.inputs import Input, ModelChoice, first_data, first_tokens
from ie_cli.document import Document
from ie_cli.errors import DataError, ModelError, counted
from ie_cli.inference.model_directory import choose_form, require_exportable_to
from ie_cli.inference.model_paths import existing_directory
from ie_cli.system.urls import is_url, require_allowed

if TYPE_CHECKING:
    from ie_cli.data.dataset import Split
    from ie_cli.inference.extractor import Extractor


def run_export(
    model: str,
    output: Path | None,
    data: Input | None,
    *,
    int8: bool,
    max_loss: float,
    force: bool,
    yes: bool,
    quiet: bool,
) -> None:
    """Export a model, compare it with the original, and report the loss in the primary score.

    Args:
        model: directory of the trained model.
        output: directory to write; beside the model if None.
        data: gold data for the comparison; the recipe's dev data if None.
        int8: quantize the encoder's matrices.
        max_loss: largest loss in the primary score that is accepted.
        force: write the model whatever the loss is.
        yes: read the data named in the model's recipe without asking.
        quiet: report nothing.
    """
    if data is not None:
        data.require_exists()
    found = existing_directory(model)
    directory = output or _beside(model, found, int8=int8)
    if found is not None:
        choose_form(found, "torch")
    require_exportable_to(directory)
    extractor = ModelChoice(model, precision="float32", device="cpu", quiet=quiet).load()
    from ie_cli.export.onnx import export_onnx
    from ie_cli.reports.model_card import model_card

    if extractor.card is None:
        tasks = extractor.tasks
        whole = [name for name, task in tasks.items() if task.whole_words]
        schemas = {name: task.schema for name, task in tasks.items()}
        extractor.card = model_card(extractor.recipe, schemas, {}, whole_words=whole)

    gold, source = _gold(extractor, data, yes=yes, quiet=quiet)
    parity = export_onnx(extractor, directory, gold, int8=int8, max_loss=max_loss, force=force)
    if not quiet:
        say(
            f"{parity.metric} {parity.f1_before:.4f} -> {parity.f1_after:.4f} on "
            f"{counted(sum(map(len, gold.values())), 'text')} of {source}, compared with the model in float32"
        )
        say(
            f"scores before the sigmoid differ by {parity.mean:.4f} on average and {parity.largest:.4f} at most in "
            f"{counted(parity.windows, 'window')}"
        )
        size = sum(file.stat().st_size for file in directory.iterdir()) / 1e6
        say(
            f"model: {directory} ({'int8' if int8 else 'float32'}, {size:.1f} MB)\nnext:  ie predict FILE --model {directory}"
        )


def _beside(model: str, found: Path | None, *, int8: bool) -> Path:
    """Return ``NAME-onnx`` or ``NAME-onnx-int8`` beside the directory NAME."""
    if found is None:
        raise ModelError(
            f"{model}: no such directory",
            hint="check the path; for a model from the hub, also name the DIRECTORY to write.",
        )
    path = found.resolve()
    return path.with_name(f"{path.name}-onnx{'-int8' if int8 else ''}")


def _gold(extractor: Extractor, data: Input | None, *, yes: bool, quiet: bool) -> tuple[dict[str, list[Document]], str]:
    """Return the gold data for the comparison by task and their name: `data`, or else the recipe's dev data."""
    recipe = extractor.recipe
    sections, tasks = recipe.instances(), extractor.tasks
    if data is not None:
        reading = data.reading(
            quiet=quiet,
            trained=first_data(recipe),
            tokens=first_tokens(extractor),
            predicates=[predicate for task in tasks.values() for predicate in task.schema.predicates],
        )
        given = list(data.documents(reading))
        return {name: given for name, section in sections.items() if _holds(given, section.task)} or {
            next(iter(sections)): given
        }, data.path
    from ie_cli.data.dataset import splits

    parts = {name: splits(section.data, tokens=tasks[name].tokens)[1] for name, section in sections.items()}
    dev = {name: part for name, part in parts.items() if part is not None}
    if not dev:
        raise DataError(
            "the export is compared with the model on gold data, but its recipe has no dev data",
            hint="name annotated data with --data FILE.",
        )
    sources = list(dict.fromkeys(source for part in dev.values() for source in part.sources))
    for source in sources:
        require_allowed(source)
    _ask([source for source in sources if _is_elsewhere(source)], yes=yes)
    try:
        return {name: _read(part, tasks[name].schema.predicates) for name, part in dev.items()}, ", ".join(sources)
    except DataError as error:
        raise DataError(
            f"the recipe's dev data, on which the export is compared with the model, cannot be read: {error.message}",
            hint="name annotated data with --data FILE, or run this command in the directory where the model was "
            "trained: the paths in the recipe are relative to it.",
        ) from error


def _read(dev: Split, predicates: Sequence[str]) -> list[Document]:
    """Read dev data as `ie eval` reads gold data for a model with these predicates."""
    reading = dev.reading
    names = reading.relabelling.keeping(predicates)
    return [document for _, document in dev.read(replace(reading, relabelling=names))]


def _ask(sources: Sequence[str], *, yes: bool) -> None:
    """Ask before reading data named in a model directory, which may come from an untrusted source.

    Raises:
        DataError: the user declines, or the command does not run on a terminal.
    """
    if not sources or yes:
        return
    if not _is_terminal():
        raise DataError(
            "the model's recipe names dev data outside the current directory, which are not read without confirmation: "
            f"{', '.join(sources)}",
            hint="confirm with --yes, or compare on your own data with --data FILE.",
        )
    shown = [source.replace("\n", "\\n") for source in sources]
    say("\n  ".join(["the model's recipe names dev data outside the current directory:", *shown]))
    try:
        answer = console.input("Read them? [y/N] ", markup=False)
    except EOFError:
        answer = ""
    if answer.strip().casefold() not in ("y", "yes"):
        raise DataError("the recipe's dev data were not read", hint="compare on your own data with --data FILE.")


def _is_terminal() -> bool:
    """Return whether the user can read a question and answer it."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _is_elsewhere(source: str) -> bool:
    """Return whether a source exists and is not a regular file below the current directory."""
    if source == "-" or source.startswith("hub:") or is_url(source):
        return True
    path = Path(source)
    below = path.is_file() and path.resolve().is_relative_to(Path.cwd().resolve())
    return os.path.exists(source) and not below


def _holds(documents: list[Document], task: str) -> bool:
    """Return whether any of the documents has annotations for a task."""
    from ie_cli.tasks import TASKS

    return any(TASKS[task].items(document) for document in documents)
