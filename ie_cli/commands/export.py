"""`ie export`: a trained model for machines without torch."""

from __future__ import annotations

import os
from pathlib import Path

from ie_cli.commands.console import say
from ie_cli.commands.inputs import Input, ModelChoice, first_data
from ie_cli.document import Document
from ie_cli.errors import DataError, ModelError
from ie_cli.inference.model_directory import choose_form, must_be_exportable_to
from ie_cli.recipe.schema import Recipe


def run_export(
    model: str, output: Path | None, data: Input | None, *, int8: bool, max_loss: float, force: bool, quiet: bool
) -> None:
    """Export, compare, and say what it costs."""
    if data is not None:
        data.must_exist()
    folder = output or _beside(model, int8=int8)
    if Path(model).is_dir():
        choose_form(Path(model), "torch")
    must_be_exportable_to(folder)
    extractor = ModelChoice(model, precision="float32", device="cpu").load()
    from ie_cli.export.onnx import export_onnx
    from ie_cli.reports.model_card import model_card

    if extractor.card is None:
        extractor.card = model_card(extractor.recipe, {name: task.schema for name, task in extractor.tasks.items()}, {})

    gold, source = _gold(extractor.recipe, data, quiet=quiet)
    parity = export_onnx(extractor, folder, gold, int8=int8, max_loss=max_loss, force=force)
    if not quiet:
        say(
            f"F1 {parity.f1_before:.4f} -> {parity.f1_after:.4f} on {sum(map(len, gold.values()))} texts of {source}, "
            "against the model in float32"
        )
        say(
            f"scores before the sigmoid differ by {parity.mean:.4f} on average, {parity.largest:.4f} at most, in "
            f"{parity.windows} windows"
        )
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        say(
            f"model: {folder} ({'int8' if int8 else 'float32'}, {size:.1f} MB)\nnext:  ie predict FILE --model {folder}"
        )


def _beside(model: str, *, int8: bool) -> Path:
    """``NAME-onnx`` or ``NAME-onnx-int8`` beside the folder NAME."""
    path = Path(os.path.expanduser(model))
    if not path.is_dir():
        raise ModelError(
            f"{model}: no such folder", hint="check the path; of a model of the hub name the FOLDER to write as well."
        )
    path = path.resolve()
    return path.with_name(f"{path.name}-onnx{'-int8' if int8 else ''}")


def _gold(recipe: Recipe, data: Input | None, *, quiet: bool) -> tuple[dict[str, list[Document]], str]:
    """The data to compare on by task, and their name: those given, else what the model's recipe calls dev."""
    sections = recipe.instances()
    if data is not None:
        given = list(data.documents(data.reading(quiet=quiet, trained=first_data(recipe))))
        return {name: given for name, section in sections.items() if _holds(given, section.task)} or {
            next(iter(sections)): given
        }, data.path
    from ie_cli.data.dataset import splits

    hint = (
        "name annotated data with --data FILE, or run this where the model was trained: its paths are seen from there."
    )
    gold: dict[str, list[Document]] = {}
    sources: list[str] = []
    try:
        for name, section in sections.items():
            if (dev := splits(section.data)[1]) is not None:
                gold[name] = list(dev)
                sources += dev.sources
    except DataError as error:
        raise DataError(
            f"the export is compared with the model on the recipe's dev data, but: {error.message}", hint=hint
        ) from error
    if gold:
        return gold, ", ".join(dict.fromkeys(sources))
    raise DataError(
        "the export is compared with the model on real data, but its recipe has no dev data",
        hint="name annotated data with --data FILE.",
    )


def _holds(documents: list[Document], task: str) -> bool:
    """Whether a task has anything in some documents."""
    from ie_cli.tasks import TASKS

    return any(TASKS[task].items(document) for document in documents)
