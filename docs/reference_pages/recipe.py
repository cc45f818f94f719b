"""The page of the recipe, from its schema and the tables of heads and tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ie_cli.recipe.balance import BalanceSection
from ie_cli.recipe.bundled import list_recipes
from ie_cli.recipe.context import ContextSection
from ie_cli.recipe.heads import HEADS, heads_of, task_names
from ie_cli.recipe.messages import describe, schemas_at
from ie_cli.recipe.schema import DataSection, EncoderSection, Recipe, TaskSection, TrainingSection
from ie_cli.recipe.techniques import AdversarialSection
from ie_cli.recipe.yaml import Loc, flow
from ie_cli.tasks import TASKS
from reference_pages.markdown import code, fence, one_line, table

COLUMNS = ("field", "default", "allowed", "meaning")
INTRO = """# Recipe

A recipe is one YAML file that describes a run. `ie show RECIPE --help-fields` prints a recipe with every field,
its default and the explanations of this page. Unknown fields, wrong types and values out of range are errors that name the line.
`--set SECTION.FIELD=VALUE` overrides a field on the command line.

"""
SHORT = """name: my-run
task: ner                                  # the default; it determines the default head
data: {train: train.jsonl, dev: dev.jsonl}
encoder: {name: tiny}
head: {name: efficient_global_pointer}
training: {epochs: 10}
"""
SEVERAL = """name: my-run
encoder: {name: tiny}
tasks:
  entities:
    task: ner
    data: {train: train.jsonl, dev: dev.jsonl}
  facts:
    task: relation
    data: {train: relations.jsonl, dev: 0.1}
"""


def page() -> str:
    """The page."""
    parts = [
        INTRO,
        "A recipe with one task:\n\n",
        fence(SHORT, "yaml"),
        "Several tasks on one encoder, each with its own `task`, `data` and `head`:\n\n",
        fence(SEVERAL, "yaml"),
        "## Top level\n\n",
        _section(Recipe, ()),
        "## data\n\n",
        "Paths are relative to the recipe. The formats are in [Formats](formats.md).\n\n",
        _section(DataSection, ("data",)),
        "The fields of `data.context`; a number alone is short for `{texts: NUMBER}`. "
        "[Documents](../guide/documents.md#train-for-documents) explains it.\n\n",
        _section(ContextSection, ("data", "context")),
        "## encoder\n\n",
        _section(EncoderSection, ("encoder",)),
        *_heads(),
        "## tasks\n\n",
        "The fields of each task of a recipe with several tasks:\n\n",
        _section(TaskSection, ("tasks", "NAME")),
        *_tasks(),
        "## training\n\n",
        _section(TrainingSection, ("training",)),
        "The fields of `training.balance`; a method's name alone is short for `{name: NAME}`. "
        "[Several tasks](../guide/multi-task.md) explains the methods.\n\n",
        _section(BalanceSection, ("training", "balance")),
        "The fields of `training.adversarial`; the method's name, or ε alone, is short for the mapping. "
        "[Training options](../guide/training-options.md) explains it.\n\n",
        _section(AdversarialSection, ("training", "adversarial")),
        *_bundled(),
    ]
    return "".join(parts)


def _section(section: type[BaseModel], loc: Loc) -> str:
    rows = (_row(name, field, (*loc, name)) for name, field in section.model_fields.items())
    return table(COLUMNS, rows)


def _row(name: str, field: FieldInfo, loc: Loc, head: str | None = None) -> tuple[str, ...]:
    return code(name), _default(field), _allowed(loc, head), one_line(field.description)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    return "its defaults" if isinstance(value, BaseModel) else code(flow(value))


def _allowed(loc: Loc, head: str | None) -> str:
    """The values of a field, in the words of the error messages."""
    schemas = schemas_at(loc, head)
    others = [schema for schema in schemas if schema.get("type") not in ("object", "null")]
    if (
        loc[0] != "tasks"
        and loc != ("head",)
        and (values := schemas_at((*loc, "NAME"), head))
        and describe(values) != "a mapping"
    ):
        return " or ".join(filter(None, [describe(others), f"a mapping of names to: {describe(values)}"]))
    null = ["`null`"] if any(schema.get("type") == "null" for schema in schemas) else []
    return " or ".join(filter(None, [describe(schemas), *null]))


def _heads() -> Iterator[str]:
    yield "## head\n\nThe layers on the encoder. `head: NAME` is short for `head: {name: NAME}`.\n\n"
    yield table(
        ("head", "tasks", ""),
        (
            (f"[{code(name)}](#head-{name})", ", ".join(map(code, spec.tasks)), one_line(spec.section.__doc__))
            for name, spec in HEADS.items()
        ),
    )
    for name, spec in HEADS.items():
        yield f"### head: {name}\n\n{one_line(spec.section.__doc__)}\n\n"
        fields = (
            (code("name"), "required", code(name), one_line(field.description))
            if field_name == "name"
            else _row(field_name, field, ("head", field_name), name)
            for field_name, field in spec.section.model_fields.items()
        )
        yield table(COLUMNS, fields)


def _tasks() -> Iterator[str]:
    yield "The first head of a task is its default, and a head implies its first task:\n\n"
    yield table(
        ("task", "", "heads", "metric for the best model"),
        (
            (code(name), TASKS[name].words.title, ", ".join(map(code, heads_of(name))), TASKS[name].metric)
            for name in task_names()
        ),
    )


def _bundled() -> Iterator[str]:
    yield "## Recipes that come with `ie`\n\n`ie recipes` lists them, `ie recipes copy NAME` copies one.\n\n"
    yield table(("recipe", ""), ((code(recipe.name), recipe.description) for recipe in list_recipes()))
