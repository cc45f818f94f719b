from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import Oracle, characters, engine

from ie_cli.codecs.base import Decoding
from ie_cli.document import Document, Entity
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.inference.chunks import grouped
from ie_cli.inference.pipeline import extract
from ie_cli.system.prefetch import Prefetcher


def ids(text: str) -> tuple[int, ...]:
    return tuple(TextTokenizer(characters()).encode([text])[0].ids.tolist())


ORACLE = Oracle({ids("北京"): [0], ids("北京大学"): [1], ids("上海"): [0, 1]}, 2)
LABELS = ("place", "school")


def expected(text: str) -> list[Entity]:
    found = []
    for mention, labels in (("北京", ["place"]), ("北京大学", ["school"]), ("上海", ["place", "school"])):
        at = text.find(mention)
        while at >= 0:
            found.extend(Entity(at, at + len(mention), label) for label in labels)
            at = text.find(mention, at + 1)
    return sorted(found)


@given(st.lists(st.text("北京大学上海ab 。👩", max_size=60), max_size=12))
def test_finds_every_span_at_its_place_whatever_the_windows(texts: list[str]) -> None:
    documents = [Document(text, id=n, meta={"n": n}) for n, text in enumerate(texts)]
    found = list(extract(engine(ORACLE, LABELS), documents))
    assert [e.text for e in found] == texts
    assert [e.id for e in found] == [e.meta["n"] for e in found] == list(range(len(texts)))
    for document in found:
        assert document.entities == expected(document.text)


def test_metamorphic_text_around_a_sentence_only_shifts_its_spans() -> None:
    runner = engine(ORACLE, LABELS)
    [alone] = extract(runner, [Document("去北京大学。")])
    [inside] = extract(runner, [Document("ab。" * 40 + "去北京大学。" + "ab" * 33)])
    assert [(e.start + 120, e.end + 120, e.label) for e in alone.entities] == [
        (e.start, e.end, e.label) for e in inside.entities
    ]


def test_flat_output_keeps_the_better_of_two_that_overlap() -> None:
    [document] = extract(engine(ORACLE, LABELS, decoding=Decoding(flat=True)), [Document("北京大学")])
    assert len(document.entities) == 1


def test_what_is_no_example_passes_through_in_its_place() -> None:
    found = list(extract(engine(ORACLE, LABELS), [Document("北京"), "bad line", Document("")]))
    assert [item if isinstance(item, str) else item.text for item in found] == ["北京", "bad line", ""]


def test_the_stream_is_read_as_it_is_used() -> None:
    read = []

    def endless() -> Iterator[Document]:
        n = 0
        while True:
            read.append(n)
            yield Document("北京", id=n)
            n += 1

    stream = extract(engine(ORACLE, LABELS), endless())
    assert [next(stream).id for _ in range(12)] == list(range(12))
    assert len(read) < 50
    stream.close()
    time.sleep(0.3)
    size = len(read)
    time.sleep(0.3)
    assert len(read) == size, "the reading thread ends with the stream"


def test_a_pause_on_a_pipe_flushes_what_there_is() -> None:
    go_on = threading.Event()

    def slow() -> Iterator[Document]:
        yield Document("北京")
        go_on.wait(20)
        yield Document("上海")

    stream = extract(engine(ORACLE, LABELS), slow(), idle=0.05)
    assert next(stream).text == "北京"
    go_on.set()
    assert next(stream).text == "上海"


def test_an_error_of_the_source_comes_after_what_was_read_before_it() -> None:
    def broken() -> Iterator[Document]:
        yield Document("北京")
        raise ValueError("line 2")

    stream = extract(engine(ORACLE, LABELS), broken())
    assert next(stream).text == "北京"
    with pytest.raises(ValueError, match="line 2"):
        next(stream)


def test_chunks_end_by_number_and_by_characters() -> None:
    texts = [Document("a" * n) for n in (1, 1, 1, 9, 1)]
    chunks = list(grouped(Prefetcher(texts, waiting=2), size=3, characters=10))
    assert [[len(e.text) for e in chunk] for chunk in chunks] == [[1, 1, 1], [9, 1]]
