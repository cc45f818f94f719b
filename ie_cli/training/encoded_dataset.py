"""Encoded windows, or pairs of texts, in memory-mapped Arrow files, which are kept for later runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.codecs.pairs import LEVEL, SPLIT, levels_of
from ie_cli.data.document_shards import DocumentShards
from ie_cli.document import Document
from ie_cli.encoding.word_boundaries import NO_BOUNDARY
from ie_cli.modeling.batch import Numbers
from ie_cli.system.cache import cache_directory
from ie_cli.system.locks import one_at_a_time
from ie_cli.system.temporary import sweep, workspace
from ie_cli.training.encoded_shards import encoded_shards, sum_counts
from ie_cli.training.encoding_processes import Task, encode_in_processes
from ie_cli.training.window_encoding import COMPLETE, TEXT, DatasetCounts, Encoding, write_rows


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
        paths: Arrow stream files, in order, with the columns ``input_ids`` (list of integers), ``document`` (number of the
            document, from 0), those of the codec (list of int32: flattened arrays, e.g. of positions in input_ids) and, with
            whole words, `NO_BOUNDARY`; with `Encoding.texts`, also ``text`` (UTF-8) and ``complete``, which are null unless the
            row is the only window of its document.
        counts: the counts of the dataset.
        encoding: the settings that the files were written with.

    Attributes:
        lengths: number of tokens in each row, including the padding between its sequences; int32 ``[rows]``.
        negative: whether each row has no gold items; bool ``[rows]``.
        windows_of: number of rows of each document; int32 ``[documents]``.
        levels: the level of each pair; float32 ``[rows]``, empty for windows.
        with_text: whether the text of each row is stored; bool ``[rows]``.
        prefix: number of special tokens at the start of each window.
        suffix: number of special tokens at the end of each window.
        pad_id: id of the padding token.
        replaced: the first damaged file of an earlier run that was replaced by this one.
    """

    def __init__(self, paths: Sequence[Path], counts: DatasetCounts, encoding: Encoding) -> None:
        import pyarrow as pa
        from datasets import Dataset
        from datasets.table import InMemoryTable

        self.counts = counts
        self.replaced: Path | None = None
        self.prefix, self.suffix = len(encoding.tokenizer.prefix), len(encoding.tokenizer.suffix)
        self.pad_id = encoding.pad_id
        self._widths = dict(encoding.codec.columns)
        parts = [pa.ipc.open_stream(pa.memory_map(str(path))).read_all() for path in paths]
        # The memory of the table is that of the mapped files; with a fingerprint, `datasets` does not read all of it for one.
        table = Dataset(InMemoryTable(pa.concat_tables(parts)), fingerprint=paths[0].stem)
        self._columns = frozenset(table.column_names)
        self._table = table.with_format("numpy")
        if TEXT in self._columns:
            self._table = self._table.remove_columns([TEXT, COMPLETE])
            self._texts = table.select_columns([TEXT, COMPLETE]).with_format("arrow")
        self._measure(paths)

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
        texts = [text.decode("utf-8", "surrogatepass") for text in part[TEXT].to_pylist()]
        return [StoredText(*found) for found in zip(texts, part[COMPLETE].to_pylist(), strict=True)]

    @property
    def documents(self) -> npt.NDArray[np.int64]:
        """The number of the document of each row; int64 ``[rows]``."""
        return np.repeat(np.arange(len(self.windows_of)), self.windows_of)

    def _measure(self, paths: Sequence[Path]) -> None:
        """Set the attributes that the order of the rows depends on: 10 to 14 bytes per row.

        The files are read, not mapped: their pages would count as memory of this process.
        """
        rows = self.counts.windows
        self.lengths: npt.NDArray[np.int32] = np.zeros(rows, np.int32)
        self.negative: npt.NDArray[np.bool_] = np.zeros(rows, bool)
        self.levels: npt.NDArray[np.float32] = np.zeros(rows if LEVEL in self._widths else 0, np.float32)
        self.with_text: npt.NDArray[np.bool_] = np.zeros(rows if TEXT in self._columns else 0, bool)
        self.windows_of: npt.NDArray[np.int32] = np.zeros(self.counts.documents, np.int32)
        start = 0
        for batch in _batches(paths):
            part = slice(start, start := start + len(batch))
            length = np.diff(batch["input_ids"].offsets.to_numpy())
            if SPLIT in self._widths:
                first = batch[SPLIT].flatten().to_numpy()
                length = 2 * np.maximum(first, length - first)
            self.lengths[part] = length
            if LEVEL in self._widths:
                self.levels[part] = levels_of(batch[LEVEL].flatten().to_numpy())
            if TEXT in self._columns:
                self.with_text[part] = batch[TEXT].is_valid().to_numpy(zero_copy_only=False)
            sizes = [np.diff(batch[name].offsets.to_numpy()) for name in self._widths]
            self.negative[part] = np.sum(sizes, axis=0) == 0
            np.add.at(self.windows_of, batch["document"].to_numpy(), 1)


def _batches(paths: Sequence[Path]) -> Iterator[Any]:
    """Yield the record batches of Arrow files, of which one at a time is in memory."""
    import pyarrow as pa

    for path in paths:
        with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as reader:
            yield from reader


def encode_dataset(
    documents: Iterable[Document], encoding: Encoding, *, key: str | None, workers: int | None = None
) -> EncodedDataset:
    """Encode documents, or reuse the files of earlier runs: those of an interrupted run, too.

    Args:
        documents: the documents; if they are `DocumentShards`, one file for each shard, else a single one.
        encoding: the settings.
        key: fingerprint of the data, which together with the encoding names the cached files; None if the data have no
            fingerprint, so that the file is removed with the process.
        workers: number of processes that encode several shards; None for the number of cores. The files do not depend on it.

    Raises:
        StorageError: the cache directory cannot be written.
    """
    directory = cache_directory()
    sweep(directory)
    if key is None:
        with workspace(directory, "windows") as room:
            # The memory mapping outlives the file name; Windows keeps the file until the process ends.
            path = room / "windows.arrow"
            return EncodedDataset([path], write_rows(path, documents, encoding), encoding)
    shards = documents.shards if isinstance(documents, DocumentShards) else None
    files = encoded_shards(directory, key, encoding, 1 if shards is None else len(shards))
    with one_at_a_time(directory / f"{files[0].path.stem}.lock"):
        if shards is None or len(shards) == 1:
            [file] = files
            damaged, counts = file.exists, file.find()
            replaced = file.path if damaged and counts is None else None
            found = [file.write(documents, encoding, first=0) if counts is None else counts]
        else:
            found, replaced = _encode_shards(list(zip(shards, files, strict=True)), encoding, workers)
    dataset = EncodedDataset([file.path for file in files], sum_counts(found), encoding)
    dataset.replaced = replaced
    return dataset


def _encode_shards(
    tasks: Sequence[Task], encoding: Encoding, workers: int | None
) -> tuple[list[DatasetCounts], Path | None]:
    """Encode the shards that are missing or damaged; return the counts of all, and the first damaged file."""
    found = [encoded.find(shard.count) for shard, encoded in tasks]
    missing = [number for number, counts in enumerate(found) if counts is None]
    damaged = [tasks[number][1].path for number in missing if tasks[number][1].exists]
    encode_in_processes([tasks[number] for number in missing], encoding, workers=workers)
    complete = []
    for (shard, encoded), before in zip(tasks, found, strict=True):
        counts = before or encoded.find(shard.count)
        complete.append(encoded.write(shard, encoding, first=shard.first) if counts is None else counts)
    return complete, next(iter(damaged), None)
