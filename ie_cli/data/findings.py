"""The findings that `ie check` reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding: an `error` prevents training or falsifies scores, a `warning` reduces quality, a `note` informs.

    Attributes:
        text: the message in the first line, and indented lines with places and examples below it.
    """

    kind: Literal["error", "warning", "note"]
    text: str

    @property
    def message(self) -> str:
        """The message without the places and examples."""
        return self.text.partition("\n")[0].removesuffix(":")

    @property
    def details(self) -> list[str]:
        """The places and examples."""
        return [line.strip() for line in self.text.split("\n")[1:]]

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {"kind": self.kind, "message": self.message, "details": self.details}
