"""`ie check DATA…`: which arguments are data, and their findings, in the words of the command's options."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from ie_cli.commands.exit_codes import name_options
from ie_cli.commands.input_options import DATA_OPTIONS
from ie_cli.errors import DataError, IEError
from ie_cli.formats.common.hub_dataset import PREFIX
from ie_cli.formats.suffixes import suffix_of, suffixes_of
from ie_cli.system.urls import is_url

if TYPE_CHECKING:
    from ie_cli.commands.sources import Sources
    from ie_cli.data.findings import Finding

_SECTIONS = re.compile(rb"(?m)^(task|tasks|data|encoder|head|training)[ \t]*:")
_BEGINNING = 2**16


def are_data(names: Sequence[str]) -> bool:
    """Return whether the arguments are data, not recipes.

    A name is data if it is a URL, a directory, a pattern, ``-`` or ``hub:…``, or has the suffix of a format, unless it is a
    file that begins like a recipe; and also if it is any other file that does not.

    Raises:
        BadParameter: some are, and others are not.
    """
    data = [name for name in names if _is_data(name)]
    if data and len(data) < len(names):
        recipe = next(name for name in names if name not in data)
        raise typer.BadParameter(
            f"{recipe} is a recipe, and {data[0]} is data: check the data that a recipe names with the recipe alone."
        )
    return bool(data)


def _is_data(name: str) -> bool:
    if suffix_of(name) in (".yaml", ".yml"):
        return False
    if name == "-" or is_url(name) or name.startswith(PREFIX) or os.path.isdir(name) or "*" in name:
        return True
    if not os.path.isfile(name):
        return suffix_of(name) in suffixes_of(written=False)
    with open(name, "rb") as file:
        return len(set(_SECTIONS.findall(file.read(_BEGINNING)))) < 2


def validate_options(data: Mapping[str, object], recipe: Mapping[str, object], *, alone: bool) -> None:
    """Check that options for data are only given with data, and options for recipes only with recipes.

    Args:
        data: the values of the options for data by the names of their parameters.
        recipe: the values of the options for recipes by the options.
        alone: whether data are checked without a recipe.

    Raises:
        BadParameter: one is given with the other.
    """
    for name, value in data.items():
        if value is not None and not alone:
            field = {"input_format": "format"}.get(name, name)
            raise typer.BadParameter(
                f"{DATA_OPTIONS[name]} is for data without a recipe; use --set data.{field}=… for a recipe."
            )
    for option, given in recipe.items():
        if given and alone:
            raise typer.BadParameter(f"{option} is for recipes, but the arguments are data.")


def find_in_data(sources: Sources, *, deep: bool, progress: Callable[[str], None]) -> Iterator[Finding]:
    """Yield the findings about data; hints name the options of the command instead of the fields of a recipe.

    Args:
        sources: the data.
        deep: whether models are trained to find likely errors of annotation, if there are no other errors.
        progress: called with what takes time.

    Raises:
        DataError: a file does not exist, is a pipe, or nothing in the data is annotated.
    """
    from ie_cli.doctor.data_alone import ReadingOptions, describe_splits, recipe_for, splits_of
    from ie_cli.doctor.data_checks import check_data

    sources.require_exist()
    for path in sources.paths:
        if not is_url(path) and not path.startswith(PREFIX) and not os.path.isfile(path) and not os.path.isdir(path):
            raise DataError(
                f"{'stdin' if path == '-' else path}: a pipe can be read only once, but a check reads its data several times",
                hint="save the data to a file first.",
            )
    first = sources.files[0]
    options = ReadingOptions(
        format=first.format,
        text_column=first.text_column,
        label_columns=first.label_columns,
        joiner=first.joiner,
        columns=first.reading(quiet=True).columns or None,
    )
    parts, left_out = splits_of(sources.paths, found=sources.found)
    try:
        recipe = recipe_for(parts, options)
        yield describe_splits(parts, left_out)
        errors = False
        for finding in check_data(recipe):
            errors |= finding.kind == "error"
            yield replace(finding, text=name_options(finding.text, DATA_OPTIONS))
        if deep and not errors:
            from ie_cli.doctor.cross_folds import find_suspects

            yield from find_suspects(recipe, report=progress, alone=True)
    except IEError as error:
        raise DataError(error.message, hint=error.hint and name_options(error.hint, DATA_OPTIONS)) from error
