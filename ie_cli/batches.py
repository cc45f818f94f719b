"""Windows in an Arrow file, batches of similar length, and the tensors of a batch."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ie_cli.example import Example
from ie_cli.losses import Gold
from ie_cli.tokenization import TextTokenizer, Tokens
from ie_cli.windows import Plan, align, within

STORE_VERSION = 1
_CHUNK = 1000
_POOL = 50  # batches whose windows are sorted by length together: little padding, still shuffled


@dataclass(slots=True)
class StoreCounts:
    """What went into a store: the reachable among all gold entities bound the recall that training can reach."""

    examples: int = 0
    windows: int = 0
    entities: int = 0
    unreachable: dict[str, int] = field(default_factory=dict)
    label_counts: dict[str, int] = field(default_factory=dict)


class Store:
    """Encoded windows, memory-mapped: rows of ids (special tokens included) and gold cells.

    Args:
        path: an Arrow stream file with the columns ``input_ids`` (list of int32), ``spans`` (list of int32: row, first,
            last, row, …; positions in input_ids) and ``example`` (number of the example, from 0).
    """

    def __init__(self, path: Path, counts: StoreCounts, *, prefix: int, suffix: int, pad_id: int) -> None:
        from datasets import Dataset

        self.counts = counts
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


def build_store(
    examples: Iterable[Example],
    tokenizer: TextTokenizer,
    plan: Plan,
    ids: dict[str, int],
    *,
    pad_id: int,
    key: str | None,
) -> Store:
    """Encode examples into a store, or reuse the one of an earlier run.

    Args:
        ids: label -> row.
        key: fingerprint of the data; with the tokenizer, the plan and the labels it names the cached file. None: the
            data have no fingerprint (a stream, a hub); the file goes with the process.
    """

    shape = {"prefix": len(tokenizer.prefix), "suffix": len(tokenizer.suffix), "pad_id": pad_id}
    folder = cache_folder()
    if key is None:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            # The mapping outlives the name; Windows keeps the file until the process ends.
            path = Path(name) / "windows.arrow"
            counts = _write_store(path, examples, tokenizer, plan, ids)
            return Store(path, counts, **shape)
    identity = [STORE_VERSION, key, *tokenizer.identity(), plan.capacity, plan.stride, ids]
    name = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()
    path, facts = folder / f"{name}.arrow", folder / f"{name}.json"
    if not facts.exists():
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            counts = _write_store(Path(temporary) / "windows.arrow", examples, tokenizer, plan, ids)
            os.replace(Path(temporary) / "windows.arrow", path)
            (Path(temporary) / "facts.json").write_text(json.dumps(asdict(counts)), encoding="utf-8")
            os.replace(Path(temporary) / "facts.json", facts)
    return Store(path, StoreCounts(**json.loads(facts.read_text(encoding="utf-8"))), **shape)


def cache_folder() -> Path:
    """Where encoded windows are kept: ``$IE_CACHE``, else ``~/.cache/ie``."""
    folder = Path(os.environ.get("IE_CACHE") or Path.home() / ".cache" / "ie")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_store(
    path: Path, examples: Iterable[Example], tokenizer: TextTokenizer, plan: Plan, ids: dict[str, int]
) -> StoreCounts:
    import pyarrow as pa

    counts = StoreCounts()
    labels: Counter[str] = Counter()
    unreachable: Counter[str] = Counter()
    schema = pa.schema({"input_ids": pa.list_(pa.int32()), "spans": pa.list_(pa.int32()), "example": pa.int64()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        stream = iter(examples)
        while chunk := list(islice(stream, _CHUNK)):
            rows: dict[str, list[Any]] = {"input_ids": [], "spans": [], "example": []}
            for example, tokens in zip(chunk, tokenizer.encode([e.text for e in chunk]), strict=True):
                alignment = align(example.text, set(example.entities), tokens, plan, ids)
                for first, spans in _windows(tokens, alignment.spans, plan):
                    text = tokens.ids[first : first + plan.capacity]
                    rows["input_ids"].append(
                        np.concatenate([tokenizer.prefix, text, tokenizer.suffix]).astype(np.int32)
                    )
                    shift = [0, len(tokenizer.prefix), len(tokenizer.prefix)]
                    rows["spans"].append((spans + shift).astype(np.int32).ravel())
                    rows["example"].append(counts.examples)
                counts.examples += 1
                counts.entities += len(set(example.entities))
                labels.update(entity.label for entity in example.entities)
                unreachable.update(reason for _, reason in alignment.unreachable)
            counts.windows += len(rows["example"])
            writer.write_batch(pa.record_batch(rows, schema=schema))
    counts.label_counts, counts.unreachable = dict(labels), dict(unreachable)
    return counts


def _windows(tokens: Tokens, spans: npt.NDArray[np.int64], plan: Plan) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    for first in plan.starts(len(tokens)).tolist():
        yield first, within(spans, first, plan.capacity)


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of some windows.

    *Shapes:* input_ids int64, attention_mask and text_mask bool ``[batch, L]``; text_mask is false on special tokens.
    """

    input_ids: Tensor
    attention_mask: Tensor
    text_mask: Tensor
    gold: Gold
    examples: list[int]

    def to(self, device: torch.device) -> Batch:
        return Batch(
            self.input_ids.to(device, non_blocking=True),
            self.attention_mask.to(device, non_blocking=True),
            self.text_mask.to(device, non_blocking=True),
            self.gold.to(device),
            self.examples,
        )


def pad(rows: Sequence[npt.NDArray[Any]], pad_id: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Pad rows of ids to the longest; ids int64 and mask bool ``[rows, L]``.

    >>> pad([np.array([5, 6]), np.array([7])], 0)[0].tolist()
    [[5, 6], [7, 0]]
    """
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = np.concatenate(rows)
    return ids, mask


def text_mask(mask: npt.NDArray[np.bool_], prefix: int, suffix: int) -> npt.NDArray[np.bool_]:
    """Switch the special tokens at both ends off; bool ``[rows, L]``."""
    text = mask.copy()
    text[:, :prefix] = False
    columns = np.arange(mask.shape[1])
    text &= columns < (mask.sum(axis=1) - suffix)[:, None]
    return text


def collate(
    ids: Sequence[npt.NDArray[Any]], spans: Sequence[npt.NDArray[Any]], examples: list[int], *, store: Store
) -> Batch:
    """Pad windows to a batch and number their gold cells by sample."""
    input_ids, mask = pad(ids, store.pad_id)
    text = torch.from_numpy(text_mask(mask, store.prefix, store.suffix))
    sample = np.repeat(np.arange(len(spans)), [len(part) for part in spans])
    cells = np.concatenate([sample[:, None], np.concatenate(spans)], axis=1).astype(np.int64)
    gold = Gold.build(torch.from_numpy(cells), text)
    return Batch(torch.from_numpy(input_ids), torch.from_numpy(mask), text, gold, examples)


class LengthBuckets:
    """A batch sampler: every epoch a new shuffle, batches of similar length.

    Args:
        lengths: tokens of each window. negative: windows without an entity.
        batch_size: windows in a batch. batch_tokens: instead, padded tokens of a batch at most.
        negatives: share of the negative windows that each epoch draws.
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
        for batch in self.batches:
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
