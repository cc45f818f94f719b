"""The quickstart corpus is what its generator writes, and is not trivial."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ie_cli.document import Document
from ie_cli.formats import read_documents
from ie_cli.tasks import TASKS

DATA = Path(__file__).parent.parent.parent / "data"
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def corpus() -> dict[str, list[Document]]:
    return {name: list(read_documents(str(DATA / "quickstart" / f"{name}.json"))) for name in SPLITS}


def test_the_generator_writes_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(DATA / "generate_quickstart.py"), "--output", str(tmp_path)]
    subprocess.run(command, check=True, env={"PYTHONHASHSEED": "7"})
    for name in SPLITS:
        assert (tmp_path / f"{name}.json").read_bytes() == (DATA / "quickstart" / f"{name}.json").read_bytes()


def test_the_readme_shows_the_report() -> None:
    report = subprocess.run(
        [sys.executable, str(DATA / "generate_quickstart.py"), "--report"],
        check=True, capture_output=True, text=True, encoding="utf-8",
    ).stdout  # fmt: skip
    assert report in (DATA / "README.md").read_text(encoding="utf-8")


def test_sizes_and_labels(corpus: dict[str, list[Document]]) -> None:
    assert {name: len(documents) for name, documents in corpus.items()} == {"train": 900, "dev": 150, "test": 150}
    labels = {"address", "book", "company", "name", "organization", "position"}
    for documents in corpus.values():
        assert {entity.label for document in documents for entity in document.entities} == labels
        assert any(not document.entities for document in documents)


def test_no_sentence_is_duplicated(corpus: dict[str, list[Document]]) -> None:
    texts = [document.text for documents in corpus.values() for document in documents]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_names_and_templates_are_new(corpus: dict[str, list[Document]], split: str) -> None:
    known = TASKS["ner"].seen(corpus["train"])
    found = [(e.label, x.text[e.start : e.end]) for x in corpus[split] for e in x.entities]
    unseen = sum(mention not in known for mention in found) / len(found)
    assert 0.3 < unseen < 0.6
    frames = {name: {frame(document) for document in corpus[name]} for name in ("train", split)}
    assert len(frames[split] - frames["train"]) > 30


def frame(document: Document) -> str:
    """Replace the names of a sentence by their labels."""
    text = document.text
    for entity in sorted(document.entities, reverse=True):
        text = f"{text[: entity.start]}<{entity.label}>{text[entity.end :]}"
    return text


def test_a_name_is_annotated_wherever_it_occurs(corpus: dict[str, list[Document]]) -> None:
    for documents in corpus.values():
        for document in documents:
            for entity in document.entities:
                mention = document.text[entity.start : entity.end]
                at = document.text.find(mention)
                while at >= 0:
                    assert any(e.start <= at and at + len(mention) <= e.end for e in document.entities), document
                    at = document.text.find(mention, at + 1)


def test_some_words_are_a_name_in_one_sentence_and_none_in_another(corpus: dict[str, list[Document]]) -> None:
    labels: dict[str, set[str]] = {}
    for document in corpus["train"]:
        for entity in document.entities:
            labels.setdefault(document.text[entity.start : entity.end], set()).add(entity.label)
    assert any(len(some) > 1 for some in labels.values())
    books = [mention for mention, some in labels.items() if "book" in some]
    assert any(
        book in document.text and not any(document.text[e.start : e.end] == book for e in document.entities)
        for book in books
        for document in corpus["train"]
    )
