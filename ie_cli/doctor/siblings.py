"""Find the files that belong to a training file by their names, and a name for the run."""

from __future__ import annotations

import re
from pathlib import Path

from ie_cli.doctor.split_files import annotated_format
from ie_cli.formats import Reading
from ie_cli.inference.model_paths import RUNS
from ie_cli.system.urls import is_url

_DEV_NAMES = ("dev", "valid", "validation", "val", "eval")


def find_siblings(data: str, format: str | None = None, reading: Reading | None = None) -> dict[str, str]:
    """Find ``dev`` and ``test`` files beside a ``train`` file by their names, such as train.jsonl.gz or news_train.txt.

    Test files without annotations, as published by shared tasks, are ignored.
    """
    file = Path(data)
    match = re.search(r"(?<![^\W\d_])train(?![^\W\d_])", file.name)
    if not match or is_url(data) or not file.exists():
        return {}
    found: dict[str, str] = {}
    for split, names in (("dev", _DEV_NAMES), ("test", ("test",))):
        for name in names:
            sibling = file.name[: match.start()] + name + file.name[match.end() :]
            if file.with_name(sibling).exists() and annotated_format(str(file.with_name(sibling)), format, reading):
                found[split] = data.removesuffix(file.name) + sibling
                break
    return found


def free_name(name: str) -> str:
    """Return a name for which there is no run yet: the given one, or one with a number."""
    number, free = 1, name
    while (Path(RUNS) / free).exists():
        number += 1
        free = f"{name}-{number}"
    return free


def run_name(data: str, default: str = "ner") -> str:
    """Return a name for the run: that of the file, or of its directory if the file is called just ``train``."""
    if data == "-":
        return default
    for candidate in (_stem(data), *(directory.name for directory in list(_file(data).absolute().parents)[:2])):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", candidate).strip("._-")
        if name and name != "data":
            return name
    return default


def name_note(data: str) -> str | None:
    """Return why the name of the run is not that of the data, or None if it is."""
    if data != "-" and (stem := _stem(data)) and not stem.isascii():
        return "a name has only ASCII letters, digits, '.', '_' and '-': change it as you like"
    return None


def _file(data: str) -> Path:
    return Path(re.sub(r"^(hub|\w+):(//)?", "", data))


def _stem(data: str) -> str:
    return re.sub(r"[_-]*(train|training|dev|test|all)$", "", _file(data).name.split(".")[0])
