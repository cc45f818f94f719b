"""spaCy in JSON: training data as pairs of text and annotation, the training format of version 2, and ``Doc.to_json``.

::

    [["Ann slept", {"entities": [[0, 3, "PERSON"]]}]]
    [{"id": 0, "paragraphs": [{"raw": "Ann slept", "sentences": [{"tokens": [{"orth": "Ann", "ner": "U-PERSON"}, …]}]}]}]
    {"text": "Ann slept", "ents": [{"start": 0, "end": 3, "label": "PERSON"}], "spans": {"sc": […]}}

Pairs may be in an array, one per line, or in the ``annotations`` of an object. In the format of version 2, every paragraph is
an example; ``entities`` are read, or else the tags ``ner`` of the tokens, where ``-`` (unknown) counts as ``O``. Without
``raw``, the text is joined from the tokens, by their ``space`` or as in other formats with tokens. Of ``Doc.to_json``, ``ents``
are read, or the spans of all groups if there are none. Heads, parts of speech and other layers are not read. Categories
(``cats``) are a user field. Files with ``text`` and ``ents`` without groups of spans are detected as native JSON Lines, which
read them alike.

Pairs are written, in an array. Of overlapping entities the longest is written, because ``entities`` must not overlap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from ie_cli.document import Document, Entity
from ie_cli.errors import DataError, counted
from ie_cli.formats import jsonl
from ie_cli.formats.common.annotation_fields import AnnotationTally
from ie_cli.formats.common.base import (
    FIELDS_LOST,
    IDS_LOST,
    RELATIONS_LOST,
    Lines,
    Reading,
    Record,
    checked_entity,
    count_native_only,
    count_unlocated,
    short,
)
from ie_cli.formats.common.joining import Joining, join_tokens, look_ahead
from ie_cli.formats.common.json_stream import FoundObject, convert_objects
from ie_cli.formats.common.native_fields import entity_of, list_of
from ie_cli.formats.common.spacy_records import Fields, is_paragraph, records_in, tokens_of
from ie_cli.formats.common.tag_schemes import OUTSIDE, spans_of, split_tag
from ie_cli.formats.common.token_spans import TREEBANK, spans_in
from ie_cli.formats.conll import INVALID_TAGS
from ie_cli.formats.conll_writer import longest_non_overlapping

HINT = 'write each record as ["Ann slept", {"entities": [[0, 3, "PERSON"]]}].'
_TOKENS_HINT = "correct 'raw', or leave it out: the text is then joined from the tokens."
OVERLAPS = "entities that overlap longer ones cannot be stored in spaCy's entities"
UNKNOWN = "-"
"""The tag of a token whose entity is unknown."""
_KEPT = ("cats", "links")
"""The user fields that spaCy accepts in the annotation of a pair."""
_LAYERS = frozenset({"tokens", "sents", "words", "spaces", "sent_starts"}) | frozenset(
    {"tags", "heads", "deps", "pos", "morphs", "lemmas"}
)


def read(lines: Lines, path: str, reading: Reading) -> Iterator[Record]:
    """Yield an example for each pair, paragraph or document, and report what was not read."""
    tally, counts = AnnotationTally(path), Counter[str]()
    joining, objects = _joining(records_in(lines, path), path, reading)

    def convert(fields: Fields, where: str) -> Document:
        if is_paragraph(fields):
            document = _of_paragraph(fields, joining, reading, counts)
        else:
            native = _native(fields, counts)
            document = (
                jsonl.from_fields(native, tally)
                if reading.annotation
                else jsonl.from_fields(jsonl.without_annotation(native))
            )
        document.where = where
        return document

    yield from convert_objects(objects, convert, HINT)
    tally.report(reading)
    if broken := counts.pop(INVALID_TAGS, 0):
        reading.report(INVALID_TAGS.format(path=path, count=counted(broken, "tag")))
    for what, count in counts.items():
        reading.report(f"{path}: {what}: {count:,}")


def _joining(objects: Iterator[FoundObject], path: str, reading: Reading) -> tuple[Joining, Iterator[FoundObject]]:
    """Decide how to join tokens from the first paragraphs, if the first record is a paragraph without a text."""
    first = list(next(([found] for found in objects), []))
    every = chain(first, objects)
    if not first or not _loose_tokens(first[0]):
        return Joining(reading.joiner), every
    return look_ahead(every, _loose_tokens, path, reading)


def _loose_tokens(found: FoundObject) -> Sequence[str]:
    """Return the tokens of a paragraph whose text is not known."""
    fields = found[2]
    if isinstance(fields, DataError) or not is_paragraph(fields) or isinstance(fields.get("raw"), str):
        return ()
    try:
        tokens = tokens_of(fields)
    except DataError:
        return ()
    return () if all("space" in token for token in tokens) else [token["orth"] for token in tokens]


def _native(fields: Fields, counts: Counter[str]) -> Fields:
    """Return the native fields of a pair or a document."""
    groups = fields.get("spans") if isinstance(fields.get("spans"), dict) else None
    entities = fields.get("entities") if fields.get("entities") is not None else fields.get("ents")
    grouped = [span for name in groups or {} for span in list_of(groups or {}, name)]
    if groups is not None and not entities:
        entities = grouped
        counts["spans of groups, whose names are not kept"] += len(grouped)
    elif grouped:
        counts["spans of groups beside the entities, which are not read"] += len(grouped)
    native = {
        name: value
        for name, value in fields.items()
        if name not in ("entities", "ents", *_LAYERS) and (name != "spans" or groups is None)
    }
    for name in _LAYERS & fields.keys():
        counts[f"records with {name!r}, which are not read"] += 1
    return native if entities is None else native | {"entities": entities}


def _of_paragraph(fields: Fields, joining: Joining, reading: Reading, counts: Counter[str]) -> Document:
    tokens = tokens_of(fields)
    text, spans = _text(fields, tokens, joining)
    meta = {name: fields[name] for name in _KEPT if fields.get(name)}
    document = Document(text, [], [], jsonl.id_of(fields), meta)
    if not reading.annotation:
        return document
    if fields.get("entities") is not None:
        document.entities = [entity_of(value, text) for value in list_of(fields, "entities")]
        return document
    document.entities = _tagged(tokens, spans, text, counts)
    return document


def _text(fields: Fields, tokens: Sequence[Fields], joining: Joining) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of a paragraph, and the spans of its tokens."""
    words = [token["orth"] for token in tokens]
    raw = fields.get("raw")
    if isinstance(raw, str):
        return raw, spans_in(raw, words, _TOKENS_HINT, spellings=TREEBANK)
    if tokens and all(isinstance(token.get("space"), str) for token in tokens):
        text = "".join(token["orth"] + token["space"] for token in tokens)
        return text, spans_in(text, words)
    words = joining.tokens_of(words)
    text, starts = join_tokens(words, joining.joiner)
    return text, [(start, start + len(word)) for start, word in zip(starts, words, strict=True)]


