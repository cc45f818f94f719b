"""The English corpus is what its generator writes, is annotated as its schema says, and is no easy one."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

import pytest

from ie_cli.document import Document
from ie_cli.formats import read_documents
from ie_cli.tasks import TASKS

DATA = Path(__file__).parent.parent.parent / "data"
SPLITS = ("train", "dev", "test")
Corpus = dict[str, list[Document]]

SCHEMA = {
    "founder_of": ("person", "company"),
    "works_for": ("person", "company"),
    "headquartered_in": ("company", "city"),
    "founding_date": ("company", "date"),
    "acquired": ("company", "company"),
    "author_of": ("person", "work"),
    "studied_at": ("person", "university"),
}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """All splits; the reader raises where the text of a span is not what its offsets cover."""
    return {name: list(read_documents(str(DATA / "quickstart-en" / f"{name}.jsonl"))) for name in SPLITS}


def generate(*options: str, seed: str = "0") -> str:
    return subprocess.run(
        [sys.executable, str(DATA / "generate_quickstart_en.py"), *options],
        check=True, capture_output=True, text=True, encoding="utf-8", env={"PYTHONHASHSEED": seed},
    ).stdout  # fmt: skip


def test_the_generator_writes_the_same_bytes(tmp_path: Path) -> None:
    generate("--output", str(tmp_path), seed="7")
    for name in SPLITS:
        file = DATA / "quickstart-en" / f"{name}.jsonl"
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_the_readme_shows_the_report() -> None:
    assert generate("--report") in (DATA / "README.md").read_text(encoding="utf-8")


def test_the_generator_has_the_same_schema() -> None:
    source = (DATA / "generate_quickstart_en.py").read_text(encoding="utf-8")
    [schema] = re.findall(r"^SCHEMA = (\{.*?^\})", source, re.MULTILINE | re.DOTALL)
    assert ast.literal_eval(schema) == SCHEMA


def test_sizes_and_labels(corpus: Corpus) -> None:
    assert {name: len(documents) for name, documents in corpus.items()} == {"train": 900, "dev": 150, "test": 150}
    labels = {"person", "company", "city", "university", "work", "date"}
    for documents in corpus.values():
        assert {entity.label for document in documents for entity in document.entities} == labels
        assert {relation.predicate for document in documents for relation in document.relations} == set(SCHEMA)
        assert all(30 <= len(document.text) <= 150 for document in documents)
        assert 0.05 < sum(not document.entities for document in documents) / len(documents) < 0.15


def test_no_sentence_is_there_twice(corpus: Corpus) -> None:
    texts = [document.text for documents in corpus.values() for document in documents]
    assert len(set(texts)) == len(texts)


def test_spans_are_whole_words_that_do_not_overlap(corpus: Corpus) -> None:
    for document in sentences(corpus):
        text, end = document.text, 0
        for entity in sorted(document.entities):
            assert end <= entity.start < entity.end <= len(text), document
            end = entity.end
            assert text[entity.start : entity.end].strip() == text[entity.start : entity.end]
            for at in (entity.start, entity.end):  # a letter on one side only
                assert not text[max(0, at - 1) : at + 1].isalnum() or at in (0, len(text)), (document, entity)


def test_relations_join_entities_of_the_labels_that_the_schema_has(corpus: Corpus) -> None:
    for document in sentences(corpus):
        for relation in document.relations:
            assert relation.subject in document.entities
            assert relation.object in document.entities
            assert (relation.subject.label, relation.object.label) == SCHEMA[relation.predicate]
        assert len(set(document.relations)) == len(document.relations)


@pytest.mark.parametrize("split", SPLITS)
def test_sentences_hold_several_relations_and_pairs_without_one(corpus: Corpus, split: str) -> None:
    documents = corpus[split]
    share = len(documents)
    assert sum(len(document.relations) > 1 for document in documents) / share > 0.2
    assert sum(bool(document.entities) and not document.relations for document in documents) / share > 0.15
    assert sum(tempting(document) for document in documents) / share > 0.4


def tempting(document: Document) -> bool:
    """Whether two entities have the labels of a predicate, and no relation joins them."""
    joined = {frozenset((relation.subject, relation.object)) for relation in document.relations}
    return any(
        a != b and (a.label, b.label) in SCHEMA.values() and frozenset((a, b)) not in joined
        for a in document.entities
        for b in document.entities
    )


@pytest.mark.parametrize("split", ["dev", "test"])
def test_names_and_templates_are_new(corpus: Corpus, split: str) -> None:
    known = TASKS["ner"].seen(corpus["train"])
    found = [(e.label, x.text[e.start : e.end]) for x in corpus[split] for e in x.entities]
    assert 0.2 < sum(mention not in known for mention in found) / len(found) < 0.4
    new = [document for document in corpus[split] if not made_by(document, "train")]
    assert all(made_by(document, split) for document in new)
    assert 0.2 < len(new) / len(corpus[split]) < 0.3
    assert all(made_by(document, "train") for document in corpus["train"])


def made_by(document: Document, section: str) -> bool:
    frame = document.text
    for entity in sorted(document.entities, reverse=True):
        frame = f"{frame[: entity.start]}<{entity.label}>{frame[entity.end :]}"
    return any(pattern.fullmatch(frame) for pattern in PATTERNS[section])


def template_patterns() -> dict[str, list[re.Pattern[str]]]:
    """The templates by split as regular expressions of texts with labels in place of the names."""
    labels = {"firm": "company", "shortfirm": "company", "book": "work", "school": "university"}
    labels |= dict.fromkeys(("year", "date", "day"), "date") | {"person": "person", "city": "city"}
    patterns: dict[str, list[re.Pattern[str]]] = {}
    for line in (DATA / "quickstart_en_templates.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = patterns.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            text = line.partition(" | ")[0]
            pieces = re.split(r"\{(\w+)(?:=\w)?\}", text.strip("~"))
            literals = [re.escape(piece) for piece in pieces[::2]]
            # After "Inc." and "Foods" a full stop and an s are left out.
            literals = [re.sub(r"^\\\.$", r"\\.?", piece).replace("'s\\ ", "'s?\\ ") for piece in literals]
            slots = [f"<{labels[slot]}>" if slot in labels else "[^<]+?" for slot in pieces[1::2]]
            whole = "".join(chain.from_iterable(zip_longest(literals, slots, fillvalue="")))
            front, back = "(?:[^<]+, )?" if text.startswith("~") else "", "[^<]*" if text.endswith("~") else ""
            section.append(re.compile(front + whole + back))
    return patterns


PATTERNS = template_patterns()


def test_some_words_are_a_name_in_one_sentence_and_none_in_another(corpus: Corpus) -> None:
    for label in ("company", "city", "work"):
        names = {x.text[e.start : e.end] for x in corpus["train"] for e in x.entities if e.label == label}
        assert any(
            re.search(rf"\b{re.escape(name)}\b", document.text)
            and not any(name in document.text[e.start : e.end] for e in document.entities)
            for name in names
            for document in corpus["train"]
        ), label


def test_names_have_accents_apostrophes_hyphens_and_abbreviations(corpus: Corpus) -> None:
    names = {x.text[e.start : e.end] for x in corpus["train"] for e in x.entities}
    for wanted in (r"[^\x00-\x7f]", r"\w'\w", r"\w-\w", r"(Inc|Ltd|Corp)\.$", r"^[A-Z]\. [A-Z]\. ", r" & ", r"\d"):
        assert any(re.search(wanted, name) for name in names), wanted


def sentences(corpus: Corpus) -> Iterator[Document]:
    for documents in corpus.values():
        yield from documents
