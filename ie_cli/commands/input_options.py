"""The options with which commands read data: their inputs, and the error for an option that applies to none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, Reading, format_of, format_read
from ie_cli.formats.common.hub_dataset import PREFIX
from ie_cli.formats.registry import is_settled, kind_of_table, unused_option, unused_options

if TYPE_CHECKING:
    from ie_cli.commands.inputs import Input

DATA_OPTIONS = {
    "input_format": "--from",
    "text_column": "--text-column",
    "label_columns": "--label-column",
    "joiner": "--joiner",
    "columns": "--column",
}
"""The options of data by the names of their parameters."""


@dataclass(slots=True)
class Undecided:
    """Options that apply to no input whose format is known, while that of others is only known when they are read.

    Attributes:
        shown: the names of the options for the user, by their names in `Reading`.
        known: the names of the formats that are known, of tables with what a row is.
        remaining: the inputs of which this is not known.
    """

    shown: dict[str, str]
    known: list[str]
    remaining: set[str] = field(default_factory=set)

    def detected(self, path: str, format: str) -> None:
        """Note the format of an input, of a table with what a row is.

        Raises:
            UnusedOption: it is the last one, and an option applies to none of them.
        """
        self.known.append(format)
        self.remaining.discard(path)
        if not self.remaining:
            for option in unused_options(self.shown, self.known):
                place = "stdin" if path == "-" else path
                raise unused_option(option, self.shown[option], place, self.known, named="--from")


def make_inputs(
    paths: Iterable[str],
    *,
    format: str | None,
    text_column: int | None = None,
    label_columns: Sequence[int] | None = None,
    joiner: str | None = None,
    columns: Sequence[str] | None = None,
) -> list[Input]:
    """Return the inputs of a command, which share the options of reading.

    Args:
        paths: files, directories, patterns, ``-`` or URLs.
        format: the name of the format.
        text_column: the column of the token, or of the first text of a pair.
        label_columns: the columns of the tags, or that of a pair's label.
        joiner: the text between two tokens.
        columns: the names of the columns of a table: ``PART=NAME``.

    Raises:
        DataError: an option applies to none of the inputs.
    """
    from ie_cli.commands.inputs import Input

    return require_options_to_apply(
        [
            Input(
                path,
                format=format,
                text_column=text_column,
                label_columns=label_columns or None,
                joiner=joiner,
                named_columns=columns or None,
            )
            for path in paths
        ]
    )


def require_options_to_apply(given: list[Input], shown: dict[str, str] | None = None) -> list[Input]:
    """Check that each option of reading applies to at least one input.

    What is not known before the data are read, such as the format of stdin, or whether a row of a table is a pair of texts, is
    checked when it is detected.

    Args:
        given: inputs with the same options; files are looked up in directories, and by patterns.
        shown: the names of the options for the user, by their names in `Reading`; by default, the usual ones.

    Returns:
        the inputs, with what is to be checked later.

    Raises:
        UnusedOption: an option applies to none of them.
    """
    names = DATA_OPTIONS if shown is None else shown
    asked = {option: names[option] for option in (given[0].given_options() if given else ()) if option in names}
    if not asked or any(one.format not in (None, *FORMATS) for one in given):
        return given
    known: list[str] = []
    unknown: dict[str, str | None] = {}
    for file in _files(given):
        format = format_of(file.path, format=file.format, reading=file.reading(quiet=True))
        if not is_settled(format, asked):
            unknown[file.path] = format
        elif format is not None:
            known.append(format)
        if not unused_options(asked, known):
            return given
    possible = [format for format in unknown.values() if format is not None]
    unused = unused_options(asked, [*known, *possible]) if known or possible else []
    if unused and len(possible) == len(unknown):
        place = given[0].path if len(given) == 1 else f"{given[0].path}, …"
        raise unused_option(unused[0], asked[unused[0]], place, [*known, *possible], named="--from")
    undecided = Undecided({option: asked[option] for option in unused_options(asked, known)}, known, set(unknown))
    return [replace(one, undecided=undecided) for one in given]


def _has_rows(format: str) -> bool:
    """Return whether a name is that of a format of tables without what a row is."""
    return format in FORMATS and FORMATS[format].rows is not None


def _files(given: Sequence[Input]) -> list[Input]:
    """Return the files of inputs; none if they cannot be found, which the command reports."""
    from ie_cli.commands.sources import Sources

    try:
        return [file for one in given for file in Sources.find([one], quiet=True).files]
    except DataError:
        return []


def settle(files: Sequence[Input], reading: Reading) -> None:
    """Check options that are not decided yet, before the first of several inputs is read as a whole.

    The first record of each input that can be read again is read, until every option applies to one.

    Args:
        files: the inputs, with the same options.
        reading: how they are read.

    Raises:
        UnusedOption: an option applies to none of them.
    """
    for file in files:
        undecided = file.undecided
        if undecided is None or not unused_options(undecided.shown, undecided.known):
            return
        if file.path in undecided.remaining and not file.path.startswith(PREFIX):
            kind = format_read(file.path, format=file.format, reading=reading)
            if kind is not None and is_settled(kind, undecided.shown):
                undecided.detected(file.path, kind)


def watching(file: Input, reading: Reading, detected: Callable[[str], None]) -> tuple[Reading, Callable[[str], None]]:
    """Return the options of reading and `detected`, which also check the options of an input whose format was not known.

    The format of a table is known when it is known what a row is.
    """
    undecided = file.undecided
    if undecided is None or file.path not in undecided.remaining:
        return reading, detected
    table = ""

    def both(name: str) -> None:
        nonlocal table
        detected(name)
        if _has_rows(name):
            table = name
        else:
            undecided.detected(file.path, name)

    return replace(reading, row_is=lambda row: undecided.detected(file.path, kind_of_table(table, row))), both
