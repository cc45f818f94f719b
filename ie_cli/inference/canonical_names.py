"""Canonical names of entities with their ids and aliases: reading them, and finding those that fit a mention's label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ie_cli.errors import DataError, counted
from ie_cli.formats.common.base import error_at, quoted, require_storable, short
from ie_cli.formats.common.json_stream import read_objects
from ie_cli.formats.jsonl import id_of
from ie_cli.system.streams import read_lines

Index = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
_FIELDS = ("id", "name", "aliases", "label")
_MISNAMED = {"alias": "aliases", "labels": "label"}
_FORM = (
    'write each line as {"id": "Q64", "name": "Berlin", "aliases": ["Berlin, Germany"], "label": "city"}; '
    "aliases and label may be omitted."
)


@dataclass(frozen=True, slots=True)
class CanonicalName:
    """An entry of a file of names.

    Attributes:
        id: its id, which no other entry has.
        aliases: other names of the same entity.
        label: the label of the mentions that it may be linked to; None for any.
    """

    id: str | int
    name: str
    aliases: tuple[str, ...] = ()
    label: str | None = None

    @property
    def forms(self) -> tuple[str, ...]:
        """The name and the aliases, each once."""
        return tuple(dict.fromkeys((self.name, *self.aliases)))


def read_names(path: str) -> tuple[list[CanonicalName], Counter[str]]:
    """Read a file of names: one JSON object per line, or an array of them.

    Returns:
        The names in their order, and how often each field occurs that is not used.

    Raises:
        DataError: an entry is invalid, an id occurs twice, or there are no names.
    """
    names: dict[str | int, tuple[CanonicalName, str]] = {}
    unused: Counter[str] = Counter()
    for where, _, fields in read_objects(read_lines(path), "stdin" if path == "-" else path):
        try:
            if isinstance(fields, DataError):
                raise fields
            name = _name_of(fields)
        except DataError as error:
            raise error_at(where, error, _FORM) from error
        if name.id in names:
            raise DataError(
                f"{where}: the id {short(name.id)} is also that of {names[name.id][1]}",
                hint="give each entity one line, with its other names as aliases.",
            )
        names[name.id] = name, where
        unused.update(field for field in fields if field not in _FIELDS)
    if not names:
        raise DataError(f"{path}: contains no names", hint=_FORM)
    return [name for name, _ in names.values()], unused


def _name_of(fields: Mapping[str, Any]) -> CanonicalName:
    for field in ("id", "name"):
        if fields.get(field) is None:
            raise DataError(f"no field '{field}' (found: {', '.join(map(quoted, fields)) or 'none'})")
    for field, meant in _MISNAMED.items():
        if field in fields and meant not in fields:
            raise DataError(f"unknown field '{field}'; did you mean '{meant}'?")
    known = id_of(fields)
    if known is None or known == "":
        raise DataError(f"'id' must be a non-empty string or an integer, got {short(fields['id'])}")
    aliases = fields.get("aliases")
    if aliases is not None and not isinstance(aliases, list):
        raise DataError(f"'aliases' must be a list of strings, got {short(aliases)}")
    label = fields.get("label")
    if label is not None and (not isinstance(label, str) or not label):
        raise DataError(f"'label' must be a non-empty string, got {short(label)}")
    name = _form_of(fields["name"], "'name'")
    return CanonicalName(known, name, tuple(_form_of(alias, "an alias") for alias in aliases or ()), label)


def _form_of(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{what} must be a non-empty string, got {short(value)}")
    require_storable(value, what.strip("'"))
    return value


class NameIndex:
    """The names, and their forms as rows: each name and each of its aliases is one row.

    A mention may be linked to the names with its label, and to those without a label. The former precede the latter.

    Attributes:
        names: the names in their order.
        forms: the form of each row.
        owners: the number of each row's name; int64 ``[rows]``.
    """

    def __init__(self, names: Sequence[CanonicalName]) -> None:
        self.names = tuple(names)
        self.forms = [form for name in names for form in name.forms]
        self.owners: Index = np.repeat(np.arange(len(names)), [len(name.forms) for name in names]).astype(np.int64)
        self._rows: dict[str | None, Index] = {}

    @cached_property
    def labels(self) -> frozenset[str]:
        """The labels that names have."""
        return frozenset(name.label for name in self.names if name.label is not None)

    @cached_property
    def _by_form(self) -> Mapping[str, list[int]]:
        """The numbers of the names of each form."""
        found: dict[str, list[int]] = {}
        for form, owner in zip(self.forms, self.owners.tolist(), strict=True):
            found.setdefault(form, []).append(owner)
        return found

    def group(self, label: str | None) -> str | None:
        """Return the label if there are names for it, else None: such mentions have the same candidates."""
        return label if label in self.labels else None

    def rows(self, group: str | None) -> Index:
        """Return the rows of the names that mentions of a group may be linked to, in the order of preference."""
        if group not in self._rows:
            labels = [name.label for name in self.names]
            preferred = np.array([group is not None and label == group for label in labels], dtype=bool)
            general = np.array([label is None for label in labels], dtype=bool)
            self._rows[group] = np.concatenate(
                [np.flatnonzero(preferred[self.owners]), np.flatnonzero(general[self.owners])]
            )
        return self._rows[group]

    def owners_of(self, form: str, group: str | None) -> list[int]:
        """Return the names of a form that fit a group: those with its label, or else those without a label."""
        owners = self._by_form.get(form, [])
        for label in dict.fromkeys((group, None)):
            if fitting := [owner for owner in owners if self.names[owner].label == label]:
                return fitting
        return []

    def matrix(self, vectors: Iterable[tuple[str, Floats]]) -> Floats:
        """Return the vector of each row; float32 ``[rows, d]``.

        Args:
            vectors: the unit vector of each distinct form, and of any other texts.
        """
        places: dict[str, list[int]] = {}
        for row, form in enumerate(self.forms):
            places.setdefault(form, []).append(row)
        matrix: Floats = np.zeros((0, 0), dtype=np.float32)
        for form, vector in vectors:
            if not matrix.size:
                matrix = np.zeros((len(self.forms), len(vector)), dtype=np.float32)
            matrix[places.get(form, [])] = vector
        return matrix

    def depth(self, group: str | None, count: int) -> int:
        """Return how many of the best rows are enough to contain the best `count` names of a group, whatever the rows are."""
        rows = self.rows(group)
        if count <= 1 or not len(rows):
            return min(count, len(rows))
        sizes = np.sort(np.unique(self.owners[rows], return_counts=True)[1])[::-1]
        return min(len(rows), int(sizes[: count - 1].sum()) + 1)

    def ambiguous(self) -> dict[str, list[CanonicalName]]:
        """Return the forms that several names with the same label have, with these names."""
        found: dict[str, list[CanonicalName]] = {}
        for form, owners in self._by_form.items():
            labels = Counter(self.names[owner].label for owner in owners)
            if several := [self.names[owner] for owner in owners if labels[self.names[owner].label] > 1]:
                found[form] = several
        return found


def describe_ambiguous(found: Mapping[str, Sequence[CanonicalName]]) -> str:
    """Return how many forms are ambiguous, with the first of them, for a warning."""
    form, names = next(iter(found.items()))
    several = "name or alias belongs" if len(found) == 1 else "names or aliases belong"
    return (
        f"{counted(len(found), several, several)} to several ids with the same label, of which the first is used: "
        f"{quoted(form)} ({', '.join(str(name.id) for name in names[:5])}{', …' if len(names) > 5 else ''})"
        f"{', …' if len(found) > 1 else ''}"
    )
