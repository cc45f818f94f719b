"""DyGIE++ and SciERC: documents with ``sentences``, lists of tokens, and their annotation by the tokens of the document.

::

    {"doc_key": "a1", "sentences": [["Ann", "slept", "."], ["She", "met", "Bob", "."]],
     "ner": [[[0, 0, "person"]], [[5, 5, "person"]]],
     "relations": [[], [[0, 0, 5, 5, "knows"]]],
     "events": [[], [[[4, "meeting"], [0, 0, "who"], [5, 5, "whom"]]]]}

Ends are inclusive. ``ner``, ``relations`` and ``events`` have one list per sentence. A record becomes one document, whose text is
joined from all its tokens; if it has several sentences, their offsets are kept in the field ``sentences``, from which they are
written again. An argument has the label of the first entity with its span. Events become those of `jsonl`; ``clusters`` of
coreference are not kept, and are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ie_cli.document import Argument, Document, Entity, Event, Relation
from ie_cli.document.fields import NO_TYPE
from ie_cli.errors import DataError
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import (
    EVENTS_LOST,
    NAMES_TAKEN,
    Lines,
    Reading,
    Record,
    error_at,
    require_storable,
    short,
)
from ie_cli.formats.common.joining import look_ahead, place_as_read, tokens_in
from ie_cli.formats.common.json_stream import FoundObject, convert_objects, lines_or_array
from ie_cli.formats.common.token_fields import TokenText, checked_tokens, is_integer
from ie_cli.formats.common.word_tokens import (
    Words,
    count_word_losses,
    has_exact_words,
    split_with_events,
)
from ie_cli.triples import typed_entities_of

SENTENCES, CLUSTERS = "sentences", "clusters"
FORMAT_FIELDS = frozenset({"doc_key", SENTENCES, "ner", "relations", "events", CLUSTERS})
HINT = (
    'write each record as {"doc_key": "a1", "sentences": [["Ann", "slept"]], "ner": [[[0, 0, "name"]]], "relations": [[]]}; '
    "count the tokens of the document from 0, the end inclusive."
)
OTHER_TYPES = "relations whose argument has another label than the first entity with its span get that label"
LOST_EVENTS = (
    "events are lost or changed: this format needs a trigger of one token, arguments without whitespace at their ends, whose "
    "labels are those of entities, and no other whitespace before them than single spaces between words"
)


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, and report the clusters, which are not kept."""
    clusters = 0
    joining, objects = look_ahead(lines_or_array(lines, path), _tokens_in, path, reading)

    def convert(fields: dict[str, Any], where: str) -> Document:
        nonlocal clusters
        sentences = _sentences(fields)
        tokens = TokenText.joined([token for sentence in sentences for token in sentence], joining)
        document = tokens.document(where, keep_columns=reading.keep_columns)
        document.id = jsonl.id_of({"id": fields.get("doc_key")})
        document.meta = {key: value for key, value in fields.items() if key not in FORMAT_FIELDS}
        if len(sentences) > 1:
            document.meta[SENTENCES] = _boundaries(sentences, tokens)
        if reading.annotation:
            _annotate(document, fields, tokens, len(sentences))
            clusters += len(fields[CLUSTERS]) if isinstance(fields.get(CLUSTERS), list) else 0
        return document

    yield from convert_objects(objects, convert, HINT)
    if clusters:
        reading.report(f"{path}: clusters of coreference, which are not kept: {clusters:,}")


def _tokens_in(found: FoundObject) -> list[str]:
    sentences = found[2].get(SENTENCES) if isinstance(found[2], dict) else None
    return [token for sentence in sentences for token in tokens_in(sentence)] if isinstance(sentences, list) else []


def _sentences(fields: dict[str, Any]) -> list[list[str]]:
    sentences = fields.get(SENTENCES)
    if not isinstance(sentences, list):
        raise DataError(f"'{SENTENCES}' must be a list of lists of tokens, got {short(sentences)}")
    return [checked_tokens(sentence, f"{SENTENCES}[{number}]") for number, sentence in enumerate(sentences)]


