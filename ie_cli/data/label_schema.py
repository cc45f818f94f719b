"""The label schema of a model: entity labels and predicates with their indices, or the ordered classes of pairs of texts."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeGuard

from ie_cli.data.class_order import order_of_classes
from ie_cli.document.fields import NO_TYPE
from ie_cli.errors import DataError
from ie_cli.system.json_reading import loads
from ie_cli.system.streams import read_lines
from ie_cli.triples import ROLES, slot_of

Types = tuple[str, str]
Joined = tuple[str, str, str]
"""A predicate with one of the pairs of types that it joins."""


@dataclass(frozen=True)
class LabelSchema:
    """The labels and predicates of a model; an id is the label index in its head.

    Attributes:
        labels: entity labels; `ROLES` if the data annotate relations only; for pairs of texts, their classes from the least to
            the most similar.
        predicates: the predicates.
        types: the (subject type, object type) pairs of each predicate, the most frequent first.
        constrained: whether a triple must have one of the type pairs of its predicate.
        declared: predicates ``P.slot`` that are slots of complex objects, as opposed to predicates with a dot.
        joined: for `ROLES`, the pairs of the predicates that join several; the model tells them apart.
        grades: lowest and highest score of pairs of texts that have scores instead of classes; there are no labels then.
    """

    labels: tuple[str, ...]
    predicates: tuple[str, ...] = ()
    types: Mapping[str, tuple[Types, ...]] = field(default_factory=dict)
    constrained: bool = False
    declared: frozenset[str] = frozenset()
    joined: tuple[Joined, ...] = ()
    grades: tuple[float, float] | None = None

    @classmethod
    def build(cls, labels: Iterable[str], listed: Sequence[str] | None = None) -> LabelSchema:
        """Build the schema of an entity task; labels are sorted, or in the order ``listed`` in the recipe.

        Raises:
            DataError: the data contain no labels, or one that the recipe does not list.
        """
        return cls(_ordered(labels, listed))

    @classmethod
    def of_relations(
        cls,
        labels: Iterable[str] | None,
        pairs: Mapping[tuple[str, str, str], int],
        *,
        listed: Sequence[str] | None = None,
        known: Mapping[str, tuple[Types, ...]] | None = None,
        observed: bool = False,
        slots: Collection[str] = (),
    ) -> LabelSchema:
        """Build the schema of a relation task; predicates are sorted, or in the order of a schema file.

        Args:
            labels: the entity labels; None for `ROLES`.
            pairs: how often each (subject type, predicate, object type) occurs in the training data.
            listed: the labels listed in the recipe.
            known: predicates with their types from a schema file.
            observed: whether to constrain triples to the types of `pairs`.
            slots: predicates that are slots of complex objects in the training data.

        Raises:
            DataError: the data contain no relations, or a predicate that the schema file lacks.
        """
        if not pairs:
            raise DataError("the training data contain no relations", hint="check data.format, or use task: ner.")
        types = pairs_of(pairs)
        seen = dict(types)
        if known is not None:
            if extra := sorted(set(types) - set(known)):
                raise DataError(
                    f"the training data contain predicates that data.schema_file lacks: {', '.join(extra[:10])}",
                    hint="complete the file, or remove data.schema_file to use all predicates of the data.",
                )
            # The most frequent of several types comes first.
            allowed_by = {name: frozenset(allowed) for name, allowed in known.items()}
            usual = {name: [pair for pair in types.get(name, ()) if pair in allowed_by[name]] for name in known}
            types = {name: tuple(dict.fromkeys([*usual[name], *allowed])) for name, allowed in known.items()}
        predicates = tuple(known) if known is not None else tuple(sorted(types))
        if observed:
            types = {name: seen.get(name, ()) for name in predicates}
        declared = frozenset(slots)
        if labels is None:
            learned = {name: [pair for pair in types[name] if pair in seen.get(name, ())] for name in predicates}
            joined = tuple((name, *pair) for name, several in several_pairs(learned).items() for pair in several)
            return cls(ROLES, predicates, types, declared=declared, joined=joined)
        named = {kind for pair in types.values() for types_ in pair for kind in types_} if known is not None else set()
        entity_labels = _ordered({*labels, *named}, listed)
        return cls(entity_labels, predicates, types, observed or known is not None, declared)

    @classmethod
    def of_pairs(
        cls, labels: Mapping[str, int], scores: tuple[float, float] | None, listed: Sequence[str] | None = None
    ) -> LabelSchema:
        """Build the schema of pairs of texts: classes in their order, or the range of the scores.

        Args:
            labels: how often each class occurs in the training data.
            scores: lowest and highest score of the pairs without a class.
            listed: the classes from the least to the most similar, if the recipe lists them.

        Raises:
            DataError: the data contain nothing to learn, classes as well as scores, a class that the recipe does not list, or
                classes whose order is unknown.
        """
        if labels and scores is not None:
            raise DataError(
                "some pairs of the training data have a class, and others have only a score",
                hint="use data in which all pairs have a `label`, or in which none has one.",
            )
        if scores is not None:
            return cls((), grades=_range(scores, listed))
        if not labels:
            raise DataError(
                "the training data contain no pairs of texts with a class or a score",
                hint="check data.format; native JSON lines have the fields text, text_pair, and label or score.",
            )
        classes = _ordered(labels, listed) if listed is not None else order_of_classes(labels)
        if classes is None:
            raise DataError(
                f"the order of the classes {', '.join(sorted(labels)[:10])} is unknown",
                hint="list them in data.labels, from the least to the most similar.",
            )
        if len(labels) < 2:
            raise DataError(
                f"all pairs of the training data have the class {next(iter(labels))}: there is nothing to learn",
                hint="add pairs of another class.",
            )
        return cls(classes)

    @property
    def names(self) -> tuple[str, ...]:
        """Labels and predicates."""
        return (*self.labels, *self.predicates)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The index of each label."""
        return {label: index for index, label in enumerate(self.labels)}

    @cached_property
    def predicate_ids(self) -> dict[str, int]:
        """The index of each predicate."""
        return {predicate: index for index, predicate in enumerate(self.predicates)}

    @cached_property
    def links(self) -> tuple[tuple[str, Types | None], ...]:
        """What a link index means: first the predicates, then predicates with a pair of types, from `joined`."""
        return (*((name, None) for name in self.predicates), *((name, (a, b)) for name, a, b in self.joined))

    @cached_property
    def link_names(self) -> tuple[str, ...]:
        """A name for each link index, distinct from all others."""
        return tuple(name if pair is None else "\t".join((name, *pair)) for name, pair in self.links)

    @cached_property
    def pair_ids(self) -> dict[str, dict[Types, int]]:
        """The link indices of the pairs of types, by predicate."""
        found: dict[str, dict[Types, int]] = {}
        for index, (name, pair) in enumerate(self.links):
            if pair is not None:
                found.setdefault(name, {})[pair] = index
        return found

    def label_of(self, name: str) -> str:
        """Return the label or predicate that a name in a score matrix belongs to."""
        return self._predicate_of.get(name, name)

    @cached_property
    def _predicate_of(self) -> dict[str, str]:
        return {name: predicate for name, (predicate, _) in zip(self.link_names, self.links, strict=True)}

    def as_learned(self, facts: Mapping[str, Any]) -> LabelSchema:
        """Return the schema as a run with these facts learns it: an earlier version did not tell pairs of types apart."""
        return self if facts.get(JOINED) else replace(self, joined=())

    @property
    def roles(self) -> bool:
        """Whether the entity labels are the roles subject and object, not types."""
        return bool(self.predicates) and self.labels == ROLES

    @cached_property
    def slots(self) -> dict[str, str]:
        """Predicates that are slots of complex objects, mapped to the predicate whose object they belong to."""
        found = {name: slot[0] for name in self.predicates if (slot := slot_of(name)) is not None}
        return {name: base for name, base in found.items() if name in self.declared and base in self.predicate_ids}

    def usual_types(self, predicate: str) -> Types:
        """Return the types that a role model assigns to subject and object of a triple."""
        types = self.types.get(predicate)
        return types[0] if types else ROLES


