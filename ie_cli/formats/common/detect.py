"""Detection of the format of a file from its first lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ie_cli.document import DOCUMENT_MARK
from ie_cli.errors import DataError
from ie_cli.formats.common.base import UnknownFormat, quoted, short
from ie_cli.formats.common.columns import looks_like_columns, split_whitespace
from ie_cli.formats.common.json_object import parse_object
from ie_cli.formats.common.json_stream import RecordSplitter, read_objects
from ie_cli.formats.common.pair_columns import looks_like_pairs
from ie_cli.formats.common.pair_fields import is_pair_record
from ie_cli.formats.common.piped_tokens import width_of
from ie_cli.formats.common.research_json import research_format
from ie_cli.formats.common.spacy_records import is_pair_line, parse_record
from ie_cli.formats.common.tag_schemes import split_tag
from ie_cli.formats.common.tool_records import tool_of
from ie_cli.formats.doccano_csv import find_other_row, looks_like_characters
from ie_cli.formats.label_studio_csv import is_export_header, looks_like_export
from ie_cli.formats.multihead import DOCUMENT_MARKER
from ie_cli.formats.table import is_header, table_of

HINT = (
    "set data.format in the recipe: jsonl, duie, triples, conll04, multihead, cluener, doccano, doccano-csv, label_studio, "
    "prodigy, spacy-json, bio-json, w2ner, dygie, oneie, duee, uie, oneke, pairs, pairs-json, text (one document per line), or "
    "conll (also lines of single tokens)."
)
TABLE_HINT = (
    "a table needs a first line with the names of its columns: text, start, end and label (a span per row), text and entities, "
    "tokens and ner_tags (a document per row), sentence_id, word and tag (a token per row), or sentence1, sentence2 and label. "
    "Name other columns with data.columns in a recipe."
)
_TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst")

_MAX_LINES = 400
_MAX_JSON_LINES = 10_000  # the first object of an indented array may have many
_NO_TOKEN = ("#", DOCUMENT_MARK)
_JSON = frozenset('"{}[],:')


def peek(stream: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    """Read as few lines as determine the format, because a user may wait for an answer to the first one."""
    head: list[tuple[int, str]] = []
    first = ""  # the first non-empty line
    seen = False
    splitter = RecordSplitter("", parse_record)
    for number, line in stream:
        head.append((number, line))
        first = first or line.strip()
        if first.startswith(("{", "[")) and not _is_row(first):
            cut = any(isinstance(found, dict) for _, _, found in splitter.feed(number, line))
            if cut or _is_json_line(line, first) or len(head) >= _MAX_JSON_LINES:
                break
        elif len(head) >= _MAX_LINES or _object(line) is not None or (seen and not line.strip() and _is_clear(head)):
            break
        seen = seen or bool(line.strip() and not line.startswith(_NO_TOKEN))
        if seen and first.startswith(DOCUMENT_MARKER):
            break
    return head


def detect(head: Sequence[tuple[int, str]], source: str) -> str:
    """Return the name of the format of a file, given its first numbered lines.

    Raises:
        DataError: the lines match no format, or the file is empty.
    """
    lines = [line for _, line in head if line.strip()]
    if not lines:
        raise DataError(f"{source}: the file is empty", hint="give a file with at least one record.")
    if lines[0].lstrip()[0] in "{[" and not _is_row(lines[0]):
        return "spacy-json" if _has_pairs(head, lines[0]) else _json_format(_objects(head, lines))
    if lines[0].startswith(DOCUMENT_MARKER) and all(
        line.startswith(DOCUMENT_MARKER) or _multihead_row(line) for line in lines[:2]
    ):
        return "multihead"
    rows = [(number, line) for number, line in head if line.strip() and not line.startswith(_NO_TOKEN)]
    if looks_like_columns([line for _, line in rows]) or width_of([line for _, line in rows[:20]]):
        return "conll"
    if looks_like_export(line for _, line in head):
        return "label_studio-csv"
    if is_header(lines[0]):
        return table_of(lines[0])
    if looks_like_characters(line for _, line in head):
        return "doccano-csv"
    if looks_like_pairs(head):
        return "pairs"
    if is_export_header(lines[0]):
        return "label_studio-csv"  # its first rows have no labelled span
    if source.lower().endswith(_TABLES) and is_header(lines[0], clear=False):
        return table_of(lines[0])
    if (other := find_other_row(head, source)) is not None:
        where, row = other
        raise DataError(
            f"{where}: the format cannot be detected: most of the first rows are a character with its tag, as doccano before 1.0 "
            f"exported them, but this one is not: {short(list(row))}",
            hint="correct the row, or name the format: set data.format in the recipe to doccano-csv.",
        )
    hint = TABLE_HINT if source.lower().endswith((".csv", ".csv.gz", ".csv.zst")) else HINT
    without = [(number, line) for number, line in rows if not any(map(split_tag, split_whitespace(line)[1:]))]
    if without and 2 * len(without) <= len(rows):
        number, line = without[0]
        raise DataError(
            f"{source}:{number}: the format cannot be detected: most of the first lines are columns with a tag such as O or "
            f"B-PER, but this one has none: {quoted(line)}",
            hint="correct the line, or name the format: set data.format in the recipe to conll.",
        )
    raise UnknownFormat(f"{source}: the format cannot be detected from the first line: {quoted(lines[0])}", hint=hint)


def _is_row(line: str) -> bool:
    """Return whether a line that may be JSON is a row of columns, whose token is a bracket."""
    first, *others = line.split()
    return first[0] in "[{" and any(map(split_tag, others)) and not any(char in _JSON for char in "".join(others))


def _is_clear(head: Sequence[tuple[int, str]]) -> bool:
    """Return whether lines are clearly columns."""
    lines = [line for _, line in head if line.strip() and not line.startswith(_NO_TOKEN)]
    return looks_like_columns(lines)


def _object(line: str) -> dict[str, Any] | None:
    try:
        return parse_object(line)
    except DataError:
        return None


def _is_json_line(line: str, first: str) -> bool:
    """Return whether a line is in JSON Lines format: an object that is not indented, in a file that is not an array."""
    return first[0] == "{" and line[:1] == "{" and _object(line) is not None


def _objects(head: Sequence[tuple[int, str]], lines: Sequence[str]) -> list[dict[str, Any]]:
    """Return the objects in the first lines; any valid one determines the format, because the first may be invalid."""
    objects = [
        fields for line in lines if _is_json_line(line, lines[0].lstrip()) and (fields := _object(line)) is not None
    ]
    return objects or [found for _, _, found in read_objects(head, "") if isinstance(found, dict)]


def _has_pairs(head: Sequence[tuple[int, str]], first: str) -> bool:
    """Return whether the records are spaCy's pairs of a text and its annotation."""
    if is_pair_line(first):
        return True
    found = read_objects(head, "", parse_record) if first.lstrip().startswith("[") else iter(())
    return next((raw.startswith("[") for _, raw, fields in found if isinstance(fields, dict)), False)


def _json_format(objects: Sequence[dict[str, Any]]) -> str:
    if any(isinstance(fields.get("label"), dict) for fields in objects):
        return "cluener"
    if (tool := next(filter(None, map(tool_of, objects)), None)) is not None:
        return tool
    if any("spo_list" in fields for fields in objects):
        return "duie"
    for layout in (research_format, _relation_format):
        if (name := next(filter(None, map(layout, objects)), None)) is not None:
            return name
    return "pairs-json" if any(map(is_pair_record, objects)) else "jsonl"


def _relation_format(fields: dict[str, Any]) -> str | None:
    """Return the format of a record with a list of triples, or with tokens instead of a text, or None."""
    if "text" in fields and "entities" in fields:
        return None
    if "relation_list" in fields or "triple_list" in fields or {"sentText", "relationMentions"} <= fields.keys():
        return "triples"
    if "tokens" in fields and "text" not in fields and ("entities" in fields or "tags" in fields):
        return "conll04"
    return None


def _multihead_row(line: str) -> bool:
    row = line.split("\t")
    return len(row) >= 5 and row[0].isdecimal()
