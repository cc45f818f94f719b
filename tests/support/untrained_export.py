"""A model directory as `ie export` writes it, without torch's exporter, for tests that start a process.

Importing torch takes a process longer than what most of these tests look at.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from support.untrained import LABELS, extractor

from ie_cli.inference.backends.onnx import INPUTS, OnnxBackend
from ie_cli.inference.model_directory import EXPORT, ONNX


def write_export(directory: Path, *, labels: tuple[str, ...] = LABELS) -> Path:
    """Write a model that looks up the scores of each character's tags in a table of random numbers."""
    model = extractor(head={"name": "softmax"}, labels=labels)
    [codec] = model.codecs().values()
    [(matrix, names)] = codec.matrices.items()
    random, axes = np.random.default_rng(0), ["batch", "length"]
    sizes = {"begin": [len(names)], "inside": [len(names)], "outside": []}
    tables = {
        name: random.normal(scale=5.0, size=[model.tokenizer.get_vocab_size(), *size]).astype(np.float32)
        for name, size in sizes.items()
    }
    given = [
        helper.make_tensor_value_info(name, kind, axes)
        for name, kind in zip(INPUTS, (TensorProto.INT64, TensorProto.BOOL), strict=True)
    ]
    graph = helper.make_graph(
        [helper.make_node("Gather", [name, INPUTS[0]], [f"{matrix}.{name}"]) for name in sizes],
        "untrained",
        given,
        [
            helper.make_tensor_value_info(f"{matrix}.{name}", TensorProto.FLOAT, [*axes, *size])
            for name, size in sizes.items()
        ],
        [numpy_helper.from_array(table, name) for name, table in tables.items()],
    )
    made = directory.with_name(f"{directory.name}-graph")
    made.mkdir()
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), made / ONNX)
    (made / EXPORT).write_text(json.dumps({"precision": "float32"}), encoding="utf-8")
    replace(model, backend=OnnxBackend(made / ONNX, model.codecs())).save_pretrained(directory)
    return directory
