"""The context of a sentence moves its spans and links and changes nothing else: a window that cuts the sentence has no effect.

The model of these tests looks at one sentence alone, as far as its window shows it; what it says of a part is of no worth.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import TOKENIZERS, FakeOutputs, codec_of, engine_of, task_of

from ie_cli.codecs.base import Decoding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.inference.pipeline import Engine, extract
from ie_cli.triples import ROLES

STOP = "。"
NER = LabelSchema(("X", "Y"))
TYPES = {"p": (("X", "Y"), ("Y", "Y")), "q": (("X", "X"),)}
RELATIONS = {
    "any types": LabelSchema(("X", "Y"), ("p", "q")),
    "constrained": LabelSchema(("X", "Y"), ("p", "q"), TYPES, constrained=True),
    "roles": LabelSchema(ROLES, ("p", "q"), {"p": (("X", "Y"),), "q": (("Y", "X"),)}),
}
BUILT = {name: TextTokenizer(TOKENIZERS[name]()) for name in ("characters", "wordpiece")}


@lru_cache(maxsize=4096)
def sentence_factors(ids: tuple[int, ...], sizes: tuple[int, ...]) -> list[tuple[npt.NDArray[np.float32], ...]]:
    """Pair, start and end scores of each matrix: numbers drawn by the ids of the sentence."""
    random, size = np.random.default_rng(ids), len(ids)
    return [
        tuple(
            (random.normal(size=shape) + shift).astype(np.float32)
            for shape, shift in (((size, size), -1.5), ((count, size), 0.0), ((count, size), 0.0))
        )
        for count in sizes
    ]


class BySentence:
    """A backend that scores within sentences only, each by its tokens in the window."""

    def __init__(self, stop: int, schema: LabelSchema) -> None:
        self.stop, self.task = stop, task_of(schema)
        self.matrices = codec_of(schema).matrices
        self.sizes = tuple(map(len, self.matrices.values()))
        self.longest = 0

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> dict[str, FakeOutputs]:
        batch, length = input_ids.shape
        self.longest = max(self.longest, length)
        matrices = [
            {
                "pair": np.full((batch, length, length), -50, np.float32),
                "start": np.zeros((batch, count, length), np.float32),
                "end": np.zeros((batch, count, length), np.float32),
            }
            for count in self.sizes
        ]
        for sample, (ids, mask) in enumerate(zip(input_ids, attention_mask, strict=True)):
            end = int(mask.sum()) - 1  # [SEP]
            stops = [n + 1 for n in range(1, end) if ids[n] == self.stop]
            boundaries = sorted({1, *stops, end})
            for first, last in zip(boundaries, boundaries[1:], strict=False):
                here = slice(first, last)
                parts = sentence_factors(tuple(ids[here].tolist()), self.sizes)
                for matrix, (pair, starts, ends) in zip(matrices, parts, strict=True):
                    matrix["pair"][sample, here, here] = pair
                    matrix["start"][sample, :, here], matrix["end"][sample, :, here] = starts, ends
        named = zip(self.matrices, matrices, strict=True)
        return {self.task: FakeOutputs({name: [matrix] for name, matrix in named})}


def build(tokenizer: TextTokenizer, schema: LabelSchema, plan: WindowPlan, *, flat: bool) -> Engine:
    [tokens] = tokenizer.encode([STOP])
    backend = BySentence(int(tokens.ids[0]), schema)
    return engine_of(backend, schema, tokenizer=tokenizer, plan=plan, decoding=Decoding(flat=flat))


def shifted(document: Document, by: int) -> tuple[list[object], list[object]]:
    """Entities and relations with their scores, which take no part in equality, so many characters further on."""

    def place(entity: Entity) -> tuple[object, ...]:
        return entity.start + by, entity.end + by, entity.label, entity.score

    def link(relation: Relation) -> tuple[object, ...]:
        return place(relation.subject), relation.predicate, place(relation.object), relation.score

    return [place(entity) for entity in document.entities], [link(relation) for relation in document.relations]


@st.composite
def documents(draw: st.DrawFn) -> tuple[WindowPlan, list[str]]:
    """A plan, and sentences of at most half its stride, the stop besides; the last one may lack it."""
    stride = draw(st.sampled_from([4, 9, 16]))
    plan = WindowPlan(stride + draw(st.integers(1, 12)), stride)
    letter = st.sampled_from(["北", "京", "a", "b", "é", "e\u0301", "👩", " ", "，"])
    sentence = st.lists(letter, max_size=stride // 2).map(lambda letters: "".join(letters)[: stride // 2] + STOP)
    sentences = draw(st.lists(sentence, max_size=12))
    return plan, sentences if draw(st.booleans()) else [*sentences, draw(sentence)[:-1]]


def check(schema: LabelSchema, tokenizer: TextTokenizer, plan: WindowPlan, sentences: list[str], *, flat: bool) -> int:
    """The document has what its sentences have; how many spans and links that is."""
    engine = build(tokenizer, schema, plan, flat=flat)
    [whole] = extract(engine, [Document("".join(sentences))])
    entities, relations, at = [], [], 0
    for sentence, alone in zip(sentences, extract(engine, map(Document, sentences)), strict=True):
        mine = shifted(alone, at)
        entities += mine[0]
        relations += mine[1]
        at += len(sentence)
    assert shifted(whole, 0) == (entities, relations)
    assert isinstance(engine.backend, BySentence)
    assert engine.backend.longest <= plan.capacity + tokenizer.special_tokens
    return len(entities) + len(relations)


@pytest.mark.parametrize("name", BUILT)
@settings(max_examples=60)
@given(document=documents(), flat=st.booleans())
def test_spans_of_a_document_are_those_of_its_sentences(
    name: str, document: tuple[WindowPlan, list[str]], flat: bool
) -> None:
    check(NER, BUILT[name], *document, flat=flat)


@pytest.mark.parametrize("kind", RELATIONS)
@settings(max_examples=60)
@given(document=documents(), flat=st.booleans())
def test_links_of_a_document_are_those_of_its_sentences(
    kind: str, document: tuple[WindowPlan, list[str]], flat: bool
) -> None:
    check(RELATIONS[kind], BUILT["characters"], *document, flat=flat)


@pytest.mark.parametrize("schema", [NER, RELATIONS["any types"]], ids=["spans", "links"])
def test_a_prefix_a_suffix_and_neighbours_only_shift(schema: LabelSchema) -> None:
    plan, sentence = WindowPlan(30, 20), "北京b，上海a。"
    other = "".join("北京大学"[n % 4] * (n % 7) + STOP for n in range(50))
    engine = build(BUILT["characters"], schema, plan, flat=False)
    [alone] = extract(engine, [Document(sentence)])
    assert alone.entities
    assert bool(alone.relations) == bool(schema.predicates)
    for before, after in ((other, ""), ("", other), (other, other)):
        [found] = extract(engine, [Document(before + sentence + after)])
        place = range(len(before), len(before) + len(sentence))
        inside = replace(
            found,
            entities=[entity for entity in found.entities if entity.start in place],
            relations=[relation for relation in found.relations if relation.subject.start in place],
        )
        assert shifted(inside, 0) == shifted(alone, len(before))


def test_a_long_document_finds_much_and_loses_nothing() -> None:
    letters = np.random.default_rng(0).choice(list("北京大学abc"), size=(160, 9))
    sentences = ["".join(row) + STOP for row in letters]
    for schema in (NER, *RELATIONS.values()):
        assert check(schema, BUILT["characters"], WindowPlan(30, 18), sentences, flat=False) > 800
