"""Prodigy: JSON Lines or an array, as ``prodigy db-out`` exports them and ``prodigy db-in`` and all recipes read them.

::

    {"text": "Ann met Bob", "tokens": [{"text": "Ann", "start": 0, "end": 3, "id": 0, "ws": true}, …],
     "spans": [{"start": 0, "end": 3, "token_start": 0, "token_end": 0, "label": "person"}, …],
     "relations": [{"head": 0, "child": 2, "label": "met",
                    "head_span": {"start": 0, "end": 3, "token_start": 0, "token_end": 0, "label": "person"},
                    "child_span": {"start": 8, "end": 11, "token_start": 2, "token_end": 2, "label": "person"}}],
     "answer": "accept"}

Of records with an ``answer``, only those with ``accept`` are read as examples; the others are skipped and counted. The head of a
relation is its subject. Other fields are user fields, as in native JSON Lines, also ``tokens``, ``meta`` and the hashes.

A record that is written has its user fields, and ``tokens`` if it has relations, which name the last token of a span. Without
relations, Prodigy adds the tokens itself. `ie predict` reads all records whatever their answer, and leaves out the spans,
relations, answers and ``_task_hash``, so that Prodigy takes the predictions for new tasks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import Lines, Reading, Record
from ie_cli.formats.common.json_stream import FoundObject, lines_or_array
from ie_cli.formats.common.tool_fields import NOT_ACCEPTED, count_tool_losses, mentions_of, taken_names, user_fields
from ie_cli.formats.conll_writer import split_at_boundaries

_BOOKKEEPING = ("token_start", "token_end", "type", "id")
_ANNOTATION = frozenset({"spans", "entities", "relations", "answer", "_task_hash"})


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each accepted record, and report the answers of the others."""
    skipped: Counter[str] = Counter()
    binary = 0

    def accepted() -> Iterator[FoundObject]:
        nonlocal binary
        for where, raw, found in lines_or_array(lines, path):
            if isinstance(found, dict) and reading.annotation:
                answer = found.get("answer")
                if answer in NOT_ACCEPTED:
                    skipped[answer] += 1
                    continue
                binary += found.get("_is_binary") is True
            yield where, raw, found

    def prepare(given: dict[str, Any]) -> dict[str, Any]:
        if not reading.annotation:
            return {name: value for name, value in given.items() if name not in _ANNOTATION}
        if given.get("entities") is not None or not isinstance(given.get("spans"), list):
            return given
        return {("entities" if name == "spans" else name): value for name, value in given.items() if name != "entities"}

    yield from jsonl.read_objects(accepted(), path, reading, prepare=prepare, bookkeeping=_BOOKKEEPING)
    for answer, count in sorted(skipped.items()):
        reading.report(f"{path}: records with the answer {answer!r}, which are skipped: {count:,}")
    if binary:
        reading.report(
            f"{path}: records with an answer about a single span, which does not say whether the text has other entities: "
            f"{binary:,}"
        )


def write(document: Document) -> str:
    """Return one line."""
    entities, fields = sorted(dict.fromkeys(document.entities)), user_fields(document, taken_names(document, "spans"))
    tokens = _tokens(fields.pop("tokens", None), document.text)
    relations = sorted(dict.fromkeys(document.relations))
    if tokens is None and relations:
        tokens = _new_tokens(document) or None
    places = _Places(tokens or [])
    first = ({} if document.id is None else {"id": document.id}) | {"text": document.text}
    fields = first | ({} if tokens is None else {"tokens": tokens}) | fields
    fields["spans"] = [places.span(entity) | _score(entity.score) for entity in entities]
    if relations or document.related:
        fields["relations"] = [places.relation(relation) for relation in relations]
    return jsonl.dump(jsonl.without_doubt(fields))


def _score(score: float | None) -> dict[str, float]:
    return {} if score is None else {"score": round(score, 6)}


def _tokens(value: Any, text: str) -> list[dict[str, Any]] | None:
    """Return a user field if it has the form of Prodigy's tokens, otherwise None."""
    if not isinstance(value, list) or not value or not all(isinstance(token, dict) for token in value):
        return None
    end = 0
    for token in value:
        first, last = token.get("start"), token.get("end")
        if type(first) is not int or type(last) is not int or not end <= first < last <= len(text):
            return None
        end = last
    return value


def _new_tokens(document: Document) -> list[dict[str, Any]]:
    """Return the words of the text, split at the boundaries of entities."""
    text = document.text
    pieces = [piece for word in split_at_boundaries(text, mentions_of(document)) for piece in word]
    return [
        {"text": text[start:end], "start": start, "end": end, "id": number, "ws": text[end : end + 1].isspace()}
        for number, (start, end) in enumerate(pieces)
    ]


class _Places:
    """Names the tokens of spans."""

    def __init__(self, tokens: Sequence[Mapping[str, Any]]) -> None:
        self._starts = [token["start"] for token in tokens]
        self._ends = [token["end"] for token in tokens]

    def span(self, entity: Entity) -> dict[str, Any]:
        """Return the fields of a span, with its tokens if it consists of whole ones."""
        fields: dict[str, Any] = {"start": entity.start, "end": entity.end, "label": entity.label}
        first, last = self._around(entity)
        if self._starts and self._starts[first] == entity.start and self._ends[last] == entity.end:
            fields |= {"token_start": first, "token_end": last}
        return fields

    def relation(self, relation: Relation) -> dict[str, Any]:
        """Return the fields of a relation."""
        subject, object_ = relation.subject, relation.object
        return {
            "head": self._around(subject)[1],
            "child": self._around(object_)[1],
            "head_span": self.span(subject),
            "child_span": self.span(object_),
            "label": relation.predicate,
            **_score(relation.score),
        }

    def _around(self, entity: Entity) -> tuple[int, int]:
        """Return the first and the last token of an entity, or the ones before its boundaries if these are in no token."""
        first, last = (bisect_right(self._starts, place) - 1 for place in (entity.start, entity.end - 1))
        return max(0, first), max(0, last)


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    fields = user_fields(document, taken_names(document, "spans"))
    malformed = "tokens" in fields and _tokens(fields["tokens"], document.text) is None
    return count_tool_losses(document, kept_fields=len(fields) - malformed, relations=True, scores=True)
