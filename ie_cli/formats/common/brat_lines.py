"""The lines of a brat annotation file: what they say in the data model, and what they say beyond it.

https://brat.nlplab.org/standoff.html describes them: ``T`` text-bound annotations, ``R`` relations, ``E`` events, ``*``
equivalences, ``A`` and ``M`` attributes, ``N`` normalizations, ``#`` notes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ie_cli.document import Argument, Document, Entity, Event, Relation
from ie_cli.document.discontinuous import FRAGMENTS, are_discontinuous, pieces_of
from ie_cli.document.fields import BRAT
from ie_cli.errors import DataError
from ie_cli.formats.common.base import OFFSETS_RULE, checked_entity, error_at, quoted, require_storable, short

HINT = "see https://brat.nlplab.org/standoff.html for the lines of .ann files."
SPAN_HINT = f"write a text-bound annotation as `T1<TAB>LABEL START END<TAB>TEXT`; {OFFSETS_RULE}."
DISCONTINUOUS = "discontinuous spans"
RELATIONS = "relations with a discontinuous end"
ARGUMENTS = "arguments and triggers of events that are discontinuous"
_KINDS = {"*": "equivalences", "A": "attributes", "M": "attributes", "N": "normalizations", "#": "notes"}
_SPACES = re.compile(r"\s+")
_SUFFIX = re.compile(r"(.*?[^0-9])([0-9]{1,4})", re.DOTALL)
_DEFAULT_ROLES = ("Arg1", "Arg2")
Numbered = tuple[int, str]


@dataclass(slots=True)
class Annotation:
    """What the lines of a text say.

    Attributes:
        spans: the text-bound annotations by their ids; None if one is discontinuous.
        events, relations: the events, and the relations between continuous spans, by their ids.
        triggers: the ids of the text-bound annotations that are triggers.
        others: the lines that the data model cannot express: those of discontinuous spans and their relations, equivalences,
            attributes, normalizations and notes.
        beyond: how many of each kind there are.
    """

    spans: dict[str, Entity | None] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    relations: dict[str, Relation] = field(default_factory=dict)
    triggers: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    beyond: Counter[str] = field(default_factory=Counter)

    @property
    def entities(self) -> list[Entity]:
        """The continuous spans that are no triggers."""
        return [span for key, span in self.spans.items() if span is not None and key not in self.triggers]

    def equals(self, document: Document) -> bool:
        """Return whether a document has the same entities, relations and events."""
        return (
            set(self.entities) == set(document.entities)
            and set(self.relations.values()) == set(document.relations)
            and set(self.events.values()) == set(document.events)
        )


def parse(lines: Iterable[Numbered], text: str, path: str) -> Annotation:
    """Interpret the lines of a text.

    Args:
        lines: the numbered lines.
        text: the text, whose characters the offsets count.
        path: the name of the file, for messages.

    Raises:
        DataError: a line is invalid, or refers to an annotation that is missing.
    """
    found = Annotation()
    rows = [(number, line) for number, line in lines if line.strip()]
    for number, line in rows:
        if line.startswith("T"):
            _at(path, number, _add_span, found, line, text)
    events = [row for row in rows if row[1].startswith("E")]
    heads: dict[str, tuple[str, str]] = {}
    for number, line in events:
        _at(path, number, _add_trigger, found, heads, line)
    for number, line in events:
        _at(path, number, _add_event, found, heads, line)
    for number, line in rows:
        if line.startswith("R"):
            _at(path, number, _add_relation, found, heads, line)
        elif line[0] in _KINDS:
            found.others.append(line)
            found.beyond[_KINDS[line[0]]] += 1
        elif line[0] not in "TE":
            raise DataError(f"{path}:{number}: not a line of brat: {quoted(line)}", hint=HINT)
    return found


def describe_beyond(path: str, beyond: Counter[str]) -> Iterator[str]:
    """Yield a report of what the data model cannot express, if there is any."""
    if +beyond:
        found = ", ".join(f"{what}: {number:,}" for what, number in (+beyond).items())
        yield f"{path}: kept in the field '{BRAT}' of native JSON alone, not learned: {found}"


def kept_beyond(lines: object, text: str) -> Counter[str]:
    """Count what the lines that a document keeps say beyond the data model; nothing if they do not fit its text."""
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        return Counter()
    try:
        return parse(enumerate(lines, 1), text, BRAT).beyond
    except DataError:
        return Counter()


def _at(path: str, number: int, add: Callable[..., None], *arguments: object) -> None:
    try:
        add(*arguments)
    except DataError as error:
        raise error_at(f"{path}:{number}", error, HINT) from error


def _add_span(found: Annotation, line: str, text: str) -> None:
    key, _, rest = line.partition("\t")
    place, tab, mention = rest.partition("\t")
    label, _, offsets = place.partition(" ")
    if key in found.spans:
        raise DataError(f"the id {quoted(key)} occurs twice", hint="give each annotation an id of its own.")
    if not label or not FRAGMENTS.fullmatch(offsets):
        raise DataError(f"not a text-bound annotation: {quoted(line)}", hint=SPAN_HINT)
    pieces = pieces_of(offsets)
    covered = " ".join(text[start:end] for start, end in pieces)
    same = not tab or _SPACES.sub(" ", covered) == _SPACES.sub(" ", mention)
    for start, end in pieces:
        # With several pieces, the mention joins them, so that none of them covers it.
        checked_entity(start, end, label, text, mention=mention if len(pieces) == 1 and not same else None)
    if not same:
        raise DataError(
            f"the characters {short(offsets)[1:-1]} are {quoted(covered)}, but the text is {quoted(mention)}",
            hint=SPAN_HINT,
        )
    if not are_discontinuous(pieces, text):
        found.spans[key] = Entity(pieces[0][0], pieces[-1][1], label)  # brat splits a span at line ends
        return
    found.spans[key] = None
    found.others.append(line)
    found.beyond[DISCONTINUOUS] += 1


def _arguments(line: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the id of a line and its ``ROLE:ID`` pairs, the first of which is the type."""
    key, _, rest = line.partition("\t")
    pairs = [part.rpartition(":") for part in rest.split()]
    if not pairs or any(not role or not reference for role, _, reference in pairs):
        raise DataError(f"expected ROLE:ID, got {quoted(line)}")
    for role, _, _ in pairs:
        require_storable(role, "role")
    return key, [(role, reference) for role, _, reference in pairs]


