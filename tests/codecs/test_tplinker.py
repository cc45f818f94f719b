"""The codec of the head `tplinker`: targets, unreachable relations, and decoding compared with plain loops."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.corpora import relation_recipe
from support.fakes import FakeOutputs
from support.heads import PLAN, ROLE_SCHEMA, TOKENIZER, codec_of_head
from support.perfect import Perfect

from ie_cli.codecs import handshaking
from ie_cli.codecs.base import Candidates, Decoding, Targets, find_reachable
from ie_cli.codecs.limits import BOTH_DIRECTIONS
from ie_cli.codecs.tplinker import TPLinkerCodec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import RecipeError
from ie_cli.inference.pipeline import Engine, Extraction, extract
from ie_cli.recipe.heads import GPLinkerSection, TPLinkerSection
from ie_cli.training.setup import validate_names
from ie_cli.triples import ROLES, locate, text_triples

LENGTH, LINKS, SIZE = 6, 3, 4
SCHEMA = LabelSchema(ROLES, ("p", "q", "r"))


def codec_for(schema: LabelSchema = SCHEMA) -> TPLinkerCodec:
    return TPLinkerCodec(schema, TPLinkerSection(name="tplinker"))


def relation(a: tuple[int, int], predicate: str, b: tuple[int, int]) -> Relation:
    return Relation(Entity(*a, "A"), predicate, Entity(*b, "B"))


def encode(document: Document, plan: WindowPlan = PLAN, schema: LabelSchema = SCHEMA) -> Targets:
    [tokens] = TOKENIZER.encode([document.text])
    return codec_for(schema).encode(document, tokens, plan)


# Targets


def test_arguments_are_spans_of_one_label_and_other_entities_are_not_encoded() -> None:
    found = encode(
        Document("abcdefgh", [Entity(6, 8, "B")], [relation((2, 4), "q", (0, 2)), relation((2, 4), "p", (0, 2))])
    )
    assert found.columns["spans"].tolist() == [[0, 0, 1], [0, 2, 3]]
    assert found.columns["links"].tolist() == [[0, 2, 3, 0, 1], [1, 2, 3, 0, 1]]
    assert (found.counts, found.unreachable) == ({"entities": 0, "relations": 2}, {"entities": [], "relations": []})


@pytest.mark.parametrize(
    ("other", "conflict"),
    [
        (relation((4, 5), "p", (0, 2)), True),  # both directions of one pair of spans
        (relation((4, 6), "p", (0, 3)), True),  # the same starts, other ends
        (relation((3, 5), "p", (1, 2)), True),  # the same ends, other starts
        (relation((4, 5), "q", (0, 2)), False),  # another predicate
        (relation((3, 6), "p", (0, 3)), False),  # other starts and ends
    ],
)
def test_an_entry_cannot_hold_both_directions_of_a_predicate(other: Relation, conflict: bool) -> None:
    document = Document("abcdefgh", [], [relation((0, 2), "p", (4, 5)), other])
    found = encode(document)
    [triple] = text_triples(document.text, [other])
    assert found.unreachable["relations"] == ([(triple, BOTH_DIRECTIONS)] if conflict else [])
    assert len(found.columns["links"]) == 2 - conflict
    assert found.counts["relations"] == 2


def test_a_relation_that_is_unreachable_anyway_excludes_no_other() -> None:
    document = Document("abcdefghijklmnop", [], [relation((0, 2), "p", (8, 16)), relation((8, 9), "p", (0, 1))])
    found = encode(document, WindowPlan(10, 4))
    assert [reason for _, reason in found.unreachable["relations"]] == ["subject and object in no common window"]
    assert found.columns["links"].tolist() == [[0, 8, 8, 0, 0]]


def test_a_triple_without_offsets_is_reachable_if_one_of_its_places_is() -> None:
    text = "A-B-A"
    spos = [Spo("A", "p", "B"), Spo("B", "p", "A")]
    document = Document(text, [], locate(text, spos, "nearest").relations, spos=spos)
    [tokens] = TOKENIZER.encode([text])
    assert find_reachable(codec_for(), document, tokens, PLAN).unreachable["relations"] == []


def test_roles_without_a_loss_of_their_own_have_no_weight() -> None:
    """A weight of subjects would change nothing: subjects and objects are the same label."""
    recipe = relation_recipe(
        Path("train.jsonl"), head={"name": "tplinker"}, training={"label_weights": {"subject": 2.0}}
    )
    with pytest.raises(RecipeError, match=r"training\.label_weights: 'subject' has no loss of its own"):
        validate_names(recipe, {"relation": SCHEMA})
    validate_names(recipe.model_copy(update={"head": GPLinkerSection(name="gplinker")}), {"relation": SCHEMA})
    weights = {"label_weights": {"q": 2.0}}
    validate_names(relation_recipe(Path("t.jsonl"), head={"name": "tplinker"}, training=weights), {"relation": SCHEMA})


SPAN = st.tuples(st.integers(0, 6), st.integers(1, 3)).map(lambda s: (s[0], min(7, s[0] + s[1])))


@settings(max_examples=40)
@given(st.lists(st.tuples(SPAN, st.sampled_from(ROLE_SCHEMA.predicates), SPAN), max_size=8))
def test_perfect_scores_give_every_reachable_relation(triples: list[tuple[Any, str, Any]]) -> None:
    """Other triples than the gold consist of gold tags alone: the tags cannot tell them apart."""
    gold = Document("abcdefg", [], sorted({relation(a, name, b) for a, name, b in triples}))
    codec = codec_of_head("tplinker")
    engine = Engine(
        cast(Any, Perfect("tplinker", [gold])), TOKENIZER, PLAN, (Extraction.build("task", codec, Decoding()),)
    )
    [found] = extract(engine, [gold])
    [tokens] = TOKENIZER.encode([gold.text])
    targets = codec.encode(gold, tokens, PLAN)
    missing = {triple for triple, _ in targets.unreachable["relations"]}
    decoded = text_triples(found.text, found.relations)
    assert decoded & (text_triples(gold.text, gold.relations)) == text_triples(gold.text, gold.relations) - missing
    again = codec.encode(found, tokens, PLAN)
    for name, entries in codec.entries({key: np.insert(v, 0, 0, axis=1) for key, v in targets.columns.items()}).items():
        more = codec.entries({key: np.insert(v, 0, 0, axis=1) for key, v in again.columns.items()})[name]
        assert {*map(tuple, more.tolist())} == {*map(tuple, entries.tolist())}


# Decoding


def outputs(random: np.random.Generator, batch: int, links: int = LINKS) -> FakeOutputs:
    def draw(*shape: int) -> Any:
        return random.normal(size=shape).astype(np.float32)

    def tags() -> dict[str, Any]:
        return {"weight": draw(1, links, 2, SIZE) * 2, "bias": draw(1, links, 2)}

    factors = {"left": draw(batch, 1, LENGTH, SIZE), "right": draw(batch, 1, LENGTH, SIZE)}
    entities = factors | {"weight": draw(1, 1, SIZE) * 2, "bias": draw(1, 1)}
    return FakeOutputs({"entities": [entities], "start_links": [tags()], "end_links": [tags()]})


class Plain:
    """The scores of one sample, entry by entry."""

    def __init__(self, found: FakeOutputs, sample: int) -> None:
        self.blocks = {name: blocks[0] for name, blocks in found.matrices.items()}
        self.sample = sample

    def vector(self, i: int, j: int) -> Any:
        entities = self.blocks["entities"]
        return np.tanh(entities["left"][self.sample, 0, i] + entities["right"][self.sample, 0, j])

    def entity(self, first: int, last: int) -> float:
        block = self.blocks["entities"]
        return float(block["weight"][0, 0] @ self.vector(first, last) + block["bias"][0, 0])

    def link(self, name: str, label: int, a: int, b: int) -> float:
        """Return the score of the tag that says: from a to b."""
        tags = [
            0.0,
            *(
                self.blocks[name]["weight"][0, label] @ self.vector(min(a, b), max(a, b))
                + self.blocks[name]["bias"][0, label]
            ),
        ]
        tag = 1 if a <= b else 2
        return float(tags[tag] - max(score for n, score in enumerate(tags) if n != tag))


def plain_triples(
    scores: Plain, tokens: list[int], roles: tuple[float, float], predicates: list[float]
) -> dict[tuple[int, ...], float]:
    spans = [(i, j) for i in tokens for j in tokens if i <= j]
    found = {}
    for subject, object_ in product(spans, spans):
        a, b = scores.entity(*subject), scores.entity(*object_)
        if a > roles[0] and b > roles[1]:
            for label, least in enumerate(predicates):
                links = [
                    scores.link(name, label, subject[n], object_[n])
                    for n, name in enumerate(("start_links", "end_links"))
                ]
                if min(links) > least:
                    found[label, *subject, *object_] = min(a, b, *links)
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.booleans(), st.sampled_from([16, 2**20]))
def test_decoded_triples_are_those_of_plain_loops(seed: int, plain: bool, block: int) -> None:
    random = np.random.default_rng(seed)
    found, mask = outputs(random, 2), random.random((2, LENGTH)) < 0.7
    decoding = (
        Decoding() if plain else Decoding(threshold=0.4, thresholds={"object": 0.7, "q": 0.2, "r": 0.6}, temperature=2)
    )
    roles, predicates = decoding.minimum_scores(ROLES), decoding.minimum_scores(SCHEMA.predicates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handshaking, "BLOCK_SCORES", block)
        decoded = codec_for().decoder(decoding).decode(found, mask)
    links = decoded.parts["links"]
    for sample in range(2):
        scores, tokens = Plain(found, sample), np.nonzero(mask[sample])[0].tolist()
        expected = plain_triples(scores, tokens, (float(roles[0]), float(roles[1])), predicates.tolist())
        here = links.entries[:, 0] == sample
        keys = [tuple(row) for row in links.entries[here][:, [1, 3, 4, 6, 7]].tolist()]
        got = dict(zip(keys, links.scores[here].tolist(), strict=True))
        assert len(got) == here.sum()
        assert got == pytest.approx(expected, abs=1e-4)
    assert not decoded.truncated


def test_all_scores_are_those_of_plain_loops() -> None:
    found = outputs(np.random.default_rng(1), 2)
    tokens = np.array([1, 2, 4, 5])
    scores = Plain(found, 1)
    entities, *links = codec_for().scores(found, 1, tokens)
    pairs = [(i, j) for i in tokens for j in tokens if i <= j]
    assert entities.tolist() == pytest.approx([scores.entity(i, j) for i, j in pairs], abs=1e-5)
    names = [(matrix, label) for matrix in ("start_links", "end_links") for label in range(LINKS)]
    for (name, label), matrix in zip(names, links, strict=True):
        expected = [[scores.link(name, label, a, b) for b in tokens] for a in tokens]
        np.testing.assert_allclose(matrix, expected, atol=1e-5)


def test_candidate_limits_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    found, mask = outputs(np.random.default_rng(3), 1), np.ones((1, LENGTH), dtype=np.bool_)
    low = codec_for().decoder(Decoding(threshold=0.3))
    every = low.decode(found, mask)
    assert not every.truncated
    spans = every.parts["spans"]
    monkeypatch.setattr(handshaking, "MAX_SPANS", 1)  # one span per token is always kept
    few = low.decode(found, mask)
    assert few.truncated == {0}
    assert sorted(few.parts["spans"].scores) == sorted(np.sort(spans.scores)[-2 * LENGTH :])
    monkeypatch.undo()
    monkeypatch.setattr(handshaking, "MAX_PAIRS", 5)
    few = low.decode(found, mask)
    assert few.truncated == {0}
    assert len(few.parts["links"].entries) == 5


def test_predicates_that_join_several_pairs_of_types_get_the_best_pair() -> None:
    joined = (("p", "A", "B"), ("p", "B", "A"))
    schema = LabelSchema(ROLES, ("p", "q"), {"p": (("A", "B"), ("B", "A")), "q": (("A", "A"),)}, joined=joined)
    document = Document("abcdefgh", [], [Relation(Entity(0, 2, "B"), "p", Entity(4, 5, "A"))])
    [tokens] = TOKENIZER.encode([document.text])
    codec = codec_for(schema)
    assert codec.encode(document, tokens, PLAN).columns["links"].tolist() == [[0, 0, 1, 4, 4], [3, 0, 1, 4, 4]]
    found, mask = outputs(np.random.default_rng(0), 1, links=4), np.ones((1, LENGTH), dtype=np.bool_)
    links = codec.decoder(Decoding(threshold=0.05)).decode(found, mask).parts["links"]
    scores = Plain(found, 0)
    chosen = [row for row in links.entries.tolist() if row[1] != 1]
    assert len({row[1] for row in chosen}) == 2
    for row in chosen:
        pairs = [
            min(scores.link("start_links", pair, row[3], row[6]), scores.link("end_links", pair, row[4], row[7]))
            for pair in (2, 3)
        ]
        assert row[1] == 2 + int(np.argmax(pairs))


def test_arguments_have_the_roles_of_their_relations_and_flat_removes_overlaps() -> None:
    [tokens] = TOKENIZER.encode(["abcdefgh"])
    spans = np.array([[role, *span, 0] for role in (0, 1) for span in ((0, 1), (1, 2), (4, 5), (6, 7))])
    scores = np.array([3.0, 1.0, 2.0, 4.0] * 2, dtype=np.float32)
    links = np.array([[0, 0, 0, 1, 1, 4, 5, 0], [1, 0, 1, 2, 1, 4, 5, 0]])
    found = {"spans": Candidates(spans, scores), "links": Candidates(links, np.array([1.0, 1.0], dtype=np.float32))}
    nested = codec_for().decoder(Decoding()).annotate(found, tokens, PLAN, "abcdefgh")
    assert [(e.start, e.end, e.label) for e in nested.entities] == [
        (0, 2, "subject"),
        (1, 3, "subject"),
        (4, 6, "object"),
    ]
    assert [r.predicate for r in nested.relations] == ["p", "q"]
    flat = codec_for().decoder(Decoding(flat=True)).annotate(found, tokens, PLAN, "abcdefgh")
    assert [(e.start, e.end, e.label) for e in flat.entities] == [(0, 2, "subject"), (4, 6, "object")]
    assert [r.predicate for r in flat.relations] == ["p"]
    empty = codec_for().decoder(Decoding()).annotate({}, tokens, PLAN, "abcdefgh")
    assert (empty.entities, empty.relations, empty.related) == ([], [], True)
