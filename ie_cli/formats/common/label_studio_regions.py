"""The regions and relations of an annotation in Label Studio, as entities and relations of a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ie_cli.document import Entity, Relation
from ie_cli.errors import DataError
from ie_cli.formats.common.base import checked_entity, require_storable, short
from ie_cli.formats.common.native_fields import score_of

LABELS, HYPERTEXT = "labels", "hypertextlabels"
UNNAMED = "relation"
"""The predicate of relations without labels."""
_DIRECTIONS = ("right", "left", "bi")


@dataclass(slots=True)
class RegionTally:
    """Counts what was chosen, skipped or not read.

    Attributes:
        several: tasks with several annotations.
        different: those of them with an annotation that differs from the one that is read.
        cancelled: annotations that were cancelled.
        skipped: tasks all of whose annotations were cancelled.
        predicted: tasks that were read from a prediction.
        unannotated: tasks without annotation and prediction.
        unnamed: relations without labels.
        lost: relations of regions that are not read.
        units: regions whose offsets count UTF-16 units.
        characters: regions whose offsets count characters, where UTF-16 units would differ.
        unknown: regions without a text where the two differ.
        unlabelled: regions without labels.
        notes: fields ``meta`` of tasks, regions and relations.
        others: regions and other results that are not read, by type.
    """

    several: int = 0
    different: int = 0
    cancelled: int = 0
    skipped: int = 0
    predicted: int = 0
    unannotated: int = 0
    unnamed: int = 0
    lost: int = 0
    units: int = 0
    characters: int = 0
    unknown: int = 0
    unlabelled: int = 0
    notes: int = 0
    others: Counter[str] = field(default_factory=Counter)

    def describe(self) -> Iterator[tuple[str, int]]:
        """Yield what was counted, with the counts that are not zero."""
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self.others.most_common())
        yield from (
            (what, count)
            for what, count in (
                ("tasks with several annotations, of which one is read", self.several),
                ("of these, tasks whose annotations differ", self.different),
                ("annotations that were cancelled, which are not read", self.cancelled),
                ("tasks without any other annotation, which are skipped", self.skipped),
                ("tasks without annotation, which are read from their predictions", self.predicted),
                ("tasks without annotation and prediction, which are skipped", self.unannotated),
                (f"relations without a label, whose predicate is {UNNAMED!r}", self.unnamed),
                ("relations of regions that are not read", self.lost),
                ("regions whose offsets count UTF-16 units, which are converted", self.units),
                (
                    "regions without a text after characters of two UTF-16 units, whose offsets are read as "
                    f"{'UTF-16 units' if self.prefers_units() else 'characters'}",
                    self.unknown,
                ),
                ("regions without a label", self.unlabelled),
                ("fields 'meta' of tasks, regions and relations, which are not kept", self.notes),
                (f"results that are no labelled spans of a text ({kinds})", self.others.total()),
            )
            if count
        )

    def prefers_units(self) -> bool:
        """Return whether offsets of regions without a text are UTF-16 units, as those of all regions with a text are."""
        return self.units > 0 and self.characters == 0


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the regions of an annotation say."""

    entities: list[Entity] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)

    def places(self) -> tuple[set[Entity], set[Relation]]:
        """Return the entities and relations as sets, which can be compared."""
        return set(self.entities), set(self.relations)


def regions_of(annotation: Mapping[str, Any]) -> list[Any]:
    """Return the results of an annotation or a prediction.

    Raises:
        DataError: they are no list.
    """
    result = annotation.get("result")
    if result is None:
        return []
    if not isinstance(result, list):
        raise DataError(f"'result' must be a list, got {short(result)}")
    return result


def annotation_of(results: Sequence[Any], text: str, tally: RegionTally) -> Annotation:
    """Return the entities and relations of the results of an annotation.

    Raises:
        DataError: one of them is invalid; the message does not include the place.
    """
    entities: list[Entity] = []
    by_id: dict[str, Entity] = {}
    for item in results:
        if not isinstance(item, dict):
            raise DataError(f"a result must be an object, got {short(item)}")
        tally.notes += bool(item.get("meta"))
        if item.get("type") == "relation":
            continue
        found = _entities(item, text, tally)
        entities += found
        if found and item.get("id") is not None:
            by_id.setdefault(str(item["id"]), found[0])
    relations = [
        relation for item in results if item.get("type") == "relation" for relation in _relations(item, by_id, tally)
    ]
    return Annotation(list(dict.fromkeys(entities)), list(dict.fromkeys(relations)))


