"""Conversion between triples of texts and relations between spans, complex objects included.

A complex object of DuIE 2 is an ``@value`` with slots such as ``inWork``. It becomes ``(subject, P, @value)`` and, for each
slot, ``(@value, P.slot, slot value)``. The inverse adds a slot to every triple of P whose object has the text of its value.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise, permutations, product
from typing import Literal

from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.document.trimming import trim_text
from ie_cli.document.word_boundaries import begins_word, ends_word

Mentions = Literal["nearest", "first", "all"]
Span = tuple[int, int]
Triple = tuple[str, str, str]

ROLES = ("subject", "object")
"""The entity labels of a relation model whose data annotate no entities."""
ABSENT = "mention not in the text"
"""The reason why a triple cannot be located."""

MAX_PAIRS, PAIRS_PER_CHARACTER = 100_000, 10
"""Limits on the span pairs that ``all`` creates for the triples of one text: two mentions that occur a thousand times each
have a million pairs. The second one keeps the cost proportional to the size of the data. A triple that exceeds the remaining
limit gets the nearest pair only, and is counted."""
MAX_COMBINATIONS = 1_000
"""Limit on the triples generated for one value by combining the fillers of its slots."""

_SLOT = re.compile(r"(.+)\.([^\W\d]\w*)", re.S)


def slot_of(predicate: str) -> tuple[str, str] | None:
    """Split a slot predicate: ``("上映时间", "inArea")`` for ``上映时间.inArea``, or None if it does not have this form."""
    match = _SLOT.fullmatch(predicate)
    return (match[1], match[2]) if match else None


def occurrences(text: str, mention: str) -> list[Span]:
    """Return all spans of a mention, overlapping ones included, except those inside a longer word or number.

    >>> occurrences("AB2 A 12", "A"), occurrences("11 2011", "11")
    ([(4, 5)], [(0, 2)])
    """
    found: list[Span] = []
    at = text.find(mention) if mention else -1
    while at >= 0:
        end = at + len(mention)
        if begins_word(text, at) and ends_word(text, end):
            found.append((at, end))
        at = text.find(mention, at + 1)
    return found


@dataclass(slots=True)
class LocatedTriples:
    """The relations located for some triples, with counts.

    Attributes:
        triples: number of triples; each slot of a complex object counts as one.
        ambiguous: number of triples with more than one span pair to choose from.
        truncated: number of triples with too many span pairs to use all of them.
        absent: the triples that cannot be located.
    """

    relations: list[Relation] = field(default_factory=list)
    triples: int = 0
    ambiguous: int = 0
    truncated: int = 0
    absent: list[Triple] = field(default_factory=list)


def locate(
    text: str, spos: Iterable[Spo], mentions: Mentions, *, reachable: Callable[[Span], bool] = lambda span: True
) -> LocatedTriples:
    """Locate triples in a text.

    Args:
        text: the text to search.
        spos: the triples.
        mentions: which occurrences to use: ``nearest`` takes the pair with the fewest characters in between, ``first`` the
            first occurrence of each mention, ``all`` every pair of different spans, up to the limits of this module.
        reachable: whether an occurrence may be used at all, e.g. because its boundaries are token boundaries.
    """
    places: dict[str, list[Span]] = {}
    pairs: dict[tuple[str, str], list[tuple[Span, Span]]] = {}  # cache for `nearest` and `first`
    remaining = min(MAX_PAIRS, PAIRS_PER_CHARACTER * len(text))
    found = LocatedTriples()
    chosen: dict[Relation, None] = {}
    for (subject, predicate, object_), (subject_type, object_type) in simple_triples(spos).items():
        found.triples += 1
        for mention in (subject, object_):
            if mention not in places:
                places[mention] = [span for span in find_places(text, mention) if reachable(span)]
        subjects, objects = places[subject], places[object_]
        if not subjects or not objects:
            found.absent.append((subject, predicate, object_))
            continue
        found.ambiguous += len(subjects) > 1 or len(objects) > 1
        kind = mentions
        if mentions == "all":
            needed = _count_pairs(subjects, objects)
            kind = "all" if needed <= remaining else "nearest"
            remaining -= needed if kind == "all" else 0
            found.truncated += kind != "all"
        if kind == "all":
            chosen_pairs = _choose(subjects, objects, kind)
        else:  # several predicates may join the same mentions, which may occur many times
            if (subject, object_) not in pairs:
                pairs[subject, object_] = list(_choose(subjects, objects, kind))
            chosen_pairs = pairs[subject, object_]
        for a, b in chosen_pairs:
            relation = Relation(Entity(*a, subject_type), predicate, Entity(*b, object_type))
            chosen.setdefault(relation)
    found.relations = list(chosen)
    return found


def find_places(text: str, mention: str) -> list[Span]:
    """Return the occurrences of a mention or, if there are none, those that differ only in case (DuIE's scorer ignores case).

    Whitespace at the ends of the mention is ignored: no model predicts it.
    """
    mention = trim_text(mention)
    found = occurrences(text, mention)
    if not found and len(_lower(text)) == len(text) and len(mention.lower()) == len(mention):
        found = occurrences(_lower(text), mention.lower())
    return found


@lru_cache(maxsize=2)
def _lower(text: str) -> str:
    """Lowercase a text; cached, because every mention without an exact match needs it again."""
    return text.lower()


def _count_pairs(subjects: list[Span], objects: list[Span]) -> int:
    """Count the pairs that ``all`` yields."""
    same = subjects == objects and len(subjects) > 1
    return len(subjects) * (len(objects) - same)


def _choose(subjects: list[Span], objects: list[Span], mentions: Mentions) -> Iterable[tuple[Span, Span]]:
    if subjects == objects and len(subjects) > 1:  # the same mention: two different spans rather than one twice
        return _choose_different(subjects, mentions)
    if mentions == "all":
        return product(subjects, objects)
    return [(subjects[0], objects[0]) if mentions == "first" else min(_neighbours(subjects, objects), key=_distance)]


def _choose_different(spans: list[Span], mentions: Mentions) -> Iterable[tuple[Span, Span]]:
    if mentions == "all":
        return permutations(spans, 2)
    return [(spans[0], spans[1]) if mentions == "first" else min(pairwise(spans), key=_distance)]


def _neighbours(subjects: list[Span], objects: list[Span]) -> Iterator[tuple[Span, Span]]:
    """Yield each subject with the objects next to it; the spans of each side are sorted and equally long."""
    for subject in subjects:
        at = bisect_left(objects, subject)
        for object_ in objects[max(0, at - 1) : at + 1]:
            yield subject, object_


def _distance(pair: tuple[Span, Span]) -> int:
    """Return the number of characters between two spans, 0 if they touch or overlap."""
    (start, end), (other_start, other_end) = pair
    return max(0, other_start - end, start - other_end)


def simple_triples(spos: Iterable[Spo]) -> dict[Triple, tuple[str, str]]:
    """Split complex triples into simple triples of texts, each mapped to the types of its subject and object."""
    found: dict[Triple, tuple[str, str]] = {}
    for spo in spos:
        of_slots = dict(spo.slot_types)
        types = [
            (spo.subject_type, spo.object_type),
            *((spo.object_type, of_slots.get(slot, "")) for slot, _ in spo.slots),
        ]
        for triple, pair in zip(spo.triples, types, strict=True):
            found.setdefault(triple, pair)
    return found


def triples_of(document: Document) -> set[Triple]:
    """Return the triples of an example by their texts, with slots as separate triples."""
    if document.spos is not None:
        return set(simple_triples(document.spos))
    return text_triples(document.text, document.relations)


def entities_of(document: Document) -> set[Entity]:
    """Return the entities of an example, including arguments of relations that are not listed as entities."""
    return {*document.entities, *_arguments(document)}


def entities_and_unrelated(document: Document) -> tuple[int, int]:
    """Return the number of entities, and of those whose span is no argument of a relation; none if none are annotated."""
    if not document.entities:
        return 0, 0
    entities = entities_of(document)
    related = {(side.start, side.end) for side in _arguments(document)}
    return len(entities), sum((entity.start, entity.end) not in related for entity in entities)


def typed_entities_of(document: Document) -> list[Entity]:
    """Return the same in order, without entities whose label only repeats the role of a relation's argument."""
    implied = {
        (role, side.start, side.end) for relation in document.relations for role, side in role_arguments(relation)
    }
    own = [entity for entity in document.entities if (entity.label, entity.start, entity.end) not in implied]
    return list(dict.fromkeys([*own, *_arguments(document)]))


def role_arguments(relation: Relation) -> tuple[tuple[str, Entity], tuple[str, Entity]]:
    """Return the arguments of a relation, each with its role, which is its label in a role model."""
    return (ROLES[0], relation.subject), (ROLES[1], relation.object)


def _arguments(document: Document) -> list[Entity]:
    return [side for relation in document.relations for _, side in role_arguments(relation)]


def text_triples(text: str, relations: Iterable[Relation]) -> set[Triple]:
    """Return relations as triples of texts, with slots as separate triples."""
    return {(_mention(text, r.subject), r.predicate, _mention(text, r.object)) for r in relations}


def to_spos(text: str, relations: Iterable[Relation]) -> list[Spo]:
    """Reassemble complex objects by value; the result is sorted and has no duplicates.

    A relation ``P.slot`` becomes a slot only if some relation P has the slot's subject as its object. Otherwise it becomes a
    separate triple, because predicates may contain a dot. A slot with several values yields one triple per value. If several
    slots have more than `MAX_COMBINATIONS` combinations of values, every value occurs in some triple, but not with all others.
    """
    relations = list(relations)
    values = {(relation.predicate, _mention(text, relation.object)) for relation in relations}
    names = {predicate for predicate, _ in values}
    nested = {name for name in names if (slot := slot_of(name)) is not None and slot[0] in names}  # slots have no slots
    slots: dict[tuple[str, str], dict[str, dict[str, str]]] = {}  # (predicate, value) -> slot -> text -> type
    plain: list[Relation] = []
    for relation in relations:
        slot = slot_of(relation.predicate)
        value = _mention(text, relation.subject)
        if slot is None or (slot[0], value) not in values or slot[0] in nested:
            plain.append(relation)
            continue
        of_value = slots.setdefault((slot[0], value), {})
        of_value.setdefault(slot[1], {}).setdefault(_mention(text, relation.object), relation.object.label)
    spos: dict[Spo, None] = {}
    for relation in plain:
        value = _mention(text, relation.object)
        for combination in _combinations(slots.get((relation.predicate, value), {})):
            spo = Spo(
                _mention(text, relation.subject),
                relation.predicate,
                value,
                tuple((slot, filler) for slot, filler, _ in combination),
                relation.subject.label,
                relation.object.label,
                tuple((slot, kind) for slot, _, kind in combination),
            )
            spos.setdefault(spo)
    return sorted(spos)


def _combinations(slots: dict[str, dict[str, str]]) -> Iterator[tuple[tuple[str, str, str], ...]]:
    """Yield combinations of one (slot, text, type) per slot: all of them, or enough for each filler to occur."""
    choices = [[(slot, filler, kind) for filler, kind in fillers.items()] for slot, fillers in sorted(slots.items())]
    if math.prod(map(len, choices)) <= MAX_COMBINATIONS:
        return product(*choices)
    return (tuple(some[n % len(some)] for some in choices) for n in range(max(map(len, choices))))


def _mention(text: str, entity: Entity) -> str:
    return text[entity.start : entity.end]
