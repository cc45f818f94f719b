"""The gold that flat output can contain: as many items as the best choice without overlaps, for every head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.heads import PLAN, TOKENIZER, codec_of_head

from ie_cli.codecs import flat
from ie_cli.codecs.base import Codec, find_reachable
from ie_cli.codecs.flat import largest_compatible
from ie_cli.codecs.limits import FLAT_ENTITY, FLAT_RELATION
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.recipe.heads import heads_of
from ie_cli.triples import ROLES, locate, triples_of

TEXT = "甲乙甲乙丙丁甲戊"
TYPES = LabelSchema(("A", "B"), ("p", "q"))
ROLE_SCHEMA = LabelSchema(ROLES, ("p", "q"))

spans = st.tuples(st.integers(0, len(TEXT) - 1), st.integers(1, 3)).map(lambda s: (s[0], min(len(TEXT), sum(s))))
entities = st.builds(lambda span, label: Entity(*span, label), spans, st.sampled_from("AB"))
relations = st.builds(Relation, entities, st.sampled_from("pq"), entities)
mentions = st.sampled_from(["甲", "甲乙", "乙", "丙丁", "丁", "戊"])
triples = st.builds(Spo, mentions, st.sampled_from("pq"), mentions)


def reachable(codec: Codec, document: Document, *, flat: bool) -> dict[str, int]:
    """Return the number of items that are not unreachable."""
    [tokens] = TOKENIZER.encode([document.text])
    found = find_reachable(codec, document, tokens, PLAN, flat=flat)
    return {kind: total - len(found.unreachable.get(kind, ())) for kind, total in found.counts.items()}


def apart(chosen: Sequence[Entity]) -> bool:
    """Return whether no two distinct entities share a character."""
    return all(a.end <= b.start or b.end <= a.start for a, b in combinations(set(chosen), 2))


def choices(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield all subsets, the largest first."""
    for size in range(len(items), -1, -1):
        yield from combinations(items, size)


def arguments(chosen: Sequence[Relation], *, labelled: bool) -> list[Entity]:
    """Return the entities that relations need in the output."""
    sides = [side for relation in chosen for side in (relation.subject, relation.object)]
    return [Entity(side.start, side.end, side.label if labelled else "") for side in sides]


@pytest.mark.parametrize("head", heads_of("ner"))
@settings(max_examples=60)
@given(found=st.lists(entities, max_size=7, unique=True))
def test_the_ceiling_of_entities_is_exact(head: str, found: list[Entity]) -> None:
    best = next(len(chosen) for chosen in choices(found) if apart(chosen))
    assert reachable(codec_of_head(head, LabelSchema(("A", "B"))), Document(TEXT, found), flat=True) == {
        "entities": best
    }


every_relation_head = pytest.mark.parametrize(
    ("head", "schema"), [("gplinker", TYPES), *((head, ROLE_SCHEMA) for head in heads_of("relation"))]
)


@every_relation_head
@settings(max_examples=60)
@given(found=st.lists(relations, max_size=5, unique=True))
def test_the_ceiling_of_relations_is_exact(head: str, schema: LabelSchema, found: list[Relation]) -> None:
    codec, labelled = codec_of_head(head, schema), not schema.roles

    def possible(chosen: Sequence[Relation]) -> bool:
        alone = Document(TEXT, [], list(chosen))
        return apart(arguments(chosen, labelled=labelled)) and reachable(codec, alone, flat=False)["relations"] == len(
            chosen
        )

    best = next(len(chosen) for chosen in choices(found) if possible(chosen))
    assert reachable(codec, Document(TEXT, [], found), flat=True)["relations"] == best


@every_relation_head
@settings(max_examples=60)
@given(spos=st.lists(triples, max_size=3))
def test_the_ceiling_of_triples_without_offsets_is_exact(head: str, schema: LabelSchema, spos: list[Spo]) -> None:
    codec, labelled = codec_of_head(head, schema), not schema.roles
    typed = [replace(spo, subject_type="A", object_type="B") for spo in spos]
    document = Document(TEXT, [], locate(TEXT, typed, "nearest").relations, spos=typed)
    everywhere: dict[Any, list[Relation]] = {triple: [] for triple in triples_of(document)}
    for one in locate(TEXT, typed, "all").relations:
        texts = (TEXT[one.subject.start : one.subject.end], one.predicate, TEXT[one.object.start : one.object.end])
        everywhere[texts].append(one)

    def possible(chosen: Sequence[Any]) -> bool:
        for relations in product(*(everywhere[triple] for triple in chosen)):
            alone = Document(TEXT, [], list(relations))
            if apart(arguments(relations, labelled=labelled)) and reachable(codec, alone, flat=False)[
                "relations"
            ] == len(chosen):
                return True
        return False

    best = next(len(chosen) for chosen in choices(list(everywhere)) if possible(chosen))
    assert reachable(codec, document, flat=True)["relations"] == best


def test_the_reasons_name_flat_output() -> None:
    outer, inner, other = Entity(0, 4, "A"), Entity(1, 2, "B"), Entity(6, 7, "B")
    found = [Relation(outer, "p", other), Relation(outer, "q", other), Relation(inner, "p", other)]
    document = Document(TEXT, [outer, inner, other], found)
    [tokens] = TOKENIZER.encode([TEXT])
    targets = find_reachable(codec_of_head("gplinker", TYPES), document, tokens, PLAN, flat=True)
    assert targets.unreachable == {
        "entities": [(outer, FLAT_ENTITY)]
        if (outer, FLAT_ENTITY) in targets.unreachable["entities"]
        else [(inner, FLAT_ENTITY)],
        "relations": [((TEXT[1:2], "p", TEXT[6:7]), FLAT_RELATION)],
    }
    assert find_reachable(codec_of_head("gplinker", TYPES), document, tokens, PLAN).unreachable == {
        "entities": [],
        "relations": [],
    }


def test_a_search_that_is_too_long_keeps_more_instead_of_less(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each relation joins two of five places, in two variants that overlap: no relation is certain.
    places = [(Entity(4 * n, 4 * n + 2, ""), Entity(4 * n + 1, 4 * n + 3, "")) for n in range(5)]
    pairs = [(one[a], two[b]) for one, two in combinations(places, 2) for a in (0, 1) for b in (0, 1)]
    exact = int(largest_compatible(pairs, []).sum())
    assert exact == 10
    monkeypatch.setattr(flat, "MAX_BRANCHES", 1)
    assert int(largest_compatible(pairs, []).sum()) == len(pairs)
    monkeypatch.undo()
    monkeypatch.setattr(flat, "MAX_CONFLICTING", 10)
    assert int(largest_compatible(pairs, []).sum()) == len(pairs)
