"""Encode documents to windows, or pairs of texts, in an Arrow file; no torch, so that worker processes start quickly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Codec, Index, Targets
from ie_cli.codecs.pairs import SPLIT
from ie_cli.data.label_schema import schema_facts
from ie_cli.document import Document
from ie_cli.encoding.pairs import PairSequences
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import NO_BOUNDARY, no_boundaries, with_whole_words
from ie_cli.recipe.heads import HeadSection
from ie_cli.system.atomic import storing
from ie_cli.triples import Mentions

STORE_VERSION = 6
TEXT, COMPLETE = "text", "complete"
"""The columns of an Arrow file with the text of a row, and with whether all gold items of its document are stored."""
_CHUNK = 1000


@dataclass(slots=True)
class DatasetCounts:
    """Counts of a dataset.

    Attributes:
        items: number of gold items by kind, e.g. ``entities``.
        windows: number of windows, or of pairs.
        unreachable: number of gold items that no model could learn, by kind and reason.
        truncated: number of texts of pairs that are longer than a sequence.
    """

    documents: int = 0
    windows: int = 0
    items: dict[str, int] = field(default_factory=dict)
    unreachable: dict[str, dict[str, int]] = field(default_factory=dict)
    truncated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The settings that turn documents into windows or pairs.

    Attributes:
        texts: whether to store the texts too, so that windows can be joined.
        head: the section of the recipe from which other processes can build the codec; None if only this process has it.
    """

    tokenizer: TextTokenizer
    plan: WindowPlan
    codec: Codec
    pad_id: int
    mentions: Mentions = "nearest"
    texts: bool = False
    whole_words: bool = False
    head: HeadSection | None = None

    def identity(self) -> list[Any]:
        """Return everything that the encoded windows depend on besides the documents."""
        codec = self.codec
        return [
            STORE_VERSION,
            *self.tokenizer.identity(),
            [self.plan.capacity, self.plan.stride],
            [list(codec.identity), dict(codec.columns), schema_facts(codec.schema)],
            self.mentions,
            # Omitted by default, so that the files of earlier versions are found.
            *(["texts"] if self.texts else []),
            *(["whole words"] if self.whole_words else []),
        ]


@dataclass(frozen=True, slots=True)
class _EncodedDocument:
    """The gold of a document, its rows (ids and columns), and how many of its texts are truncated."""

    gold: Targets
    rows: list[tuple[npt.NDArray[Any], Mapping[str, Index]]]
    truncated: int = 0


def _windows(documents: Sequence[Document], encoding: Encoding) -> Iterator[_EncodedDocument]:
    """Encode the windows of documents."""
    codec, plan, tokenizer, whole = encoding.codec, encoding.plan, encoding.tokenizer, encoding.whole_words
    shift = len(tokenizer.prefix)
    for document, found in zip(documents, tokenizer.encode([e.text for e in documents]), strict=True):
        tokens = with_whole_words(document.text, found) if whole else found
        gold = codec.encode(document, tokens, plan, mentions=encoding.mentions)
        yield _EncodedDocument(
            gold,
            [
                (
                    tokenizer.surround(tokens.ids[first : first + plan.capacity]),
                    {
                        **codec.window(gold, first, plan.capacity, shift),
                        **({NO_BOUNDARY: no_boundaries(tokens, first, plan.capacity, shift)} if whole else {}),
                    },
                )
                for first in plan.starts(len(tokens)).tolist()
            ],
        )


def _pairs(documents: Sequence[Document], encoding: Encoding) -> Iterator[_EncodedDocument]:
    """Encode the pairs of documents; one that is no pair, or has nothing to learn, has no row."""
    codec, tokenizer = encoding.codec, encoding.tokenizer
    length = encoding.plan.capacity + tokenizer.special_tokens
    sequences = PairSequences.build(codec.reads, tokenizer, length, pad_id=encoding.pad_id)
    seconds = tokenizer.encode([document.text_pair or "" for document in documents])
    firsts = tokenizer.encode([document.text for document in documents])
    for document, first, second in zip(documents, firsts, seconds, strict=True):
        gold = codec.encode(document, first, encoding.plan, mentions=encoding.mentions)
        if not sum(gold.counts.values()):
            yield _EncodedDocument(gold, [])
            continue
        parts = sequences.ids(first.ids, second.ids)
        columns = dict(gold.columns)
        if SPLIT in codec.columns:
            columns[SPLIT] = np.array([[len(parts[0])]])
        yield _EncodedDocument(gold, [(np.concatenate(parts), columns)], sequences.truncated(first.ids, second.ids))


def write_rows(path: Path, documents: Iterable[Document], encoding: Encoding, *, first: int = 0) -> DatasetCounts:
    """Write the rows of documents to an Arrow file, whose content depends on the arguments alone.

    Args:
        path: the new file.
        documents: the documents.
        encoding: the settings.
        first: the number of the first document.

    Raises:
        StorageError: the file cannot be written.
    """
    import pyarrow as pa

    counts = DatasetCounts()
    items: Counter[str] = Counter()
    unreachable: dict[str, Counter[str]] = {}
    numbers = pa.list_(pa.int32())
    codec = encoding.codec
    encode = _windows if codec.reads == "windows" else _pairs
    stored = (*codec.columns, NO_BOUNDARY) if encoding.whole_words else tuple(codec.columns)
    texts = {TEXT: pa.binary(), COMPLETE: pa.bool_()} if encoding.texts else {}
    ids = pa.list_(pa.from_numpy_dtype(encoding.tokenizer.id_type))
    schema = pa.schema({"input_ids": ids, "document": pa.int64(), **dict.fromkeys(stored, numbers), **texts})
    with storing(path.parent), pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        stream = iter(documents)
        while chunk := list(islice(stream, _CHUNK)):
            rows: dict[str, list[Any]] = {name: [] for name in schema.names}
            for document, found in zip(chunk, encode(chunk, encoding), strict=True):
                for ids, columns in found.rows:
                    rows["input_ids"].append(ids)
                    for name, entries in columns.items():
                        rows[name].append(entries.astype(np.int32).ravel())
                    rows["document"].append(first + counts.documents)
                    if texts:
                        alone = len(found.rows) == 1 and len(ids) > encoding.tokenizer.special_tokens
                        rows[TEXT].append(document.text.encode("utf-8", "surrogatepass") if alone else None)
                        rows[COMPLETE].append(not any(found.gold.unreachable.values()) if alone else None)
                counts.documents += 1
                counts.truncated += found.truncated
                items.update(found.gold.counts)
                for kind, lost in found.gold.unreachable.items():
                    unreachable.setdefault(kind, Counter()).update(reason for _, reason in lost)
            counts.windows += len(rows["document"])
            writer.write_batch(pa.record_batch(rows, schema=schema))
    counts.items = dict(items)
    counts.unreachable = {kind: dict(reasons) for kind, reasons in unreachable.items() if reasons}
    return counts
