"""The page of the formats, from their table, their modules and the samples; what they can express is tested."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo
from ie_cli.formats import FORMATS, Format, Record, read_documents
from ie_cli.formats.hub import __doc__ as hub_text
from ie_cli.formats.registry import READING_OPTIONS
from reference_pages.markdown import code, fence, from_docstring, one_line, table

SAMPLES = Path(__file__).resolve().parent.parent.parent / "data" / "samples"
INTRO = """# Formats

`ie` detects the format of a file from its first lines, and that of directories and binary files from their names and suffixes;
`data.format` in a recipe and `--from` name it. `-` is standard input, and
`.gz` and `.zst` files and URLs are read directly. `ie convert IN OUT` converts to the format that
`--to` names or the suffix of OUT stands for (without a suffix, JSON Lines), and counts what that format cannot express.
Offsets are 0-based characters of the unchanged text, end exclusive.

"""
ABSENT = """A record without relations means the same whether it has an empty list, `"relations": []`, or no such field: both
count as a text without relations in training and evaluation. Formats need not keep the difference, and it is not counted:
`label_studio` omits the empty list, and `doccano-relations` adds one.

"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The sample of a format.

    Attributes:
        file: in data/samples.
        language: of the block.
        lines: their number; None: all.
    """

    file: str
    language: str = "text"
    lines: int | None = None


EXAMPLES = {
    "jsonl": Sample("ner.jsonl", "jsonl", 2),
    "cluener": Sample("ner.cluener.json", "jsonl", 2),
    "conll": Sample("ner.conll"),
    "duie": Sample("relations.duie.json", "jsonl", 1),
    "triples": Sample("triples.json", "json"),
    "conll04": Sample("relations.conll04.json", "json"),
    "multihead": Sample("relations.multihead.txt"),
    "bio-json": Sample("tags.json", "jsonl"),
    "w2ner": Sample("nested.w2ner.json", "json"),
    "dygie": Sample("documents.dygie.json", "jsonl"),
    "oneie": Sample("mentions.oneie.json", "jsonl"),
    "duee": Sample("events.duee.json", "jsonl"),
    "uie": Sample("prompts.uie.json", "jsonl"),
    "doccano": Sample("relations.doccano.jsonl", "jsonl"),
    "doccano-csv": Sample("characters.doccano.csv"),
    "label_studio": Sample("label_studio.json", "json"),
    "label_studio-csv": Sample("label_studio.csv"),
    "prodigy": Sample("prodigy.jsonl", "jsonl"),
    "spacy-json": Sample("spacy.json", "json"),
    "oneke": Sample("lists.oneke.json", "jsonl"),
    "pairs": Sample("pairs.tsv"),
    "pairs-json": Sample("pairs.jsonl", "jsonl"),
    "text": Sample("plain.txt"),
}
"""The formats with their own sample; for the others, a sample of another format is converted."""
WRITTEN = {
    "duie1": Sample("relations.duie.json", "jsonl", 1),
    "cmeee": Sample("ner.cmeee.json", "json"),
    "conll04-table": Sample("relations.conll04.json", "json", 1),
    "doccano-relations": Sample("relations.doccano.jsonl", "jsonl", 1),
}
MORE = {
    "conll": (
        ("Two tag columns give nested entities:", Sample("nested.tsv")),
        ("BMES tags:", Sample("bmes.conll", lines=8)),
    ),
    "pairs": (("Grades as in STS-B, separated by commas:", Sample("pairs.csv")),),
    "triples": (("TPLinker's fields, with character spans:", Sample("relations.tplinker.json", "json")),),
}


def page() -> str:
    """The page."""
    return "".join(
        [
            INTRO,
            "## Overview\n\n",
            table(("format", "read", "write", "suffixes", "layout"), map(_row, FORMATS.values())),
            "`hub:org/dataset` as a file name reads a dataset of the Hugging Face hub; see [hub:](#hub).\n\n",
            "## What a format can express\n\n",
            "`ie convert` and `ie predict --to` omit what a format cannot express, and count it.\n\n",
            ABSENT,
            table(("format", *PROBES), (_holds(one) for one in FORMATS.values() if one.writable)),
            "## Reading options\n\n",
            table(("recipe", "command", "formats", "meaning"), OPTIONS),
            *(_format(one) for one in FORMATS.values()),
            f"## hub:\n\n{from_docstring(hub_text or '')}\n",
        ]
    )


def _row(one: Format) -> tuple[str, ...]:
    readable = one.name != "html"
    suffixes = " ".join(map(code, one.suffixes))
    return f"[{code(one.name)}](#{one.name})", _yes(readable), _yes(one.writable), suffixes, one_line(one.help)


def _yes(value: bool) -> str:
    return "yes" if value else ""


# Two mentions, the first inside the second.
_TEXT = "Anna Meyer of New Harbour"
_ANNA, _CITY, _NEW = Entity(0, 10, "person"), Entity(14, 25, "city"), Entity(14, 17, "word")
_LIVES = Relation(_ANNA, "lives_in", _CITY)
_COMPLEX = Spo("Anna Meyer", "lives_in", "New Harbour", (("since", "New"),))
PROBES = {
    "entities": Document(_TEXT, [_ANNA, _CITY]),
    "nested entities": Document(_TEXT, [_ANNA, _CITY, _NEW]),
    "relations": Document(_TEXT, [_ANNA, _CITY], [_LIVES]),
    "complex objects": Document(_TEXT, [], [], spos=[_COMPLEX]),
    "events": Document(_TEXT, events=[Event("stay", (11, 13), (Argument("who", _ANNA),))]),
    "pairs of texts": Document(_TEXT, text_pair="Anna Meyer slept", label="contradiction"),
    "scores": Document(_TEXT, [replace(_ANNA, score=0.5)]),
    "ids": Document(_TEXT, id="a7"),
    "other fields": Document(_TEXT, meta={"source": "test"}),
}
"""A document of each kind: a format can express it if writing it loses nothing."""
OPTIONS = (
    (
        "`data.text_column`",
        "`--text-column`",
        ", ".join(map(code, READING_OPTIONS["text_column"])),
        "the column of the token, or of the first text of a pair",
    ),
    (
        "`data.label_columns`",
        "`--label-column`",
        ", ".join(map(code, READING_OPTIONS["label_columns"])),
        "the columns of tags, or that of a pair's label",
    ),
    (
        "`data.joiner`",
        "`--joiner`",
        ", ".join(map(code, READING_OPTIONS["joiner"])),
        "the separator of two tokens in a text",
    ),
    (
        "`data.columns`",
        "`--column`",
        ", ".join(map(code, READING_OPTIONS["columns"])),
        "the names of the columns of a table, by their part of it",
    ),
    (
        "`data.grades`",
        "",
        ", ".join(map(code, READING_OPTIONS["grades"])),
        "whether numbers that label pairs are grades",
    ),
    (
        "`data.mentions`",
        "",
        ", ".join(map(code, READING_OPTIONS["mentions"])),
        "the mentions at which a triple without offsets is located",
    ),
)


def _holds(one: Format) -> tuple[str, ...]:
    return code(one.name), *(_yes(_keeps(one, probe)) for probe in PROBES.values())


def _keeps(one: Format, probe: Document) -> bool:
    """Whether a document is written without loss."""
    return not any(one.count_losses(probe).values())


def _format(one: Format) -> str:
    parts = [f"## {one.name}\n\n", f"{_module_text(one)}\n\n"]
    if one.name in EXAMPLES:
        parts.append(_shown(EXAMPLES[one.name]))
    elif one.name in WRITTEN:
        parts.append(_written(one, WRITTEN[one.name]))
    for title, sample in MORE.get(one.name, ()):
        parts += [f"{title}\n\n", _shown(sample)]
    return "".join(parts)


def _module_text(one: Format) -> str:
    """The docstring of the module of a format; for a second format in a module, its line in the table."""
    module = sys.modules[_reader(one).__module__ if one.name != "html" else "ie_cli.formats.html"]
    first = next(name for name, other in FORMATS.items() if _reader(other) is _reader(one))
    return from_docstring(module.__doc__ or "") if first == one.name else f"{one.help[0].upper()}{one.help[1:]}."


def _reader(one: Format) -> Callable[..., Iterator[Record]]:
    return one.read if one.container is None else one.container.read


def _shown(sample: Sample) -> str:
    lines = (SAMPLES / sample.file).read_text(encoding="utf-8").splitlines()
    return fence("\n".join(lines[: sample.lines]), sample.language)


def _written(one: Format, sample: Sample) -> str:
    documents = list(read_documents(str(SAMPLES / sample.file)))[: sample.lines]
    before, between, after = one.frame
    if one.write is None:
        raise LookupError(f"{one.name} is not written")
    return fence(before + between.join(map(one.write, documents)) + after, sample.language)
