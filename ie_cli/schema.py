"""Labels <-> row numbers, in the order that the model stores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ie_cli.errors import DataError


@dataclass(frozen=True)
class Schema:
    """The entity labels of a model; a label's id is its row in the head."""

    labels: tuple[str, ...]

    @classmethod
    def build(cls, labels: Iterable[str], listed: Sequence[str] | None = None) -> Schema:
        """Order labels: sorted, or as ``listed`` in the recipe.

        Raises:
            DataError: the data hold no label at all, or one that the recipe does not list.
        """
        found = set(labels)
        if listed is None:
            if not found:
                raise DataError(
                    "the training data hold no entity at all",
                    hint="check data.format, or list the labels as data.labels in the recipe.",
                )
            return cls(tuple(sorted(found)))
        if extra := sorted(found - set(listed)):
            raise DataError(
                f"the training data hold labels that data.labels does not list: {', '.join(extra)}",
                hint="add them to data.labels, or remove data.labels to take all labels of the data.",
            )
        return cls(tuple(listed))

    @cached_property
    def ids(self) -> dict[str, int]:
        """Label -> row."""
        return {label: row for row, label in enumerate(self.labels)}
