"""UIE: ``content``, ``prompt`` and ``result_list``, one prompt per line, as PaddleNLP converts doccano's exports.

::

    {"content": "周雨晨住在青川", "prompt": "人物", "result_list": [{"text": "周雨晨", "start": 0, "end": 3}]}
    {"content": "周雨晨住在青川", "prompt": "周雨晨的住地", "result_list": [{"text": "青川", "start": 5, "end": 7}]}

Consecutive lines with the same text, and the same other fields, are one document; a prompt that it already has, or an
empty one, starts another one. A prompt is a label, or ``SUBJECT的PREDICATE``
or ``PREDICATE of SUBJECT`` if the subject is in the text; the results are then its objects. Subjects have no offsets: of several
occurrences, an entity with this text is preferred, then the one nearest to the object. Prompts with options, such as
``情感[正向,负向]``, classify the text: they are not read, and counted.

If the lines of a text are not consecutive, as in files that were shuffled, each group of them is a document that lacks the
annotation of the others. They are counted: sort the file by ``content`` first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ie_cli.document import Document, Entity, Relation
from ie_cli.document.fields import NO_TYPE
from ie_cli.errors import DataError
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import (
    BadLine,
    Lines,
    Reading,
    Record,
    checked_entity,
    count_name_clashes,
    count_native_only,
    count_unlocated,
    require_storable,
    short,
)
from ie_cli.formats.common.joining import is_cjk
from ie_cli.formats.common.json_stream import lines_or_array, objects_of
from ie_cli.formats.common.text_groups import RepeatedTexts, TextGroup, grouped
from ie_cli.triples import Span, find_places

PROMPT_FIELDS = frozenset({"content", "prompt", "result_list"})
FORMAT_FIELDS = PROMPT_FIELDS | {"id"}
HINT = 'write each line as {"content": "…", "prompt": "LABEL", "result_list": [{"text": "…", "start": 0, "end": 2}]}.'
ENTITIES_LOST = "entities whose label is read as a relation, or is in brackets, are lost"
RELATIONS_CHANGED = (
    "relations are read back with another subject or other types, because subjects are given by their text"
)
_OPTIONS = re.compile(r".*\[.*\]", re.S)
_OF = (("的", True), (" of ", False))
"""What separates subject and predicate, and whether the subject comes first."""


Prompt = tuple[str, list[Entity]]


@dataclass(slots=True)
class _Tally:
    """Counts what is read in a way that a user should know."""

    path: str
    relations: int = 0
    ambiguous: int = 0
    options: int = 0

    def report(self, reading: Reading) -> None:
        """Report the counts."""
        if self.ambiguous:
            reading.report(
                f"{self.path}: relations whose subject has several possible positions: {self.ambiguous:,} of {self.relations:,}"
            )
        if self.options:
            reading.report(f"{self.path}: prompts with options, which are not read: {self.options:,}")


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield a document for consecutive records with the same text."""
    tally, repeated = _Tally(path), RepeatedTexts(path, "content")

    def read_part(fields: dict[str, Any], text: str) -> Prompt:
        return _prompt(fields, text) if reading.annotation else ("", [])

    for group in grouped(lines_or_array(lines, path), _split, read_part, HINT, key=_key):
        if isinstance(group, BadLine):
            yield group
        else:
            repeated.add(group.text)
            yield _document(group, tally)
    tally.report(reading)
    if reading.annotation:
        repeated.report(reading)


