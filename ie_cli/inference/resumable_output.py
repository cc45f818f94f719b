"""Output of a long job: named `X.part` until it is complete, with a journal from which the job can be resumed.

Many files are predicted shard by shard instead (`inference.shards`), without a journal. A journal loses at most some seconds of
work, whereas a shard that is interrupted starts again, and it makes one output of one input, however large. So the one does not
replace the other.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from ie_cli.document import Document
from ie_cli.errors import DataError, StorageError, counted
from ie_cli.formats import BadLine
from ie_cli.formats.jsonl import dump
from ie_cli.inference.job_facts import Facts, changed_facts
from ie_cli.system.atomic import copy_mode_and_owner, file_mode, mode_of, replace_text, storing, sync
from ie_cli.system.checksums import FileChecksum, file_checksum, require_intact, with_checksum
from ie_cli.system.json_reading import read_json
from ie_cli.system.places import claimed, require_unclaimed
from ie_cli.system.streams import compressed, require_writable
from ie_cli.system.temporary import sweep

COMMIT_SECONDS = 5.0
"""Minimum interval between journal entries; the journal is written between chunks of records."""
Item = TypeVar("Item", bound=Document | BadLine)


class ChangedInput(DataError):
    """The input has changed since the job was started."""


class Digest:
    """A hash of the records read so far, to check that an input starts with the same records.

    Args:
        pairs: whether second texts are part of it; they are not in the journals of jobs that do not read them.
    """

    def __init__(self, *, pairs: bool = False) -> None:
        self._hash, self._pairs = hashlib.blake2b(digest_size=16), pairs

    def add(self, record: Document | BadLine) -> None:
        """Add the next record."""
        self._update(_content_of(record))
        if self._pairs and isinstance(record, Document) and record.text_pair is not None:
            self._update(record.text_pair)

    def _update(self, text: str) -> None:
        encoded = text.encode("utf-8", "surrogatepass")
        self._hash.update(len(encoded).to_bytes(8, "little"))
        self._hash.update(encoded)

    def __str__(self) -> str:
        return self._hash.copy().hexdigest()


def _content_of(record: Document | BadLine) -> str:
    """Return what must not change in a record: its text, or all its fields if the job keeps them."""
    if isinstance(record, BadLine):
        return record.raw
    return record.text if record.fields is None else dump(record.fields)


class Part:
    """An output file under its temporary name.

    Args:
        target: the final name; its suffix selects the compression.
        size: number of bytes to keep and continue after; the rest is cut off.
    """

    def __init__(self, target: str, size: int) -> None:
        self.path = part_of(target)
        self._name = target
        if self.path.is_symlink():  # `ie` never creates links here, and would overwrite the target of this one
            raise StorageError(f"{self.path}: is a symbolic link", hint="find out where it comes from, and remove it.")
        with storing(self.path):
            # The temporary file must not be readable for more users than the final one.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._raw = os.fdopen(os.open(self.path, flags, mode_of(Path(os.path.realpath(target))) | 0o600), "r+b")
            self._raw.truncate(size)
            self._raw.seek(size)
        self._stack = ExitStack()
        self._text: IO[str] | None = None
        self.checksum = FileChecksum(self.path)
        try:
            sync(self.path.parent)  # the name must be on the disk before a journal refers to it
            if not size:
                self._open()  # so that empty output is a valid compressed file, too
        except BaseException:
            self.close()
            raise

    def write(self, text: str) -> None:
        """Append text."""
        with storing(self.path):
            (self._text or self._open()).write(text)

    def flush(self) -> None:
        """Do nothing: the file is not read before it is complete."""

    def commit(self) -> int:
        """Write everything to the disk, and return the size; in a compressed file, further text starts a new frame."""
        with storing(self.path):
            self._stack.close()
            self._text = None
            self._raw.flush()
            os.fsync(self._raw.fileno())
            return self._raw.tell()

    def close(self) -> None:
        """Close the file, ignoring errors."""
        with suppress(OSError):  # e.g. the disk is full; what was committed is safe
            self._stack.close()
        with suppress(OSError):
            self._raw.close()

    def _open(self) -> IO[str]:
        self._text = self._stack.enter_context(compressed(self._raw, self._name))
        return self._text


def part_of(target: str) -> Path:
    """Return the temporary name of a file."""
    real = Path(os.path.realpath(target))  # a link remains a link
    return real.with_name(real.name + ".part")


class Job:
    """The output files of one job, and its progress.

    Attributes:
        done: the latest journal entry; empty for a new job.
    """

    def __init__(self, targets: Mapping[str, str], facts: Facts, done: Facts) -> None:
        self.done = done
        self._facts, self._targets = facts, targets
        self._journal = journal_of(targets)
        self._committed = time.monotonic()
        self.parts: dict[str, Part] = {}
        if not done:  # before any part exists, because a part without a journal cannot be identified
            self._enter({"records": 0, "digest": str(Digest()), "tally": {}, "sizes": dict.fromkeys(targets, 0)})
            with storing(self._journal):  # it quotes bad lines, so it must not be more readable than the output
                os.chmod(self._journal, mode_of(Path(os.path.realpath(next(iter(targets.values()))))) | 0o600)
        for name, target in targets.items():
            self.parts[name] = Part(target, done.get("sizes", {}).get(name, 0))

    @property
    def records(self) -> int:
        """Number of input records that have been processed."""
        return int(self.done.get("records", 0))

    def skip(self, records: Iterable[Item], digest: Digest) -> Iterator[Item]:
        """Yield the records that have not been processed yet.

        Raises:
            DataError: the input does not start with the processed records.
        """
        stream = iter(records)
        for _ in range(self.records):
            record = next(stream, None)
            if record is None:
                break
            digest.add(record)
        if str(digest) != self.done.get("digest", str(digest)):
            raise ChangedInput(
                f"{self._journal}: the input has changed: its first {counted(self.records, 'record')} "
                f"differ{'s' if self.records == 1 else ''} from those already processed",
                hint=f"use the original input, or remove {self._journal} and the part to start again.",
            )
        yield from stream

    def due(self) -> bool:
        """Return whether it is time to write the journal."""
        return time.monotonic() - self._committed >= COMMIT_SECONDS

    def commit(self, records: int, digest: Digest, tally: Mapping[str, Any], *, complete: bool = False) -> None:
        """Write the output to the disk, then record in the journal how many records are done."""
        sizes = {name: part.commit() for name, part in self.parts.items()}
        with storing(self._journal):
            checksums = {name: part.checksum.up_to(sizes[name]) for name, part in self.parts.items()}
        entry = {"records": records, "digest": str(digest), "tally": dict(tally), "sizes": sizes}
        self._enter(entry | {"checksums": checksums}, complete=complete)

    def _enter(self, entry: Facts, *, complete: bool = False) -> None:
        files = {name: os.path.realpath(target) for name, target in self._targets.items()}
        entry = {"format_version": 1, "complete": complete, "job": self._facts, "files": files} | entry
        replace_text(self._journal, json.dumps(with_checksum(entry), ensure_ascii=False) + "\n")
        self.done = entry
        self._committed = time.monotonic()

    def close(self) -> None:
        """Close the files."""
        for part in self.parts.values():
            part.close()

    def drop(self) -> None:
        """Remove the files of a job that cannot be resumed."""
        for part in self.parts.values():
            part.path.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)


def journal_of(targets: Mapping[str, str]) -> Path:
    """Return the path of the journal, beside the first file."""
    part = part_of(next(iter(targets.values())))
    return part.with_name(part.name + ".json")


@contextmanager
def open_job(targets: Mapping[str, str], facts: Facts, *, resume: bool) -> Iterator[Job | None]:
    """Open the files of a job; at the end of the block they get their final names.

    If the block fails, the output that the journal covers is kept; if it covers no record, nothing is kept.

    Args:
        targets: the files by purpose, the main one first.
        facts: what must not change if the job is resumed.
        resume: continue from the journal; if there is none, start a new job.

    Yields:
        The job; None if it is complete, because only the renaming was missing or another process has finished it.

    Raises:
        DataError: there is an interrupted job and `resume` is not set, or it is a different job, or another process is
            working on it.
        StorageError: a file cannot be written.
    """
    journal = journal_of(targets)
    require_no_interrupted_job(targets, resume=resume)
    for directory in {part_of(target).parent for target in targets.values()}:
        sweep(directory)
    with claimed(*targets.values()):
        done = _earlier(journal, targets, facts, resume=resume)
        if done.get("complete"):
            _rename_parts(targets, journal)
            yield None
            return
        if resume and is_complete(targets):  # another process has finished it
            yield None
            return
        job = None
        try:
            job = Job(targets, facts, done)
            yield job
            job.close()
        except BaseException:
            if job is not None:
                job.close()
                if not job.records:
                    job.drop()
            elif not done:
                for path in (*map(part_of, targets.values()), journal):
                    path.unlink(missing_ok=True)
            raise
        _rename_parts(targets, journal)


def require_no_interrupted_job(targets: Mapping[str, str], *, resume: bool) -> None:
    """Check that the files of a job can be written, before a model is loaded.

    Raises:
        DataError: a file is a directory or its directory does not exist; or there is an interrupted job and `resume` is
            not set; or there is a part that the journal does not know.
    """
    for target in targets.values():
        require_writable(target)
        require_unclaimed(target)
    journal = journal_of(targets)
    entry = _read(journal)
    known = set(entry.get("files", {}).values())
    for target in targets.values():
        part = part_of(target)
        if part.exists() and os.path.realpath(target) not in known:
            raise DataError(
                f"{part}: this file exists, but there is no journal {journal.name} that describes it",
                hint="remove it if it is not needed.",
            )
    if entry.get("records") and not resume:
        raise DataError(
            f"{journal}: there is an interrupted job with {counted(entry['records'], 'record')} done",
            hint="continue with --resume, or remove this file and the part to start again.",
        )


def is_complete(targets: Mapping[str, str]) -> bool:
    """Return whether all files have their final names, and nothing is left to resume."""
    complete = all(os.path.isfile(target) and not part_of(target).exists() for target in targets.values())
    return complete and not journal_of(targets).exists()


def _read(journal: Path) -> Facts:
    """Read a journal; return an empty entry if there is none.

    Raises:
        DataError: the journal is damaged.
    """
    if not journal.exists():
        return {}
    try:
        entry: Facts = read_json(journal)
        if entry["format_version"] != 1 or type(entry["records"]) is not int or type(entry["complete"]) is not bool:
            raise ValueError("unknown version or fields of the wrong type")
        kinds = {"digest": str, "tally": dict, "sizes": dict, "job": dict, "files": dict}
        for name, kind in kinds.items():
            if not isinstance(entry[name], kind):
                raise ValueError(f"'{name}' has the wrong type")
        if not all(type(entry["sizes"][name]) is int for name in entry["files"]):
            raise ValueError("'sizes' must be integers")
        if not isinstance(entry.get("checksums", {}), dict):
            raise ValueError("'checksums' has the wrong type")
        require_intact(entry)
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise DataError(f"{journal}: damaged: {error}", hint="remove it and the part to start again.") from error
    return entry


def _require_intact(name: str, target: str, entry: Facts, journal: Path) -> None:
    """Compare a file of a job with its size and checksum in the journal; journals of earlier versions have no checksums.

    Raises:
        DataError: the file is not what was written.
    """
    file, size, known = part_of(target), entry["sizes"][name], entry.get("checksums", {}).get(name)
    if entry["complete"] and not file.exists():
        file = Path(os.path.realpath(target))  # it has its final name already
    found = file.stat().st_size if file.is_file() else -1
    if found < size:
        raise DataError(
            f"{file}: missing, or shorter than recorded in {journal}", hint=f"remove {journal} to start again."
        )
    if (entry["complete"] and found > size) or (known is not None and file_checksum(file, size) != known):
        raise DataError(
            f"{file}: damaged: it differs from the size and checksum in {journal}",
            hint=f"remove it and {journal} to start again.",
        )


def _rename_parts(targets: Mapping[str, str], journal: Path) -> None:
    """Give the files their final names, the main one last; an earlier process may have renamed some already."""
    for target in reversed(list(targets.values())):
        part, path = part_of(target), Path(os.path.realpath(target))
        with storing(path):
            if part.exists():
                copy_mode_and_owner(part, path, mode=file_mode())
                os.replace(part, path)
                sync(path.parent)
    journal.unlink(missing_ok=True)


def _earlier(journal: Path, targets: Mapping[str, str], facts: Facts, *, resume: bool) -> Facts:
    """Return the journal entry to resume from; empty if nothing is done yet.

    Raises:
        DataError: the entry belongs to a different job, or a file is damaged.
    """
    entry = _read(journal)
    if not entry.get("records") and not entry.get("complete"):
        for target in entry.get("files", {}).values():  # they contain no completed records
            part_of(target).unlink(missing_ok=True)
        return {}
    if not resume:  # it appeared while the model was being loaded
        require_no_interrupted_job(targets, resume=resume)
    files = entry["files"]
    changed = [f"--{name} was given before, but not now" for name in sorted(files.keys() - targets.keys())]
    changed += [f"--{name} is given now, but was not before" for name in sorted(targets.keys() - files.keys())]
    if not entry["complete"]:
        changed += changed_facts(entry["job"], facts)
    for name, target in targets.items():
        if name in files:
            _require_intact(name, target, entry, journal)
    if changed:
        raise DataError(
            f"{journal}: this job was started differently: {'; '.join(changed)}",
            hint=f"use the original files, model and options, or remove {journal} and the part to start again.",
        )
    return entry
