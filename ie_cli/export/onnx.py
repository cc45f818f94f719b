"""Export a trained model to ONNX, in float32 or int8, and compare it with the model on real data before it is written."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ie_cli.document import Document
from ie_cli.errors import DataError, ModelError
from ie_cli.evaluation.evaluate import score
from ie_cli.export.passes import FirstPass, SecondPass
from ie_cli.inference.backends.onnx import INPUTS, OnnxBackend
from ie_cli.inference.batches import padded
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import EXPORT, ONNX, QUERIES, new_directory, require_exportable_to
from ie_cli.inference.pairs import PairRows
from ie_cli.inference.pipeline import split_windows, tokenise
from ie_cli.modeling.encoder import max_tokens
from ie_cli.modeling.encoder_functions import exported_attention
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.heads import Reads
from ie_cli.system.distribution import install_hint
from ie_cli.system.temporary import scratch
from ie_cli.system.text import write_text
from ie_cli.tasks import TASKS, ScoringOptions

MAX_LOSS = 0.005
"""The maximum loss of F1, or of another primary score, in an export; absolute."""
COMPARED = 256
"""The number of windows whose scores are compared entry by entry."""
_BATCH_SIZE = 8
_OPSET = 20


Gold = Sequence[Document] | Mapping[str, Sequence[Document]]


@dataclass(frozen=True, slots=True)
class Parity:
    """The comparison of an export with its model: both are scored on the same data, and their outputs are compared.

    Attributes:
        f1_before: the primary score of the model in float32, e.g. F1.
        f1_after: that of the export.
        largest, mean: absolute differences of the scores s (before the sigmoid) of all entries on text tokens in the compared
            windows.
        windows: the number of compared windows; a text or a pair that is read as a whole counts as one.
        metric: the name of the primary score, and of its task if there are several.
    """

    f1_before: float
    f1_after: float
    largest: float
    mean: float
    windows: int
    metric: str = "F1"

    @property
    def loss(self) -> float:
        return self.f1_before - self.f1_after


def export_onnx(
    extractor: Extractor,
    output: Path,
    data: Gold,
    *,
    int8: bool = False,
    max_loss: float = MAX_LOSS,
    force: bool = False,
) -> Parity:
    """Write a model directory that ``ie predict`` runs with ONNX Runtime.

    Args:
        extractor: the model, loaded in float32 on the CPU.
        output: the directory to write.
        data: gold documents to compare on; for a model with several tasks, documents by task (a task without documents is not
            compared).
        int8: quantise the matrices of the encoder, with one scale per column; the head stays float32.
        max_loss: the maximum loss of F1, or of another primary score, absolute.
        force: write the export even if it loses more.

    Raises:
        ModelError: the export loses more than `max_loss`, or the model cannot be exported; nothing is written.
        DataError: `data` has no annotation to compare on, or the model predicts nothing correctly in it.
    """
    gold = data if isinstance(data, Mapping) else dict.fromkeys(extractor.tasks, data)
    _require_exportable(extractor, output, gold)
    with scratch("export") as directory:
        graph = directory / ONNX
        _write_graph(extractor.model, graph)
        if int8:
            _quantise(graph)
        for file in sorted(directory.glob("*.onnx")):
            _strip(file)
        exported = replace(extractor, backend=OnnxBackend(graph, extractor.codecs()))
        parity = _compare(extractor, exported, gold)
        if not force:
            _require_parity(parity, max_loss)
        facts = {"precision": "int8" if int8 else "float32", "opset": _OPSET, "parity": asdict(parity)}
        write_text(directory / EXPORT, json.dumps(facts, indent=2) + "\n")
        exported.card = (extractor.card or "") + _note(parity, facts["precision"])
        with new_directory(output) as target:
            exported.write(target)
    return parity


def _require_exportable(extractor: Extractor, output: Path, gold: Mapping[str, Sequence[Document]]) -> None:
    """Check all requirements of an export before the slow steps begin."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError(
            f"export requires the packages onnx and onnxscript: {error}", hint=install_hint("export")
        ) from error
    require_exportable_to(output)
    parameters = list(extractor.model.parameters())
    if any(p.dtype != torch.float32 or p.device.type != "cpu" for p in parameters):
        raise ModelError(
            "export requires the model in float32 on the CPU",
            hint='load it with Extractor.from_pretrained(PATH, device="cpu", precision="float32").',
        )
    tasks = extractor.recipe.instances()
    if not any(TASKS[tasks[name].task].items(document) for name, documents in gold.items() for document in documents):
        raise DataError("the data have no annotation to compare on", hint="provide annotated data with --data.")


def _require_parity(parity: Parity, max_loss: float) -> None:
    hint = "nothing was written: omit --int8, raise --max-loss, or write it anyway with --force."
    if not math.isfinite(parity.mean):
        raise ModelError("the scores of the export are not finite", hint=hint)
    if parity.f1_before <= 0:  # a rank correlation may be negative
        raise DataError(
            "the model predicts nothing correctly in the data, so the export cannot be compared with it",
            hint="provide data like its training data with --data, or write the export anyway with --force.",
        )
    if parity.loss > max_loss:
        raise ModelError(
            f"the export loses {parity.loss:.4f} of {parity.metric} ({parity.f1_before:.4f} -> {parity.f1_after:.4f}), more than "
            f"{max_loss:g}; largest difference of scores {parity.largest:.3f}",
            hint=hint,
        )


