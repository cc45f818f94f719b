"""The findings that `ie check` reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding: an `error` prevents training or falsifies scores, a `warning` reduces quality, a `note` informs."""

    kind: Literal["error", "warning", "note"]
    text: str
