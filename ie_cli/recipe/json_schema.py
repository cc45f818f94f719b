"""The JSON Schema of recipes (draft 2020-12), with which editors complete, explain and check recipes.

It accepts what the loader accepts, including the short forms, as far as JSON Schema can express it. The loader alone checks
bounds that depend on another field, duplicate names, and whole numbers written as ``3.0``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ie_cli.recipe.heads import HEADS, heads_of, task_names
from ie_cli.recipe.schema import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FILE = Path(__file__).with_name("recipe.schema.json")
"""The schema file of the package; a test compares it with `schema_text`."""

Schema = dict[str, Any]
_NULL: Schema = {"type": "null"}
_FORM = ("task", "data", "head")
"""The fields of the short form of a recipe; with several tasks, each task has its own."""


_LINE = "# yaml-language-server: $schema="


def editor_line() -> str:
    """Return the comment line that tells editors the schema of a recipe; empty if the package lacks the file.

    A copy of the schema in the current directory takes precedence over the file of the package, because a relative name
    remains valid on another machine.
    """
    if Path(SCHEMA_FILE.name).is_file():
        return f"{_LINE}{SCHEMA_FILE.name}\n"
    # A URL, because the line ends at the first space and editors differ in reading non-ASCII characters.
    return f"{_LINE}{SCHEMA_FILE.as_uri()}\n" if SCHEMA_FILE.is_file() else ""


def schema_text() -> str:
    """Return the text of the schema file."""
    return json.dumps(recipe_schema(), ensure_ascii=False, indent=2) + "\n"


def recipe_schema() -> Schema:
    """Return the schema of recipes in both forms: one task, or several tasks on one encoder."""
    schema: Schema = copy.deepcopy(Recipe.model_json_schema())
    definitions, fields = schema["$defs"], schema["properties"]
    definitions |= dict(_heads())
    task = definitions["TaskSection"]
    task["allOf"] = list(_rules())
    for properties in (fields, task["properties"]):
        properties["head"] = {"$ref": "#/$defs/Head", "description": properties["head"]["description"]}
    fields["data"] = {"$ref": "#/$defs/DataSection", "description": fields["data"]["description"]}
    fields["tasks"] = _tasks(fields["tasks"])
    for name, field in Recipe.model_fields.items():
        if _may_be_empty(field.annotation):
            fields[name] = {"anyOf": [{"$ref": fields[name]["$ref"]}, _NULL], "description": field.description}
    one: Schema = {
        "required": ["data"],
        "properties": {"tasks": {"maxProperties": 0}},
        "allOf": [*_rules(), _unnamed(None)],
    }
    several: Schema = {
        "required": ["tasks"],
        "properties": {"tasks": {"minProperties": 1}, **dict.fromkeys(_FORM, False)},
    }
    schema["required"].remove("encoder")
    del definitions["EncoderSection"]["required"]
    fields["encoder"] = {
        "anyOf": [{"$ref": fields["encoder"]["$ref"]}, _NULL],
        "description": fields["encoder"]["description"],
    }
    return {
        "$schema": DIALECT,
        **schema,
        "title": "Recipe of ie",
        "description": "What `ie train` trains, from which data and how.",
        "oneOf": [one, several],
        "anyOf": [_with("encoder", "name"), _with("training", "init_from")],
    }


def _with(section: str, name: str) -> Schema:
    """Return the schema of recipes in which a section has a field: the encoder, or the model that it is taken from."""
    field = {"type": "object", "required": [name], "properties": {name: {"type": "string"}}}
    return {"required": [section], "properties": {section: field}}


def _may_be_empty(annotation: Any) -> bool:
    """Return whether a section may be empty, because all its fields have defaults."""
    return (
        isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
        and not any(field.is_required() for field in annotation.model_fields.values())
    )


def _heads() -> Iterator[tuple[str, Schema]]:
    """Yield the definitions of a head and of its possible sections, with and without a name."""
    named, unnamed = [], []
    defaults = [heads_of(task)[0] for task in task_names()]
    for name, spec in HEADS.items():
        title = spec.section.__name__
        section = copy.deepcopy(spec.section.model_json_schema())
        section["required"] = ["name"]
        section["properties"]["name"].pop("default", None)
        yield title, section
        named.append(title)
        if name in defaults:
            rest = copy.deepcopy(section)
            del rest["required"], rest["properties"]["name"]
            yield f"{title}Unnamed", {**rest, "title": f"{title}Unnamed"}
            unnamed.append(f"{title}Unnamed")
    union: Schema = {"oneOf": [_reference(title) for title in named]}
    union["discriminator"] = {
        "propertyName": "name",
        "mapping": {name: _reference(title)["$ref"] for name, title in zip(HEADS, named, strict=True)},
    }
    yield "Head", {"anyOf": [{"enum": list(HEADS)}, union, *map(_reference, unnamed), _NULL]}


def _reference(title: str) -> Schema:
    return {"$ref": f"#/$defs/{title}"}


def _rules() -> Iterator[Schema]:
    """Yield the rules for the heads that each task may have."""
    for task in task_names():
        named = {"properties": {"task": {"const": task}}, "required": ["task"]}
        yield {"if": named, "then": _with_head(heads_of(task), heads_of(task)[0])}


def _unnamed(task: str | None) -> Schema:
    """Return the heads allowed if no task is named: those of `task`, or all; a head without a name is then the first task's."""
    heads = list(HEADS) if task is None else heads_of(task)
    return {"if": {"not": {"required": ["task"]}}, "then": _with_head(heads, heads_of(task or task_names()[0])[0])}


def _with_head(names: Sequence[str], default: str) -> Schema:
    by_name = {"type": "object", "required": ["name"], "properties": {"name": {"enum": list(names)}}}
    unnamed = _reference(f"{HEADS[default].section.__name__}Unnamed")
    return {"properties": {"head": {"anyOf": [{"enum": list(names)}, by_name, unnamed, _NULL]}}}


def _tasks(field: Schema) -> Schema:
    """Return the schema of named tasks; an entry named like a task defaults to that task."""
    [pattern] = field["patternProperties"]

    def section(task: str | None) -> Schema:
        return {"allOf": [_reference("TaskSection"), _unnamed(task)]}

    return {
        "type": "object",
        "description": field["description"],
        "propertyNames": {"pattern": pattern},
        "properties": {task: section(task) for task in task_names()},
        "additionalProperties": section(None),
    }
