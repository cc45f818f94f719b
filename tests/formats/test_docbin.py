"""spaCy's DocBin, with spaCy itself as the other side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from support.random_documents import documents

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, Reading, docbin, read_documents


@pytest.fixture(scope="module")
def spacy() -> Any:
    return pytest.importorskip("spacy")


def saved(path: Path, *some: Document) -> Path:
    with docbin.save(str(path)) as store:
        for document in some:
            store(document)
    return path


def test_entities_and_span_groups_are_read(tmp_path: Path, spacy: Any) -> None:
    doc = spacy.blank("en")("Anna Li  met Bo.")
    doc.set_ents([spacy.tokens.Span(doc, 0, 2, "person")])
    doc.spans["sc"] = [spacy.tokens.Span(doc, 0, 2, "person"), spacy.tokens.Span(doc, 0, 1, "name")]
    doc.spans["more"] = [spacy.tokens.Span(doc, 4, 5)]
    spacy.tokens.DocBin(docs=[doc, spacy.blank("en")("no")]).to_disk(tmp_path / "x.spacy")
    reports = list[str]()
    one, two = read_documents(str(tmp_path / "x.spacy"), reading=Reading(report=reports.append))
    assert one == Document("Anna Li  met Bo.", [Entity(0, 4, "name"), Entity(0, 7, "person")])
    assert (two.text, two.entities, two.where) == ("no", [], f"{tmp_path / 'x.spacy'}:2")
    assert reports == [
        f"{tmp_path / 'x.spacy'}: entities of doc.ents: 1; spans of doc.spans['sc']: 2; spans without a label, left out: 1"
    ]
    assert [one.entities for one in read_documents(str(tmp_path / "x.spacy"), reading=Reading(annotation=False))] == [
        [],
        [],
    ]


def test_spacy_reads_what_is_written(tmp_path: Path, spacy: Any) -> None:
    some = Document("Anna met in New Harbour.", [Entity(0, 4, "p"), Entity(12, 23, "city"), Entity(16, 20, "part")])
    [doc] = spacy.tokens.DocBin().from_disk(saved(tmp_path / "x.spacy", some)).get_docs(spacy.vocab.Vocab())
    assert doc.text == some.text
    assert [(one.start_char, one.end_char, one.label_) for one in doc.ents] == [(0, 4, "p"), (12, 23, "city")]
    assert {(one.start_char, one.end_char, one.label_) for one in doc.spans["sc"]} == {
        (one.start, one.end, one.label) for one in some.entities
    }
    assert [token.text for token in doc] == ["Anna", "met", "in", "New", "Harb", "our", "."]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=documents())
def test_entities_and_text_come_back(tmp_path: Path, spacy: Any, document: Document) -> None:
    lost = FORMATS["spacy"].count_losses(document)
    back, _ = read_documents(str(saved(tmp_path / "x.spacy", document, Document(""))))
    assert set(back.entities) == set(document.entities)
    assert back.text == document.text or any(lost.values())


def test_damaged_files_and_a_missing_package_are_errors(
    tmp_path: Path, spacy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "x.spacy", Document("abc"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"x\.spacy: not a readable DocBin"):
        list(read_documents(str(path)))
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(DataError, match=r"x\.spacy: reading \.spacy requires the spacy package") as caught:
        list(read_documents(str(path)))
    assert "ie-cli[spacy]" in str(caught.value.hint)