def _boundaries(sentences: Sequence[Sequence[str]], tokens: TokenText) -> list[list[int]]:
    """Return start and end of the sentences in the text; those without tokens have none."""
    found, first = [], 0
    for sentence in filter(None, sentences):
        last = first + len(sentence) - 1
        found.append([tokens.starts[first], tokens.starts[last] + len(tokens.tokens[last])])
        first = last + 1
    return found


def _annotate(document: Document, fields: dict[str, Any], tokens: TokenText, sentences: int) -> None:
    """Add the annotation of a record to its document."""
    labels: dict[tuple[int, int], str] = {}
    for where, value in _items(fields, "ner", sentences):
        first, last, label = _parts(value, 3, "[start, end, label]", where)
        entity = _entity((first, last), label, tokens, where)
        labels.setdefault((entity.start, entity.end), entity.label)
        document.entities.append(entity)
    document.entities = list(dict.fromkeys(document.entities))
    for where, value in _items(fields, "relations", sentences):
        *spans, predicate = _parts(value, 5, "[start, end, start, end, label]", where)
        subject, object_ = (_argument((spans[at], spans[at + 1]), labels, tokens, where) for at in (0, 2))
        document.relations.append(Relation(subject, _name(predicate, "predicate", where), object_))
    document.relations = list(dict.fromkeys(document.relations))
    document.related = fields.get("relations") is not None
    for where, value in _items(fields, "events", sentences):
        if not isinstance(value, list) or not value:
            raise DataError(f"{where}: an event must be a list of its trigger and its arguments, got {short(value)}")
        trigger = (
            value[0]
            if isinstance(value[0], list) and len(value[0]) == 3
            else _parts(value[0], 2, "[token, type]", where)
        )
        placed = _entity((trigger[0], trigger[-2]), trigger[-1], tokens, where)
        arguments = []
        for item in value[1:]:
            first, last, role = _parts(item, 3, "[start, end, role]", where)
            arguments.append(Argument(_name(role, "role", where), _argument((first, last), labels, tokens, where)))
        document.events.append(Event(placed.label, (placed.start, placed.end), tuple(arguments)))


def _items(fields: dict[str, Any], name: str, sentences: int) -> Iterator[tuple[str, Any]]:
    """Yield the annotation of all sentences, each with its place."""
    lists = fields.get(name)
    if lists is None:
        return
    if not isinstance(lists, list) or len(lists) != sentences or not all(isinstance(items, list) for items in lists):
        raise DataError(f"'{name}' must contain one list for each of {sentences} sentences, got {short(lists)}")
    for sentence, items in enumerate(lists):
        for number, item in enumerate(items):
            yield f"{name}[{sentence}][{number}]", item


def _parts(value: Any, count: int, form: str, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) != count:
        raise DataError(f"{where}: expected {form}, got {short(value)}")
    return value


def _entity(span: tuple[Any, Any], label: Any, tokens: TokenText, where: str) -> Entity:
    first, last = span
    count = len(tokens.tokens)
    if not (is_integer(first) and is_integer(last) and 0 <= first <= last < count):
        raise DataError(
            f"{where}: a span must satisfy 0 <= start <= end < {count}, the number of tokens, got {short(span)}"
        )
    try:
        return tokens.entity(first, last, label)
    except DataError as error:
        raise error_at(where, error) from error


def _argument(span: tuple[Any, Any], labels: Mapping[tuple[int, int], str], tokens: TokenText, where: str) -> Entity:
    found = _entity(span, NO_TYPE, tokens, where)
    return Entity(found.start, found.end, labels.get((found.start, found.end), NO_TYPE))