def _entities(item: Mapping[str, Any], text: str, tally: RegionTally) -> list[Entity]:
    """Return the entities of a region, one for each of its labels; none if it is no labelled span of the text."""
    kind, value = str(item.get("type")), item.get("value")
    span = _span(kind, value, text, tally) if isinstance(value, dict) else None
    if span is None or not isinstance(value, dict):
        tally.others[kind] += 1
        return []
    labels = value.get(kind)
    if not labels:
        tally.unlabelled += 1
        return []
    if not isinstance(labels, list):
        raise DataError(f"'{kind}' of a region must be a list of labels, got {short(labels)}")
    score, mention = score_of(item.get("score")), value.get("text")
    if _is_same(text[slice(*span)], mention):
        mention = None
    return [checked_entity(*span, label, text, mention=mention, score=score) for label in labels]


def _span(kind: str, value: Mapping[str, Any], text: str, tally: RegionTally) -> tuple[int, int] | None:
    """Return start and end of a region in characters, which may be wrong; None if it does not count those of the text."""
    if kind == HYPERTEXT:
        places = value.get("globalOffsets")
        span = _converted(places, text, value.get("text"), tally) if isinstance(places, dict) else None
        same = span is not None and value.get("text") and _is_same(text[slice(*span)], value["text"])
        return span if same else None
    return _converted(value, text, value.get("text"), tally) if kind == LABELS else None


def _converted(places: Mapping[str, Any], text: str, mention: Any, tally: RegionTally) -> tuple[int, int] | None:
    start, end = places.get("start"), places.get("end")
    if type(start) is not int or type(end) is not int:
        return None
    span = start, end
    if text.isascii() or max(text) <= "\uffff" or (units := _from_units(span, text)) == span:
        return span
    if not isinstance(mention, str):
        tally.unknown += 1
        return units if tally.prefers_units() and units is not None else span
    if _is_same(text[slice(*span)], mention):
        tally.characters += 1
        return span
    if units is not None and _is_same(text[slice(*units)], mention):
        tally.units += 1
        return units
    return span


def _from_units(span: tuple[int, int], text: str) -> tuple[int, int] | None:
    """Return a span of UTF-16 units in characters, or None if it is none."""
    if not 0 <= span[0] < span[1] <= 2 * len(text):
        return None
    from ie_cli.formats.common.offset_units import UNITS  # loads numpy, which most files do not need

    places = UNITS[0].places(text)
    return None if places is None else places.read(span)


def _is_same(found: str, mention: Any) -> bool:
    """Return whether a region covers its text, in which Label Studio replaces line breaks and repeated spaces."""
    if not isinstance(mention, str):
        return mention is None
    return found == mention or (bool(found) and _bare(found) == _bare(mention.replace("\\n", "\n")))


def _bare(text: str) -> str:
    return "".join(text.split())


def _relations(item: Mapping[str, Any], by_id: Mapping[str, Entity], tally: RegionTally) -> list[Relation]:
    """Return the relations of a result, one for each of its labels and directions."""
    subject, object_ = (by_id.get(str(item.get(name))) for name in ("from_id", "to_id"))
    if subject is None or object_ is None:
        tally.lost += 1
        return []
    direction = item.get("direction") or _DIRECTIONS[0]
    if direction not in _DIRECTIONS:
        raise DataError(f"the direction of a relation must be one of {', '.join(_DIRECTIONS)}, got {short(direction)}")
    labels = item.get("labels") or []
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise DataError(f"'labels' of a relation must be a list of texts, got {short(labels)}")
    for label in labels:
        require_storable(label, "predicate")
    if not labels:
        tally.unnamed += 1
    pairs = {"right": [(subject, object_)], "left": [(object_, subject)]}
    pairs["bi"] = pairs["right"] + pairs["left"]
    score = score_of(item.get("score"))
    return [Relation(one, label, other, score) for label in labels or [UNNAMED] for one, other in pairs[direction]]
