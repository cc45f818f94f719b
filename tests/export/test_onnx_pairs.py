"""An exported model predicts as its origin does, with every head of the table in one graph."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pair_engines import BINARY, CLASSES, extractor_of

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.export.onnx import export_onnx
from ie_cli.inference.embedding import embed, embedding_engine
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.inference.pipeline import extract
from ie_cli.recipe.heads import HEADS
from ie_cli.triples import ROLES

PAIRS = [
    ("王伟在青川", "李娜在东湖"),
    ("李娜在东湖", "李娜在东湖"),
    ("", "在" * 100),
    ("王伟在青川" * 30, ""),
    ("第3年", "9"),
]
ENTITIES = TrainedTask(LabelSchema(("person", "place")))
TASKS = {
    "softmax": ({"name": "softmax"}, ENTITIES),
    "crf": ({"name": "crf"}, ENTITIES),
    "biaffine": ({"name": "biaffine", "head_size": 8}, ENTITIES),
    "pointer": ({"name": "global_pointer", "head_size": 8}, ENTITIES),
    "efficient": ({"name": "efficient_global_pointer", "head_size": 8}, ENTITIES),
    "linked": ({"name": "tplinker", "head_size": 8}, TrainedTask(LabelSchema(ROLES, ("knows",)))),
    "links": ({"name": "gplinker", "head_size": 8}, TrainedTask(LabelSchema(("person",), ("knows",)), threshold=0.3)),
    "triples": ({"name": "casrel"}, TrainedTask(LabelSchema(ROLES, ("knows",)))),
    "alike": ({"name": "cosent", "pooling": "first_last"}, TrainedTask(BINARY, decision=(0.5,))),
    "beside": ({"name": "sbert"}, TrainedTask(CLASSES, decision=(0.3, 0.6))),
    "classes": ({"name": "infersent"}, TrainedTask(CLASSES, decision=(0.2, 0.5))),
    "joined": ({"name": "cross_encoder"}, TrainedTask(CLASSES, decision=(0.3, 0.7))),
}


@pytest.mark.slow
def test_all_tasks_of_an_export_predict_as_the_model_does(tmp_path: Path) -> None:
    """Heads with a second pass over the hidden states and over vectors are in one graph.

    tests/test_every_head.py exports one head of each task, because the exporter takes about ten seconds for a graph.
    """
    assert {section["name"] for section, _ in TASKS.values()} == HEADS.keys()
    model = extractor_of(TASKS)
    given = [Document(text, id=n, text_pair=second) for n, (text, second) in enumerate(PAIRS)]
    annotated = {"alike": [Document(d.text, text_pair=d.text_pair, label=str(d.id % 2)) for d in given]}  # type: ignore[operator]
    parity = export_onnx(model, tmp_path / "onnx", annotated, force=True)
    assert parity.metric == "Spearman"
    assert parity.largest < 1e-4
    assert parity.windows > 2 * len(PAIRS), "windows, texts and pairs"
    exported = Extractor.from_pretrained(tmp_path / "onnx")
    assert exported.tasks["links"].threshold == model.tasks["links"].threshold == 0.3
    for name in TASKS:
        before, after = (list(extract(one.engine().only(name), given)) for one in (model, exported))
        assert [d.score for d in after] == pytest.approx([d.score for d in before], abs=1e-5)
        assert [(d.label, d.entities, d.relations) for d in after] == [
            (d.label, d.entities, d.relations) for d in before
        ]
    texts = [text for pair in PAIRS for text in pair]
    old, new = (list(embed(embedding_engine(one.engine(), "alike"), texts)) for one in (model, exported))
    assert all(abs(a - b).max() < 1e-5 for a, b in zip(old, new, strict=True))
