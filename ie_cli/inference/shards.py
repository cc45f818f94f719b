"""Prediction of many files: one output shard for each input shard, written once, with a manifest that says what it was made of.

A directory of shards contains the outputs, named after the inputs, and for each of them::

    _shards/NAME.json        the manifest: the state of the input, the model and options, counts, checksums
    _rejects/NAME.jsonl      the bad lines, if there are any

A shard is finished when its manifest exists, which is written last. So processes on any number of machines need to know nothing
of each other: each takes shards without a manifest. A shard that is interrupted leaves nothing, and starts again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ie_cli.errors import DataError, counted
from ie_cli.formats.suffixes import COMPRESSIONS, suffix_of, suffixes_of
from ie_cli.inference.job_facts import Facts, changed_facts
from ie_cli.system.checksums import file_checksum, require_intact, with_checksum
from ie_cli.system.json_reading import loads
from ie_cli.system.stores import FileState, files_below, join, read_files, writing
from ie_cli.system.text import write_text
from ie_cli.system.urls import is_url

MANIFESTS, REJECTS = "_shards", "_rejects"
"""The subdirectories of manifests and bad lines."""
_PART = re.compile(r"(\d+)/(\d+)")
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shard:
    """An input file, and the output that belongs to it.

    Attributes:
        path: the path or URL of the input.
        name: the name of the output, relative to its directory, with ``/`` between its parts.
        state: the state of the input when the command was started.
    """

    path: str
    name: str
    state: FileState


@dataclass(frozen=True, slots=True)
class Part:
    """One of several parts of the shards: every `of`-th one, from number `number`, which is counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read ``NUMBER/OF``.

        Raises:
            ValueError: it is something else.
        """
        match = _PART.fullmatch(text.strip())
        number, of = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= of:
            raise ValueError(f"expected a part and the number of parts, e.g. 1/8 to 8/8, got {text!r:.40}")
        return cls(number, of)

    def select(self, shards: Sequence[Shard]) -> list[Shard]:
        """Return the shards of this part; the parts of the same shards have none in common, and together all of them."""
        return list(shards[self.number - 1 :: self.of])


def name_shards(found: Iterable[tuple[str, str, FileState]], suffix: str, *, compress: bool) -> list[Shard]:
    """Return the shards of some inputs, sorted by their names.

    An output has the name of its input, with the suffix of its format and the compression of the input:
    ``a/x.json.gz`` becomes ``a/x.jsonl.gz``.

    Args:
        found: path, name relative to where it was found, and state of each input.
        suffix: the suffix of the output format.
        compress: whether outputs are compressed as the inputs are.

    Raises:
        DataError: two inputs would have the same output.
    """
    shards: dict[str, Shard] = {}
    for path, relative, state in found:
        name = _output_name(relative, suffix, compress=compress)
        if name in shards:
            raise DataError(
                f"{path}: its output would be {name}, as that of {shards[name].path}",
                hint="predict them into two directories, or rename one of them.",
            )
        shards[name] = Shard(path, name, state)
    return [shards[name] for name in sorted(shards)]


def _output_name(relative: str, suffix: str, *, compress: bool) -> str:
    stem, compression = _split(relative)
    if suffix_of(stem) in suffixes_of(written=False):  # what follows the last dot may be anything else
        stem = stem[: stem.rindex(".")]
    return f"{stem}{suffix}{compression if compress else ''}"


def _split(name: str) -> tuple[str, str]:
    """Return a name without the suffix of its compression, and this suffix."""
    compression = next((one for one in COMPRESSIONS if name.endswith(one)), "")
    return name.removesuffix(compression), compression


@dataclass(frozen=True, slots=True)
class ShardDirectory:
    """A directory of shards, on disk or in a store."""

    root: str

    def output(self, shard: Shard) -> str:
        """Return the path of the output."""
        return join(self.root, shard.name)

    def manifest(self, shard: Shard) -> str:
        """Return the path of the manifest."""
        return join(self.root, _manifest_name(shard))

    def rejects(self, shard: Shard) -> str:
        """Return the path of the file of bad lines."""
        return join(self.root, _rejects_name(shard))

    def plan(self, shards: Sequence[Shard], facts: Facts) -> tuple[dict[Shard, Manifest], list[Shard]]:
        """Return the manifests of the finished shards, and the shards that are to be predicted.

        A finished shard whose output was removed is predicted again.

        Args:
            shards: the shards.
            facts: the model and the options.

        Raises:
            DataError: a finished shard was made of another input, or with another model or options, or its files are damaged.
        """
        present = files_below(self.root)
        known = {_manifest_name(shard): shard for shard in shards if _manifest_name(shard) in present}
        contents = read_files(self.root, known)
        finished: dict[Shard, Manifest] = {}
        problems: list[str] = []
        for name, shard in known.items():
            manifest = self._read(contents[name], shard)
            problem = _problem(shard, manifest, facts, present)
            if problem is not None:
                problems.append(f"{self.manifest(shard)}: {problem}")
            elif shard.name in present:
                finished[shard] = manifest
        if problems:
            more = f" (and {len(problems) - 1:,} more of {counted(len(shards), 'shard')})" if len(problems) > 1 else ""
            raise DataError(
                problems[0] + more,
                hint="use the original files, model and options, or write to another directory, or remove these manifests: "
                "shards without a manifest are predicted again.",
            )
        return finished, [shard for shard in shards if shard not in finished]

    def _read(self, content: bytes, shard: Shard) -> Manifest:
        try:
            manifest: Manifest = loads(content.decode("utf-8"))
            if manifest["format_version"] != 1:
                raise ValueError("it was written by a newer version")
            kinds = {"job": dict, "input": dict, "output": dict, "tally": dict, "counts": dict, "precision": str}
            if not all(isinstance(manifest[name], kind) for name, kind in kinds.items()):
                raise ValueError("fields of the wrong type")
            require_intact(manifest)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{self.manifest(shard)}: damaged: {error}", hint="remove it: the shard is then predicted again."
            ) from error
        return manifest

    def finish(self, shard: Shard, fields: Mapping[str, Any], facts: Facts) -> Manifest:
        """Write the manifest of a shard whose other files are complete.

        Args:
            shard: the shard.
            fields: ``output`` and ``rejects`` (size and checksum), ``tally``, ``counts`` and ``precision``.
            facts: the model and the options.

        Raises:
            StorageError: it cannot be written.
        """
        source = {"path": shard.path, "size": shard.state.size, "version": shard.state.version}
        if not is_url(shard.path):  # a copy has another time, but the same content
            source["checksum"] = file_checksum_of(shard.path)
        manifest = with_checksum({"format_version": 1, "job": facts, "input": source, **fields})
        with writing(self.manifest(shard)) as new:
            write_text(new, json.dumps(manifest, ensure_ascii=False) + "\n")
        return manifest


def _manifest_name(shard: Shard) -> str:
    return f"{MANIFESTS}/{shard.name}.json"


def _rejects_name(shard: Shard) -> str:
    stem, compression = _split(shard.name)
    return f"{REJECTS}/{PurePosixPath(stem).with_suffix('.jsonl')}{compression}"


def _problem(shard: Shard, manifest: Manifest, facts: Facts, present: Mapping[str, FileState]) -> str | None:
    """Return what is wrong with a finished shard."""
    if (changed := _input_change(shard, manifest["input"])) is not None:
        return changed
    if changes := changed_facts(manifest["job"], facts):
        return f"this shard was predicted differently: {'; '.join(changes)}"
    output = present.get(shard.name)
    if output is not None and output.size != manifest["output"].get("size"):
        return f"the output {shard.name} has {counted(output.size, 'byte')}, but {manifest['output'].get('size')} were written"
    return None


def _input_change(shard: Shard, before: Mapping[str, Any]) -> str | None:
    if before.get("path") != shard.path:
        return f"the input was {before.get('path')} and is now {shard.path}"
    changed = f"the input {shard.path} has changed since this shard was predicted"
    if before.get("size") != shard.state.size:
        return changed
    if before.get("version") == shard.state.version:
        return None
    if "checksum" in before and file_checksum_of(shard.path) == before["checksum"]:
        return None
    return changed


def file_checksum_of(path: str) -> str:
    """Return the checksum of a local input.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return file_checksum(Path(path))
    except OSError as error:
        raise DataError(f"{path}: {os.strerror(error.errno or 0)}", hint="check the file.") from error
