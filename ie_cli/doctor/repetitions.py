"""Find duplicate texts and ids; both are stored as 8-byte hashes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from ie_cli.document import Document
from ie_cli.formats.common.base import quoted


@dataclass(slots=True)
class RepeatedTexts:
    """The texts of a split.

    Attributes:
        texts: hash of a text -> hash of its first annotation.
        duplicates: number of texts that occurred before.
        contradictions: hash of a text that occurred before with a different annotation -> location of the first such record.
    """

    texts: dict[int, int] = field(default_factory=dict)
    duplicates: int = 0
    contradictions: dict[int, str] = field(default_factory=dict)

    def add(self, document: Document, annotation: Any) -> bool:
        """Add a document with its annotation, which is compared by its `repr`; return whether its text is new."""
        text, found = _hash(document.text), _hash(repr(annotation))
        is_new = text not in self.texts
        if not is_new:
            self.duplicates += 1
            if self.texts[text] != found and document.text.strip():
                self.contradictions.setdefault(text, f"{document.where}: {document.text[:40]!r}")
        self.texts.setdefault(text, found)
        return is_new


@dataclass(slots=True)
class RepeatedIds:
    """The ids of a split: the number of duplicates, and the first one."""

    repeated: int = 0
    first: str = ""
    ids: set[int] = field(default_factory=set)

    def add(self, document: Document) -> None:
        """Add the id of a document, if it has one."""
        if document.id is None:
            return
        key = _hash(repr(document.id))
        if key in self.ids:
            self.repeated += 1
            self.first = self.first or f"{document.where}: {quoted(document.id)}"
        self.ids.add(key)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
