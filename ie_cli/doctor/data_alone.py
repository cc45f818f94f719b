"""Check data without a recipe: which files are which split, and which task the data are annotated for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ie_cli.data.dataset import Split, splits
from ie_cli.data.findings import Finding
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.doctor.split_files import NO_SPLIT, describe_files, describe_left_out, require_utf8
from ie_cli.document import Document
from ie_cli.errors import DataError
from ie_cli.formats import BadLine, read_records
from ie_cli.formats.directory_files import sort_into_splits
from ie_cli.recipe.heads import HEADS, heads_of
from ie_cli.recipe.schema import DataSection, Recipe
from ie_cli.tasks import TASKS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """The options of reading that a user has given for all files."""

    format: str | None = None
    text_column: int | None = None
    label_columns: Sequence[int] | None = None
    joiner: str | None = None
    columns: Mapping[str, str] | None = None

    def section(self, files: Mapping[str, Sequence[str]]) -> DataSection:
        """Return the data section of a recipe for these files.

        Raises:
            DataError: a name is not valid UTF-8.
        """
        names = [name for pair in (self.columns or {}).items() for name in pair]
        require_utf8([*(path for paths in files.values() for path in paths), *names, self.joiner or ""])
        fields = {
            "format": self.format,
            "text_column": self.text_column,
            "label_columns": self.label_columns and list(self.label_columns),
            "joiner": self.joiner,
            "columns": self.columns,
        }
        given = {name: value for name, value in fields.items() if value is not None}
        return DataSection.model_validate({**given, **{split: list(paths) for split, paths in files.items()}})


def splits_of(
    paths: Sequence[str], *, found: Collection[str] = ()
) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """Sort the files to check into splits as `ie init` does; if no file would be train, all are.

    Args:
        paths: the files.
        found: those that were found in a directory.

    Returns:
        The files of each split, and those that are left out, with the reason.
    """
    named, left_out = sort_into_splits(paths, found=found)
    return named if "train" in named else {"train": list(paths)}, [(path, NO_SPLIT) for path in left_out]


def describe_splits(files: Mapping[str, Sequence[str]], left_out: Sequence[tuple[str, str]] = ()) -> Finding:
    """Return a note that says which files were taken for which split, and which are not checked."""
    rest = f"; not checked: {describe_left_out(left_out)}" if left_out else ""
    return Finding("note", f"without a recipe, these files are checked as {describe_files(files)}{rest}")


def recipe_for(files: Mapping[str, Sequence[str]], options: ReadingOptions) -> Recipe:
    """Return a recipe for the task that the files are annotated for, with a head that can express all of their annotation.

    Args:
        files: the files of each split.
        options: how to read them.

    Raises:
        DataError: all records can be read, and none is annotated.
    """
    section = options.section(files)
    statistics, are_bad = DatasetStatistics(), False
    for split in filter(None, splits(section)):
        for record in _records(split):
            if record is None:
                are_bad = True
            else:
                statistics.add(record)
    found = (task for task in reversed(TASKS.values()) if task.propose(statistics, overlapping=0) is not None)
    # If records cannot be read, these may be the annotated ones: the check lists them for the first task.
    task = next(found, next(iter(TASKS.values())) if are_bad else None)
    if task is None:
        problem = "no record has an annotation" if statistics.documents else "there is no record"
        raise DataError(
            f"{', '.join(path for paths in files.values() for path in paths)}: {problem}: there is nothing to check",
            hint="annotate some records, or name the format with data.format.",
        )
    head = heads_of(task.name)[0]
    nested = {"flat": False} if "flat" in HEADS[head].section.model_fields else {}
    return Recipe.model_validate(
        {
            "name": "data",
            "task": task.name,
            "data": section.model_dump(exclude_unset=True),
            "encoder": {"name": "tiny"},
            "head": {"name": head, **nested},
        }
    )


def _records(split: Split) -> Iterator[Document | None]:
    """Yield the documents of a split, and None for each record or file that cannot be read, which the check lists later."""
    for source in split.sources:
        try:
            for record in read_records(source, format=split.section.format, reading=split.reading):
                yield None if isinstance(record, BadLine) else record
        except DataError:
            yield None
