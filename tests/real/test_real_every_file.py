"""Every file of the real data: detected, read without loss, counted as by hand, and converted to every format and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import independent_counts as by_hand
from support.independent_counts import Count, Counted
from support.lost_items import entities_lost, missing, of, relations_lost, surfaces_lost, triples_lost
from support.real import DATA

from ie_cli.document import Document
from ie_cli.formats import FORMATS, BadLine, Reading, read_records

pytestmark = pytest.mark.real
SPACY = find_spec("spacy") is not None

NO_ANNOTATION = {
    "*README*": "a description",
    "*LICENSE*": "a licence",
    "formats/brat/*.conf": "the settings of brat",
    "conll04/conll04_types.json": "the names of the types",
    "duee/duee_event_schema.json": "the schema of the events",
    "duie1/all_50_schemas": "the schemas of the relations",
    "duie2/schema.json": "the schemas of the relations",
    "formats/label_studio/kiji_LabelingConfig.txt": "the settings of a project of Label Studio",
    "formats/doccano/data_import__pipeline__examples__sequence_labeling__example.jsonl": "a test of doccano's settings: its "
    "fields have invented names, which are named in doccano's dialogue; no export has them",
}
"""What is no annotation, and what it is."""


@dataclass(frozen=True)
class Kind:
    """How the annotation of a file is counted by hand, the format that has to give it back exactly, and what is detected."""

    count: Count
    format: str
    detected: str = ""


KINDS = {
    "cluener/test.json": Kind(by_hand.texts, "jsonl"),
    "cluener/*.json": Kind(by_hand.cluener, "cluener"),
    "conll04/*.json": Kind(by_hand.conll04, "conll04"),
    "conll04/multihead_test.txt": Kind(by_hand.multihead, "multihead"),
    "crossner_ai/*.txt": Kind(by_hand.columns, "conll"),
    "wnut17/*": Kind(by_hand.columns, "conll"),
    "germeval2014/*": Kind(partial(by_hand.columns, tags=(1, 2)), "w2ner", "conll"),
    "duee/duee_dev.json": Kind(by_hand.duee, "duee"),
    "duie2/test_unlabelled.json": Kind(by_hand.texts, "jsonl"),
    "duie1/*.json": Kind(by_hand.duie, "duie"),
    "duie2/*.json": Kind(by_hand.duie, "duie"),
    "pairs/*": Kind(by_hand.pairs, "pairs"),
    "formats/brat/*": Kind(by_hand.brat, "brat"),
    "formats/doccano/*sequence_labeling__example.jsonl": Kind(by_hand.tool, "doccano", "jsonl"),
    "formats/doccano/*overlapping.jsonl": Kind(by_hand.tool, "doccano", "jsonl"),
    "formats/doccano/*relation_extraction*": Kind(by_hand.tool, "doccano-relations", "doccano"),
    "formats/doccano/*": Kind(by_hand.columns, "conll"),
    "formats/doccano_transformer/*conll2003*": Kind(by_hand.columns, "conll"),
    "formats/doccano_transformer/*.spacy.*": Kind(by_hand.tool, "spacy-json"),
    "formats/doccano_transformer/labeling.jsonl": Kind(by_hand.tool, "doccano"),
    "formats/doccano_transformer/*.jsonl": Kind(by_hand.tool, "doccano", "jsonl"),
    "formats/label_studio/*.json": Kind(by_hand.tool, "label_studio"),
    "formats/prodigy/*": Kind(by_hand.tool, "prodigy"),
    "formats/spacy/ner-sent-per-line.iob": Kind(by_hand.iob_lines, "conll"),
    "formats/spacy/*.iob": Kind(by_hand.columns, "conll"),
    "formats/spacy/*.jsonl": Kind(by_hand.tool, "prodigy"),
    "formats/spacy/*.spacy": Kind(by_hand.docbin, "spacy"),
    "formats/spacy/*.json": Kind(by_hand.tool, "spacy-json"),
}
"""The first pattern that a name matches says what the file is."""
UNREADABLE = {
    "formats/doccano/data_import__tests__data__sequence_labeling__example.jsonl": {2: "no field 'text'"},
    "formats/label_studio/kiji_sample_predictions.json": {0: "covers characters 68-90, but the text has 85"},
    "formats/doccano/data_import__tests__data__sequence_labeling__labeling.invalid.conll": {
        0: "expected at least 2 columns"
    },
}
"""The records that are wrong in the file itself, counted from 0, and what the error has to say."""


def files() -> list[str]:
    """The names of all files, and of the directories of brat in place of their files."""
    if not DATA.is_dir():
        return ["no data"]
    found = {path.parent if path.with_suffix(".ann").exists() else path for path in DATA.rglob("*") if path.is_file()}
    return sorted(str(path.relative_to(DATA)) for path in found)


def matching(name: str, patterns: Iterable[str]) -> str | None:
    return next((pattern for pattern in patterns if fnmatch(name, pattern)), None)


NAMES = files()
ANNOTATED = [name for name in NAMES if matching(name, NO_ANNOTATION) is None]


def found_in(name: str) -> tuple[list[Document], list[BadLine], str]:
    """The documents, the bad lines, and the format that is detected."""
    if not (DATA / name).exists():
        pytest.skip(f"no {DATA}")
    if name.endswith(".spacy") and not SPACY:
        pytest.skip("reading .spacy requires spaCy")
    detected: list[str] = []
    records = list(read_records(str(DATA / name), reading=Reading(), detected=detected.append))
    documents = [record for record in records if isinstance(record, Document)]
    return documents, [record for record in records if isinstance(record, BadLine)], detected[0]


def test_every_file_has_a_kind_and_every_kind_a_file() -> None:
    if NAMES == ["no data"]:
        pytest.skip(f"no {DATA}")
    used = {matching(name, NO_ANNOTATION) or matching(name, KINDS) for name in NAMES}
    assert used == {*NO_ANNOTATION, *KINDS}
    assert len(NAMES) - len(ANNOTATED) == 18


@pytest.mark.parametrize("name", ANNOTATED)
def test_a_file_is_detected_and_read_without_loss(name: str) -> None:
    documents, bad, detected = found_in(name)
    kind = KINDS[matching(name, KINDS) or ""]
    unreadable = UNREADABLE.get(name, {})
    found = Counted({("document", ""): len(documents), ("bad", ""): len(bad)})
    for document in documents:
        for triple in document.spos or ():
            found.update(("relation", predicate) for _, predicate, _ in triple.triples)
        if detected != "duee":  # its entities and relations are made of the events
            found.update(("entity", entity.label) for entity in document.entities)
            found.update(("relation", r.predicate) for r in (document.relations if document.spos is None else ()))
        found.update(("event", event.type) for event in document.events)
        if document.text_pair is not None:
            found["pair", str(document.score) if document.label is None else document.label] += 1
    count = partial(by_hand.tool, unreadable=unreadable) if kind.count is by_hand.tool else kind.count
    assert +found == +count(DATA / name)
    assert detected == (kind.detected or kind.format)
    for one, words in zip(bad, unreadable.values(), strict=True):
        assert words in one.error.message


CHANGES = (
    "relations lose their offsets",
    "relations are read back with",
    "relations whose argument has another label",
    "entities that start or end with whitespace",
    "entities lose their place",
    "types of subjects and objects",
    "slots of complex objects become",
)
"""What the messages call changed rather than lost: such an item is read back, though not in every respect."""
TARGETS = [name for name, format in FORMATS.items() if format.writable and name != "html"]
MOST = 400
"""A longer file is converted to formats other than its own by every n-th document only."""


def converted(documents: list[Document], name: str, path: Path) -> tuple[list[Document], list[Mapping[str, int]]]:
    """Return documents that were written in a format and read again, and what is counted as lost for each."""
    format = FORMATS[name]
    counts = [Counter(format.count_losses(document)) for document in documents]
    if format.container is not None and format.container.save is not None:
        with format.container.save(str(path)) as save:
            for document, count in zip(documents, counts, strict=True):
                count.update(save(document))
    else:
        write = format.write if format.writer is None else format.writer(())
        assert write is not None
        before, between, after = format.frame
        path.write_text(before + between.join(map(write, documents)) + after, encoding="utf-8")
    back = list(read_records(str(path), format=name))
    assert all(isinstance(document, Document) for document in back)
    if name == "brat":  # the order of a directory is that of the names
        order = sorted(range(len(documents)), key=lambda n: content(documents[n]))
        documents[:], counts = [documents[n] for n in order], [counts[n] for n in order]
        back.sort(key=lambda document: content(document))  # type: ignore[arg-type]
    return [document for document in back if isinstance(document, Document)], counts


def content(document: Document) -> tuple[object, ...]:
    return document.text, sorted(document.relations), sorted(document.entities), str(document.id)


def require_counted(before: Document, after: Document, reported: Mapping[str, int], target: str) -> None:
    """Check that what is missing is what was counted."""
    here = (before, after, reported)
    hard = {what: count for what, count in reported.items() if not what.startswith(CHANGES)}
    if target != "cluener" or before.text == after.text:  # a submission has offsets, but no text to compare
        lost = surfaces_lost(before, after) if of(reported, "words that start") else entities_lost(before, after)
        told = of(reported, "entities", "labels") + 2 * of(
            reported, "relations are read back with"
        )  # with their arguments
        # Entities that differ from others only by whitespace at their ends are not told apart here, and the arguments of
        # relations without offsets are no entities, but are written as such.
        edges = sum(text != text.strip() for text in map(before.mention, before.entities))
        assert (of(hard, "entities", "labels") - edges if before.spos is None else 0) <= lost <= told, here
    lost = relations_lost(before, after) if before.spos is None else triples_lost(before, after)
    names = ("relations", "triples", "slots", "types")
    assert (of(hard, *names) if before.spos is None else 0) <= lost <= of(reported, *names), here
    assert missing(before.events, after.events) == of(reported, "events"), here
    # The reader decides for the whole file how to join tokens, which may keep the whitespace of a single text.
    assert before.text == after.text or of(reported, "texts", "words"), here
    pair = [(d.text_pair, d.label, d.score) for d in (before, after)]
    assert (pair[0] != pair[1]) == bool(of(reported, "second texts")), here
    assert (before.id is not None and before.id != after.id) == bool(of(reported, "ids")), here
    kept = [name for name, value in before.meta.items() if name in after.meta and after.meta[name] == value]
    assert len(before.meta) - len(kept) == of(reported, "other fields", "fields"), here


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ANNOTATED)
def test_what_a_format_cannot_hold_is_counted(name: str, target: str, tmp_path: Path) -> None:
    if target == "spacy" and not SPACY:
        pytest.skip("writing .spacy requires spaCy")
    documents, _, _ = found_in(name)
    kind = KINDS[matching(name, KINDS) or ""]
    if target not in ("jsonl", kind.format):
        documents = documents[:: max(1, len(documents) // MOST)]
    if not documents:
        pytest.skip("no record of this file can be read")
    back, counts = converted(documents, target, tmp_path / f"x.{target}")
    for before, after, reported in zip(documents, back, counts, strict=True):
        require_counted(before, after, reported, target)
        if target in ("jsonl", kind.format) and target != "conll":
            assert not {
                what for what, count in reported.items() if count and not what.startswith(("ids", "other fields"))
            }
            assert set(after.entities) >= set(before.entities)
            assert set(after.relations) == set(before.relations)
            assert set(after.spos or ()) == set(before.spos or ())
