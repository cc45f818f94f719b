"""Prediction on a GPU: what a CPU finds, whatever is launched ahead of decoding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.gpu import GPU
from support.heads import PAIR_HEADS, WINDOW_HEADS, schema_of_head
from support.pair_engines import TEXT, extractor_of

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.inference.pipeline import extract
from ie_cli.recipe.heads import HEADS

SURE = 1e-3
"""Items whose score is this close to the threshold may be found on one device only."""
THRESHOLD = 0.3


def texts(count: int, longest: int, *, pairs: bool) -> list[Document]:
    """Texts of all lengths, each with a second one if `pairs`."""
    random = np.random.default_rng(0)

    def text() -> str:
        return "".join(random.choice(list(TEXT), int(random.integers(0, longest))))

    return [Document(text(), text_pair=text() if pairs else None, id=number) for number in range(count)]


def model(head: str, directory: Path) -> Path:
    """Store a model with random weights."""
    schema = schema_of_head(head)
    if HEADS[head].tasks == ("ner",):
        schema = LabelSchema(schema.labels)
    extractor = extractor_of({"first": ({"name": head}, TrainedTask(schema))}, max_length=48)
    extractor.save_pretrained(directory)
    return directory


def items(found: list[Document]) -> list[dict[Any, float]]:
    """The items of each document with their scores."""
    made = []
    for document in found:
        of_one: dict[Any, float] = {(e.start, e.end, e.label): e.score or 0.0 for e in document.entities}
        for relation in document.relations:
            ends = (relation.subject.start, relation.subject.end, relation.object.start, relation.object.end)
            of_one[relation.predicate, *ends] = relation.score or 0.0
        if document.label is not None or document.score is not None:
            of_one["pair"] = document.score or 0.0
        made.append(of_one)
    return made


@pytest.mark.parametrize("head", [*WINDOW_HEADS, *PAIR_HEADS])
def test_a_gpu_finds_what_a_cpu_finds(head: str, tmp_path: Path) -> None:
    path = model(head, tmp_path / "model")
    given = texts(120, 60, pairs=head in PAIR_HEADS)
    found, expected = (
        items(
            list(
                extract(
                    Extractor.from_pretrained(path, device=device, precision="float32").engine(
                        batch_size=8, threshold=THRESHOLD, split="never"
                    ),
                    given,
                )
            )
        )
        for device in (GPU, "cpu")
    )
    assert sum(map(len, expected)) > 20
    for one, other in zip(found, expected, strict=True):
        for key in one.keys() | other.keys():
            scores = [side[key] for side in (one, other) if key in side]
            if len(scores) == 2:
                assert scores[0] == pytest.approx(scores[1], abs=SURE)
            else:
                assert scores[0] == pytest.approx(THRESHOLD, abs=SURE), (key, scores)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("head", [*WINDOW_HEADS, *PAIR_HEADS])
def test_what_is_launched_ahead_changes_nothing(head: str, precision: Any, tmp_path: Path) -> None:
    """Outputs of a batch are copied while the next batch is computed: none may be read before it is there."""
    extractor = Extractor.from_pretrained(model(head, tmp_path / "model"), device=GPU, precision=precision)
    given = texts(400, 47, pairs=head in PAIR_HEADS)
    engine = extractor.engine(batch_size=16, threshold=THRESHOLD, split="never")
    assert engine.ahead == 1
    plain = items(list(extract(replace(engine, ahead=0), given)))
    assert any(plain)
    for ahead in (1, 4):
        assert items(list(extract(replace(engine, ahead=ahead), given))) == plain


def test_a_large_encoder_is_not_overtaken(tmp_path: Path) -> None:
    """While the device computes for milliseconds, the host already asks for the scores."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    extractor = extractor_of(
        {"first": ({"name": "efficient_global_pointer"}, TrainedTask(schema_of_head("efficient_global_pointer")))},
        max_length=48,
    )
    hidden = extractor.backend.model.encoder.config.hidden_size
    sizes = {"hidden_size": hidden, "num_hidden_layers": 48, "num_attention_heads": 2, "intermediate_size": 8192}
    rows = extractor.backend.model.encoder.get_input_embeddings().num_embeddings
    extractor.backend.model.encoder = BertModel(BertConfig(vocab_size=rows, **sizes), add_pooling_layer=False).to(GPU)
    extractor.backend.model.to(GPU)
    given = texts(600, 47, pairs=False)
    engine = replace(extractor.engine(batch_size=64, threshold=THRESHOLD, split="never"), ahead=0)
    plain = items(list(extract(engine, given)))
    assert any(plain)
    for _ in range(3):
        assert items(list(extract(replace(engine, ahead=2), given))) == plain


def test_no_plan_of_cudnn_is_built_for_new_shapes(tmp_path: Path) -> None:
    """Torch prefers cuDNN from Hopper on; one plan takes some tenths of a second, and batches have many shapes."""
    if torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("torch does not prefer cuDNN's attention on this GPU")
    path = model("efficient_global_pointer", tmp_path / "model")
    extractor = Extractor.from_pretrained(path, device=GPU, precision="bfloat16")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        list(extractor.extract(texts(100, 47, pairs=False)))
    names = {event.key for event in profile.key_averages()}
    assert any("scaled_dot_product" in name for name in names)
    assert not any("cudnn_attention" in name for name in names)
