"""`ie export`: a trained model for machines without torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ie_cli.commands.inputs import Input, ModelChoice
from ie_cli.console import say
from ie_cli.errors import DataError
from ie_cli.example import Example
from ie_cli.recipe import Recipe


def run_export(
    model: str, output: Path | None, data: Input | None, *, int8: bool, max_loss: float, force: bool, quiet: bool
) -> None:
    """Export, compare, and say what it costs."""
    if data is not None:
        data.must_exist()
    extractor = ModelChoice(model, precision="float32", device="cpu").load()
    from ie_cli.export import export_onnx

    gold = list(_gold(extractor.recipe, data, quiet=quiet))
    folder = output or Path(model).parent / ("onnx-int8" if int8 else "onnx")
    parity = export_onnx(extractor, folder, gold, int8=int8, max_loss=max_loss, force=force)
    if not quiet:
        say(
            f"F1 {parity.f1_before:.4f} -> {parity.f1_after:.4f} on {len(gold)} texts; scores differ by {parity.mean:.4f} "
            f"on average, {parity.largest:.4f} at most, in {parity.windows} windows"
        )
        say(f"model: {folder}\nnext:  ie predict FILE --model {folder}")


def _gold(recipe: Recipe, data: Input | None, *, quiet: bool) -> Iterable[Example]:
    """The data to compare on: those named, else what the model's recipe calls dev."""
    if data is not None:
        return data.examples(data.reading(quiet=quiet, recipe=recipe))
    from ie_cli.corpus import splits

    try:
        dev = splits(recipe.data)[1]
        if dev is not None:
            return list(dev)
    except DataError as error:
        raise DataError(
            f"the export is compared with the model on the recipe's dev data, but: {error.message}",
            hint="name annotated data with --data FILE.",
        ) from error
    raise DataError(
        "the export is compared with the model on real data, but its recipe has no dev data",
        hint="name annotated data with --data FILE.",
    )
