"""Overrides of the fields of a recipe, and its short forms; both are applied before a recipe is validated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.messages import dotted, schemas_at
from ie_cli.recipe.schema import Recipe
from ie_cli.recipe.yaml import Loc, ParsedYaml, flow, parse

Place = int | str
"""The origin of a value: a line of the file, or an override."""


def place_of(loc: Loc, places: Mapping[Loc, Place]) -> Place:
    """Return the origin of a value, or of the section that contains it."""
    while loc and loc not in places:
        loc = loc[:-1]
    return places.get(loc, 1)


def apply_overrides(
    document: ParsedYaml, places: dict[Loc, Place], overrides: Sequence[str]
) -> Iterator[tuple[Place, str]]:
    """Apply overrides to a document, and yield their problems."""
    for override in overrides:
        key, equals, value = override.partition("=")
        place = f"--set {override}"
        # The last part may be a label, which may contain any character.
        depth = 4 if key.startswith("tasks.") else 3 if key.startswith("training.balance.weights.") else 2
        loc = tuple(part.strip() for part in key.split(".", depth))
        if not equals or not all(loc):
            yield place, "expected section.key=value, e.g. training.epochs=1"
            continue
        # `-` is stdin, not the start of a list; spaces are a text, such as data.joiner, and no missing value.
        parsed = parse(flow(value) if value == "-" or value.isspace() else value)
        if parsed.problems:
            yield from ((place, message) for _, message in parsed.problems)
            continue
        target = document.data
        for part in loc[:-1]:
            if not isinstance(target.get(part), dict):
                target[part] = {}
            target = target[part]
        if parsed.data is None and (schemas := schemas_at(loc)) and {"type": "null"} not in schemas:
            target.pop(loc[-1], None)
        else:
            target[loc[-1]] = parsed.data
        for table in (places, document.spelled):
            for old in [old for old in table if old[: len(loc)] == loc]:
                del table[old]
        for depth in range(1, len(loc)):
            places.setdefault(loc[:depth], place)
        places[loc] = place
        document.spelled.update({loc + inner: text for inner, text in parsed.spelled.items()})
        expand_short_forms(document.data)


def drop_fields_of_other_heads(data: dict[str, Any], places: Mapping[Loc, Place]) -> Iterator[str]:
    """Remove the fields that a head named by an override does not have, and yield a note on them.

    Only fields of the file that another head has are removed: a field that is an override itself, or unknown, is an error.
    """
    tasks = data.get("tasks")
    holders: dict[Loc, Any] = {(): data}
    holders |= {("tasks", name): part for name, part in tasks.items()} if isinstance(tasks, dict) else {}
    for loc, holder in holders.items():
        head = holder.get("head") if isinstance(holder, dict) else None
        name = head.get("name") if isinstance(head, dict) else None
        override = places.get((*loc, "head", "name"))
        if not isinstance(head, dict) or not isinstance(override, str) or name not in HEADS:
            continue
        others = {field for spec in HEADS.values() for field in spec.section.model_fields}
        others -= set(HEADS[name].section.model_fields)
        dropped = [
            field for field in head if field in others and isinstance(place_of((*loc, "head", field), places), int)
        ]
        for field in dropped:
            del head[field]
        if dropped:
            fields = ", ".join(dotted((*loc, "head", field)) for field in dropped)
            yield f"{override}: {fields} of the recipe left out, because the head {name} has no such field"


def expand_short_forms(data: dict[str, Any]) -> None:
    """Expand short forms: an empty section, and a head given by its name alone."""
    for name, field in Recipe.model_fields.items():
        if name in data and data[name] is None and (name == "head" or _is_section(field.annotation)):
            data[name] = {}
    if isinstance(data.get("head"), str):
        data["head"] = {"name": data["head"]}


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
