"""Label Studio: tasks with annotations or predictions, as its exports JSON and JSON-MIN contain them (CSV: `label_studio-csv`).

::

    [{"id": 1, "data": {"text": "Ann met Bob"},
      "annotations": [{"result": [
          {"id": "a", "type": "labels", "from_name": "label", "to_name": "text",
           "value": {"start": 0, "end": 3, "text": "Ann", "labels": ["person"]}},
          {"id": "b", "type": "labels", "from_name": "label", "to_name": "text",
           "value": {"start": 8, "end": 11, "text": "Bob", "labels": ["person"]}},
          {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right", "labels": ["met"]}]}]}]

Regions are read if they are labelled spans of a text (``labels``; ``hypertextlabels`` if their ``globalOffsets`` count the
characters of the text). Regions of HTML, dialogues, images and sounds, and choices, ratings and text areas are counted. Offsets
count characters in current versions and UTF-16 units in old ones; the ``text`` of a region shows which, and must match. A
relation goes from ``from_id`` to ``to_id``, with the direction ``left`` in reverse, with ``bi`` both ways; without labels, its
predicate is ``relation``. A task without relations does not say whether it has none: native JSON then has no such field.

The text is the field of ``data`` that the regions name as ``source``, or ``text``, or the only string. The other fields of
``data`` are user fields; ``data.id``, or else the id of the task, is the id. What else Label Studio notes about tasks and
annotations (times, people, agreement) is not kept.

Of several annotations of a task, one is read: one that is marked as ground truth, or else the one that was updated last.
Cancelled ones are never read. Tasks whose annotations differ are counted. A task without annotation is read from
its latest prediction, or skipped if there is none; `ie predict` reads all tasks.

What is written is an array of tasks with ``predictions``, which Label Studio imports as pre-annotations, with offsets that count
characters. The commands print the labelling configuration that the project needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import jsonl
from ie_cli.formats.common.base import Lines, Reading, Record, short
from ie_cli.formats.common.json_stream import FoundObject, convert_objects, read_objects
from ie_cli.formats.common.label_studio_minimal import as_tasks
from ie_cli.formats.common.label_studio_regions import Annotation, RegionTally, annotation_of, regions_of

HINT = 'export the project as JSON: [{"data": {"text": "…"}, "annotations": [{"result": […]}]}].'


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each annotated task, and report what was chosen, skipped or not read."""
    yield from read_tasks(read_objects(lines, path), path, reading)


def read_tasks(objects: Iterable[FoundObject], path: str, reading: Reading) -> Iterator[Record]:
    """Do the same for objects: tasks, or those of JSON-MIN."""
    tally = RegionTally()

    def convert(task: dict[str, Any], where: str) -> Document | None:
        data = _data(task)
        results = _choice(task, tally) if reading.annotation else []
        if results is None:
            return None
        name = _text_field(data, _regions(task))
        text = data[name]
        found = _read(results, text, tally)
        tally.notes += bool(results and task.get("meta"))
        meta = {key: value for key, value in data.items() if key not in (name, "id")}
        return Document(
            text, found.entities, found.relations, _id(task, data), meta, where, related=bool(found.relations)
        )

    yield from convert_objects(as_tasks(objects), convert, HINT)
    for what, count in tally.describe():
        reading.report(f"{path}: {what}: {count:,}")


def _data(task: Mapping[str, Any]) -> dict[str, Any]:
    data = task.get("data")
    if not isinstance(data, dict):
        raise DataError(f"a task must have an object 'data', got {short(data)}")
    return data


def _id(task: Mapping[str, Any], data: Mapping[str, Any]) -> str | int | None:
    own = data.get("id")
    return own if isinstance(own, (str, int)) and not isinstance(own, bool) else jsonl.id_of(task)


def _choice(task: Mapping[str, Any], tally: RegionTally) -> list[list[Any]] | None:
    """Return the regions of the annotation to read, followed by those of the others; None if the task is skipped."""
    annotations = _objects(task, "annotations") or _objects(task, "completions")
    usable = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    tally.cancelled += len(annotations) - len(usable)
    if usable:
        tally.several += len(usable) > 1
        return [regions_of(annotation) for annotation in sorted(usable, key=_rank, reverse=True)]
    if annotations:
        tally.skipped += 1
        return None
    predictions = _predictions(task)
    if predictions:
        tally.predicted += 1
        return [regions_of(max(enumerate(predictions), key=lambda pair: (_time(pair[1]), pair[0]))[1])]
    tally.unannotated += 1
    return None


def _predictions(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the predictions of a task; some exports list only their ids."""
    values = task.get("predictions")
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _regions(task: Mapping[str, Any]) -> list[Any]:
    """Return the regions of all annotations and predictions of a task."""
    every = [*_objects(task, "annotations"), *_objects(task, "completions"), *_predictions(task)]
    return [region for one in every for region in regions_of(one)]


def _objects(task: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = task.get(name)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise DataError(f"'{name}' must be a list of objects with their results, got {short(values)}")
    return values


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str, int]:
    number = annotation.get("id")
    return annotation.get("ground_truth") is True, _time(annotation), number if isinstance(number, int) else 0


def _time(annotation: Mapping[str, Any]) -> str:
    """Return the time of the last change, as text that can be compared."""
    return str(annotation.get("updated_at") or annotation.get("created_at") or "")


def _read(results: Sequence[Sequence[Any]], text: str, tally: RegionTally) -> Annotation:
    """Return the first annotation, and count whether the others differ."""
    if not results:
        return Annotation()
    first = annotation_of(results[0], text, tally)
    places = first.places()
    for other in results[1:]:
        try:
            differs = annotation_of(other, text, RegionTally()).places() != places
        except DataError:
            differs = True
        if differs:
            tally.different += 1
            break
    return first


def _text_field(data: Mapping[str, Any], regions: Sequence[Any]) -> str:
    """Return the name of the field with the text.

    Raises:
        DataError: there is none, or several fields could be it.
    """
    texts = [name for name, value in data.items() if isinstance(value, str) and name != "id"]
    if not texts:
        kind = "dialogues cannot be read, and " if any(isinstance(value, list) for value in data.values()) else ""
        raise DataError(f"no field of 'data' is a text: {short(data)}", hint=f"{kind}a task needs data with a text.")
    if len(texts) == 1:
        return texts[0]
    objects = [region for region in regions if isinstance(region, dict)]
    sources = [str(region.get("source", "")).removeprefix("$") for region in objects]
    names = [*sources, "text", *(str(region.get("to_name", "")) for region in objects)]
    found = next((name for name in names if name in texts), None) or next(
        (name for name in texts if _covers(data[name], objects)), None
    )
    if found is None:
        raise DataError(
            f"several fields of 'data' could be the text: {short(', '.join(texts))}",
            hint="rename the one that is annotated to 'text'.",
        )
    return found


def _covers(text: str, regions: Sequence[dict[str, Any]]) -> bool:
    """Return whether a text contains the mentions of all regions at their offsets, and there are some."""
    values = [region["value"] for region in regions if isinstance(region.get("value"), dict)]
    given = [value for value in values if isinstance(value.get("start"), int) and isinstance(value.get("end"), int)]
    return bool(given) and all(text[value["start"] : value["end"]] == value.get("text") for value in given)
