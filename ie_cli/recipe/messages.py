"""Messages about violations of the recipe schema: the field, the value found and the value expected.

The expected values are derived from the schema itself, so that a new field needs no changes here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ie_cli.errors import did_you_mean, nearest
from ie_cli.recipe.folds import FOLD, FOLD_TEXT
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.schema import SHORT_FORM, TWO_FORMS, Recipe
from ie_cli.recipe.yaml import Loc

Schema = Mapping[str, Any]


def schema_problems(error: ValidationError, data: Any, spelled: Mapping[Loc, str]) -> Iterator[tuple[Loc, str]]:
    """Yield the location of each problem, or the nearest one that exists in the data, and a message.

    Args:
        error: the error of the validation.
        data: the validated data.
        spelled: unquoted scalars as the user wrote them.
    """
    wrong: dict[Loc, None] = {}
    if not data.get("tasks") and data.get("data") is None:
        yield (), "data is missing"
    for problem in error.errors(include_url=False, include_input=False):
        loc = real_loc(problem["loc"], data)
        if problem["type"] == "missing":
            section = real_loc(problem["loc"][:-1], data)
            if data.get("tasks") and section[:1] in [(name,) for name in SHORT_FORM]:
                yield section, TWO_FORMS
                continue
            yield section, f"{dotted((*section, problem['loc'][-1]))} is missing{_other_task(section, data)}"
        elif problem["type"] == "extra_forbidden":
            yield loc, _field_of_another_head(loc, data) or _unknown_key(loc)
        elif problem["type"] == "two_forms":
            yield next((name,) for name in SHORT_FORM if name in data), problem["msg"]
        elif problem["type"] == "unknown_head" and "name" not in _value_at(data, loc):
            yield loc, TWO_FORMS  # the name is filled in unless there are several tasks
        elif problem["type"] == "no_data":
            continue  # reported above, even if other problems hide it
        elif problem["type"] == "unknown_head":
            name = _value_at(data, loc)["name"]
            heads = ", ".join(HEADS)
            yield (
                (*loc, "name"),
                f"{dotted(loc)}.name: unknown head {shown(name)}{did_you_mean(str(name), HEADS)} (heads: {heads})",
            )
        else:
            wrong[loc] = None
    for loc in wrong:
        # A union also rejects an invalid list as text: the message about its items is better.
        if not any(other[: len(loc)] == loc for other in wrong if len(other) > len(loc)):
            yield loc, _wrong_value(loc, _value_at(data, loc), spelled.get(loc), head_at(loc, data))


def real_loc(loc: Sequence[str | int], data: Any) -> Loc:
    """Convert a location of pydantic to one in the data by dropping the names of union members."""
    parts: list[str | int] = []
    for part in loc:
        inside = isinstance(data, dict) and part in data
        if inside or (isinstance(data, list) and isinstance(part, int) and part < len(data)):
            parts.append(part)
            data = data[part]
    return tuple(parts)


def dotted(loc: Loc) -> str:
    """Format a location as users write it.

    >>> dotted(("data", "train", 0))
    'data.train[0]'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")
    return text if len(text) <= 200 else text[:199] + "…"


def shown(value: Any, spelled: str | None = None) -> str:
    """Format a value for a message."""
    if value is None:
        return spelled or "nothing"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if value == "":
        return "an empty string"
    text = f"'{value}'" if isinstance(value, str) else spelled or json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _other_task(section: Loc, data: Any) -> str:
    """Return a suggestion if an incomplete task has nearly the name of another one, as by a typing error in an override."""
    if len(section) != 2 or section[0] != "tasks":
        return ""
    name = str(section[1])
    return did_you_mean(name, [other for other in data["tasks"] if other != name])