def _tagged(
    tokens: Sequence[Fields], spans: Sequence[tuple[int, int]], text: str, counts: Counter[str]
) -> list[Entity]:
    """Return the entities that the tags of the tokens say."""
    tags = [token.get("ner") or UNKNOWN for token in tokens]
    unknown = tags.count(UNKNOWN)
    if unknown == len(tags):
        counts["paragraphs without tags, which count as texts without entities"] += 1
        return []
    if unknown:
        counts[f"tokens with the tag {UNKNOWN!r} (unknown) or without one, which counts as {OUTSIDE!r}"] += unknown
    tags = [OUTSIDE if tag == UNKNOWN else tag for tag in tags]
    for tag in tags:
        if not isinstance(tag, str) or split_tag(tag) is None:
            raise DataError(f"'ner' must be a tag such as O or U-PER, got {short(tag)}")
    found, broken = spans_of(tags)
    counts[INVALID_TAGS] += broken
    return [checked_entity(spans[first][0], spans[last][1], label, text) for first, last, label in found]


def write(document: Document) -> str:
    """Return a pair without a line end."""
    entities = [[entity.start, entity.end, entity.label] for entity in longest_non_overlapping(document.entities)]
    annotation = {"entities": entities} | {name: document.meta[name] for name in _KEPT if name in document.meta}
    return jsonl.dump_value([document.text, annotation])


def count_losses(document: Document) -> Mapping[str, int]:
    """Count what `write` cannot store."""
    entities = set(document.entities)
    counts = {
        OVERLAPS: len(entities) - len(longest_non_overlapping(document.entities)),
        RELATIONS_LOST: len(set(document.relations)) + count_unlocated(document),
        IDS_LOST: int(document.id is not None),
        FIELDS_LOST: sum(name not in _KEPT for name in document.meta),
        **count_native_only(document),
    }
    return {what: count for what, count in counts.items() if count}
