"""Exports of real tools against counts that share no code with the readers, and a corpus through containers and back."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from support.real import DATA, real

from ie_cli.document import Document
from ie_cli.formats import FORMATS, jsonl, read_documents
from ie_cli.system.json_reading import loads

pytestmark = pytest.mark.real


def kinds_by_hand(directory: Path) -> Counter[str]:
    """Lines of .ann files by their first letter; a text-bound annotation that is a trigger counts as X."""
    found: Counter[str] = Counter()
    for path in directory.glob("*.ann"):
        lines = path.read_text("utf-8").split("\n")
        triggers = {match[1] for line in lines if (match := re.match(r"E\d+\t\S+:(T\d+)", line))}
        found.update("X" if line.split("\t")[0] in triggers else line[0] for line in lines if line)
    return found


def saved(name: str, path: Path, documents: list[Document]) -> Counter[str]:
    """Write documents and return what is lost."""
    container = FORMATS[name].container
    assert container is not None
    assert container.save is not None
    lost: Counter[str] = Counter()
    with container.save(str(path)) as store:
        for document in documents:
            lost.update(FORMATS[name].count_losses(document))
            lost.update(store(document))
    return +lost


@pytest.mark.parametrize("name", ["BioNLP-ST_2011_REL", "tutorial_news"])
def test_brat(name: str, tmp_path: Path) -> None:
    directory = real(DATA, f"formats/brat/{name}")
    documents = list(read_documents(str(directory)))
    expected = kinds_by_hand(directory)
    assert len(documents) == len(list(directory.glob("*.ann")))
    assert sum(len(document.entities) for document in documents) == expected["T"]
    assert sum(len(document.relations) for document in documents) == expected["R"]
    assert sum(len(document.events) for document in documents) == expected["E"]
    through_json = [jsonl.from_fields(loads(jsonl.write(document))) for document in documents]
    assert not saved("brat", tmp_path / "out", through_json)
    for path in directory.glob("*.ann"):
        written = (tmp_path / "out" / path.name).read_text("utf-8")
        assert written.split("\n")[:-1] == [line for line in path.read_text("utf-8").split("\n") if line]
        assert (tmp_path / "out" / path.name).with_suffix(".txt").read_bytes() == path.with_suffix(".txt").read_bytes()


@pytest.mark.parametrize("name", ["brat", "parquet"])
def test_a_corpus_comes_back(name: str, tmp_path: Path) -> None:
    documents = list(read_documents(str(real(DATA, "cluener/dev.json"))))
    lost = saved(name, tmp_path / "out.parquet", documents)
    back = list(read_documents(str(tmp_path / "out.parquet"), format=name))
    assert not lost
    assert [(one.text, sorted(set(one.entities))) for one in back] == [
        (one.text, sorted(set(one.entities))) for one in documents
    ]


def test_docbin(tmp_path: Path) -> None:
    pytest.importorskip("spacy")
    [document] = read_documents(str(real(DATA, "formats/spacy/demo.spacy")))
    [line] = (real(DATA, "formats/spacy/demo.jsonl")).read_text("utf-8").splitlines()
    fields = loads(line)
    assert document.text == fields["text"]
    assert {(one.start, one.end, one.label) for one in document.entities} == {
        (span["start"], span["end"], span["label"]) for span in fields["spans"]
    }