def _note(parity: Parity, precision: object) -> str:
    return (
        f"\n## Export\n\nThis directory contains an ONNX graph in {precision} instead of the weights; the scores above are those "
        f"of the original model. On the data used for comparison, the {parity.metric} of the model is "
        f"{parity.f1_before:.4f}, that of the export {parity.f1_after:.4f}. The export requires neither torch nor "
        "transformers: `ie predict FILE --model PATH`.\n"
    )


def _write_graph(model: ExtractionModel, file: Path) -> None:
    """Write the graph in float32, with dynamic batch size and length, and beside it a second one for queries of the heads."""
    first, second = FirstPass(model), SecondPass(model)
    config: Any = model.encoder.config
    attention, training = config._attn_implementation, model.training
    ids = torch.ones(2, 16, dtype=torch.int64)
    mask = torch.ones(2, 16, dtype=torch.bool)
    mask[1, 8:] = False
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=max_tokens(config))}
    try:
        first.eval()
        model.encoder.set_attn_implementation(exported_attention(config))  # type: ignore[operator]
        _export(first, (ids, mask), file, INPUTS, (axes, axes))
        if second.asked:
            with torch.inference_mode():
                found = model.read(tuple(second.read), ids, mask)
            read = {source: found[task].clone() for task, source in second.read.items()}
            given = [torch.arange(3) % 2 for _ in second.inputs]
            names = (*second.sources, *second.inputs)
            values = ([read[source] for source in second.sources], given)
            _export(second.eval(), values, file.with_name(QUERIES), names, second.axes(axes))
    except OSError:
        raise
    except Exception as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(
            f"the exporter of torch {torch.__version__} cannot export this {config.model_type} model: {first_line}",
            hint="update torch and onnxscript, or predict with torch.",
        ) from error
    finally:
        model.encoder.set_attn_implementation(attention)  # type: ignore[operator]
        model.train(training)


def _export(
    module: FirstPass | SecondPass, given: tuple[Any, ...], file: Path, inputs: Sequence[str], axes: tuple[Any, ...]
) -> None:
    """Write the graph of a module, with dynamic axes for its inputs."""
    with torch.inference_mode():
        module(*given)  # sets the names of the outputs
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")  # warnings inside the exporter
        torch.onnx.export(
            module,
            given,
            str(file),
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(inputs),
            output_names=module.names,
            dynamic_shapes=axes,
            external_data=False,
            verbose=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's log."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _quantise(file: Path) -> None:
    """Quantise the encoder's weight matrices to int8, in place; activations are scaled dynamically."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    head = [node.name for node in onnx.load(file).graph.node if not _of_encoder(node)]
    with _quiet():
        quantize_dynamic(
            file,
            file,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm"],
            nodes_to_exclude=head,
        )


def _strip(file: Path) -> None:
    """Remove the exporter's metadata of each node, which contain source locations with paths of this machine."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    for part in (model.graph, *model.functions):
        for node in part.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")
    onnx.save(model, file)


def _of_encoder(node: Any) -> bool:
    """Return whether a node belongs to the encoder, by the module names that the exporter records."""
    scopes = [entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
    return any("'model.encoder'" in scope for scope in scopes)


def _compare(before: Extractor, after: Extractor, gold: Mapping[str, Sequence[Document]]) -> Parity:
    """Compare both models on the same data; with several tasks, the score is that of the task that loses most."""
    found = {name: [_primary(model, name, gold[name]) for model in (before, after)] for name in gold if gold[name]}
    worst = max(found, key=lambda name: found[name][0] - found[name][1])
    metric = TASKS[before.recipe.instances()[worst].task].metric
    largest, total, count, windows = 0.0, 0.0, 0, 0
    codecs = {part.name: part.codec for part in before.engine().tasks}
    for reads, ids, mask, text in _batches(before, list(chain.from_iterable(gold.values()))):
        old, new = before.backend.run(ids, mask), after.backend.run(ids, mask)
        for task, codec in codecs.items():
            for sample in range(len(ids) if codec.reads == reads else 0):
                tokens = text[sample].nonzero()[0]
                for one, other in zip(
                    codec.scores(old[task], sample, tokens), codec.scores(new[task], sample, tokens), strict=True
                ):
                    gap = np.abs(one - other)
                    largest = float(np.fmax(largest, gap.max(initial=0.0)))
                    total += float(gap.sum())
                    count += gap.size
        windows += len(ids)
    metric = "F1" if metric == "f1" else metric.capitalize()
    if len(found) > 1:
        metric = f"{metric} of {worst}"
    first, second = found[worst]
    return Parity(first, second, largest, total / max(1, count), windows, metric)


def _primary(model: Extractor, name: str, gold: Sequence[Document]) -> float:
    """Return the primary score of a task."""
    match = model.recipe.training.match
    task = TASKS[model.recipe.instances()[name].task]
    options = ScoringOptions(match=None if match == "auto" else match)
    return score(model.engine().only(name), gold, task=task, schema=model.tasks[name].schema, options=options).primary


def _batches(extractor: Extractor, data: Sequence[Document]) -> Iterator[tuple[Reads, Any, Any, Any]]:
    """Yield what the sequences of a batch hold, ids, mask and text mask: first windows of the data, and sequences of pairs."""
    engine = extractor.engine()
    documents = tokenise(engine, data[:COMPARED], PairRows())
    windows = [window for window in split_windows(engine, documents) if window.number == 0]
    for reads, group in groupby(windows, key=lambda window: window.reads):
        alike = list(group)
        for at in range(0, len(alike), _BATCH_SIZE):
            yield (reads, *padded(engine, alike[at : at + _BATCH_SIZE]))
