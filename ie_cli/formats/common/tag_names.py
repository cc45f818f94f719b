"""The names of tags that a file gives by their numbers, from a file beside it, as data sets of the Hugging Face hub have one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ie_cli.formats.common.hub_dataset import PREFIX
from ie_cli.system.json_reading import loads
from ie_cli.system.urls import is_url

INFO_FILES = ("dataset_info.json", "dataset_infos.json")
"""The files with the features of a data set."""
NAME_FILES = tuple(
    f"{name}.json"
    for name in ("label", "labels", "label_list", "label2id", "tag2id", "tag_to_id", "id2label", "id2tag")
)
"""The files with names in order, or with a map between names and numbers."""
TEXT_FILES = ("labels.txt", "label.txt", "tags.txt")
"""The files with one name per line."""
LABEL_CONFIG = "label_config.json"
"""The file of doccano with the labels of a project and their ids."""
NAMED_LABELS = f"{{path}}: entities whose label is a number, with its name from {LABEL_CONFIG}: {{count}}"
UNNAMED_LABELS = (
    f"{{path}}: entities whose label is a number, which is read as text, because no {LABEL_CONFIG} names it: {{count}}"
)
_BESIDE = frozenset((*INFO_FILES, *NAME_FILES, *TEXT_FILES, LABEL_CONFIG))
NAMES_HINT = (
    'put their names into a file labels.json beside it, as ["O", "B-PER", …] in the order of the numbers or as '
    '{"O": 0, "B-PER": 1, …}, or write the names instead of the numbers.'
)
_STDIN = "stdin"
"""The name of standard input as data."""
_MAX_BYTES = 10_000_000
_LEVELS = 3


@dataclass(frozen=True, slots=True)
class TagNames:
    """The names of tags in the order of their numbers.

    Attributes:
        names: the names.
        path: the file beside the data that contains them; None if the data contain them.
    """

    names: tuple[str, ...]
    path: Path | None = None


def is_name_file(path: str) -> bool:
    """Return whether a file has the name of one with the names of tags, which is no data itself."""
    return Path(path).name in _BESIDE


def find_tag_names(path: str, field: str) -> TagNames | None:
    """Return the names of a field's tags from a file beside a file of data; None if there is none with names.

    Args:
        path: the name of the file of data; a URL, a dataset of the hub and standard input have no files beside them.
        field: the name of the field.
    """
    for name in (*INFO_FILES, *NAME_FILES, *TEXT_FILES):
        if (file := _beside(path, name)) is not None and (found := _names_in(file, field)):
            return TagNames(tuple(found), file)
    return None


def find_label_names(path: str) -> dict[int, str]:
    """Return the names of labels by their ids from doccano's file beside a file of data; empty if there is none.

    Args:
        path: the name of the file of data, as in `find_tag_names`.
    """
    file = _beside(path, LABEL_CONFIG)
    try:
        labels = None if file is None else loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    found = [label for label in labels if isinstance(label, dict)] if isinstance(labels, list) else []
    pairs = ((label.get("id"), label.get("text")) for label in found)
    return {id: name for id, name in pairs if isinstance(id, int) and isinstance(name, str) and name}


def _beside(path: str, name: str) -> Path | None:
    """Return the file of this name beside a file of data; None if there is none, or it is too large for names."""
    if is_url(path) or path.startswith(PREFIX) or path == _STDIN:
        return None
    file = Path(path).parent / name
    return file if file != Path(path) and file.is_file() and file.stat().st_size <= _MAX_BYTES else None


def _names_in(file: Path, field: str) -> list[str] | None:
    """Return the names in a file, or None if it has none in a form that is read."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.name in TEXT_FILES:
            return [line.strip() for line in text.splitlines() if line.strip()]
        value = loads(text, json.loads)
    except (OSError, ValueError):
        return None
    if file.name not in INFO_FILES:
        return _ordered(value)
    return next(filter(None, (_of_features(features, field) for features in _features(value))), None)


def _features(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the features of a data set, and those of its configurations."""
    if not isinstance(value, dict):
        return
    for part in (value, *value.values()):
        if isinstance(part, dict) and isinstance(part.get("features"), dict):
            yield part["features"]


def _of_features(features: Mapping[str, Any], field: str) -> list[str] | None:
    """Return the names of a feature, which may be nested in a list."""
    feature = features.get(field)
    for _ in range(_LEVELS):
        if isinstance(feature, list) and feature:
            feature = feature[0]
        if not isinstance(feature, dict):
            return None
        if "names" in feature:
            return _ordered(feature["names"])
        feature = feature.get("feature")
    return None


def _ordered(value: Any) -> list[str] | None:
    """Return names in the order of their numbers, which are 0, 1, …; None if the value has another form."""
    if isinstance(value, list):
        return value if value and all(isinstance(name, str) and name for name in value) else None
    if not isinstance(value, dict) or not value:
        return None
    if all(isinstance(number, int) for number in value.values()):
        pairs = {number: name for name, number in value.items()}
    elif all(str(number).isdecimal() and isinstance(name, str) for number, name in value.items()):
        pairs = {int(number): name for number, name in value.items()}
    else:
        return None
    names = [pairs.get(number) for number in range(len(value))]
    return [name for name in names if name] if all(names) else None