def _split(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the text of a record, and its fields other than the prompt."""
    text = fields.get("content")
    if not isinstance(text, str):
        raise DataError(f"'content' must be a string, got {short(text)}")
    jsonl.id_of(fields)
    return text, {name: value for name, value in fields.items() if name not in PROMPT_FIELDS}


def _key(fields: dict[str, Any]) -> object:
    """Return the prompt, or None if it has to be rejected with its document."""
    prompt = fields.get("prompt")
    return None if prompt == "" and fields.get("result_list") else prompt


def _prompt(fields: dict[str, Any], text: str) -> Prompt:
    """Return a prompt and its results, which have no label."""
    prompt = fields.get("prompt")
    if not isinstance(prompt, str):
        raise DataError(f"'prompt' must be a string, got {short(prompt)}")
    require_storable(prompt, "prompt")
    results = objects_of(fields, "result_list")
    if _OPTIONS.fullmatch(prompt):
        return prompt, []
    if results and not prompt:
        raise DataError("'prompt' must not be empty if there are results")
    return prompt, [
        checked_entity(value.get("start"), value.get("end"), NO_TYPE, text, mention=value.get("text"))
        for value in results
    ]


def _document(group: TextGroup[Prompt], tally: _Tally) -> Document:
    """Return the document of a group."""
    meta = {name: value for name, value in group.rest.items() if name != "id"}
    document = Document(group.text, [], [], jsonl.id_of(group.rest), meta, group.where)
    subjects = [_subject(prompt, group.text) for prompt, _ in group.parts]
    entities: dict[Entity, None] = {}
    for (prompt, results), subject in zip(group.parts, subjects, strict=True):
        tally.options += _OPTIONS.fullmatch(prompt) is not None
        if subject is None:
            entities.update((Entity(result.start, result.end, prompt), None) for result in results)
    document.entities = list(entities)
    labels: dict[Span, str] = {}
    for entity in document.entities:
        labels.setdefault((entity.start, entity.end), entity.label)
    relations: dict[Relation, None] = {}
    for (_, results), subject in zip(group.parts, subjects, strict=True):
        if subject is None:
            continue
        document.related = True
        places, predicate = _preferred(subject[0], group.text, labels), subject[1]
        for result in results:
            place = min(places, key=lambda span: max(0, span[0] - result.end, result.start - span[1]))
            object_ = (result.start, result.end)
            arguments = (Entity(*span, labels.get(span, NO_TYPE)) for span in (place, object_))
            relations.setdefault(Relation(next(arguments), predicate, next(arguments)))
            tally.relations += 1
            tally.ambiguous += len(places) > 1
    document.relations = list(relations)
    return document


def _subject(prompt: str, text: str) -> tuple[str, str] | None:
    """Return the subject and the predicate of a prompt, or None if it is a label: the longest subject in the text counts."""
    found = []
    for separator, first in _OF:
        parts = prompt.split(separator)
        for at in range(1, len(parts)):
            before, after = separator.join(parts[:at]), separator.join(parts[at:])
            subject, predicate = (before, after) if first else (after, before)
            if subject and predicate and subject in text:
                found.append((subject, predicate))
    return max(found, key=lambda pair: len(pair[0]), default=None)


def _preferred(mention: str, text: str, labels: Mapping[Span, str]) -> list[Span]:
    """Return the places of a subject: those of entities, otherwise all."""
    known = [span for span in labels if text[slice(*span)] == mention]
    return known or find_places(text, mention) or [found.span() for found in re.finditer(re.escape(mention), text)]


def _prompts(document: Document) -> dict[str, list[Span]]:
    """Return the prompts of a document with their results."""
    prompts: dict[str, dict[Span, None]] = {}
    for entity in sorted(document.entities):
        prompts.setdefault(entity.label, {}).setdefault((entity.start, entity.end))
    for relation in sorted(document.relations):
        subject = document.mention(relation.subject)
        chinese = any(map(is_cjk, subject + relation.predicate))
        prompt = f"{subject}的{relation.predicate}" if chinese else f"{relation.predicate} of {subject}"
        prompts.setdefault(prompt, {}).setdefault((relation.object.start, relation.object.end))
    return {prompt: list(results) for prompt, results in prompts.items()} or {"": []}


def write(document: Document) -> str:
    """Return one line per label, and per subject and predicate; a text without annotation has an empty prompt."""
    rest = _rest(document)
    lines = []
    for prompt, spans in _prompts(document).items():
        results = [{"text": document.mention(span), "start": span[0], "end": span[1]} for span in spans]
        lines.append(jsonl.dump({"content": document.text, "result_list": results, "prompt": prompt, **rest}))
    return "".join(lines)


def _rest(document: Document) -> dict[str, Any]:
    """Return the fields of a record other than the text and the prompt."""
    rest: dict[str, Any] = {} if document.id is None else {"id": document.id}
    return rest | {name: value for name, value in document.meta.items() if name not in FORMAT_FIELDS}


def separating_writer(labels: Iterable[str]) -> Callable[[Document], str]:
    """Return a function that writes the documents of one output; an empty prompt separates two that differ only in prompts."""
    last: tuple[str, dict[str, Any]] | None = None

    def write_next(document: Document) -> str:
        nonlocal last
        before, last = last, (document.text, _rest(document))
        lines = write(document)
        if before != last or "" in _prompts(document):
            return lines
        return jsonl.dump({"content": document.text, "result_list": [], "prompt": "", **last[1]}) + lines

    return write_next


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store, by reading it again."""
    group: TextGroup[Prompt] = TextGroup("", document.text, {})
    for prompt, spans in _prompts(document).items():
        results = [] if _OPTIONS.fullmatch(prompt) else [Entity(*span, NO_TYPE) for span in spans]
        group.parts.append((prompt, results))
    back = _document(group, _Tally(""))
    counts = {
        ENTITIES_LOST: len(set(document.entities) - set(back.entities)),
        RELATIONS_CHANGED: len(set(document.relations) - set(back.relations)) + count_unlocated(document),
    }
    return {
        **{what: count for what, count in counts.items() if count},
        **count_name_clashes(document, FORMAT_FIELDS),
        **count_native_only(document),
    }