def _add_trigger(found: Annotation, heads: dict[str, tuple[str, str]], line: str) -> None:
    key, pairs = _arguments(line)
    if key in heads:
        raise DataError(f"the id {quoted(key)} occurs twice", hint="give each annotation an id of its own.")
    if pairs[0][1] not in found.spans:
        raise _missing(pairs[0][1])
    heads[key] = pairs[0]
    found.triggers.add(pairs[0][1])


def _resolve(found: Annotation, heads: Mapping[str, tuple[str, str]], reference: str) -> Entity | None:
    """Return the span of a text-bound annotation, or of the trigger of an event; None if it is discontinuous."""
    if reference in found.spans:
        return found.spans[reference]
    if reference not in heads:
        raise _missing(reference)
    kind, trigger = heads[reference]
    span = found.spans[trigger]
    return None if span is None else Entity(span.start, span.end, kind)


def _missing(reference: str) -> DataError:
    return DataError(f"there is no annotation {quoted(reference)}", hint="correct the id, or remove the line.")


def _add_event(found: Annotation, heads: Mapping[str, tuple[str, str]], line: str) -> None:
    key, [(kind, trigger), *pairs] = _arguments(line)
    roles = without_numbers([role for role, _ in pairs])
    arguments = []
    for role, (_, reference) in zip(roles, pairs, strict=True):
        entity = _resolve(found, heads, reference)
        if entity is None:
            found.beyond[ARGUMENTS] += 1
        else:
            arguments.append(Argument(role, entity))
    span = found.spans[trigger]
    found.beyond[ARGUMENTS] += span is None
    found.events[key] = Event(kind, None if span is None else (span.start, span.end), tuple(arguments))


