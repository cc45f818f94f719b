"""Triples by their texts <-> relations between places in the text, complex objects included.

A complex object of DuIE 2 is an ``@value`` with slots such as ``inWork``. It becomes ``(subject, P, @value)`` and, for each
slot, ``(@value, P.slot, slot value)``; going back, slots are put to every triple of P whose object has their value's text.
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

Mentions = Literal["nearest", "first", "all"]
Span = tuple[int, int]
Triple = tuple[str, str, str]

ROLES = ("subject", "object")
"""The entity rows of a relation model whose data annotate no entities."""
ABSENT = "mention not in the text"
"""Why a triple has no place."""
NO_TYPE = "entity"
"""The type of a mention whose data give none."""

MOST_PAIRS = 100_000
"""Pairs of places that `all` puts the triples of one text on: two mentions that come a thousand times each have a million. A
triple with more pairs than are left of these is put on the nearest one, and counted."""
MOST_WAYS = 1_000
"""Triples that the slots of one value give, each filler of one slot with each of the others."""

_SLOT = re.compile(r"(.+)\.([^\W\d]\w*)", re.S)
_RUN = re.compile(r"[A-Za-z\u00c0-\u024f]|[0-9]")


def slot_of(predicate: str) -> tuple[str, str] | None:
    """``("上映时间", "inArea")`` of ``上映时间.inArea``, None of a predicate that has not the form of a slot's."""
    match = _SLOT.fullmatch(predicate)
    return (match[1], match[2]) if match else None


def occurrences(text: str, mention: str) -> list[Span]:
    """All places of a mention, overlapping ones too, none inside a longer run of Latin letters or of digits.

    >>> occurrences("AB2 A 12", "A"), occurrences("11 2011", "11")
    ([(4, 5)], [(0, 2)])
    """
    found: list[Span] = []
    at = text.find(mention) if mention else -1
    while at >= 0:
        end = at + len(mention)
        if not (_one_run(text, at) or _one_run(text, end)):
            found.append((at, end))
        at = text.find(mention, at + 1)
    return found


def _one_run(text: str, border: int) -> bool:
    """Say whether a border stands between two letters of one Latin word, or two digits of one number."""
    if not 0 < border < len(text):
        return False
    left, right = text[border - 1], text[border]
    return bool(_RUN.match(left) and _RUN.match(right)) and left.isdigit() == right.isdigit()


@dataclass(slots=True)
class Located:
    """Where triples stand: their relations, and how many triples (slots count as one each) have no place or several.

    `absent` lists the triples that have no place, `ambiguous` counts those with more than one pair to choose from, `crowded`
    those that have too many pairs to be put on all of them.
    """

    relations: list[Relation] = field(default_factory=list)
    triples: int = 0
    ambiguous: int = 0
    crowded: int = 0
    absent: list[Triple] = field(default_factory=list)


def locate(
    text: str, spos: Iterable[Spo], mentions: Mentions, *, reachable: Callable[[Span], bool] = lambda span: True
) -> Located:
    """Put triples on the text.

    Args:
        mentions: which of the occurrences; ``nearest`` takes the pair with the fewest characters between, ``first`` the first
            occurrence of each, ``all`` every pair of different places, up to `MOST_PAIRS` in the text.
        reachable: of an occurrence, whether it may be chosen at all, e.g. because its borders are borders of tokens.
    """
    places: dict[str, list[Span]] = {}
    pairs: dict[tuple[str, str], list[tuple[Span, Span]]] = {}  # of a triple that needs no room in `all`
    room = MOST_PAIRS
    found = Located()
    chosen: dict[Relation, None] = {}
    for (subject, predicate, object_), (subject_type, object_type) in parts(spos).items():
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
            kind = "all" if needed <= room else "nearest"
            room -= needed if kind == "all" else 0
            found.crowded += kind != "all"
        if kind == "all":
            chosen_pairs = _choose(subjects, objects, kind)
        else:  # other predicates may join the same mentions, of which there may be many
            if (subject, object_) not in pairs:
                pairs[subject, object_] = list(_choose(subjects, objects, kind))
            chosen_pairs = pairs[subject, object_]
        for a, b in chosen_pairs:
            relation = Relation(Entity(*a, subject_type), predicate, Entity(*b, object_type))
            chosen.setdefault(relation)
    found.relations = list(chosen)
    return found


