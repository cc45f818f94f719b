"""Pairs of texts in JSON: SNLI, MNLI, cnsd and OCNLI, AFQMC as CLUE has it, and other data with such fields.

::

    {"sentence1": "A man plays a flute.", "sentence2": "Somebody makes music.", "gold_label": "entailment"}
    {"text_a": "How do I pay?", "text_b": "Where can I pay?", "label": 1}

The texts may be named sentence1 and sentence2, also with _1 and _2 or _a and _b, sent1, text1, text_a, question1, query1, q1 or
s1 with their second names, premise and hypothesis, or text and text_pair. The label is ``gold_label``, ``label``,
``is_duplicate``, ``quality``, ``score``, ``similarity``, ``similarity_score`` or ``relatedness_score``, the first of them that
the file has: a text, or a number. Numbers with a decimal point, and those in the last four, are grades, others are classes;
``data.grades`` says otherwise. An empty label, or ``-``, with which NLI data mark pairs without consensus, makes a pair without a
label, which is counted and neither learned nor scored. Other fields are kept.

Native JSON Lines with ``text`` and ``text_pair`` belong to this format if their label is a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats.common.base import Lines, Reading, Record, format_field_names
from ie_cli.formats.common.json_stream import FoundObject, convert_objects, lines_or_array
from ie_cli.formats.common.pair_fields import LOOK_AHEAD, PairLabels, PairNames, label_text, text_in
from ie_cli.formats.jsonl import id_of

HINT = 'write each line as {"sentence1": "Ann slept", "sentence2": "Ann was awake", "label": "contradiction"}.'


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield a pair for each record."""
    objects = lines_or_array(lines, path)
    head = list(islice(objects, LOOK_AHEAD if reading.annotation else 1))
    reader = PairReader.of(_fields(head), path, reading)
    yield from convert_objects(chain(head, objects), reader.document, HINT)
    reader.report()


def _fields(objects: list[FoundObject]) -> list[dict[str, Any]]:
    return [found for _, _, found in objects if isinstance(found, dict)]


class PairReader:
    """Converts the records of a file, whose names and labels its first records decide.

    Args:
        path: the name of the file.
        names: the names of the parts; None if the first records have no two texts.
        labels: what the labels are.
    """

    def __init__(self, path: str, names: PairNames | None, labels: PairLabels, reading: Reading) -> None:
        self._path, self._names, self._labels, self._reading = path, names, labels, reading

    @classmethod
    def of(cls, records: list[dict[str, Any]], path: str, reading: Reading) -> PairReader:
        """Decide from the first records."""
        names = PairNames.of(dict.fromkeys(name for fields in records for name in fields))
        values: list[str] = []
        for fields in records:
            try:
                values.append(label_text(fields.get(names.label) if names is not None and names.label else None))
            except DataError:
                continue  # a bad line when it is converted
        return cls(path, names, PairLabels.of(values, reading, graded=names is not None and names.graded), reading)

    def document(self, fields: Mapping[str, Any], where: str) -> Document:
        """Return the pair of a record.

        Raises:
            DataError: a field is missing or invalid; the message does not include the place.
        """
        names = self._names
        if names is None:
            raise DataError(f"no two texts (found: {format_field_names(fields)})")
        label, score = None, None
        if self._reading.annotation:
            value = label_text(fields.get(names.label)) if names.label is not None else ""
            label, score = self._labels.parse(value)
        parts = {names.text, names.pair, names.label, "id"}
        meta = {name: value for name, value in fields.items() if name not in parts}
        return Document(
            text_in(fields, names.text),
            id=id_of(fields),
            meta=meta,
            where=where,
            text_pair=text_in(fields, names.pair),
            label=label,
            score=score,
        )

    def report(self) -> None:
        """Report what was decided, and how many pairs have no label."""
        names = self._names
        if names is not None and self._reading.annotation:
            label = "no labels" if names.label is None else f"{self._labels.describe()} in {names.label!r}"
            self._reading.report(f"{self._path}: texts in {names.text!r} and {names.pair!r}, {label}")
        self._labels.report(self._path, self._reading)
