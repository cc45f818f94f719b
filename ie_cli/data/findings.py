"""What `ie check` reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know: an `error` stops training or falsifies scores, a `warning` costs quality, a `note` informs."""

    kind: Literal["error", "warning", "note"]
    text: str