def pairs_of(counts: Mapping[tuple[str, str, str], int]) -> dict[str, tuple[Types, ...]]:
    """Return the pairs of types that each predicate joins, the most frequent first.

    Args:
        counts: how often each (subject type, predicate, object type) occurs.
    """
    found: dict[str, list[Types]] = {}
    for subject, predicate, object_ in sorted(counts, key=lambda key: (-counts[key], key)):
        found.setdefault(predicate, []).append((subject, object_))
    return {predicate: tuple(pairs) for predicate, pairs in found.items()}


def several_pairs(types: Mapping[str, Iterable[Types]]) -> dict[str, list[Types]]:
    """Return the predicates that join several pairs of types; a pair with an argument of unknown type is none."""
    known = {name: [pair for pair in pairs if not {"", NO_TYPE} & set(pair)] for name, pairs in types.items()}
    return {name: pairs for name, pairs in known.items() if len(pairs) > 1}


def _range(scores: tuple[float, float], listed: Sequence[str] | None) -> tuple[float, float]:
    if listed is not None:
        raise DataError(
            f"data.labels lists {', '.join(listed[:10])}, but the pairs of the training data have scores instead of classes",
            hint="remove data.labels, or give each pair a `label`.",
        )
    if scores[0] == scores[1]:
        raise DataError(
            f"all pairs of the training data have the score {scores[0]:g}: there is nothing to learn",
            hint="add pairs with other scores.",
        )
    return scores


