"""The result of the pass over the training data, which is kept for later runs if the data are larger than one shard."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ie_cli import __version__
from ie_cli.data.document_shards import SHARD_WEIGHT, DocumentShards, ShardDirectory, StoredShard
from ie_cli.data.negatives import FileCounts
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.system.atomic import storing
from ie_cli.system.cache import cache_directory
from ie_cli.system.checksums import require_intact, with_checksum
from ie_cli.system.json_reading import read_json
from ie_cli.system.locks import one_first
from ie_cli.system.text import open_text

_VERSION = 1
_FACTS = "facts.json"


@dataclass(slots=True)
class TrainingReading:
    """What one pass over the training data finds.

    Attributes:
        documents: the documents of train.
        dev_documents: those of dev if it is a part of train, else None.
        statistics: the statistics of train.
        files: the counts of examples without annotation, by file of train.
        reports: what the readers detected, repaired and left out, in order.
        names: those names to rename or to ignore that occurred.
    """

    documents: DocumentShards
    dev_documents: DocumentShards | None
    statistics: DatasetStatistics = field(default_factory=DatasetStatistics)
    files: dict[str, FileCounts] = field(default_factory=dict)
    reports: dict[str, None] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class KeptReading:
    """The place of a reading in the cache.

    Args:
        key: everything that the reading depends on, as JSON values; None if it cannot be kept.
    """

    def __init__(self, key: object | None) -> None:
        self._identity = None if key is None else json.dumps([_VERSION, __version__, SHARD_WEIGHT, key])
        self.directory = ShardDirectory()
        self._found = False

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """Let one of several processes read first; the others wait, and find what it has kept, if it has."""
        if self._identity is None:
            yield
            return
        with one_first(self._path().with_suffix(".lock")):
            yield

    def find(self) -> TrainingReading | None:
        """Return the reading of an earlier run, or None if there is none or it is damaged.

        Raises:
            StorageError: the cache directory cannot be used.
        """
        if self._identity is None:
            return None
        path = self._path()
        try:
            facts = read_json(path / _FACTS)
            require_intact(facts)
            parts = {name: [StoredShard(*shard) for shard in facts[name] or ()] for name in ("train", "dev")}
            if not all(shard.is_intact(path) for shards in parts.values() for shard in shards):
                return None
            train, dev = (
                DocumentShards(directory=ShardDirectory(path), name=name, stored=shards)
                for name, shards in parts.items()
            )
            found = TrainingReading(
                train,
                None if facts["dev"] is None else dev,
                _statistics(facts["statistics"]),
                {name: FileCounts(*counts) for name, *counts in facts["files"]},
                dict.fromkeys(facts["reports"]),
                set(facts["names"]),
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None
        self._found = True
        return found

    def keep(self, reading: TrainingReading) -> None:
        """Keep a reading for later runs if it is a new one with several shards, whose documents are in `directory`.

        Raises:
            StorageError: it cannot be written.
        """
        if self._found or self._identity is None or len(reading.documents.shards) < 2:
            return
        dev = reading.dev_documents
        facts = {
            "train": [[shard.name, shard.count, shard.checksum] for shard in reading.documents.flush()],
            "dev": None if dev is None else [[shard.name, shard.count, shard.checksum] for shard in dev.flush()],
            "statistics": _facts(reading.statistics),
            "files": [[name, counts.examples, counts.negatives] for name, counts in reading.files.items()],
            "reports": list(reading.reports),
            "names": sorted(reading.names),
        }
        with storing(self.directory.path), open_text(self.directory.path / _FACTS) as file:
            json.dump(with_checksum(facts), file)
        self.directory.keep(self._path())

    def _path(self) -> Path:
        digest = hashlib.blake2b((self._identity or "").encode(), digest_size=16)
        return cache_directory() / f"{digest.hexdigest()}.documents"


def _facts(statistics: DatasetStatistics) -> dict[str, Any]:
    """Convert statistics without additional counts to JSON values; the order of counts is kept."""
    found: dict[str, Any] = {}
    for part in fields(statistics):
        value = getattr(statistics, part.name)
        if part.name != "parts":
            found[part.name] = (
                [*value.items()] if isinstance(value, Counter) else sorted(value) if isinstance(value, set) else value
            )
    return found


def _statistics(facts: Mapping[str, Any]) -> DatasetStatistics:
    """Restore statistics from the JSON values of `_facts`."""
    empty, found = DatasetStatistics(), dict[str, Any]()
    for name, value in facts.items():
        before = getattr(empty, name)
        if isinstance(before, Counter):
            found[name] = Counter({_hashable(key): count for key, count in value})
        else:
            found[name] = set(value) if isinstance(before, set) else _hashable(value)
    return DatasetStatistics(**found)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