def _name(value: Any, what: str, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(f"{where}: a {what} must be a non-empty string, got {short(value)}")
    require_storable(value, what)
    return value


def write(document: Document) -> str:
    """Return one line; arguments of relations and of events that have a label are written as entities too."""
    words = split_with_events(document)
    bounds = _sentence_bounds(document, words) or [(0, len(words.tokens))]
    plan = _Plan(document, words)
    sentence_of = [number for number, (first, end) in enumerate(bounds) for _ in range(first, end)]
    ner: list[list[Any]] = [[] for _ in bounds]
    relations: list[list[Any]] = [[] for _ in bounds]
    events: list[list[Any]] = [[] for _ in bounds]
    for (first, last), label in plan.entities:
        ner[sentence_of[first]].append([first, last, label])
    for relation in words.relations:
        subject, object_ = words.spans[relation.subject], words.spans[relation.object]
        relations[sentence_of[subject[0]]].append([*subject, *object_, relation.predicate])
    for event in plan.events:
        token = words.spans[event.entities[0]][0]
        arguments = [[*words.spans[argument.entity], argument.role] for argument in event.arguments]
        events[sentence_of[token]].append([[token, event.type], *arguments])
    fields: dict[str, Any] = {} if document.id is None else {"doc_key": document.id}
    fields |= {SENTENCES: [words.tokens[first:end] for first, end in bounds], "ner": ner, "relations": relations}
    fields |= {"events": events} if any(events) else {}
    return jsonl.dump(fields | {key: value for key, value in document.meta.items() if key not in FORMAT_FIELDS})


class _Plan:
    """What is written of a document.

    Attributes:
        entities: the entities, as first and last token with a label.
        events: the events that the format can express.
        relabelled: number of relations with an argument that is read back with another label.
    """

    def __init__(self, document: Document, words: Words) -> None:
        known = [entity for entity in typed_entities_of(document) if entity in words.spans]
        self.entities = list(dict.fromkeys((words.spans[entity], entity.label) for entity in known))
        labels: dict[tuple[int, int], str] = {}
        for span, label in self.entities:
            labels.setdefault(span, label)

        def keeps_label(entity: Entity) -> bool:
            return labels.get(words.spans[entity], NO_TYPE) == entity.label

        def is_expressible(event: Event) -> bool:
            first, last = words.spans[event.entities[0]]
            return first == last and all(keeps_label(argument.entity) for argument in event.arguments)

        self.events = [e for e in document.events if has_exact_words(document, e, words) and is_expressible(e)]
        self.relabelled = sum(not (keeps_label(r.subject) and keeps_label(r.object)) for r in words.relations)


def _sentence_bounds(document: Document, words: Words) -> list[tuple[int, int]] | None:
    """Return the first token of each sentence and the end; None if the field `sentences` does not divide the tokens."""
    given = document.meta.get(SENTENCES)
    if not isinstance(given, list) or not given:
        return None
    bounds = []
    token = 0
    for span in given:
        if not (isinstance(span, list) and len(span) == 2 and all(map(is_integer, span))):
            return None
        first = token
        while token < len(words.tokens) and span[0] <= words.starts[token] and _end(words, token) <= span[1]:
            token += 1
        bounds.append((first, token))
    return bounds if token == len(words.tokens) else None


def _end(words: Words, token: int) -> int:
    return words.starts[token] + len(words.tokens[token])


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    words = split_with_events(document)
    plan = _Plan(document, words)
    _, starts = place_as_read(words.tokens)
    moved = {entity for entity, span in words.spans.items() if any(starts[at] != words.starts[at] for at in span)}
    kept = {event for event in plan.events if moved.isdisjoint(event.entities)}
    lost_events = len(set(document.events)) - len(kept)
    clashes = sum(name in FORMAT_FIELDS for name in document.meta)
    clashes -= SENTENCES in document.meta and _sentence_bounds(document, words) is not None
    counts = {OTHER_TYPES: plan.relabelled, LOST_EVENTS: lost_events, NAMES_TAKEN: clashes}
    return {
        **{what: count for what, count in count_word_losses(document, words).items() if what != EVENTS_LOST},
        **{what: count for what, count in counts.items() if count},
    }
