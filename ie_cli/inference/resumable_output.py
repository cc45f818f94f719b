"""Output of a long job: under the name `X.part` until it is complete, with a journal from which it can be gone on with."""

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
from ie_cli.errors import DataError, StorageError
from ie_cli.formats import BadLine
from ie_cli.system.atomic import copy_mode_and_owner, file_mode, mode_of, replace_text, storing, sync
from ie_cli.system.checksums import FileChecksum, file_checksum, require_intact, with_checksum
from ie_cli.system.json_reading import loads
from ie_cli.system.places import claimed, require_unclaimed
from ie_cli.system.streams import compressed, require_writable
from ie_cli.system.temporary import sweep

COMMIT_SECONDS = 5.0
"""Between two entries of the journal, at least; it is written between two chunks of records."""
Facts = dict[str, Any]
Item = TypeVar("Item", bound=Document | BadLine)


class OtherInput(DataError):
    """The input of a job is not the one that it was begun with."""


class Digest:
    """A hash of the records so far: whether an input begins as it did."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, record: Document | BadLine) -> None:
        """Take the next record."""
        text = (record.raw if isinstance(record, BadLine) else record.text).encode("utf-8", "surrogatepass")
        self._hash.update(len(text).to_bytes(8, "little"))
        self._hash.update(text)

    def __str__(self) -> str:
        return self._hash.copy().hexdigest()


class Part:
    """A file under its temporary name.

    Args:
        target: its name when it is complete; compressed by its suffix.
        size: bytes to go on from; what stands behind them is cut off.
    """

    def __init__(self, target: str, size: int) -> None:
        self.path = part_of(target)
        self._name = target
        if self.path.is_symlink():  # ours never are: what it leads to would be overwritten
            raise StorageError(f"{self.path}: is a link", hint="see where it comes from, and remove it.")
        with storing(self.path):
            # Nobody may read now what only some may read then.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._raw = os.fdopen(os.open(self.path, flags, mode_of(Path(os.path.realpath(target))) | 0o600), "r+b")
            self._raw.truncate(size)
            self._raw.seek(size)
        self._stack = ExitStack()
        self._text: IO[str] | None = None
        self.checksum = FileChecksum(self.path)
        try:
            sync(self.path.parent)  # the name is there before a journal counts on it
            if not size:
                self._open()  # an empty file is a valid one of its kind, too
        except BaseException:
            self.close()
            raise

    def write(self, text: str) -> None:
        """Write text behind what there is."""
        with storing(self.path):
            (self._text or self._open()).write(text)

    def flush(self) -> None:
        """Nothing to do: nobody reads the file before it is complete."""

    def commit(self) -> int:
        """Have all that was written on the disk; its size there. A compressed file gets a frame of its own for what follows."""
        with storing(self.path):
            self._stack.close()
            self._text = None
            self._raw.flush()
            os.fsync(self._raw.fileno())
            return self._raw.tell()

    def close(self) -> None:
        """Close the file, whatever there is on the disk."""
        with suppress(OSError):  # the disk is full: what was committed is there
            self._stack.close()
        with suppress(OSError):
            self._raw.close()

    def _open(self) -> IO[str]:
        self._text = self._stack.enter_context(compressed(self._raw, self._name))
        return self._text


def part_of(target: str) -> Path:
    """The temporary name of a file."""
    real = Path(os.path.realpath(target))  # a link stays a link
    return real.with_name(real.name + ".part")


class Job:
    """Output files of one job, and how far it is.

    Attributes:
        done: what the journal said when the job was opened; empty for a new one.
    """

    def __init__(self, targets: Mapping[str, str], facts: Facts, done: Facts) -> None:
        self.done = done
        self._facts, self._targets = facts, targets
        self._journal = journal_of(targets)
        self._committed = time.monotonic()
        self.parts: dict[str, Part] = {}
        if not done:  # before there is a part: what one without a journal is, nobody knows
            self._enter({"records": 0, "digest": str(Digest()), "tally": {}, "sizes": dict.fromkeys(targets, 0)})
            with storing(self._journal):  # it quotes bad lines
                os.chmod(self._journal, mode_of(Path(os.path.realpath(next(iter(targets.values()))))) | 0o600)
        for name, target in targets.items():
            self.parts[name] = Part(target, done.get("sizes", {}).get(name, 0))

    @property
    def records(self) -> int:
        """Records of the input that were done with when the job was opened."""
        return int(self.done.get("records", 0))

    def skip(self, records: Iterable[Item], digest: Digest) -> Iterator[Item]:
        """The records that are still to come.

        Raises:
            DataError: the input does not begin with those that are done.
        """
        stream = iter(records)
        for _ in range(self.records):
            record = next(stream, None)
            if record is None:
                break
            digest.add(record)
        if str(digest) != self.done.get("digest", str(digest)):
            raise OtherInput(
                f"{self._journal}: the input is another one: its first {self.records} records are not those that are done",
                hint=f"give the input of then; or remove {self._journal} and the part to begin anew.",
            )
        yield from stream

    def due(self) -> bool:
        """Whether the journal is old."""
        return time.monotonic() - self._committed >= COMMIT_SECONDS

    def commit(self, records: int, digest: Digest, tally: Mapping[str, Any], *, complete: bool = False) -> None:
        """Enter into the journal that so many records are done with, after their output is on the disk."""
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
        """Remove what nobody can go on with."""
        for part in self.parts.values():
            part.path.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)


def journal_of(targets: Mapping[str, str]) -> Path:
    """The journal beside the first of the files."""
    part = part_of(next(iter(targets.values())))
    return part.with_name(part.name + ".json")


@contextmanager
def open_job(targets: Mapping[str, str], facts: Facts, *, resume: bool) -> Iterator[Job | None]:
    """Open the files of a job, the main one first; at the end of the block they get their names.

    Where the block fails, what the journal knows of is kept; without a record nothing is.

    Args:
        facts: what must be the same to go on.
        resume: go on where the journal says; where there is none, begin.

    Yields:
        None: all was done but the files had not got their names, or another process was quicker; now they are complete.

    Raises:
        DataError: a part of an interrupted job is there and `resume` is not set, or it is of another job; or another
            process is at work on it.
        StorageError: a file cannot be written.
    """
    journal = journal_of(targets)
    require_no_interrupted_job(targets, resume=resume)
    for directory in {part_of(target).parent for target in targets.values()}:
        sweep(directory)
    with claimed(*targets.values()):
        done = _earlier(journal, targets, facts, resume=resume)
        if done.get("complete"):
            _put_in_place(targets, journal)
            yield None
            return
        if resume and is_complete(targets):  # another process was quicker
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
        _put_in_place(targets, journal)


def require_no_interrupted_job(targets: Mapping[str, str], *, resume: bool) -> None:
    """Tell before a model is loaded that the files of a job cannot be written.

    Raises:
        DataError: one is a directory, or there is none for it; or there is a part of a job that nobody asked to go on with,
            or one that no journal tells of.
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
            raise DataError(f"{part}: is there, and no {journal.name} tells what it is", hint="remove it.")
    if entry.get("records") and not resume:
        raise DataError(
            f"{journal}: {entry['records']} records of an interrupted job are done",
            hint="go on with --resume; or remove this file and the part to begin anew.",
        )