def find_places(text: str, mention: str) -> list[Span]:
    """Occurrences; where there is none, those in another case (DuIE's scorer takes case away)."""
    found = occurrences(text, mention)
    if not found and len(_lower(text)) == len(text) and len(mention.lower()) == len(mention):
        found = occurrences(_lower(text), mention.lower())
    return found


@lru_cache(maxsize=2)
def _lower(text: str) -> str:
    """A text in lower case; it is asked for again with every mention that does not occur as it is."""
    return text.lower()


def _count_pairs(subjects: list[Span], objects: list[Span]) -> int:
    """How many pairs `all` has."""
    same = subjects == objects and len(subjects) > 1
    return len(subjects) * (len(objects) - same)


def _choose(subjects: list[Span], objects: list[Span], mentions: Mentions) -> Iterable[tuple[Span, Span]]:
    if subjects == objects and len(subjects) > 1:  # one text: two places, rather than one twice
        return _choose_different(subjects, mentions)
    if mentions == "all":
        return product(subjects, objects)
    return [(subjects[0], objects[0]) if mentions == "first" else min(_neighbours(subjects, objects), key=_distance)]


def _choose_different(spans: list[Span], mentions: Mentions) -> Iterable[tuple[Span, Span]]:
    if mentions == "all":
        return permutations(spans, 2)
    return [(spans[0], spans[1]) if mentions == "first" else min(pairwise(spans), key=_distance)]


def _neighbours(subjects: list[Span], objects: list[Span]) -> Iterator[tuple[Span, Span]]:
    """Each subject with the objects that stand next to it; all spans of one side are of one length, in order."""
    for subject in subjects:
        at = bisect_left(objects, subject)
        for object_ in objects[max(0, at - 1) : at + 1]:
            yield subject, object_


def _distance(pair: tuple[Span, Span]) -> int:
    """Characters between two spans, 0 where they touch or overlap."""
    (start, end), (other_start, other_end) = pair
    return max(0, other_start - end, start - other_end)


def parts(spos: Iterable[Spo]) -> dict[Triple, tuple[str, str]]:
    """The triples of texts that some complex triples are made of, each with the types of subject and object."""
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
    """The triples of an example by their texts, slots as triples of their own."""
    if document.spos is not None:
        return set(parts(document.spos))
    return text_triples(document.text, document.relations)


def entities_of(document: Document) -> set[Entity]:
    """The entities of an example, the arguments of its relations included, whether listed or not."""
    return {*document.entities, *_arguments(document)}


def typed_entities_of(document: Document) -> list[Entity]:
    """The same in order, without those that only say the role of an argument: its relation has it with its type."""
    implied = {(role, side.start, side.end) for relation in document.relations for role, side in sides(relation)}
    own = [entity for entity in document.entities if (entity.label, entity.start, entity.end) not in implied]
    return list(dict.fromkeys([*own, *_arguments(document)]))


def sides(relation: Relation) -> tuple[tuple[str, Entity], tuple[str, Entity]]:
    """The arguments of a relation, each with its role, which is what a role model labels it."""
    return (ROLES[0], relation.subject), (ROLES[1], relation.object)


def _arguments(document: Document) -> list[Entity]:
    return [side for relation in document.relations for _, side in sides(relation)]


def text_triples(text: str, relations: Iterable[Relation]) -> set[Triple]:
    """The texts of relations, slots as triples of their own."""
    return {(_mention(text, r.subject), r.predicate, _mention(text, r.object)) for r in relations}


def to_spos(text: str, relations: Iterable[Relation]) -> list[Spo]:
    """Put complex objects together again, by value; sorted, without duplicates.

    A slot's relation counts as one where a relation of its predicate has its subject's text as object, and where not, as a
    triple of its own: predicates may hold a dot. A slot with several values gives a triple for each; where several slots have
    so many that there are more than `MOST_WAYS` to choose one of each, every filler is in some triple, but not with all others.
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
    """One (slot, text, type) for each slot, in every way, or at least with each filler."""
    choices = [[(slot, filler, kind) for filler, kind in fillers.items()] for slot, fillers in sorted(slots.items())]
    if math.prod(map(len, choices)) <= MOST_WAYS:
        return product(*choices)
    return (tuple(some[n % len(some)] for some in choices) for n in range(max(map(len, choices))))


def _mention(text: str, entity: Entity) -> str:
    return text[entity.start : entity.end]
