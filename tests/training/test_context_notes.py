"""A run says which texts are joined, and why some are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import recipe, write_jsonl

from ie_cli.data.findings import Finding
from ie_cli.document import Document, Entity
from ie_cli.training.batching import build_batches
from ie_cli.training.context_notes import context_notes
from ie_cli.training.setup import prepare


def notes(path: Path, texts: list[Document], context: object, **encoder: object) -> list[Finding]:
    made = recipe(write_jsonl(path / "train.jsonl", texts), data={"context": context, "dev": None}, encoder=encoder)
    setup = prepare(made)
    return list(context_notes(setup, build_batches(setup, made.training)[1].samplers))


def sentences(text: str, end: int, count: int = 10) -> list[Document]:
    return [Document(text, [Entity(0, end, "place")]) for _ in range(count)]


def test_nothing_is_said_of_single_texts(tmp_path: Path) -> None:
    assert notes(tmp_path, sentences("青川下雨。", 2), None) == []


def test_the_share_the_number_and_the_length_of_joined_texts_are_reported(tmp_path: Path) -> None:
    [note] = notes(tmp_path, sentences("青川下雨。", 2), {"share": 1.0, "texts": 2, "order": "random"})
    assert (note.kind, note.text) == (
        "note",
        "data.context: 100% of 10 windows are joined in an epoch, up to 2 at a time, which have up to 12 tokens",
    )


@pytest.mark.parametrize(("context", "length"), [({"share": 0.0}, 64), (3, 11)])
def test_texts_that_are_never_joined_are_reported(context: object, length: int, tmp_path: Path) -> None:
    [note] = notes(tmp_path, sentences("青川下雨。", 2), context, max_length=length, stride=4)
    assert note.kind == "warning"
    assert note.text.startswith(
        "data.context: no texts are joined, because no two that follow each other fit into a window"
    )


def test_texts_with_a_common_token_are_reported(tmp_path: Path) -> None:
    context = {"share": 1.0, "texts": 2, "joiner": ""}
    found = notes(tmp_path, sentences("Wien", 4), context, vocabulary="words")
    assert [one.kind for one in found] == ["note", "warning"]
    assert found[1].text == (
        "data.context: 4 of 4 joined texts that were tried stay in parts, because a token contains the end of one text and the "
        "start of the next: set data.context.joiner"
    )
