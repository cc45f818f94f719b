"""doccano: JSON Lines or an array, as exported from a project for sequence labelling, with or without relations.

::

    {"id": 1, "text": "Ann met Bob", "label": [[0, 3, "person"], [8, 11, "person"]], "Comments": []}
    {"id": 1, "text": "Ann met Bob",
     "entities": [{"id": 7, "label": "person", "start_offset": 0, "end_offset": 3},
                  {"id": 8, "label": "person", "start_offset": 8, "end_offset": 11}],
     "relations": [{"id": 4, "from_id": 7, "to_id": 8, "type": "met"}]}

``doccano`` writes the first form, which a project without relations imports, and ``doccano-relations`` the second one, which a
project with relations imports (there named ``JSONL(Relation)``). Offsets count characters, the end exclusive. Other fields are
user fields, as in native JSON Lines; doccano keeps them as metadata. Files of the first form are detected as native JSON Lines,
which read them alike. The ids of entities and relations count from 0 in each record: doccano's importer looks them up within
the record. In a project that does not allow overlapping spans, it drops those that overlap earlier ones, and then fails on their
relations.

Exports of older versions are read, too: the text may be in ``data``, the spans in ``labels`` or in ``annotations``, there with
the ``user``. If several users annotated a record, the annotation of the one who is listed first is read, and the records in which
others differ are counted. doccano downloads a zip file with a file for each user: extract it, and compare them with `ie diff`.

Labels that are numbers, as versions before 1.0 exported them, get their names from ``label_config.json`` beside the file: the
labels of the project, exported on its page of labels (``[{"id": 12, "text": "person", …}, …]``). Without a name, the number is
read as text. The CSV of the first versions is `doccano-csv`; later ones exported a span per row, as in `csv`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import Lines, Reading, Record
from ie_cli.formats.common.entity_fields import has_entity_form, offset_names
from ie_cli.formats.common.json_stream import lines_or_array
from ie_cli.formats.common.tag_names import NAMED_LABELS, UNNAMED_LABELS, find_label_names
from ie_cli.formats.common.tool_fields import count_tool_losses, mentions_of, taken_names, user_fields
from ie_cli.formats.common.tool_records import is_unwritten

_SPANS = ("label", "labels", "annotations")
"""Where records without ``entities`` store spans; a record has one of them."""
_UNWRITTEN_HINT = (
    "some versions of doccano export relations so: update doccano, and export the project as JSONL(Relation)."
)


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each record, and report which annotations of several users were not read."""
    users = _Users(path)

    def prepare(given: dict[str, Any]) -> dict[str, Any]:
        fields = dict(given)
        if "text" not in fields and isinstance(fields.get("data"), str):
            fields["text"] = fields.pop("data")
        name = next((name for name in _SPANS if is_unwritten(fields.get(name))), None)
        if name is not None and reading.annotation:
            raise DataError(f"'{name}' contains the names of fields instead of the annotation", hint=_UNWRITTEN_HINT)
        names = [name for name in _SPANS if _is_list_of_spans(fields.get(name))]
        if fields.get("entities") is None and names:
            spans = fields.pop(max(names, key=lambda name: bool(fields[name])))
            fields["entities"] = users.spans_of_one(spans)
        return fields

    objects = lines_or_array(lines, path)
    yield from jsonl.read_objects(objects, path, reading, prepare=prepare, bookkeeping=("id", "user"))
    if users.named:
        reading.report(NAMED_LABELS.format(path=path, count=f"{users.named:,}"))
    for count, what in (
        (users.several, "records annotated by several users, of which the first one listed is read"),
        (users.different, "of these, records in which the others annotated differently"),
    ):
        if count:
            reading.report(f"{path}: {what}: {count:,}")
    if users.numbered:
        reading.report(UNNAMED_LABELS.format(path=path, count=f"{users.numbered:,}"))


@dataclass(slots=True)
class _Users:
    """Chooses between the annotations of several users, and counts the records.

    Attributes:
        path: the name of the file.
        several: the records that several users annotated.
        different: those of them whose annotations differ.
        named: the entities with numbers as labels that have a name.
        numbered: those that have none.
    """

    path: str
    several: int = 0
    different: int = 0
    named: int = 0
    numbered: int = 0
    _names: dict[int, str] | None = None

    def spans_of_one(self, spans: Sequence[Any]) -> list[Any]:
        """Return the spans of the user who is listed first, their labels by name."""
        by_user: dict[str, list[Any]] = {}
        for span in spans:
            by_user.setdefault(str(span.get("user")) if isinstance(span, dict) else "", []).append(span)
        if not by_user:
            return []
        first, *others = by_user.values()
        self.several += bool(others)
        self.different += any(_places(other) != _places(first) for other in others)
        return [self._named(span) for span in first]

    def _named(self, span: Any) -> Any:
        label = span.get("label") if isinstance(span, dict) else None
        if isinstance(label, bool) or not isinstance(label, int):
            return span
        if self._names is None:
            self._names = find_label_names(self.path)
        name = self._names.get(label)
        self.named += name is not None
        self.numbered += name is None
        return span | {"label": str(label) if name is None else name}


def _is_list_of_spans(value: Any) -> bool:
    """Return whether a value is a list of spans; other fields of these names are the user's."""
    return isinstance(value, list) and all(map(has_entity_form, value))


def _places(spans: Sequence[Any]) -> set[str]:
    """Return the spans in a form that can be compared, whatever their form in the file is."""
    found = set()
    for span in spans:
        if isinstance(span, dict):
            span = [*(span[name] for name in offset_names(span) or ()), span.get("label")]
        found.add(repr(span))
    return found


def write(document: Document) -> str:
    """Return one line in the form for sequence labelling."""
    entities = sorted(dict.fromkeys(document.entities))
    label = [[entity.start, entity.end, entity.label] for entity in entities]
    return jsonl.dump(
        jsonl.without_doubt(_first(document) | {"label": label} | user_fields(document, taken_names(document, *_SPANS)))
    )


def write_relations(document: Document) -> str:
    """Return one line in the form for relation extraction."""
    entities = mentions_of(document)
    ids = {entity: number for number, entity in enumerate(entities)}
    fields = _first(document)
    fields["entities"] = [
        {"id": ids[entity], "start_offset": entity.start, "end_offset": entity.end, "label": entity.label}
        | _score(entity.score)
        for entity in entities
    ]
    fields["relations"] = [
        {"id": number, "from_id": ids[relation.subject], "to_id": ids[relation.object], "type": relation.predicate}
        | _score(relation.score)
        for number, relation in enumerate(sorted(dict.fromkeys(document.relations)))
    ]
    return jsonl.dump(fields | user_fields(document))


def _first(document: Document) -> dict[str, Any]:
    return ({} if document.id is None else {"id": document.id}) | {"text": document.text}


def _score(score: float | None) -> dict[str, float]:
    """Return the score as a field, which doccano ignores and this format reads."""
    return {} if score is None else {"score": round(score, 6)}


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    kept = len(user_fields(document, taken_names(document, *_SPANS)))
    return count_tool_losses(document, kept_fields=kept, relations=False, scores=False)


def count_losses_relations(document: Document) -> Mapping[str, int]:
    """Count what `write_relations` cannot store."""
    return count_tool_losses(document, kept_fields=len(user_fields(document)), relations=True, scores=True)
