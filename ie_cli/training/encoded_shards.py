"""Files of encoded windows in the cache: one per shard of documents, each complete and with its checksum, or absent."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ie_cli.document import Document
from ie_cli.system.atomic import replace_file, replace_text, storing
from ie_cli.system.checksums import file_checksum, require_intact, with_checksum
from ie_cli.system.json_reading import read_json
from ie_cli.system.temporary import workspace
from ie_cli.training.window_encoding import DatasetCounts, Encoding, write_rows


@dataclass(frozen=True, slots=True)
class EncodedShard:
    """The file of the rows of a shard.

    Attributes:
        path: the Arrow file; a JSON file beside it has its checksum and counts.
    """

    path: Path

    @property
    def facts(self) -> Path:
        """The file with the checksum and the counts, which is written last."""
        return self.path.with_suffix(".json")

    @property
    def exists(self) -> bool:
        """Whether the shard was written, damaged or not."""
        return os.path.lexists(self.facts)

    def find(self, documents: int | None = None) -> DatasetCounts | None:
        """Return the counts of an earlier run, or None if there is no file, or it is damaged and must be encoded again.

        Args:
            documents: the number of documents of the shard, if it is known.
        """
        try:
            written = read_json(self.facts)
            require_intact(written)
            if (written["name"], written["arrow"]) != (self.path.stem, file_checksum(self.path)):
                raise ValueError("belongs to other data, or is damaged")
            counts = DatasetCounts(**written["counts"])
            return counts if documents in (None, counts.documents) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, documents: Iterable[Document], encoding: Encoding, *, first: int) -> DatasetCounts:
        """Encode the documents; the file appears when it is complete.

        Args:
            documents: the documents.
            encoding: the settings.
            first: the number of the first document.

        Raises:
            StorageError: it cannot be written.
        """
        with workspace(self.path.parent, "windows") as room:
            new = room / self.path.name
            counts = write_rows(new, documents, encoding, first=first)
            with storing(self.path):
                written = with_checksum({"name": self.path.stem, "arrow": file_checksum(new), "counts": asdict(counts)})
                replace_file(new, self.path)
                replace_text(self.facts, json.dumps(written))
        return counts


def encoded_shards(directory: Path, key: str, encoding: Encoding, total: int) -> list[EncodedShard]:
    """Return the files of data with a fingerprint; that of a single shard has the name of earlier versions."""
    name = hashlib.blake2b(json.dumps([key, *encoding.identity()]).encode(), digest_size=16).hexdigest()
    if total == 1:
        return [EncodedShard(directory / f"{name}.arrow")]
    return [EncodedShard(directory / f"{name}-{number:05d}-of-{total:05d}.arrow") for number in range(1, total + 1)]


def sum_counts(parts: Sequence[DatasetCounts]) -> DatasetCounts:
    """Return the counts of all shards together."""
    items: Counter[str] = Counter()
    unreachable: dict[str, Counter[str]] = {}
    for part in parts:
        items.update(part.items)
        for kind, reasons in part.unreachable.items():
            unreachable.setdefault(kind, Counter()).update(reasons)
    return DatasetCounts(
        documents=sum(part.documents for part in parts),
        windows=sum(part.windows for part in parts),
        items=dict(items),
        unreachable={kind: dict(reasons) for kind, reasons in unreachable.items()},
        truncated=sum(part.truncated for part in parts),
    )