def is_complete(targets: Mapping[str, str]) -> bool:
    """Whether all files have their names, and nothing is there to go on with."""
    whole = all(os.path.isfile(target) and not part_of(target).exists() for target in targets.values())
    return whole and not journal_of(targets).exists()


def _read(journal: Path) -> Facts:
    """A journal; empty where there is none.

    Raises:
        DataError: it is damaged.
    """
    if not journal.exists():
        return {}
    try:
        entry: Facts = loads(journal.read_text(encoding="utf-8"))
        if entry["format_version"] != 1 or type(entry["records"]) is not int or type(entry["complete"]) is not bool:
            raise ValueError("not of this version")
        kinds = {"digest": str, "tally": dict, "sizes": dict, "job": dict, "files": dict}
        for name, kind in kinds.items():
            if not isinstance(entry[name], kind):
                raise ValueError(f"'{name}' is of another kind")
        if not all(type(entry["sizes"][name]) is int for name in entry["files"]):
            raise ValueError("'sizes' are no numbers")
        if not isinstance(entry.get("checksums", {}), dict):
            raise ValueError("'checksums' is of another kind")
        require_intact(entry)
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise DataError(f"{journal}: damaged: {error}", hint="remove it and the part to begin anew.") from error
    return entry


def _require_intact(name: str, target: str, entry: Facts, journal: Path) -> None:
    """Compare what is in a file of a job with what the journal says of it; one of an earlier version has no checksums.

    Raises:
        DataError: it is not what was written.
    """
    file, size, known = part_of(target), entry["sizes"][name], entry.get("checksums", {}).get(name)
    if entry["complete"] and not file.exists():
        file = Path(os.path.realpath(target))  # it has its name already
    there = file.stat().st_size if file.is_file() else -1
    if there < size:
        raise DataError(f"{file}: missing, or shorter than {journal} says", hint=f"remove {journal} to begin anew.")
    if (entry["complete"] and there > size) or (known is not None and file_checksum(file, size) != known):
        raise DataError(
            f"{file}: damaged: it is not what was written, as {journal} knows it",
            hint=f"remove it and {journal} to begin anew.",
        )


def _said(value: Any) -> str:
    return "not given" if value is None else str(value)


def _put_in_place(targets: Mapping[str, str], journal: Path) -> None:
    """Give the files their names, the main one last; a process that ended here may have done some."""
    for target in reversed(list(targets.values())):
        part, path = part_of(target), Path(os.path.realpath(target))
        with storing(path):
            if part.exists():
                copy_mode_and_owner(part, path, mode=file_mode())
                os.replace(part, path)
                sync(path.parent)
    journal.unlink(missing_ok=True)


def _earlier(journal: Path, targets: Mapping[str, str], facts: Facts, *, resume: bool) -> Facts:
    """What to go on from; empty where nothing is done yet."""
    entry = _read(journal)
    if not entry.get("records") and not entry.get("complete"):
        for target in entry.get("files", {}).values():  # nothing is in them that counts
            part_of(target).unlink(missing_ok=True)
        return {}
    if not resume:  # it came while the model was loaded
        require_no_interrupted_job(targets, resume=resume)
    before, files = entry["job"], entry["files"]
    changed = [f"--{name} was given and is not" for name in sorted(files.keys() - targets.keys())]
    changed += [f"--{name} was not given and is" for name in sorted(targets.keys() - files.keys())]
    if not entry["complete"]:
        now = json.loads(json.dumps(facts))
        for name in sorted(before.keys() | now.keys()):
            if name == "model" and before.get(name) != now.get(name):
                changed.append("the model is another one")
            elif before.get(name) != now.get(name):
                changed.append(f"--{name} was {_said(before.get(name))} and is {_said(now.get(name))}")
    for name, target in targets.items():
        if name in files:
            _require_intact(name, target, entry, journal)
    if changed:
        raise DataError(
            f"{journal}: begun as another job: {'; '.join(changed)}",
            hint=f"do as then; or remove {journal} and the part to begin anew.",
        )
    return entry
