"""Documents that are iterated several times: the same from memory and from the file, for every reader."""

from __future__ import annotations

import io
import tempfile
from dataclasses import fields, replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.random_documents import native_documents

from ie_cli.data.spool import Spool
from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo
from ie_cli.errors import StorageError
from ie_cli.triples import locate


def triple(subject: str, predicate: str, object_: str, slotted: bool, kind: str) -> Spo:
    """Generate triples as readers return them, with types, which equality ignores."""
    slots, kinds = ((("slot", "b"),), (("slot", "Z"),)) if slotted else ((), ())
    return Spo(subject, predicate, object_, slots, kind, "Y", kinds)


TRIPLES = st.lists(
    st.builds(
        triple,
        st.sampled_from(["a", "ab", "b"]),
        st.sampled_from("pq"),
        st.sampled_from(["a", "b", "nowhere"]),
        st.booleans(),
        st.sampled_from(["X", "Y"]),
    ),
    max_size=3,
    unique=True,
)


@st.composite
def guessed_documents(draw: st.DrawFn) -> Document:
    """Generate documents of data without offsets."""
    text, spos = draw(st.text("ab ", max_size=8)), draw(TRIPLES)
    return Document(text, [], list(locate(text, spos, "nearest").relations), draw(st.none() | st.integers()), spos=spos)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Generate any document, with its place and with annotations in arbitrary order."""
    document = draw(native_documents() | guessed_documents())
    return replace(
        document,
        entities=draw(st.permutations(document.entities)),
        relations=draw(st.permutations(document.relations)),
        where=draw(st.none() | st.sampled_from(["train.jsonl:3", "a \u2028b\ud800:1"])),
    )


def content(document: Document) -> str:
    """Return all stored values of a document: the order, and also place, scores and types, which equality ignores."""
    return repr([getattr(document, field.name) for field in fields(document)])


@given(given_documents=st.lists(documents(), max_size=6), max_weight=st.integers(0, 400))
def test_documents_from_a_file_equal_those_in_memory(given_documents: list[Document], max_weight: int) -> None:
    kept, spooled = Spool(given_documents), Spool(given_documents, max_weight=max_weight)
    assert len(kept) == len(spooled) == len(given_documents)
    expected = [content(replace(document, meta={})) for document in given_documents]
    assert [content(document) for document in kept] == expected
    for _ in range(2):
        assert [content(document) for document in spooled] == expected
    assert not any(document.meta for spool in (kept, spooled) for document in spool)


def numbered(count: int) -> list[Document]:
    return [Document("北京" * n + "\n", [Entity(0, 1, "x")] * (n > 0), id=n, where=f"{n}") for n in range(count)]


@given(turns=st.lists(st.integers(0, 3), max_size=60), max_weight=st.sampled_from([0, 200, 10**6]))
def test_several_readers_take_turns_each_at_its_position(turns: list[int], max_weight: int) -> None:
    spool = Spool(numbered(8), max_weight=max_weight)
    readers = [iter(spool) for _ in range(4)]
    seen: list[list[object]] = [[] for _ in readers]
    for number in turns:
        seen[number] += [document.id for document in islice(readers[number], 1)]
    for reader, ids in zip(readers, seen, strict=True):
        ids += [document.id for document in reader]
    assert seen == [list(range(8))] * 4


@pytest.mark.parametrize("max_weight", [0, 200, 10**6])
def test_documents_may_be_added_while_others_are_read(max_weight: int) -> None:
    spool = Spool(numbered(3), max_weight=max_weight)
    reader = iter(spool)
    first = next(reader)
    for document in numbered(6)[3:]:
        spool.add(document)
    assert [first, *reader] == numbered(6) == list(spool)


def file_of(spool: Spool) -> Any:
    return spool._file


def test_large_texts_and_annotations_go_to_a_file() -> None:
    assert file_of(Spool([Document("x" * 900)] * 3, max_weight=10_000)) is None
    assert file_of(Spool([Document("x" * 900)] * 12, max_weight=10_000)) is not None
    some = Entity(0, 1, "x")
    heavy = Document("x", [some] * 40, [Relation(some, "p", some)] * 40)
    assert file_of(Spool([heavy] * 3, max_weight=10_000)) is not None
    assert file_of(Spool([Document("x", text_pair="y" * 900)] * 12, max_weight=10_000)) is not None
    arguments = tuple(Argument(str(n), some) for n in range(200))
    assert file_of(Spool([Document("x", events=[Event("e", (0, 1), arguments)])], max_weight=10_000)) is not None


@pytest.mark.parametrize("name", ["entities", "relations", "events", "spos"])
def test_every_annotation_weighs(name: str) -> None:
    some = Entity(0, 1, "x")
    one = {"entities": some, "relations": Relation(some, "p", some), "events": Event("x"), "spos": Spo("x", "p", "y")}
    document = Document("x", **{name: [one[name]] * 500})
    assert file_of(Spool([document], max_weight=10_000)) is not None


def test_a_file_is_gone_with_its_spool(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool(numbered(5), max_weight=0)
    assert [document.id for document in spool] == list(range(5))
    del spool
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, text: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *args, **named: Full())
    with pytest.raises(StorageError, match="No space left on device"):
        Spool(numbered(2), max_weight=0)
