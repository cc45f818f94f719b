"""Duplicates within a record: a format writes all of them, or they are counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.runner import ie, said

from ie_cli.document import Argument, Document, Entity, Event, Relation
from ie_cli.formats import FORMATS
from ie_cli.formats.common.base import REPEATED

ANN, BOB = Entity(0, 3, "person"), Entity(8, 11, "person")
MET = Relation(ANN, "met", BOB)
MEETING = Event("meeting", (4, 7), (Argument("who", ANN),))
ONCE = Document("Ann met Bob", [ANN, BOB], [MET], events=[MEETING])
FILES = [name for name, format in FORMATS.items() if format.writable and name != "html"]


def written(name: str, document: Document, path: Path) -> bytes:
    """What a file or a directory contains that a document is written to."""
    format = FORMATS[name]
    if format.container is None:
        write = format.write if format.writer is None else format.writer(["person"])
        assert write is not None
        return write(document).encode()
    assert format.container.save is not None
    with format.container.save(str(path)) as save:
        save(document)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return b"\n".join(file.read_bytes() for file in files if file.is_file())


@pytest.mark.parametrize("repeated", REPEATED)
@pytest.mark.parametrize("name", FILES)
def test_a_format_writes_duplicates_or_counts_them(name: str, repeated: str, tmp_path: Path) -> None:
    if name in ("spacy", "excel"):
        pytest.importorskip("spacy" if name == "spacy" else "openpyxl")
    thrice = replace(ONCE, **{repeated: [*getattr(ONCE, repeated)] * 3})
    extra = 2 * len(getattr(ONCE, repeated))
    counts = {what: FORMATS[name].losses(thrice).get(what, 0) for what in REPEATED.values()}
    differs = written(name, thrice, tmp_path / "thrice") != written(name, ONCE, tmp_path / "once")
    assert counts == dict.fromkeys(REPEATED.values(), 0) | ({} if differs else {REPEATED[repeated]: extra})
    assert not {*FORMATS[name].losses(ONCE)} & {*REPEATED.values()}


def test_convert_warns_of_duplicates(tmp_path: Path) -> None:
    ann, bob = {"start": 0, "end": 3, "label": "person"}, {"start": 8, "end": 11, "label": "person"}
    met: dict[str, Any] = {"subject": ann, "predicate": "met", "object": bob}
    record = {"text": "Ann met Bob", "entities": [ann, bob, ann], "relations": [met, met]}
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(record) + "\n")
    result = ie("convert", str(path), str(tmp_path / "y.json"), "--to", "label_studio")
    assert "entities that repeat another one of their text are left out: 1" in said(result)
    assert "relations that repeat another one of their text are left out: 1" in said(result)
    kept = ie("convert", str(path), str(tmp_path / "y.jsonl"))
    assert "repeat" not in said(kept)
