"""The splits of a recipe as streams of examples that can be iterated repeatedly."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ie_cli.document import Document
from ie_cli.document.relabelling import Relabelling
from ie_cli.errors import DataError
from ie_cli.formats import Reading, find_tokens, format_of, format_read, is_container, read_documents
from ie_cli.formats.common.base import TokenFile, Tokens
from ie_cli.formats.common.hub_dataset import PREFIX
from ie_cli.formats.common.tag_names import find_label_names
from ie_cli.formats.registry import READING_OPTIONS, UnusedOption, is_settled, unused_option, unused_options
from ie_cli.recipe.folds import fold_of
from ie_cli.recipe.loader import given_options
from ie_cli.recipe.schema import DataSection

_OBJECT = re.compile(rb'\s*(\[\s*)?\{\s*"')
"""The start of a file of JSON objects."""


@dataclass(frozen=True)
class TokenDecision:
    """What the tokens of the training data are, found once, so that all splits are joined in the same way.

    Attributes:
        sources: the sources of the training data.
        section: the data section of the recipe.
        given: what they are, if it is known.
        other: files that were found to contain no tokens, and need not be opened for this.
    """

    sources: tuple[str, ...]
    section: DataSection
    given: Tokens | None = None
    other: set[str] = field(default_factory=set, compare=False)

    @cached_property
    def tokens(self) -> Tokens | None:
        """What they are; None if `data.joiner` decides, the data are no tokens, or the files differ: each decides then."""
        if self.given is not None or self.section.joiner is not None:
            return self.given
        found = {file.tokens for file in self.files(self.sources, None) if file is not None}
        return found.pop() if len(found) == 1 else None

    def files(self, sources: Sequence[str], tokens: Tokens | None) -> Iterator[TokenFile | None]:
        """Yield what is decided about each source that can be read more than once; None if it contains no tokens."""
        reading = replace(reading_of(self.section), tokens=tokens)
        known = self.section.format in (None, *READING_OPTIONS["joiner"])
        for source in sources:
            possible = source.startswith(PREFIX) or (known and source not in self.other and not _is_pipe(source))
            yield find_tokens(source, format=self.section.format, reading=reading) if possible else None


@dataclass(frozen=True)
class Split:
    """Sources that are read in order, again on each iteration.

    Attributes:
        sources: files, ``-``, URLs or ``hub:…``.
        section: the data section of the recipe.
        keep: whether a text belongs to this split; None keeps all.
        part: a description of `keep` for the fingerprint.
        decision: what the tokens of the training data are; by default, the sources are these data.
    """

    sources: tuple[str, ...]
    section: DataSection
    keep: Callable[[str], bool] | None = None
    part: str = "all"
    decision: TokenDecision | None = None

    def __iter__(self) -> Iterator[Document]:
        return (document for _, document in self.read(self.reading))

    def read(self, reading: Reading) -> Iterator[tuple[str, Document]]:
        """Yield the documents, each with its source, with other options than those of the recipe."""
        for source in self.sources:
            for document in read_documents(source, format=self.section.format, reading=reading):
                if self.keep is None or self.keep(document.text):
                    yield source, document

    @property
    def reading(self) -> Reading:
        """The reading options."""
        return replace(reading_of(self.section), tokens=self.tokens)

    @property
    def tokens(self) -> Tokens | None:
        """What the tokens of the training data are."""
        return self.decided.tokens

    @cached_property
    def decided(self) -> TokenDecision:
        """What the tokens of the training data are, and how that was found."""
        return self.decision or TokenDecision(self.sources, self.section)

    def signatures(self) -> list[tuple[str, ...]]:
        """Return what distinguishes the documents of each source from those of version 0.1."""
        files = self.decided.files(self.sources, self.tokens)
        return [() if file is None else file.signature for file in files]

    def unfiltered(self) -> Split:
        """Return a split with all documents of its sources."""
        return replace(self, keep=None, part="all")

    def require_rereadable(self) -> None:
        """Check that no source is a pipe, which can be read only once, whereas training reads several times.

        Raises:
            DataError: a source is a pipe or a directory.
        """
        for source in self.sources:
            if os.path.isdir(source) and not is_container(source, self.section.format):
                raise DataError(f"{source}: is a directory", hint="name a file in it, or a list of files.")
            if _is_pipe(source):
                raise DataError(
                    f"{'stdin' if source == '-' else source}: a pipe can be read only once, but training reads its data several "
                    "times",
                    hint="save the data to a file first.",
                )

    def stamp(self) -> list[tuple[int, int] | None]:
        """Return size and latest modification time of each source, None if it is no local file or directory."""
        found: list[tuple[int, int] | None] = []
        for source in self.sources:
            states = [os.stat(path) for path in _files_of(source)]
            latest = max((state.st_mtime_ns for state in states), default=0)
            found.append((sum(state.st_size for state in states), latest) if states else None)
        return found

    @cached_property
    def fingerprint(self) -> str | None:
        """Hash of the split, including file contents; None if a source is not a local file. Computed once."""
        return _fingerprints([self])[0]


def compute_fingerprints(splits: Sequence[Split]) -> None:
    """Compute the fingerprints of several splits, reading shared files only once."""
    for sources in dict.fromkeys(split.sources for split in splits):
        same = [split for split in splits if split.sources == sources]
        for split, value in zip(same, _fingerprints(same), strict=True):
            vars(split)["fingerprint"] = value


def _fingerprints(splits: Sequence[Split]) -> list[str | None]:
    """Compute the fingerprints of splits with the same sources."""
    sources = splits[0].sources
    if not all(map(_files_of, sources)):
        return [None] * len(splits)
    digests = []
    for split in splits:
        options = split.section.model_dump(include={"format", "text_column", "label_columns", "joiner"})
        if split.section.trim:  # omitted by default, so that earlier versions computed the same
            options["trim"] = True
        later = {"rename", "ignore", "no_relation", "grades", "columns"}
        options |= split.section.model_dump(include=later, exclude_defaults=True)
        digests.append(hashlib.blake2b(json.dumps([split.part, options]).encode(), digest_size=16))
    for source in sources:
        first = True
        for block in _blocks(source):
            if first and _OBJECT.match(block) and b'"tokens"' not in block:
                for split in splits:
                    split.decided.other.add(source)
            first = False
            for digest in digests:
                digest.update(block)
        for digest in digests:
            digest.update(b"\0file\0")
    names = [sorted(find_label_names(source).items()) for source in sources]
    for split, digest in zip(splits, digests, strict=True):
        if any(layouts := split.signatures()):
            digest.update(json.dumps(layouts).encode())
        if any(names):
            digest.update(json.dumps(names).encode())
    return [digest.hexdigest() for digest in digests]


def _files_of(source: str) -> list[Path]:
    """Return the local files of a source: the file, or those in the directory; none if it is neither."""
    path = Path(source)
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path] if path.is_file() else []


def _blocks(source: str) -> Iterator[bytes]:
    """Yield the content of a local source; that of a directory with the names of its files."""
    for path in _files_of(source):
        if path != Path(source):
            yield os.fsencode(f"\0{path.relative_to(source).as_posix()}\0")
        with path.open("rb") as file:
            while block := file.read(2**20):
                yield block


def _is_pipe(source: str) -> bool:
    return source == "-" or (os.path.exists(source) and not (os.path.isfile(source) or os.path.isdir(source)))


def reading_of(section: DataSection, *, predicates: Collection[str] = ()) -> Reading:
    """Return the reading options of a data section.

    Args:
        section: the data section of a recipe.
        predicates: those that a model with this recipe predicts. They are never skipped: a model of an earlier version may have
            some that later recipes skip.
    """
    columns = section.label_columns
    names = Relabelling(section.rename, frozenset(section.ignore or ()), frozenset(section.no_relation))
    return Reading(
        section.text_column,
        None if columns is None else tuple(columns),
        section.joiner,
        section.mentions,
        trim=section.trim,
        relabelling=names.keeping(predicates),
        grades=section.grades,
        columns={str(part): name for part, name in section.columns.items()},
    )


def splits(section: DataSection, *, tokens: Tokens | None = None) -> tuple[Split, Split | None, Split | None]:
    """Return the train, dev and test splits of a data section; all are joined like the tokens of train, or like `tokens`.

    ``dev: 0.1`` takes this fraction of train by a hash of the text: duplicates stay together, and a text is in the same
    split in every run. ``fold: 2/5`` takes the second of five parts in the same way.
    """
    train = _sources(section.train)
    decision = TokenDecision(train, section, tokens)
    test = Split(_sources(section.test), section, decision=decision) if section.test is not None else None
    if section.fold is not None:
        number, count = fold_of(section.fold)
        return (
            Split(
                train, section, lambda text: fold_place(text, count) != number, f"without fold {section.fold}", decision
            ),
            Split(train, section, lambda text: fold_place(text, count) == number, f"fold {section.fold}", decision),
            test,
        )
    if not isinstance(section.dev, float):
        dev = Split(_sources(section.dev), section, decision=decision) if section.dev is not None else None
        return Split(train, section, decision=decision), dev, test
    share = section.dev
    return (
        Split(train, section, lambda text: place_of(text) >= share, f"train without {share}", decision),
        Split(train, section, lambda text: place_of(text) < share, f"dev {share}", decision),
        test,
    )


def unused_option_of(section: DataSection) -> UnusedOption | None:
    """Return the error for an option of reading that applies to none of the sources of a data section, if there is one.

    The first record of a source is read if its format, or what a row of a table is, is not known otherwise and decides about an
    option. If it cannot be read, there is no error: whoever reads the source reports it.
    """
    given, reading = given_options(section), reading_of(section)
    if not given:
        return None
    sources = dict.fromkeys(source for split in splits(section) if split is not None for source in split.sources)
    known = {source: format_of(source, format=section.format, reading=reading) for source in sources}
    formats = [kind for kind in known.values() if kind is not None and is_settled(kind, given)]
    for source, kind in known.items():
        if not unused_options(given, formats, READING_OPTIONS):
            return None
        if not is_settled(kind, given):
            if (found := format_read(source, format=section.format, reading=reading)) is None:
                return None
            formats.append(found)
    unused = unused_options(given, formats, READING_OPTIONS)
    if not unused:
        return None
    return unused_option(unused[0], f"data.{unused[0]}", ", ".join(sources), formats, named="data.format")


def _sources(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def place_of(text: str) -> float:
    """Map a text to a number in [0, 1) that depends on the text alone."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def fold_place(text: str, count: int) -> int:
    """Return which of several folds a text is in, from 1; it depends on the text alone."""
    return min(int(place_of(text) * count) + 1, count)  # the place may be rounded to 1
