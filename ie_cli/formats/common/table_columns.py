"""The columns of tables: what they are called, and which layout they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ie_cli.errors import DataError, did_you_mean
from ie_cli.formats.common.base import quoted
from ie_cli.formats.common.pair_fields import PairNames

Layout = Literal["spans", "tokens", "records"]
"""What a row is: a span, a token, or a document."""
ROLES: dict[str, tuple[str, ...]] = {
    "id": ("id", "doc_id", "document_id", "text_id", "docid"),
    "text": ("text", "document", "content", "sentence", "document_text"),
    "number": ("number",),
    "start": ("start", "start_offset", "start_char", "begin", "start_pos"),
    "end": ("end", "end_offset", "end_char", "end_pos"),
    "label": ("label", "type", "entity_type", "entity_label", "category", "tag"),
    "mention": ("mention", "entity", "entity_text", "span", "span_text", "surface"),
    "score": ("score", "confidence"),
    "sentence": ("sentence_id", "sentence #", "sentence_number", "sentence_idx", "sent_id"),
    "word": ("word", "token"),
    "entities": ("entities", "spans", "annotations"),
    "tokens": ("tokens", "words"),
    "tags": ("ner_tags", "tags", "labels", "tag", "ner_tag", "ner", "word_labels"),
}
"""The parts of a table, and the names of their columns in lower case; of several, the first one counts."""
TEXT_PARTS = ("id", "text", "sentence", "word", "tokens")
SPAN_ROLES = ("id", "text", "number", "start", "end", "label", "mention", "score")
_SPAN_PARTS = frozenset({"start", "end", "label", "mention"})
"""The parts that only spans have; a text may also have a number and a score."""
HINT = (
    "name the columns text, start, end and label (a span per row), text and entities, tokens and ner_tags (a document per row), "
    "or sentence_id, word and tag (a token per row); data.columns in a recipe names others."
)


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The columns of a table.

    Attributes:
        layout: what a row is.
        places: the index of each part's column.
        others: the names of the other columns, by index.
    """

    layout: Layout
    places: Mapping[str, int]
    others: Mapping[int, str]

    @classmethod
    def find(cls, names: Sequence[str], given: Mapping[str, str] | None = None) -> TableColumns | None:
        """Find the columns by their names; None if they make no layout.

        Args:
            names: the names in the first row.
            given: the names of some parts' columns.

        Raises:
            DataError: there is no column of a given name.
        """
        known: dict[str, int] = {}
        for index, name in enumerate(names):
            known.setdefault(name.strip().lstrip("\ufeff").casefold(), index)
        fixed = {role: _given(names, known, name) for role, name in (given or {}).items()}
        for layout, needed in (
            ("spans", ("start", "end", "label")),
            ("records", ("tokens", "tags")),
            ("records", ("text", "entities")),
            ("tokens", ("word", "tags")),
            ("records", ("text",)),
        ):
            found = _roles(known, fixed, _OF[layout, needed])
            if "number" not in fixed and not known.keys() >= set(SPAN_ROLES):
                found.pop("number", None)  # a column of another table, such as that of singular and plural
            if all(role in found for role in needed) and ("text" in found or layout != "spans"):
                used = set(found.values())
                others = {index: name for index, name in enumerate(names) if index not in used}
                return cls(layout, found, others)  # type: ignore[arg-type]
        return cls("records", {}, dict(enumerate(names))) if PairNames.of(names) is not None else None

    def require_all_parts(self, names: Sequence[str], given: Mapping[str, str]) -> None:
        """Check that a table that would be read as texts alone has no parts of spans, of which others are missing.

        Args:
            names: the names in the first row.
            given: the names of some parts' columns.

        Raises:
            DataError: it has at least two, or one that is given: the texts would lose their annotation.
        """
        if self.layout != "records" or self.places.keys() - {"id", "text"} or "text" not in self.places:
            return
        known = {name.strip().lstrip("\ufeff").casefold(): index for index, name in enumerate(names)}
        fixed = {role: _given(names, known, name) for role, name in given.items()}
        found = {role: names[index] for role, index in _roles(known, fixed, SPAN_ROLES).items() if role in _SPAN_PARTS}
        if len(found) > 1 or found.keys() & given.keys():
            missing = [part for part in ("start", "end", "label") if part not in found]
            shown = ", ".join(map(quoted, found.values()))
            which = f"columns {shown} look like those" if len(found) > 1 else f"column {shown} looks like one"
            raise DataError(
                f"the {which} of spans, but there is none for {' and '.join(missing)}",
                hint=f"{HINT[:-1]}; leave out the columns if they are no annotation.",
            )

    @property
    def is_clear(self) -> bool:
        """Whether the names leave no doubt that they are names of columns of a table with annotation."""
        return self.layout != "records" or {"tags", "entities"} & self.places.keys() != set()


_OF: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {
    ("spans", ("start", "end", "label")): SPAN_ROLES,
    ("records", ("tokens", "tags")): ("id", "tokens", "tags"),
    ("records", ("text", "entities")): ("id", "text", "entities"),
    ("tokens", ("word", "tags")): ("sentence", "word", "tags"),
    ("records", ("text",)): ("id", "text"),
}
"""The parts of each layout."""


def _roles(known: Mapping[str, int], fixed: Mapping[str, int], roles: Iterable[str]) -> dict[str, int]:
    found = {role: fixed[role] for role in roles if role in fixed}
    for role in roles:
        free = (known[name] for name in ROLES[role] if name in known and known[name] not in found.values())
        if role not in found and (index := next(free, None)) is not None:
            found[role] = index
    return found


def _given(names: Sequence[str], known: Mapping[str, int], name: str) -> int:
    if name in names:
        return names.index(name)
    if name.casefold() in known:
        return known[name.casefold()]
    raise DataError(
        f"there is no column {quoted(name)}{did_you_mean(name, names)}",
        hint=f"the columns are {', '.join(map(quoted, names))[:300]}.",
    )
