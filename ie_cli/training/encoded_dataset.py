"""Windows in an Arrow file, batches of similar length, and the tensors of a batch."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ie_cli.codecs.targets import Targets, find_targets
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.padding import pad, text_mask
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.encoding.windows import Index, WindowPlan
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.losses.factorised import Gold
from ie_cli.system.atomic import replace_text, storing, sync
from ie_cli.triples import Mentions

STORE_VERSION = 3
_CHUNK = 1000
_POOL = 50  # batches whose windows are sorted by length together: little padding, still shuffled


@dataclass(slots=True)
class DatasetCounts:
    """What went into a store: the reachable among all gold items bound the recall that training can reach."""

    documents: int = 0
    windows: int = 0
    entities: int = 0
    relations: int = 0
    unreachable: dict[str, int] = field(default_factory=dict)
    unreachable_relations: dict[str, int] = field(default_factory=dict)


class EncodedDataset:
    """Encoded windows, memory-mapped: rows of ids (special tokens included) and gold cells.

    Args:
        path: an Arrow stream file with the columns ``input_ids`` (list of int32), ``spans`` (list of int32: row, first,
            last, row, …; positions in input_ids), ``links`` (list of int32: predicate, first and last of the subject, of
            the object, …) and ``example`` (number of the example, from 0).
        linked: the head has tables for links too.
    """

    def __init__(
        self, path: Path, counts: DatasetCounts, *, prefix: int, suffix: int, pad_id: int, linked: bool
    ) -> None:
        from datasets import Dataset

        self.counts = counts
        self.linked = linked
        self.prefix, self.suffix, self.pad_id = prefix, suffix, pad_id
        self._table = Dataset.from_file(str(path)).with_format("numpy")
        self.lengths, self.negative = self._measure()

    def __len__(self) -> int:
        return len(self._table)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """The batch of some rows; a `DataLoader` with a batch sampler calls this."""
        part = self._table[list(rows)]
        return collate(
            part["input_ids"],
            [np.asarray(spans).reshape(-1, 3) for spans in part["spans"]],
            [np.asarray(links).reshape(-1, 5) for links in part["links"]],
            part["example"].tolist(),
            store=self,
        )

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])

    def _measure(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        lengths, empty = [np.zeros(0, np.int32)], [np.zeros(0, bool)]
        for batch in self._table.data.table.select(["input_ids", "spans"]).to_batches(max_chunksize=100_000):
            lengths.append(np.diff(batch["input_ids"].offsets.to_numpy()).astype(np.int32))
            empty.append(np.diff(batch["spans"].offsets.to_numpy()) == 0)
        return np.concatenate(lengths), np.concatenate(empty)


def encode_dataset(
    documents: Iterable[Document],
    tokenizer: TextTokenizer,
    plan: WindowPlan,
    schema: LabelSchema,
    *,
    pad_id: int,
    key: str | None,
    mentions: Mentions = "nearest",
) -> EncodedDataset:
    """Encode examples into a store, or reuse the one of an earlier run.

    Args:
        key: fingerprint of the data; with the tokenizer, the plan and the schema it names the cached file. None: the
            data have no fingerprint (a stream, a hub); the file goes with the process.
        mentions: where triples without offsets are put.
    """
    find = partial(find_targets, plan=plan, schema=schema, mentions=mentions)
    shape = {"prefix": len(tokenizer.prefix), "suffix": len(tokenizer.suffix), "pad_id": pad_id}
    linked = bool(schema.predicates)
    folder = cache_folder()
    if key is None:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            # The mapping outlives the name; Windows keeps the file until the process ends.
            path = Path(name) / "windows.arrow"
            counts = _write_windows(path, documents, tokenizer, plan, find)
            return EncodedDataset(path, counts, **shape, linked=linked)
    types = sorted(schema.types.items()) if schema.constrained else []
    identity = [STORE_VERSION, key, *tokenizer.identity(), plan.capacity, plan.stride, schema.labels, schema.predicates]
    identity += [types, mentions]
    name = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()
    path, facts = folder / f"{name}.arrow", folder / f"{name}.json"
    with suppress(OSError, ValueError, TypeError):  # there is none, or it is damaged: encode once more
        stored = EncodedDataset(
            path, DatasetCounts(**json.loads(facts.read_text(encoding="utf-8"))), **shape, linked=linked
        )
        if len(stored) == stored.counts.windows:
            return stored
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        new = Path(temporary) / path.name
        counts = _write_windows(new, documents, tokenizer, plan, find)
        with storing(path):
            sync(new)
            os.replace(new, path)
            replace_text(facts, json.dumps(asdict(counts)))
    return EncodedDataset(path, counts, **shape, linked=linked)


def cache_folder() -> Path:
    """Where encoded windows are kept: ``$IE_CACHE``, else ``~/.cache/ie``."""
    folder = Path(os.environ.get("IE_CACHE") or Path.home() / ".cache" / "ie")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_windows(
    path: Path,
    documents: Iterable[Document],
    tokenizer: TextTokenizer,
    plan: WindowPlan,
    find: Callable[[Document, Tokens], Targets],
) -> DatasetCounts:
    import pyarrow as pa

    counts = DatasetCounts()
    unreachable: Counter[str] = Counter()
    unreachable_relations: Counter[str] = Counter()
    numbers = pa.list_(pa.int32())
    schema = pa.schema({"input_ids": numbers, "spans": numbers, "links": numbers, "example": pa.int64()})
    with storing(path.parent), pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        stream = iter(documents)
        while chunk := list(islice(stream, _CHUNK)):
            rows: dict[str, list[Any]] = {name: [] for name in schema.names}
            for document, tokens in zip(chunk, tokenizer.encode([e.text for e in chunk]), strict=True):
                gold = find(document, tokens)
                for first in plan.starts(len(tokens)).tolist():
                    text = tokens.ids[first : first + plan.capacity]
                    rows["input_ids"].append(
                        np.concatenate([tokenizer.prefix, text, tokenizer.suffix]).astype(np.int32)
                    )
                    for name, cells in zip(("spans", "links"), gold.within(first, plan.capacity), strict=True):
                        cells[:, 1:] += len(tokenizer.prefix)
                        rows[name].append(cells.astype(np.int32).ravel())
                    rows["example"].append(counts.documents)
                counts.documents += 1
                counts.entities += gold.entities
                counts.relations += gold.relations
                unreachable.update(reason for _, reason in gold.lost_entities)
                unreachable_relations.update(reason for _, reason in gold.lost_relations)
            counts.windows += len(rows["example"])
            writer.write_batch(pa.record_batch(rows, schema=schema))
    counts.unreachable = dict(unreachable)
    counts.unreachable_relations = dict(unreachable_relations)
    return counts


def collate(
    ids: Sequence[npt.NDArray[Any]],
    spans: Sequence[npt.NDArray[Any]],
    links: Sequence[npt.NDArray[Any]],
    documents: list[int],
    *,
    store: EncodedDataset,
) -> Batch:
    """Pad windows to a batch and number their gold cells by sample."""
    input_ids, mask = pad(ids, store.pad_id)
    text = torch.from_numpy(text_mask(mask, store.prefix, store.suffix))
    gold = [Gold.build(torch.from_numpy(_numbered(spans)), text)]
    if store.linked:
        cells = _numbered(links)  # sample, predicate, subject's first, last, object's first, last
        for columns in ([0, 1, 2, 4], [0, 1, 3, 5]):  # the starts, then the ends
            gold.append(Gold.build(torch.from_numpy(cells[:, columns]), text, upper=False))
    return Batch(torch.from_numpy(input_ids), torch.from_numpy(mask), text, tuple(gold), documents)


def _numbered(cells: Sequence[npt.NDArray[Any]]) -> Index:
    """The cells of all samples, each with the number of its sample before it."""
    sample = np.repeat(np.arange(len(cells)), [len(part) for part in cells])
    numbered: Index = np.concatenate([sample[:, None], np.concatenate(cells)], axis=1).astype(np.int64)
    return numbered


class LengthBuckets:
    """A batch sampler: every epoch a new shuffle, batches of similar length.

    Args:
        lengths: tokens of each window. negative: windows without an entity.
        batch_size: windows in a batch. batch_tokens: instead, padded tokens of a batch at most.
        negatives: share of the negative windows that each epoch draws.

    Attributes:
        skip: batches at the start of an epoch that were drawn before; its length counts them.
    """

    def __init__(
        self,
        lengths: npt.NDArray[np.int32],
        negative: npt.NDArray[np.bool_],
        *,
        batch_size: int,
        batch_tokens: int | None = None,
        negatives: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.lengths, self.negative = lengths, negative
        self.batch_size, self.batch_tokens = batch_size, batch_tokens
        self.negatives, self.seed = negatives, seed
        self.skip = 0
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws; the same seed and epoch give the same batches."""
        random = np.random.default_rng([self.seed, epoch])
        without = np.nonzero(self.negative)[0]
        drawn = random.permutation(without)[: round(self.negatives * len(without))]
        rows = np.concatenate([np.nonzero(~self.negative)[0], drawn])
        random.shuffle(rows)
        batches: list[npt.NDArray[np.int64]] = []
        step = _POOL * (self.batch_size if self.batch_tokens is None else self._mean_size())
        for start in range(0, len(rows), step):
            pool = rows[start : start + step]
            batches.extend(self._cut(pool[np.argsort(self.lengths[pool], kind="stable")]))
        order = random.permutation(len(batches))
        self.batches = [batches[i] for i in order]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches[self.skip :]:
            yield batch.tolist()

    def _mean_size(self) -> int:
        return max(1, int((self.batch_tokens or 0) / max(1.0, float(self.lengths.mean()))))

    def _cut(self, pool: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
        if self.batch_tokens is None:
            for start in range(0, len(pool), self.batch_size):
                yield pool[start : start + self.batch_size]
            return
        start = 0
        for end in range(1, len(pool) + 1):  # sorted: the last one is the longest
            if end == len(pool) or int(self.lengths[pool[end]]) * (end + 1 - start) > self.batch_tokens:
                yield pool[start:end]
                start = end