def without_numbers(roles: Sequence[str]) -> list[str]:
    """Return the roles of an event without the numbers by which brat tells repeated ones apart.

    >>> without_numbers(["Org", "Org2", "Org3", "Site2"])
    ['Org', 'Org', 'Org', 'Site2']
    """
    plain = []
    for role in roles:
        match = _SUFFIX.fullmatch(role)
        repeated = match is not None and int(match[2]) >= 2 and match[1] in roles
        plain.append(match[1] if match is not None and repeated else role)
    return plain


def has_ambiguous_roles(event: Event) -> bool:
    """Return whether an event has a role that would be read back without its number."""
    roles = {name_of(argument.role) for argument in event.arguments}
    return without_numbers(sorted(roles)) != sorted(roles)


def _add_relation(found: Annotation, heads: Mapping[str, tuple[str, str]], line: str) -> None:
    key, _, rest = line.partition("\t")
    kind, _, ends = rest.partition(" ")
    _, pairs = _arguments(f"{key}\t{ends}")
    if not kind or len(pairs) != 2:
        raise DataError(f"expected a relation with two arguments, got {quoted(line)}")
    require_storable(kind, "predicate")
    if tuple(role for role, _ in pairs) == _DEFAULT_ROLES[::-1]:
        pairs.reverse()
    subject, object_ = (_resolve(found, heads, reference) for _, reference in pairs)
    if key in found.relations:
        raise DataError(f"the id {quoted(key)} occurs twice", hint="give each annotation an id of its own.")
    if subject is None or object_ is None:
        found.others.append(line)
        found.beyond[RELATIONS] += 1
    else:
        found.relations[key] = Relation(subject, kind, object_)


_ID = re.compile(r"[TERMAN#][^\s:]*")


@dataclass(slots=True)
class Written:
    """The lines of a document, and what they do not say.

    Attributes:
        lines: the lines.
        lost: the number of its annotations beyond the data model that refer to what was changed or removed.
    """

    lines: list[str]
    lost: int = 0


class _Writer:
    """Numbers the annotations of a document and writes their lines."""

    def __init__(self, document: Document) -> None:
        self._text = document.text
        self.lines: list[str] = []
        self._counts: Counter[str] = Counter()
        events = sorted(set(document.events))
        self.triggers: dict[tuple[int, int, str], str] = {}
        self.entities: dict[Entity, str] = {}
        self.events: dict[Event, str] = {}
        self.relations: dict[Relation, str] = {}
        spans = {event: (*event.trigger, event.type) for event in events if event.trigger is not None}
        arguments = {argument.entity for event in events for argument in event.arguments}
        ends = {end for relation in document.relations for end in (relation.subject, relation.object)}
        plain = set(document.entities)
        plain |= {one for one in ends | arguments if (one.start, one.end, one.label) not in spans.values()}
        for entity in sorted(plain):
            self.entities[entity] = self._span(entity.start, entity.end, entity.label)
        for span in dict.fromkeys(spans.values()):
            self.triggers[span] = self._span(*span)
        self._first_events = {spans[event]: f"E{number}" for number, event in reversed(list(enumerate(spans, 1)))}
        for event in spans:
            self.events[event] = self._event(event, self.triggers[spans[event]])
        for relation in sorted(set(document.relations)):
            ends_of = " ".join(
                f"{role}:{self._reference(end)}"
                for role, end in zip(_DEFAULT_ROLES, (relation.subject, relation.object), strict=True)
            )
            self.relations[relation] = self.add("R", f"{name_of(relation.predicate)} {ends_of}\t")

    def add(self, kind: str, rest: str) -> str:
        """Add a line with the next id of its kind, and return the id."""
        self._counts[kind] += kind != "*"
        key = "*" if kind == "*" else f"{kind}{self._counts[kind]}"
        self.lines.append(f"{key}\t{rest}")
        return key

    def _span(self, start: int, end: int, label: str) -> str:
        pieces = _pieces(self._text, start, end)
        mention = " ".join(one_line(self._text[a:b]) for a, b in pieces)
        return self.add("T", f"{name_of(label)} {';'.join(f'{a} {b}' for a, b in pieces)}\t{mention}")

    def _reference(self, entity: Entity) -> str:
        return self.entities.get(entity) or self.triggers[entity.start, entity.end, entity.label]

    def _event(self, event: Event, trigger: str) -> str:
        seen: Counter[str] = Counter()
        parts = [f"{name_of(event.type)}:{trigger}"]
        for argument in event.arguments:
            role, entity = name_of(argument.role), argument.entity
            seen[role] += 1
            number = "" if seen[role] == 1 else str(seen[role])
            reference = self.entities.get(entity) or self._first_events[entity.start, entity.end, entity.label]
            parts.append(f"{role}{number}:{reference}")
        return self.add("E", " ".join(parts))


