"""Gold documents that are scored on repeatedly: ceilings counted once equal those counted in a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import FakeOutputs, codec_of, engine_of, task_of, wordpiece

from ie_cli.codecs.base import find_reachable
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.evaluation.evaluate import score
from ie_cli.evaluation.gold import CeilingCounter, GoldSet
from ie_cli.inference.pipeline import Engine
from ie_cli.metrics.scores import Ceiling
from ie_cli.tasks import TASKS
from ie_cli.triples import ROLES, locate

SCHEMAS = {
    "ner": LabelSchema(("X", "Y")),
    "types": LabelSchema(("X", "Y"), ("p", "q"), {"p": (("X", "Y"),)}, constrained=True),
    "roles": LabelSchema(ROLES, ("p", "q")),
}


class Silent:
    """A backend whose outputs contain no items."""

    def __init__(self, schema: LabelSchema) -> None:
        self.schema = schema

    def run(self, input_ids: object, attention_mask: object) -> dict[str, FakeOutputs]:
        batch, length = np.shape(input_ids)  # type: ignore[arg-type]
        low = np.full((batch, length, length), -9, np.float32)
        matrices = {
            name: [{"pair": low, **dict.fromkeys(("start", "end"), np.zeros((batch, len(labels), length), np.float32))}]
            for name, labels in codec_of(self.schema).matrices.items()
        }
        return {task_of(self.schema): FakeOutputs(matrices)}


class Counting(TextTokenizer):
    """A tokenizer that counts the texts it tokenises."""

    texts = 0

    def _encode(self, texts: Sequence[str]) -> list[Tokens]:
        type(self).texts += len(texts)
        return super()._encode(texts)


def engine(schema: LabelSchema, tokenizer: TextTokenizer) -> Engine:
    return engine_of(Silent(schema), schema, tokenizer=tokenizer, plan=WindowPlan(6, 2))


TOKENIZER = TextTokenizer(wordpiece())
TEXTS = st.lists(st.sampled_from(["Anna ", "Müller ", "the fox ", "Wien", "北京", "xyz "]), min_size=1, max_size=8)


@st.composite
def gold(draw: st.DrawFn) -> Document:
    """Draw entities and relations at any place, with known and unknown names; or triples without offsets."""
    text = "".join(draw(TEXTS))
    if draw(st.booleans()):
        mention = st.sampled_from(["Anna", "fox", "Müller", "ülle", "北", "none"])
        spos = draw(st.lists(st.builds(Spo, mention, st.sampled_from("pqr"), mention), max_size=4))
        return Document(text, [], locate(text, spos, "nearest").relations, spos=spos)
    span = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 12)).map(lambda s: (s[0], min(len(text), sum(s))))
    entity = st.builds(lambda s, label: Entity(*s, label), span, st.sampled_from("XYZ"))
    relation = st.builds(Relation, entity, st.sampled_from("pqr"), entity)
    return Document(text, draw(st.lists(entity, max_size=5)), draw(st.lists(relation, max_size=4)))


def by_hand(documents: Sequence[Document], schema: LabelSchema) -> dict[str, Ceiling]:
    """Return the sum of the codec's counts over all documents."""
    found: dict[str, Ceiling] = {}
    for document in documents:
        [tokens] = TOKENIZER.encode([document.text])
        targets = find_reachable(codec_of(schema), document, tokens, WindowPlan(6, 2))
        for kind, count in targets.counts.items():
            before = found.get(kind, Ceiling(0, 0))
            reasons = dict(before.reasons)
            for _, reason in targets.unreachable.get(kind, ()):
                reasons[reason] = reasons.get(reason, 0) + 1
            total = before.total + count
            found[kind] = Ceiling(total - sum(reasons.values()), total, reasons)
    return found


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=60)
@given(documents=st.lists(gold(), max_size=6))
def test_ceilings_counted_once_are_those_of_a_stream(name: str, documents: list[Document]) -> None:
    schema = SCHEMAS[name]
    runner = engine(schema, TOKENIZER)
    kept = GoldSet(documents, runner)
    assert kept.ceilings == by_hand(documents, schema)
    task = TASKS[task_of(schema)]
    streamed = score(runner, iter(documents), task=task, schema=schema)
    for _ in range(2):
        again = score(runner, kept, task=task, schema=schema, ceilings=kept.ceilings)
        assert again.to_dict() == streamed.to_dict()


class Once:
    """Documents that count how often they are iterated over."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents, self.passes = documents, 0

    def __iter__(self) -> Iterator[Document]:
        self.passes += 1
        return iter(self.documents)


DOCUMENTS = [Document(f"Anna {n} Wien", [Entity(0, 4, "X")]) for n in range(5)]


def test_ceilings_are_counted_in_one_pass_and_no_sooner_than_they_are_needed() -> None:
    documents = Once(DOCUMENTS)
    kept = GoldSet(documents, engine(SCHEMAS["ner"], TOKENIZER))
    assert documents.passes == 0
    assert [kept.ceilings for _ in range(3)] == [{"entities": Ceiling(5, 5)}] * 3
    assert documents.passes == 1


def test_evaluation_after_evaluation_tokenises_each_text_once() -> None:
    schema = SCHEMAS["ner"]
    runner = engine(schema, Counting(wordpiece()))
    runner = replace(runner, tokenizer=runner.tokenizer.with_cache())
    kept = GoldSet(DOCUMENTS, runner)
    Counting.texts = 0
    for _ in range(3):
        score(runner, kept, task=TASKS["ner"], schema=schema, ceilings=kept.ceilings)
    assert Counting.texts == len(DOCUMENTS)


def test_a_stream_that_is_counted_is_tokenised_once_too() -> None:
    schema = SCHEMAS["ner"]
    runner = engine(schema, Counting(wordpiece()))
    Counting.texts = 0
    score(runner, iter(DOCUMENTS), task=TASKS["ner"], schema=schema)
    assert Counting.texts == len(DOCUMENTS)


def test_nothing_has_no_ceiling() -> None:
    assert CeilingCounter.of(engine(SCHEMAS["types"], TOKENIZER)).ceilings() == {}
