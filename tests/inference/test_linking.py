from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.names import FORMS, LABELS, names
from support.vectors import Pooled, vector_engine

from ie_cli.codecs.base import Decoding
from ie_cli.codecs.pairs import PairCodec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.errors import ModelError
from ie_cli.inference import linking
from ie_cli.inference.canonical_names import CanonicalName, NameIndex
from ie_cli.inference.embedding import embed
from ie_cli.inference.linking import Link, Linker, LinkOptions, Mention, decided_threshold, reranking_engine
from ie_cli.inference.pipeline import Engine, Extraction
from ie_cli.recipe.heads import HEADS

MENTIONS = st.lists(st.builds(lambda text, label: Mention(text, text, label), FORMS, LABELS), max_size=12)


def linker(given_names: list[CanonicalName], backend: Pooled, *, reranker: Any = None, **options: Any) -> Linker:
    engine, index = vector_engine(backend), NameIndex(given_names)
    matrix = index.matrix(zip(index.forms, embed(engine, index.forms), strict=True))
    backend.encoded.clear()
    return Linker(index, matrix, engine, reranker=reranker, options=LinkOptions(**options))


def similarity(pair: Document) -> float:
    """What stands for a model that reads both texts."""
    return zlib.crc32(f"{pair.text}|{pair.text_pair}".encode()) % 7 / 6


class Asked:
    """Stands for `extract`, and keeps the pairs."""

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str | None]] = []

    def __call__(self, engine: Engine, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            self.pairs.append((document.text, document.text_pair))
            yield replace(document, score=similarity(document))


def brute_force(given_names: list[CanonicalName], mention: Mention, *, rerank: bool, options: LinkOptions) -> Link:
    """Compare a mention with every form of every name."""
    fitting = [
        (number, form)
        for label in dict.fromkeys((mention.label, None))
        for number, name in enumerate(given_names)
        if name.label == label
        for form in name.forms
    ]
    if not fitting:
        return Link()

    def tied(form: str) -> list[int]:
        having = [number for number, other in fitting if other == form]
        return [number for number in having if given_names[number].label == given_names[having[0]].label]

    if options.equal_first and (equal := tied(mention.text) if mention.text in {form for _, form in fitting} else []):
        return Link(equal[0], 1.0, is_equal=True, by_order=len(equal) > 1)
    engine = vector_engine(Pooled())
    vectors = {
        text: vector.astype(np.float64)
        for text in {mention.read, *(f for _, f in fitting)}
        for vector in embed(engine, [text])
    }
    scored = [(float((vectors[mention.read] * vectors[form]).sum()), number, form) for number, form in fitting]
    scored.sort(key=lambda one: -one[0])
    best = list({number: (score, number, form) for score, number, form in reversed(scored)}.values())
    best.sort(key=lambda one: scored.index(one))
    if rerank:
        best = [
            (similarity(Document(mention.read, text_pair=form)), number, form)
            for _, number, form in best[: options.top_k]
        ]
        best.sort(key=lambda one: -one[0])
    score, number, form = best[0]
    if options.threshold is not None and score <= options.threshold:
        return Link()
    return Link(number, score, by_order=len(tied(form)) > 1)


@given(names(), MENTIONS, st.booleans(), st.sampled_from([None, 0.5, 0.9]))
def test_links_are_those_of_comparing_all_names(
    given_names: list[CanonicalName], mentions: list[Mention], equal_first: bool, threshold: float | None
) -> None:
    options = LinkOptions(threshold=threshold, equal_first=equal_first)
    found = linker(given_names, Pooled(), threshold=threshold, equal_first=equal_first).link(mentions)
    for mention, link in zip(mentions, found, strict=True):
        assert link == brute_force(given_names, mention, rerank=False, options=options)


@given(names(), MENTIONS, st.integers(1, 4), st.sampled_from([None, 0.5]))
def test_the_best_names_are_ranked_again(
    given_names: list[CanonicalName], mentions: list[Mention], top_k: int, threshold: float | None
) -> None:
    options = LinkOptions(top_k=top_k, threshold=threshold)
    asked = Asked()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linking, "extract", asked)
        made = linker(given_names, Pooled(), reranker=object(), top_k=top_k, threshold=threshold)
        found = made.link(mentions)
        again = made.link(mentions)
    assert found == again == [brute_force(given_names, mention, rerank=True, options=options) for mention in mentions]
    groups = {(mention.text, made._index.group(mention.label)) for mention in mentions}
    assert len(asked.pairs) <= top_k * len(groups)


