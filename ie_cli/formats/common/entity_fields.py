"""The forms in which JSON records give an entity: the native fields, synonyms of them, and ``[start, end, label]``.

Only synonyms with one possible meaning are read. ``start_idx`` and ``end_idx`` need the mention, because ``end_idx`` is
inclusive in some data (the first edition of CMeEE) and exclusive in others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ie_cli.errors import DataError, nearest
from ie_cli.formats.common.base import quoted, short

NATIVE = frozenset({"start", "end", "label", "text", "score"})
_OFFSETS = (("start", "end"), ("start_offset", "end_offset"), ("start_char", "end_char"), ("start_idx", "end_idx"))
_INDICES = _OFFSETS[-1]
_LABELS = ("label", "type", "tag", "entity_type")
_MENTIONS = ("text", "entity", "mention", "word")
_FORMS = (
    "give each entity start, end (exclusive) and label; also read are start_offset and end_offset, start_char and end_char, "
    "type, tag, and [start, end, label]."
)


def native_fields_of(value: Any, text: str, dropped: Counter[str] | None = None) -> dict[str, Any]:
    """Return an entity with its native fields, whatever form it has.

    Args:
        value: the entity.
        text: the text of the record.
        dropped: counts the fields that an `Entity` cannot hold.

    Raises:
        DataError: the value is no entity, or its offsets have several possible meanings.
    """
    if isinstance(value, list):
        if not _is_triple(value):
            raise DataError(
                f"an entity must be an object with start, end and label, or a list [start, end, label], got {short(value)}",
                hint=_FORMS,
            )
        return dict(zip(("start", "end", "label"), value, strict=True))
    if not isinstance(value, dict):
        raise DataError(f"an entity must be an object with start, end and label, got {short(value)}", hint=_FORMS)
    if value.keys() <= NATIVE and "start" in value and "end" in value and "label" in value:
        return value
    start, end = offset_names(value) or ("start", "end")
    label = label_name(value) or "label"
    if missing := [name for name in (start, end, label) if name not in value]:
        raise DataError(f"an entity lacks {', '.join(missing)}: {short(value)}", hint=_missing_hint(missing, value))
    found = {name: value[name] for name in NATIVE if name in value}
    found |= {"start": value[start], "end": value[end], "label": value[label]}
    used = {start, end, label, *NATIVE}
    if (start, end) == _INDICES:
        mention = next((name for name in _MENTIONS if isinstance(value.get(name), str)), None)
        found |= _exclusive(value, None if mention is None else value[mention], text)
        used |= {mention or ""}
    if dropped is not None:
        dropped.update(name for name in value if name not in used)
    return found


def offset_names(value: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the names of the offsets of an entity, or None if it has none with a known name."""
    return next((pair for pair in _OFFSETS if value.keys() >= set(pair)), None)


def label_name(value: Mapping[str, Any]) -> str | None:
    """Return the name of the field with the label of an entity, or None if it has none with a known name.

    Raises:
        DataError: several synonyms have different values.
    """
    if value.get("label") is not None:
        return "label"
    names = [name for name in _LABELS if value.get(name) is not None]
    if len({str(value[name]) for name in names}) > 1:
        raise DataError(
            f"'{names[0]}' and '{names[1]}' of an entity could both be its label: {short(value)}",
            hint="give the label of each entity in a field 'label'.",
        )
    return names[0] if names else "label" if "label" in value else None


def has_entity_form(value: Any) -> bool:
    """Return whether a value has the form of an entity, though its offsets and its label may be invalid."""
    if isinstance(value, list):
        return _is_triple(value)
    return isinstance(value, dict) and offset_names(value) is not None and any(name in value for name in _LABELS)


def has_native_form(value: Any) -> bool:
    """Return whether the offsets and the label of an entity have their native names."""
    return isinstance(value, dict) and value.keys() >= {"start", "end", "label"}


def _is_triple(value: list[Any]) -> bool:
    """Return whether a list is ``[start, end, label]``."""
    if len(value) != 3 or not isinstance(value[2], str):
        return False
    return all(isinstance(part, int) and not isinstance(part, bool) for part in value[:2])


def _missing_hint(missing: list[str], value: Mapping[str, Any]) -> str:
    free = [name for name in value if name not in NATIVE]
    near = {name: similar for name in missing if (similar := nearest(name, free)) is not None}
    renamed = ", ".join(f"{quoted(similar)} to {quoted(name)}" for name, similar in near.items())
    return f"rename {renamed}, or {_FORMS}" if renamed else _FORMS


def _exclusive(value: Mapping[str, Any], mention: str | None, text: str) -> dict[str, Any]:
    """Return the end of an entity with ``start_idx`` and ``end_idx``, and its mention, which shows whether the end is inclusive.

    Raises:
        DataError: there is no mention.
    """
    start, end = (value[name] for name in _INDICES)
    if mention is None:
        raise DataError(
            f"'end_idx' of an entity may be inclusive or exclusive: {short(value)}",
            hint="give each entity its mention as 'text', which shows what the offsets mean, or start and an exclusive end.",
        )
    given = isinstance(start, int) and isinstance(end, int) and 0 <= start <= end < len(text)
    if given and text[start : end + 1] == mention:
        return {"end": end + 1, "text": mention}
    return {"text": mention}
