"""The JSON layouts of research data on real corpora, with counts that do not use the readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.real import DATA, real

from ie_cli.document import Document
from ie_cli.formats import FORMATS, Reading, read_documents

pytestmark = pytest.mark.real


def converted(documents: list[Document], name: str, path: Path) -> tuple[list[Document], str, dict[str, int]]:
    """Return documents that were written in a format and read again, the format that is detected, and what is lost."""
    format = FORMATS[name]
    assert format.write is not None
    before, between, after = format.frame
    path.write_text(before + between.join(map(format.write, documents)) + after, encoding="utf-8")
    detected: list[str] = []
    back = list(read_documents(str(path), detected=detected.append))
    lost: dict[str, int] = {}
    for document in documents:
        for what, count in format.count_losses(document).items():
            if count:
                lost[what] = lost.get(what, 0) + count
    return back, detected[0], lost


def test_duee_is_read_completely_and_written_as_it_was(tmp_path: Path) -> None:
    path = real(DATA, "duee/duee_dev.json")
    raw: list[dict[str, Any]] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    reported: list[str] = []
    documents = list(read_documents(str(path), reading=Reading(report=reported.append)))
    events = [event for fields in raw for event in fields["event_list"]]
    assert (len(documents), len(events)) == (1498, 1790)
    assert sum(len(document.events) for document in documents) == len(events)
    arguments = sum(len(event["arguments"]) for event in events)
    assert sum(len(event.arguments) for document in documents for event in document.events) == arguments == 3696
    assert sum(len(document.relations) for document in documents) == 3696
    assert reported == []
    back, detected, lost = converted(documents, "duee", tmp_path / "x")
    assert (back, detected, lost) == (documents, "duee", {})

    def comparable(fields: dict[str, Any]) -> dict[str, Any]:
        for event in fields["event_list"]:
            event["arguments"].sort(key=lambda item: (item["role"], item["argument_start_index"], item["argument"]))
        fields["event_list"].sort(key=lambda event: json.dumps(event, sort_keys=True))
        return fields

    written = [json.loads(line) for line in (tmp_path / "x").read_text("utf-8").splitlines()]
    assert list(map(comparable, written)) == list(map(comparable, raw))


@pytest.mark.parametrize("name", ["dygie", "oneie"])
def test_conll04_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    documents = list(read_documents(str(real(DATA, "conll04/conll04_dev.json"))))
    back, detected, lost = converted(documents, name, tmp_path / "x")
    for document in (*documents, *back):
        document.entities.sort()
        document.relations.sort()
    assert (back, detected, lost) == (documents, name, {})


@pytest.mark.parametrize("name", ["cmeee", "uie"])
def test_cluener_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    documents = list(read_documents(str(real(DATA, "cluener/dev.json"))))
    back, detected, lost = converted(documents, name, tmp_path / "x")
    for document in (*documents, *back):
        document.entities.sort()
    assert [(d.text, d.entities) for d in back] == [(d.text, d.entities) for d in documents]
    assert (detected, lost) == ({"cmeee": "jsonl"}.get(name, name), {})


@pytest.mark.parametrize("name", ["bio-json", "w2ner"])
def test_crossner_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    path = real(DATA, "crossner_ai/test.txt")
    documents = list(read_documents(str(path)))
    begins = sum("\tB-" in line for line in path.read_text("utf-8").splitlines())
    back, detected, lost = converted(documents, name, tmp_path / "x")
    assert (back, detected, lost) == (documents, name, {})
    assert sum(len(document.entities) for document in back) == begins > 1000