def write(document: Document, kept: Sequence[str] | None) -> Written:
    """Return the lines of a document.

    Args:
        document: the document.
        kept: the lines that it was read from, if it was. They are returned if they still say the same; if not, what they say
            beyond the data model is added to the new lines, as far as it refers to annotations that have not changed.
    """
    before = None
    if kept is not None:
        try:
            before = parse(enumerate(kept, 1), document.text, "")
        except DataError:  # lines of another text
            before = None
        if before is not None and before.equals(document):
            return Written(list(kept))
    writer = _Writer(document)
    lost = 0 if before is None else _carry(before, writer)
    return Written(writer.lines, lost)


def _carry(before: Annotation, writer: _Writer) -> int:
    """Add the lines that the data model cannot express with new ids, and return how many refer to something that is gone."""
    ids: dict[str, str] = {}
    for key, span in before.spans.items():
        if span is not None:
            found = writer.entities.get(span) or writer.triggers.get((span.start, span.end, span.label))
            ids |= {} if found is None else {key: found}
    ids |= {key: writer.events[event] for key, event in before.events.items() if event in writer.events}
    ids |= {key: writer.relations[one] for key, one in before.relations.items() if one in writer.relations}
    lost = 0
    for line in sorted(before.others, key=lambda line: "TR*AMN#".index(line[0])):
        key, _, rest = line.partition("\t")
        references, tab, note = rest.partition("\t")
        head, *others = references.split(" ")
        if key[0] == "T":
            ids[key] = writer.add("T", rest)
            continue
        named = [part.rpartition(":") for part in others]
        known = before.spans.keys() | before.events.keys() | before.relations.keys()
        gone = [part[2] for part in named if part[2] in known and part[2] not in ids]
        if gone or (key[0] == "#" and named and named[0][2] not in ids and _ID.fullmatch(named[0][2])):
            lost += 1
            continue
        parts = [f"{role}{colon}{ids.get(reference, reference)}" for role, colon, reference in named]
        ids[key] = writer.add(key[0], " ".join([head, *parts]) + tab + note)
    return lost


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the parts of a span between line ends, as brat writes it; the span if a line end is at one of its ends."""
    pieces = [(start + match.start(), start + match.end()) for match in re.finditer(r"[^\r\n]+", text[start:end])]
    whole = bool(pieces) and (pieces[0][0], pieces[-1][1]) == (start, end)
    blank = any(not text[a:b].strip() for a, b in pieces)
    return pieces if whole and not blank else [(start, end)]


def one_line(text: str) -> str:
    """Return a text with spaces instead of line ends and tabs."""
    return re.sub(r"[\r\n\t]", " ", text)


def name_of(label: str) -> str:
    """Return a label as brat can store it, without whitespace."""
    return re.sub(r"\s", "_", label)