def _value_at(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data


def head_at(loc: Loc, data: Any) -> str | None:
    """Return the name of the head that a location belongs to, or None."""
    if "head" not in loc[:-1]:
        return None
    head = _value_at(data, loc[: loc.index("head") + 1])
    return str(head.get("name")) if isinstance(head, dict) else None


def _wrong_value(loc: Loc, value: Any, spelled: str | None, head: str | None) -> str:
    schemas = schemas_at(loc, head)
    expected = describe(schemas)
    message = f"{dotted(loc) or 'the recipe'}: got {shown(value, spelled)}, expected {expected}"
    if isinstance(value, str):
        return message + did_you_mean(value, [str(choice) for schema in schemas for choice in _choices(schema)])
    kinds = {schema.get("type") for schema in schemas}
    if isinstance(value, (bool, int, float)) and "string" in kinds and not kinds & {"boolean", "integer", "number"}:
        written = str(spelled or value)
        return f'{message} (put quotes around it: "{written}")' if len(written) <= 60 else message
    return message


def _field_of_another_head(loc: Loc, data: Any) -> str | None:
    """Return the message about a field that the head does not have, but others have; None if it is anything else."""
    head = head_at(loc, data)
    others = [name for name, spec in HEADS.items() if loc[-1] in spec.section.model_fields]
    if head not in HEADS or loc[-2] != "head" or not others:
        return None
    return (
        f"{dotted(loc)}: the head {head} has no such field, only {', '.join(others)}; remove it, or replace the whole section "
        f"with `head: {head}`"
    )


def _unknown_key(loc: Loc) -> str:
    *section, key = loc
    siblings = _fields(section)
    elsewhere = [f"{name}.{field}" for name in Recipe.model_fields for field in _fields([name]) if name not in section]
    by_key = {path.rpartition(".")[2]: path for path in reversed(elsewhere)}
    near = nearest(str(key), siblings)
    if str(key) in by_key:
        found = by_key[str(key)]
    elif near:
        found = dotted((*section, near))
    else:
        found = by_key.get(nearest(str(key), by_key) or "", "")
    meant = f"; did you mean '{found}'?" if found else f" (known: {', '.join(siblings)})" if siblings else ""
    return f"unknown key '{dotted(loc)}'{meant}"


def _fields(section: Sequence[str | int]) -> list[str]:
    """List the fields of a section, or of the recipe itself for (); empty if it is not a section."""
    if not section:
        return list(Recipe.model_fields)
    if section == ["head"]:
        fields = dict.fromkeys(field for spec in HEADS.values() for field in spec.section.model_fields)
        return sorted(fields, key="name".__ne__)
    model: type[BaseModel] | None = Recipe
    for part in section:
        field = None if model is None else model.model_fields.get(str(part))
        annotations = () if field is None else (field.annotation, *get_args(field.annotation))
        kinds = [kind for kind in annotations if isinstance(kind, type) and issubclass(kind, BaseModel)]
        model = kinds[0] if kinds else None
    return [] if model is None else list(model.model_fields)


def _recipe_schema() -> Schema:
    return _schema_with(tuple(HEADS))


@lru_cache(maxsize=4)
def _schema_with(heads: tuple[str, ...]) -> Schema:
    """Return the JSON schema of a recipe; cached per set of heads, because tasks and heads come from the table."""
    return Recipe.model_json_schema()


def schemas_at(loc: Loc, head: str | None = None) -> list[Schema]:
    """Return the schemas that apply to a location, one per member of a union; empty if it is unknown.

    Args:
        loc: the location.
        head: the name of the head, whose fields may allow other values than equally named fields of other heads.
    """
    schemas = _members(_recipe_schema())
    for part in loc:
        inner: list[Schema] = []
        for schema in schemas:
            if isinstance(part, int):
                inner += [schema["items"]] if "items" in schema else []
            elif part in schema.get("properties", {}):
                inner += [schema["properties"][part]]
            elif "patternProperties" in schema:  # a mapping whose keys have a pattern
                inner += schema["patternProperties"].values()
            elif isinstance(schema.get("additionalProperties"), dict):
                inner += [schema["additionalProperties"]]
        schemas = [member for schema in inner for member in _members(schema)]
        named = [s for s in schemas if head and s.get("properties", {}).get("name", {}).get("const") == head]
        schemas = named or schemas
    return schemas


def _members(schema: Schema) -> list[Schema]:
    if "$ref" in schema:
        return _members(_recipe_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return [member for part in schema[union] for member in _members(part)]
    return [schema]


def describe(schemas: Sequence[Schema]) -> str:
    """Describe the values that a union of schemas expects, except null."""
    kinds = dict.fromkeys(_describe(schema) for schema in schemas if schema.get("type") != "null")
    return " or ".join(kinds)


def _choices(schema: Schema) -> list[Any]:
    return list(schema["enum"]) if "enum" in schema else [schema["const"]] if "const" in schema else []


def _describe(schema: Schema) -> str:
    if choices := [f"'{choice}'" for choice in _choices(schema)]:
        return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return _describe_number(schema, "an integer" if kind == "integer" else "a number")
    if kind == "array":
        items = " or ".join(dict.fromkeys(_describe(member) for member in _members(schema["items"])))
        return f"a list of {_PLURALS.get(items, items)}"
    if "pattern" in schema:
        return FOLD_TEXT if schema["pattern"] == FOLD else _NAME_TEXT
    return {"string": "text", "boolean": "true or false"}.get(str(kind), "a mapping")


_NAME_TEXT = "letters, digits, '.', '_' and '-', starting with a letter or digit"
_PLURALS = {"text": "texts", "an integer": "integers"}


def _describe_number(schema: Schema, kind: str) -> str:
    low, above = _number(schema.get("minimum")), _number(schema.get("exclusiveMinimum"))
    high, below = _number(schema.get("maximum")), _number(schema.get("exclusiveMaximum"))
    if schema.get("multipleOf") == 2:
        kind = kind.replace("an integer", "an even integer")
    if low and (high or below):
        return f"{kind} from {low} to {high or f'below {below}'}"
    bounds = [f"of at least {low}"] if low else [f"above {above}"] if above else []
    bounds += [f"at most {high}"] if high else [f"below {below}"] if below else []
    return " ".join([kind, " and ".join(bounds)]).strip()


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