@given(names(), MENTIONS, st.integers(0, 12))
def test_each_distinct_mention_is_encoded_once(
    given_names: list[CanonicalName], mentions: list[Mention], cut: int
) -> None:
    backend = Pooled()
    made = linker(given_names, backend, equal_first=False)
    parts = made.link(mentions[:cut]) + made.link(mentions[cut:])
    assert parts == linker(given_names, Pooled(), equal_first=False).link(mentions)
    needed = {mention.text for mention in mentions if len(made._index.rows(made._index.group(mention.label)))}
    assert len(backend.encoded) == len(needed)


def test_names_are_searched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    given_names = [CanonicalName(number, n * "a" + "b" * number) for number in range(20) for n in (1,)]
    mentions = [Mention(text, text, None) for text in ("ab", "abbbbb", "bbbb", "a")]
    whole = linker(given_names, Pooled(), equal_first=False).link(mentions)
    monkeypatch.setattr(linking, "_BLOCK", 3)
    assert linker(given_names, Pooled(), equal_first=False).link(mentions) == whole


def test_links_and_vectors_are_forgotten_above_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "_REMEMBERED_LINKS", 2)
    monkeypatch.setattr(linking, "_REMEMBERED", 12)  # two vectors of six numbers
    backend = Pooled()
    made = linker([CanonicalName(1, "ab")], backend, equal_first=False)
    mentions = [Mention(text, text, None) for text in ("a", "b", "aa", "bb")]
    first = made.link(mentions)
    assert made.link(mentions[2:]) == first[2:]
    assert len(backend.encoded) == 4
    assert made.link(mentions) == first
    assert len(backend.encoded) == 6


def test_the_models_read_the_context_and_equal_names_do_not_count_it() -> None:
    backend = Pooled()
    made = linker([CanonicalName(1, "ab"), CanonicalName(2, "bb")], backend)
    equal, similar = made.link([Mention("ab", "bbbabbb", None), Mention("aab", "bb", None)])
    assert (equal.owner, equal.is_equal) == (0, True)
    assert (similar.owner, similar.is_equal) == (1, False)
    assert similar.score == pytest.approx(1)
    assert len(backend.encoded) == 1


def engine_of(head: str, labels: tuple[str, ...], decision: tuple[float, ...], **options: Any) -> Engine:
    section = HEADS[head].section.model_validate({"name": head, **options})
    codec = PairCodec(LabelSchema(labels), cast(Any, section))
    part = Extraction.build("match", codec, Decoding(threshold=0.5, decision=decision))
    return replace(vector_engine(Pooled()), tasks=(part,))


@pytest.mark.parametrize(
    ("head", "labels", "decision", "expected"),
    [
        ("cosent", ("0", "1"), (0.7,), 0.7),
        ("sbert", ("0", "1"), (0.7,), 0.7),
        ("cross_encoder", ("0", "1"), (0.4,), 0.4),
        ("cosent", ("0", "1"), (), None),
        ("cosent", ("0", "1", "2"), (0.2, 0.7), None),
        ("cosent", (), (), None),
        ("infersent", ("0", "1"), (0.7,), None),  # the decision is on its classifier's probability
    ],
)
def test_the_decision_between_two_classes_is_the_threshold(
    head: str, labels: tuple[str, ...], decision: tuple[float, ...], expected: float | None
) -> None:
    assert decided_threshold(engine_of(head, labels, decision)) == expected


def test_the_task_that_reads_pairs_is_found() -> None:
    def part(name: str, reads: str) -> Extraction:
        return Extraction(name, cast(Any, SimpleNamespace(reads=reads)), cast(Any, None))

    engine = vector_engine(Pooled())
    found = reranking_engine(replace(engine, tasks=(part("one", "texts"), part("both", "pair"))))
    assert [one.name for one in found.tasks] == ["both"]
    with pytest.raises(ModelError, match="no head that reads both texts of a pair together"):
        reranking_engine(engine)
    with pytest.raises(ModelError, match="several tasks that read pairs: a, b"):
        reranking_engine(replace(engine, tasks=(part("a", "pair"), part("b", "pair"))))
