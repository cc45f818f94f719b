"""Counts of the annotation in files of real data, in plain Python that shares no code with the readers."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from seqeval.metrics.sequence_labeling import get_entities

Counted = Counter[tuple[str, str]]
"""Number of ("document", ""), ("bad", ""), ("entity", label), ("relation", predicate), ("event", type) and ("pair", label)."""


def lines_of(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").split("\n") if line.strip()]


def counted(documents: int, *found: tuple[str, str]) -> Counted:
    return Counted({("document", ""): documents}) + Counted(found)


def values_of(path: Path) -> list[Any]:
    """The values of a file of JSON in any layout."""
    text, values, at = path.read_text("utf-8"), [], 0
    while at < len(text):
        value, end = json.JSONDecoder().raw_decode(text, at)
        values += value if isinstance(value, list) and not isinstance(value[0], str) else [value]
        at = end + len(text[end:]) - len(text[end:].lstrip())
    return values


def labelled(value: Any) -> Iterator[tuple[str, str]]:
    """The entities and relations of a record of an annotation tool, by their labels; of several users, the first one."""
    if isinstance(value, list):
        yield from (("entity", label) for _, _, label in value[1]["entities"])
        return
    first = next(iter(value.get("annotations") or []), {}).get("user")
    spans = [s for s in value.get("annotations", []) if "label" in s and s["user"] == first]
    spans += value.get("spans", []) + value.get("entities", []) + value.get("label", []) + value.get("labels", [])
    yield from (("entity", str(s[2] if isinstance(s, list) else s["label"])) for s in spans)
    yield from (("relation", r.get("type") or r["label"]) for r in value.get("relations", []))
    results = value.get("annotations") or value.get("predictions") or []
    regions = [region for one in results for region in one.get("result", [])]
    yield from (("entity", label) for region in regions for label in region["value"]["labels"])
    tokens = [t for p in value.get("paragraphs", []) for s in p["sentences"] for t in s["tokens"]]
    yield from (("entity", t["ner"][2:]) for t in tokens if t["ner"][:2] in ("U-", "B-"))


def tool(path: Path, unreadable: Iterable[int] = ()) -> Counted:
    """An export of an annotation tool; of its records, the `unreadable` ones are known to be wrong."""
    values = values_of(path)
    good = [value for number, value in enumerate(values) if number not in unreadable]
    documents = sum(len(value["paragraphs"]) if "paragraphs" in value else 1 for value in good)
    return counted(documents, *(pair for value in good for pair in labelled(value))) + Counted(
        {("bad", ""): len(values) - len(good)}
    )


def cluener(path: Path) -> Counted:
    records = [json.loads(line) for line in lines_of(path)]
    spans = [(label, spans) for r in records for label, m in r.get("label", {}).items() for spans in m.values()]
    return counted(len(records), *(("entity", label) for label, places in spans for _ in places))


def texts(path: Path) -> Counted:
    return counted(sum("text" in json.loads(line) for line in lines_of(path)))


def columns(path: Path, tags: Iterable[int] = (-1,)) -> Counted:
    """Sentences, and entities as seqeval finds them in each column of tags; a row with too few columns spoils its sentence."""
    blocks, rows = [], list[list[str]]()
    for line in [*path.read_text("utf-8").split("\n"), ""]:
        if line.startswith("-DOCSTART-") or re.match(r"#\s.*\[\d", line):  # the marks of documents, and their sources
            continue
        if line.strip():
            rows.append(line.split())
        elif rows:
            blocks.append(rows)
            rows = []
    good = [rows for rows in blocks if all(len(row) > 1 and row[-1][:2] in ("O", "B-", "I-") for row in rows)]
    found = [{span for c in tags for span in get_entities([row[c] for row in rows])} for rows in good]
    return counted(len(good), *(("entity", label) for spans in found for label, _, _ in spans)) + Counted(
        {("bad", ""): len(blocks) - len(good)}
    )


def iob_lines(path: Path) -> Counted:
    return counted(len(lines_of(path)), *(("entity", label) for label in re.findall(r"\|B-(\S+)", path.read_text())))


def conll04(path: Path) -> Counted:
    records = json.loads(path.read_text("utf-8"))
    entities = [("entity", tag[2:]) for record in records for tag in record["tags"] if tag[0] in "LU"]
    return counted(
        len(records), *entities, *(("relation", r["type"]) for record in records for r in record["relations"])
    )


def multihead(path: Path) -> Counted:
    rows = [line.split("\t") for line in lines_of(path)]
    entities = [("entity", row[2][2:]) for row in rows if len(row) > 2 and row[2].startswith("B-")]
    relations = [("relation", name) for row in rows if len(row) > 3 for name in re.findall(r"'(\w+)'", row[3])]
    return counted(sum(row[0].startswith("#doc") for row in rows), *entities, *(r for r in relations if r[1] != "N"))


def duie(path: Path) -> Counted:
    """Triples, and each further slot of an object as another one."""
    records = [json.loads(line) for line in lines_of(path)]
    found = Counted()
    for spo in (spo for record in records for spo in record["spo_list"]):
        slots = spo["object"] if isinstance(spo["object"], dict) else {"@value": spo["object"]}
        found.update(("relation", ".".join([spo["predicate"]] + [slot] * (slot != "@value"))) for slot in slots)
    return counted(len(records)) + found


def duee(path: Path) -> Counted:
    records = [json.loads(line) for line in lines_of(path)]
    return counted(len(records), *(("event", event["event_type"]) for r in records for event in r["event_list"]))


def pairs(path: Path) -> Counted:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file)) if path.suffix == ".csv" else [line.rstrip("\n").split("\t") for line in file]
    return counted(
        len(rows), *(("pair", str(float(label)) if path.suffix == ".csv" else label) for _, _, label in rows)
    )


def brat(directory: Path) -> Counted:
    """Lines of .ann files by their first letter; a text-bound annotation that is a trigger is no entity."""
    found = counted(len(list(directory.glob("*.ann"))))
    for path in directory.glob("*.ann"):
        lines = lines_of(path)
        triggers = {match[1] for line in lines if (match := re.match(r"E\d+\t\S+:(T\d+)", line))}
        for line in lines:
            fields = line.split("\t")
            kind = {"T": "entity", "R": "relation", "E": "event"}.get(line[0])
            if kind is not None and fields[0] not in triggers:
                found[kind, re.split(r"[ :]", fields[1])[0]] += 1
    return found


def docbin(path: Path) -> Counted:
    """The same document as in the file of Prodigy beside it."""
    return tool(path.with_suffix(".jsonl"))


Count = Callable[[Path], Counted]
