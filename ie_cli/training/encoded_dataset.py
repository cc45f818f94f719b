"""Encoded windows, or pairs of texts, in a memory-mapped Arrow file, which is kept for later runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.base import Codec, Index, Targets
from ie_cli.codecs.pairs import LEVEL, SPLIT, levels_of
from ie_cli.data.label_schema import schema_facts
from ie_cli.document import Document
from ie_cli.encoding.pairs import PairSequences
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import NO_BOUNDARY, no_boundaries, with_whole_words
from ie_cli.modeling.batch import Numbers
from ie_cli.system.atomic import replace_file, replace_text, storing
from ie_cli.system.cache import cache_directory
from ie_cli.system.checksums import file_checksum, require_intact, with_checksum
from ie_cli.system.json_reading import read_json
from ie_cli.system.temporary import sweep, workspace
from ie_cli.triples import Mentions

STORE_VERSION = 6
_CHUNK = 1000
_TEXT, _COMPLETE = "text", "complete"


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


@dataclass(frozen=True, slots=True)
class Rows:
    """Some windows or pairs: ids with special tokens, gold values by the codec's columns, and the numbers of their documents.

    With whole words, `no_boundaries` has the (side, token) of the tokens that spans may not start or end with, see `NO_BOUNDARY`.
    """

    input_ids: Sequence[npt.NDArray[Any]]
    columns: dict[str, list[npt.NDArray[Any]]]
    documents: Sequence[Numbers]
    no_boundaries: list[npt.NDArray[Any]] | None = None

    @property
    def sequences(self) -> Sequence[npt.NDArray[Any]]:
        """The sequences of the encoder: the two of each pair if they are separate, else one for each row."""
        if SPLIT not in self.columns:
            return self.input_ids
        lengths = [int(split[0, 0]) for split in self.columns[SPLIT]]
        return [part for ids, first in zip(self.input_ids, lengths, strict=True) for part in (ids[:first], ids[first:])]


@dataclass(frozen=True, slots=True)
class StoredText:
    """The text of a row that is the only window of its document.

    Attributes:
        complete: whether all gold items of the document are stored.
    """

    text: str
    complete: bool


class EncodedDataset:
    """Encoded windows or pairs, memory-mapped: rows of ids (including special tokens) and gold values.

    A pair whose texts have a sequence each is one row, in which the second sequence follows the first.

    Args:
        path: an Arrow stream file with the columns ``input_ids`` (list of integers), ``document`` (number of the document, from
            0), those of the codec (list of int32: flattened arrays, e.g. of positions in input_ids) and, with whole words,
            `NO_BOUNDARY`; with `Encoding.texts`, also ``text`` (UTF-8) and ``complete``, which are null unless the row is the
            only window of its document.
        counts: the counts of the dataset.
        codec: the codec that encoded the gold values.
        prefix: number of special tokens at the start of each window.
        suffix: number of special tokens at the end of each window.
        pad_id: id of the padding token.

    Attributes:
        lengths: number of tokens in each row, including the padding between its sequences; int32 ``[rows]``.
        negative: whether each row has no gold items; bool ``[rows]``.
        windows_of: number of rows of each document; int64 ``[documents]``.
        levels: the level of each pair; float32 ``[rows]``, empty for windows.
        with_text: whether the text of each row is stored; bool ``[rows]``.
        replaced: the damaged file of an earlier run that was replaced by this one.
    """

    def __init__(
        self, path: Path, counts: DatasetCounts, codec: Codec, *, prefix: int, suffix: int, pad_id: int
    ) -> None:
        from datasets import Dataset

        self.counts = counts
        self.replaced: Path | None = None
        self.prefix, self.suffix, self.pad_id = prefix, suffix, pad_id
        self._widths = dict(codec.columns)
        table = Dataset.from_file(str(path))
        self._table = table.with_format("numpy")
        if _TEXT in table.column_names:
            self._table = self._table.remove_columns([_TEXT, _COMPLETE])
            self._texts = table.select_columns([_TEXT, _COMPLETE]).with_format("arrow")
        self._measure(table.data.table)

    def __len__(self) -> int:
        return len(self._table)

    def rows(self, rows: Sequence[int]) -> Rows:
        """Return the windows of some rows."""
        part = self._table[list(rows)]
        columns = {
            name: [np.asarray(values).reshape(-1, width) for values in part[name]]
            for name, width in self._widths.items()
        }
        limits = part.get(NO_BOUNDARY)
        none = None if limits is None else [np.asarray(values).reshape(-1, 2) for values in limits]
        return Rows(part["input_ids"], columns, part["document"].tolist(), none)

    def texts(self, rows: Sequence[int]) -> list[StoredText]:
        """Return the texts of some rows, all of which have one."""
        part = self._texts[list(rows)]
        texts = [text.decode("utf-8", "surrogatepass") for text in part[_TEXT].to_pylist()]
        return [StoredText(*found) for found in zip(texts, part[_COMPLETE].to_pylist(), strict=True)]

    @property
    def documents(self) -> npt.NDArray[np.int64]:
        """The number of the document of each row; int64 ``[rows]``."""
        return np.repeat(np.arange(len(self.windows_of)), self.windows_of)

    def _measure(self, table: Any) -> None:
        """Set the attributes that the order of the rows depends on."""
        lengths, empty, levels = [np.zeros(0, np.int32)], [np.zeros(0, bool)], [np.zeros(0, np.float32)]
        with_text = [np.zeros(0, bool)]
        self.windows_of: npt.NDArray[np.int64] = np.zeros(self.counts.documents, np.int64)
        for batch in table.to_batches(max_chunksize=100_000):
            length = np.diff(batch["input_ids"].offsets.to_numpy()).astype(np.int32)
            if SPLIT in self._widths:
                first = batch[SPLIT].flatten().to_numpy()
                length = 2 * np.maximum(first, length - first)
            if LEVEL in self._widths:
                levels.append(levels_of(batch[LEVEL].flatten().to_numpy()))
            lengths.append(length)
            if _TEXT in table.column_names:
                with_text.append(batch[_TEXT].is_valid().to_numpy(zero_copy_only=False))
            sizes = [np.diff(batch[name].offsets.to_numpy()) for name in self._widths]
            empty.append(np.sum(sizes, axis=0) == 0)
            self.windows_of += np.bincount(batch["document"].to_numpy(), minlength=len(self.windows_of))
        self.lengths: npt.NDArray[np.int32] = np.concatenate(lengths)
        self.negative: npt.NDArray[np.bool_] = np.concatenate(empty)
        self.levels: npt.NDArray[np.float32] = np.concatenate(levels)
        self.with_text: npt.NDArray[np.bool_] = np.concatenate(with_text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """The settings that turn documents into windows or pairs.

    Attributes:
        texts: whether to store the texts too, so that windows can be joined.
    """

    tokenizer: TextTokenizer
    plan: WindowPlan
    codec: Codec
    pad_id: int
    mentions: Mentions = "nearest"
    texts: bool = False
    whole_words: bool = False

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

    def open(self, path: Path, counts: DatasetCounts) -> EncodedDataset:
        """Open a file that was written with these settings."""
        prefix, suffix = len(self.tokenizer.prefix), len(self.tokenizer.suffix)
        return EncodedDataset(path, counts, self.codec, prefix=prefix, suffix=suffix, pad_id=self.pad_id)


def encode_dataset(documents: Iterable[Document], encoding: Encoding, *, key: str | None) -> EncodedDataset:
    """Encode documents, or reuse the file of an earlier run.

    Args:
        documents: the documents.
        encoding: the settings.
        key: fingerprint of the data, which together with the encoding names the cached file; None if the data have no
            fingerprint (a stream or a hub), so that the file is removed with the process.
    """
    directory = cache_directory()
    sweep(directory)
    if key is None:
        with workspace(directory, "windows") as room:
            # The memory mapping outlives the file name; Windows keeps the file until the process ends.
            path = room / "windows.arrow"
            return encoding.open(path, _write_rows(path, documents, encoding))
    name = hashlib.blake2b(json.dumps([key, *encoding.identity()]).encode(), digest_size=16).hexdigest()
    path, facts = directory / f"{name}.arrow", directory / f"{name}.json"
    exists = os.path.lexists(facts)
    if exists and (stored := _reusable(path, facts, encoding)) is not None:
        return stored
    with workspace(directory, "windows") as room:
        new = room / path.name
        counts = _write_rows(new, documents, encoding)
        with storing(path):
            written = with_checksum({"name": name, "arrow": file_checksum(new), "counts": asdict(counts)})
            replace_file(new, path)
            replace_text(facts, json.dumps(written))
    dataset = encoding.open(path, counts)
    dataset.replaced = path if exists else None
    return dataset


def _reusable(path: Path, facts: Path, encoding: Encoding) -> EncodedDataset | None:
    """Return the dataset of an earlier run, or None if it is damaged and must be encoded again."""
    try:
        written = read_json(facts)
        require_intact(written)
        if (written["name"], written["arrow"]) != (path.stem, file_checksum(path)):
            raise ValueError("belongs to other data, or is damaged")
        return encoding.open(path, DatasetCounts(**written["counts"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


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


def _write_rows(path: Path, documents: Iterable[Document], encoding: Encoding) -> DatasetCounts:
    import pyarrow as pa

    counts = DatasetCounts()
    items: Counter[str] = Counter()
    unreachable: dict[str, Counter[str]] = {}
    numbers = pa.list_(pa.int32())
    codec = encoding.codec
    encode = _windows if codec.reads == "windows" else _pairs
    stored = (*codec.columns, NO_BOUNDARY) if encoding.whole_words else tuple(codec.columns)
    texts = {_TEXT: pa.binary(), _COMPLETE: pa.bool_()} if encoding.texts else {}
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
                    rows["document"].append(counts.documents)
                    if texts:
                        alone = len(found.rows) == 1 and len(ids) > encoding.tokenizer.special_tokens
                        rows[_TEXT].append(document.text.encode("utf-8", "surrogatepass") if alone else None)
                        rows[_COMPLETE].append(not any(found.gold.unreachable.values()) if alone else None)
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
