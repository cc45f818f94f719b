"""``hub:org/dataset`` or ``hub:/local/directory``, through `datasets`; ``?split=validation&config=zh`` selects a part.

Three layouts are supported: ``tokens`` with ``ner_tags`` (names, or indices of a ClassLabel), the native fields ``text``,
``entities``, ``id`` and the others of `jsonl`, and the fields of pairs of texts as in ``pairs-json``; their label may be an index
of a ClassLabel. Code of a dataset is never run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ie_cli.formats.common.base import Reading, Record
from ie_cli.formats.common.hub_dataset import load_rows
from ie_cli.formats.rows import Rows, read_rows

_NAMES_HINT = "store the tags as a ClassLabel feature, or as names."


def read(source: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each row.

    Raises:
        DataError: the dataset cannot be loaded, or its columns are not supported.
    """
    rows = load_rows(source, reading.report)
    classes = {name: names for name, feature in rows.features.items() if (names := class_names(feature)) is not None}
    numbered = ((f"{source}:{number}", dict(row)) for number, row in enumerate(rows, 1))
    yield from read_rows(Rows(source, list(rows.features), numbered, classes, _NAMES_HINT), reading)


def class_names(feature: Any) -> Sequence[str] | None:
    """Return the names that the integers of a feature of `datasets`, or of its lists, stand for."""
    inner = getattr(feature, "feature", feature)
    return getattr(inner, "names", None)
