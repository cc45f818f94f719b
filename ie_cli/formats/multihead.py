"""The columns of multi-head selection (Bekoulis et al.): index, token, BIO tag, predicates, heads; ``#doc ID`` before each text.

A relation is in the row of its subject's last token and gives the index of its object's last token:
``2  Smith  I-Peop  ['Live_In']  [7]``. A row without relations has ``['N']`` and its own index.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ie_cli.document import Document, Entity, Relation
from ie_cli.errors import DataError, counted
from ie_cli.formats.common.base import (
    BadLine,
    Lines,
    Reading,
    Record,
    checked_entity,
    count_id_and_fields,
    error_at,
    quoted,
    require_storable,
    short,
)
from ie_cli.formats.common.joining import join_tokens
from ie_cli.formats.common.tag_schemes import bio_tags, count_broken_labels, spans_of, split_tag
from ie_cli.formats.common.word_tokens import count_word_losses, split_flat
from ie_cli.formats.conll import INVALID_TAGS

DOCUMENT_MARKER = "#doc"
NONE = "N"
"""The predicate of a row without relations."""
_ODD_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\(?:[^\\'\"abfnrtvxNuU0-7\n]|[4-7][0-7]{2})")
"""An escape sequence that is invalid in Python."""

_HINT = "write five columns separated by tabs: index, token, BIO tag, ['PREDICATE', …], [index of the object's last token, …]."
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,30}")

Link = tuple[int, str, int, int]  # token, predicate, head, line


@dataclass(slots=True)
class _Block:
    number: int
    id: str | int | None = None
    lines: list[str] = field(default_factory=list)
    rows: list[tuple[int, str]] = field(default_factory=list)


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each document."""
    repaired = 0
    for block in _blocks(lines):
        where = f"{path}:{block.number}"
        try:
            document, broken = _document(block, path, reading)
        except DataError as error:
            yield BadLine(where, "\n".join(block.lines), error)
        else:
            repaired += broken
            document.where = where
            yield document
    if repaired:
        reading.report(INVALID_TAGS.format(path=path, count=counted(repaired, "tag")))


def _blocks(lines: Lines) -> Iterator[_Block]:
    block: _Block | None = None
    for number, line in lines:
        if line.startswith(DOCUMENT_MARKER):
            if block is not None:
                yield block
            block = _Block(number, _id(line), [line])
        elif line.strip():
            # Rows before the first marker form a document without an id.
            block = block or _Block(number)
            block.lines.append(line)
            block.rows.append((number, line))
    if block is not None:
        yield block


def _id(line: str) -> str | int | None:
    given = line.removeprefix(DOCUMENT_MARKER).strip()
    return int(given) if _NUMBER.fullmatch(given) else given or None


def _document(block: _Block, path: str, reading: Reading) -> tuple[Document, int]:
    tokens: list[str] = []
    tags: list[str] = []
    links: list[Link] = []
    for number, line in block.rows:
        row = line.split("\t")
        problem = _problem(row, len(tokens), reading.annotation)
        if problem is None and reading.annotation:
            found = _links(row[3], row[4], len(tokens), number)
            if isinstance(found, str):
                problem = found
            else:
                links.extend(found)
                tags.append(row[2])
        if problem is not None:
            raise DataError(f"{path}:{number}: {problem}: {quoted(line)}", hint=_HINT)
        tokens.append(row[1])
    text, starts = join_tokens(tokens, reading.joiner)
    spans, broken = spans_of(tags)
    ending: dict[int, Entity] = {}
    for first, last, label in spans:
        ending[last] = checked_entity(starts[first], starts[last] + len(tokens[last]), label, text)
    relations = [_relation(link, ending, tokens, path) for link in links]
    return Document(text, list(ending.values()), relations, block.id), broken


def _problem(row: list[str], index: int, annotation: bool) -> str | None:
    need = 5 if annotation else 2
    if len(row) < need:
        return f"expected {need} columns, got {len(row)}"
    if row[0] != str(index):
        return f"expected the index {index}, got {quoted(row[0])}"
    if not row[1]:
        return "the token is empty"
    if annotation and split_tag(row[2]) is None:
        return f"expected a tag such as O or B-PER, got {quoted(row[2])}"
    return None


def _links(predicates: str, heads: str, token: int, number: int) -> list[Link] | str:
    """Return the relations of a row, or a message if its lists are invalid."""
    names, indices = _literal(predicates), _literal(heads)
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        return f"expected a list of predicates, got {quoted(predicates)}"
    if not isinstance(indices, list) or not all(type(index) is int for index in indices):
        return f"expected a list of indices, got {quoted(heads)}"
    if len(names) != len(indices):
        return f"got {counted(len(names), 'predicate')}, but {counted(len(indices), 'head')}"
    return [(token, name, head, number) for name, head in zip(names, indices, strict=True) if name != NONE]


def _literal(value: str) -> Any:
    """Parse a Python literal; return None if it is invalid."""
    if value == f"['{NONE}']":
        return [NONE]
    if _ODD_ESCAPE.search(value):  # Python would issue a warning, possibly in another thread
        return None
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _relation(link: Link, ending: Mapping[int, Entity], tokens: list[str], path: str) -> Relation:
    token, predicate, head, number = link
    try:
        require_storable(predicate, "predicate")
    except DataError as error:
        raise error_at(f"{path}:{number}", error) from error
    for index, role in ((token, "subject"), (head, "object")):
        if index not in ending:
            shown = f" ({quoted(tokens[index])})" if 0 <= index < len(tokens) else ""
            raise DataError(
                f"{path}:{number}: relation {quoted(predicate)}: no entity ends at token {short(index)}{shown}",
                hint=f"identify the {role} of a relation by its last token.",
            )
    return Relation(ending[token], predicate, ending[head])


def write(document: Document) -> str:
    """Return a document; of overlapping entities, arguments of relations included, the longer one is written."""
    words = split_flat(document)
    links: dict[int, tuple[list[str], list[int]]] = {}
    for relation in words.relations:
        if relation.predicate != NONE:
            names, heads = links.setdefault(words.spans[relation.subject][1], ([], []))
            names.append(relation.predicate)
            heads.append(words.spans[relation.object][1])
    tags = bio_tags(len(words.tokens), [(*span, entity.label) for entity, span in words.spans.items()])
    rows = [_first_line(document)]
    for index, (token, tag) in enumerate(zip(words.tokens, tags, strict=True)):
        names, heads = links.get(index, ([NONE], [index]))
        rows.append(f"{index}\t{token}\t{tag}\t{names!r}\t{heads!r}")
    return "\n".join(rows) + "\n"


def _first_line(document: Document) -> str:
    id_ = "" if document.id is None else " ".join(str(document.id).split())
    return f"{DOCUMENT_MARKER} {id_}".rstrip()


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    words = split_flat(document)
    changed = _id(_first_line(document)) != document.id
    return {
        **count_word_losses(document, words),
        **count_broken_labels(entity.label for entity in words.spans),
        f"relations named '{NONE}' are lost, because that name means no relation in this format": sum(
            r.predicate == NONE for r in words.relations
        ),
        **({"ids are read back differently: with other whitespace, or as numbers": 1} if changed else {}),
        **count_id_and_fields(replace(document, id=None)),
    }
