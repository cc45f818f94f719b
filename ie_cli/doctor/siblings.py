"""Find the files that belong to a training file by their names, and a name for the run."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ie_cli.data.statistics import DatasetStatistics
from ie_cli.errors import DataError
from ie_cli.formats import Reading, read_documents
from ie_cli.inference.model_paths import RUNS
from ie_cli.system.urls import is_url
from ie_cli.tasks import TASKS

_DEV_NAMES = ("dev", "valid", "validation", "val", "eval")


def find_siblings(data: str, format: str | None = None, reading: Reading | None = None) -> dict[str, str]:
    """Find ``dev`` and ``test`` files beside a ``train`` file by their names, such as train.jsonl.gz or news_train.txt.

    Test files without annotations, as published by shared tasks, are ignored.
    """
    file = Path(data)
    match = re.search(r"(?<![^\W\d_])train(?![^\W\d_])", file.name)
    if not match or is_url(data) or not file.is_file():
        return {}
    found: dict[str, str] = {}
    for split, names in (("dev", _DEV_NAMES), ("test", ("test",))):
        for name in names:
            sibling = file.name[: match.start()] + name + file.name[match.end() :]
            if file.with_name(sibling).is_file() and _annotated(str(file.with_name(sibling)), format, reading):
                found[split] = data.removesuffix(file.name) + sibling
                break
    return found


def _annotated(path: str, format: str | None, reading: Reading | None) -> bool:
    quiet = replace(reading, report=lambda text: None) if reading else None
    statistics = DatasetStatistics()
    try:
        for document in islice(read_documents(path, format=format, reading=quiet), 100):
            statistics.add(document)
            if any(task.propose(statistics, overlapping=0) is not None for task in TASKS.values()):
                return True
    except DataError:
        return False
    return False


def run_name(data: str) -> str:
    """Return a name for the run: that of the file, or of its directory if the file is called just ``train``."""
    if data == "-":
        return "ner"
    for candidate in (_stem(data), *(directory.name for directory in list(_file(data).absolute().parents)[:2])):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", candidate).strip("._-")
        if name and name != "data":
            return name
    return "ner"


def name_note(data: str, name: str) -> str | None:
    """Return why the user may want another name for the run: it is not that of the data, or another run has it."""
    if os.path.exists(os.path.join(RUNS, name)):
        return f"{RUNS}/{name} exists: change the name to keep that run"
    if data != "-" and (stem := _stem(data)) and not stem.isascii():
        return "a name has only ASCII letters, digits, '.', '_' and '-': change it as you like"
    return None


def _file(data: str) -> Path:
    return Path(re.sub(r"^(hub|\w+):(//)?", "", data))


def _stem(data: str) -> str:
    return re.sub(r"[_-]*(train|training|dev|test|all)$", "", _file(data).name.split(".")[0])