def _ordered(labels: Iterable[str], listed: Sequence[str] | None) -> tuple[str, ...]:
    found = set(labels)
    if listed is None:
        if not found:
            raise DataError(
                "the training data contain no entities",
                hint="check data.format, or list the labels in data.labels in the recipe.",
            )
        return tuple(sorted(found))
    if extra := sorted(found - set(listed)):
        raise DataError(
            f"the training data contain labels that data.labels does not list: {', '.join(extra)}",
            hint="add them to data.labels, or remove data.labels to use all labels of the data.",
        )
    return tuple(listed)


JOINED = "joined"
"""The field for the pairs of types; files of earlier versions have none."""
GRADES = "grades"
"""The field for the range of the scores of pairs; only models of graded pairs have it."""


def schema_facts(schema: LabelSchema) -> dict[str, Any]:
    """Convert a schema to JSON values for the model directory."""
    facts: dict[str, Any] = {"labels": schema.labels}
    if predicates := {name: schema.types.get(name, ()) for name in schema.predicates}:
        facts |= {"predicates": predicates, "constrained": schema.constrained, "slots": sorted(schema.declared)}
    if schema.joined:
        facts[JOINED] = schema.joined
    if schema.grades is not None:
        facts[GRADES] = schema.grades
    return facts


def schema_of_facts(facts: Mapping[str, Any]) -> LabelSchema:
    """Restore a schema from the JSON values of `schema_facts`.

    Raises:
        ValueError: the values are not a valid schema.
    """
    labels, predicates, slots = facts.get("labels"), facts.get("predicates", {}), facts.get("slots", [])
    grades = _grades(facts.get(GRADES))
    if not _names(labels) or (not labels and grades is None):
        raise ValueError("labels must be a list of names")
    if grades is not None and (labels or predicates):
        raise ValueError(f"{GRADES} and labels or predicates exclude each other")
    if len(set(labels)) < len(labels):
        raise ValueError("labels must not contain duplicates")
    if not isinstance(predicates, dict) or not all(map(_pairs, predicates.values())):
        raise ValueError("predicates must map names to pairs of types")
    if not _names(slots):
        raise ValueError("slots must be a list of names")
    if not isinstance(constrained := facts.get("constrained", False), bool):
        raise ValueError("constrained must be true or false")
    joined = facts.get(JOINED, [])
    if not isinstance(joined, list) or not all(_names(part) and len(part) == 3 for part in joined):
        raise ValueError(f"{JOINED} must be a list of a predicate and two types each")
    if any(part[0] not in predicates for part in joined) or len({*map(tuple, joined)}) < len(joined):
        raise ValueError(f"{JOINED} must have distinct pairs of known predicates")
    types = {name: tuple((a, b) for a, b in pairs) for name, pairs in predicates.items()}
    return LabelSchema(
        tuple(labels),
        tuple(predicates),
        types,
        constrained,
        frozenset(slots),
        tuple((name, a, b) for name, a, b in joined),
        grades,
    )


def _grades(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    numbers = isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value)
    if not numbers or not -math.inf < value[0] < value[1] < math.inf:
        raise ValueError(f"{GRADES} must be the lowest and the highest score")
    return float(value[0]), float(value[1])


def _names(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _pairs(value: Any) -> bool:
    return isinstance(value, list) and all(_names(pair) and len(pair) == 2 for pair in value)


def read_schema(path: str) -> dict[str, tuple[Types, ...]]:
    """Read the predicates and their types from a schema file of DuIE or CMeIE, in its order.

    A line is ``{"predicate", "subject_type", "object_type"}``; the object type is a string or ``{"@value", slot: type}``. Lines
    that do not start with a brace are comments.

    Raises:
        DataError: a line is invalid, or there are no predicates.
    """
    found: dict[str, dict[Types, None]] = {}
    slots: dict[str, dict[Types, None]] = {}
    for number, line in read_lines(path):
        if not line.lstrip("\ufeff \t").startswith("{"):
            continue
        try:
            entry = loads(line.lstrip("\ufeff"))
            predicate, subject, objects = entry["predicate"], entry["subject_type"], entry["object_type"]
            kinds = {"@value": objects} if isinstance(objects, str) else dict(objects)
            value = kinds.pop("@value")
            if not all(isinstance(name, str) and name for name in (predicate, subject, value, *kinds.values())):
                raise ValueError("a name is not a non-empty string")
            "".join((predicate, subject, value, *kinds, *kinds.values())).encode()  # fails for lone surrogates
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}:{number}: invalid line of a schema file: {line[:80]!r}",
                hint='write each line as {"subject_type": …, "predicate": …, "object_type": … or {"@value": …}}.',
            ) from error
        found.setdefault(predicate, {}).setdefault((subject, value))
        for slot, kind in kinds.items():
            slots.setdefault(f"{predicate}.{slot}", {}).setdefault((value, kind))
    if not found:
        raise DataError(
            f"{path}: the file contains no predicates",
            hint="give the schema file of the data: one JSON object per line.",
        )
    return {predicate: tuple(types) for predicate, types in (found | slots).items()}
