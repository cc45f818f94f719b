"""The input files of prediction by shards: their names in the output, and their states."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ie_cli.commands.inputs import Input
from ie_cli.commands.sources import Sources, no_match, require_distinct
from ie_cli.errors import DataError
from ie_cli.formats import Format
from ie_cli.formats.common.hub_dataset import PREFIX
from ie_cli.formats.directory_files import suffixes_for
from ie_cli.formats.suffixes import suffix_of
from ie_cli.inference.shards import MANIFESTS, REJECTS, Shard, name_shards
from ie_cli.system.stores import FileState, files_below, is_pattern, join, local_path, matching_urls, state_of
from ie_cli.system.urls import is_url

Found = tuple[str, str, FileState]
"""Path, name relative to where it was found, and state of an input."""


def find_shards(given: Sequence[Input], output: str, target: Format, *, quiet: bool) -> list[Shard]:
    """Return the shards of some files, directories and patterns, sorted by the names of their outputs.

    An input keeps the directories between it and what was named: those behind the first ``*`` of a pattern, or below a directory.

    Args:
        given: the inputs.
        output: the output directory.
        target: the output format.
        quiet: whether to omit what is not read in a directory.

    Raises:
        DataError: there is none, or it is no file, or the output is among the inputs.
    """
    found: list[Found] = []
    for one in given:
        one = replace(one, path=local_path(one.path))
        if one.path == "-" or one.path.startswith(PREFIX):
            raise DataError(
                f"{'standard input' if one.path == '-' else one.path}: an input of an output directory must be a file",
                hint="name files, or one --output file.",
            )
        base = _base(one.path)
        _require_apart(one.path, base, output)
        paths = _remote(one) if is_url(one.path) else _local(one, quiet=quiet)
        for path, state in paths:
            relative = path[len(base) :].replace(os.sep, "/").lstrip("/")
            if relative.split("/")[0] in (MANIFESTS, REJECTS):
                continue  # an output of another model may be the input
            found.append((path, relative, state))
    require_distinct([path for path, _, _ in found])
    shards = name_shards(found, _suffix(target), compress=target.container is None)
    inputs = {_real(shard.path): shard.path for shard in shards}
    for shard in shards:
        if (source := inputs.get(_real(join(output, shard.name)))) is not None:
            raise DataError(f"{source}: this file is also an output", hint="use another --output directory.")
    return shards


def _suffix(target: Format) -> str:
    """Return the suffix of the outputs in a format, of which not each has one."""
    if target.suffixes:
        return target.suffixes[0]
    if target.frame[0].startswith("["):
        return ".json"
    return ".jsonl" if target.by_line else ".txt"


def _local(one: Input, *, quiet: bool) -> Iterator[tuple[str, FileState]]:
    for path in Sources.find([one], quiet=quiet).paths:
        if os.path.isdir(path):
            raise DataError(
                f"{path}: a directory that is read as a whole cannot be a shard",
                hint="convert it with `ie convert` first, or name one --output file.",
            )
        replace(one, path=path).require_exists()
        if (state := state_of(path)) is not None:
            yield path, state


def _remote(one: Input) -> Iterator[tuple[str, FileState]]:
    if one.path.endswith("/"):
        suffixes = suffixes_for(one.format)
        inside = {name: state for name, state in files_below(one.path).items() if "/" not in name}
        names = sorted(name for name in inside if suffix_of(name) in suffixes)
        if not names:
            raise DataError(
                f"{one.path}: there is no file with a suffix of {', '.join(suffixes)}",
                hint="name the files, or a pattern such as 's3://BUCKET/DIRECTORY/*.dat'.",
            )
        yield from ((join(one.path, name), inside[name]) for name in names)
    elif is_pattern(one.path):
        matches = matching_urls(one.path)
        if not matches:
            raise no_match(one.path)
        yield from matches.items()
    else:
        if (state := state_of(one.path)) is None:
            raise DataError(f"{one.path}: no such file", hint="check the URL.")
        yield one.path, state


def _base(path: str) -> str:
    """Return the directory that the names of outputs are relative to."""
    if not is_url(path) and (os.path.exists(path) or not glob.has_magic(path)):
        return path if os.path.isdir(path) else os.path.dirname(path)
    if is_url(path) and not is_pattern(path):
        return path if path.endswith("/") else path.rpartition("/")[0]
    parts = path.replace(os.sep, "/").split("/") if not is_url(path) else path.split("/")
    first = next(n for n, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:first])


def _require_apart(path: str, base: str, output: str) -> None:
    """Check that outputs are no inputs of the next run.

    Raises:
        DataError: the output directory is where the inputs are.
    """
    inner, outer = _real(output), _real(base or os.curdir)
    several = is_pattern(path) or path.endswith("/") or (not is_url(path) and not os.path.isfile(path))
    if several and (inner == outer or ("**" in path and inner.startswith(f"{outer}/"))):
        raise DataError(
            f"{output}: outputs in this directory would be inputs of the next run, because {path} is the input",
            hint="use another --output directory.",
        )


def _real(path: str) -> str:
    return path.rstrip("/") if is_url(path) else os.path.realpath(path).replace(os.sep, "/")
