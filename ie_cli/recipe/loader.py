"""Loading recipes from YAML, reporting all problems at once with their lines, and dumping them back to YAML."""

from __future__ import annotations

import codecs
import copy
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ie_cli.errors import RecipeError, did_you_mean
from ie_cli.formats.registry import READING_OPTIONS, unused_options
from ie_cli.recipe.balance import balance_problems
from ie_cli.recipe.base import Section
from ie_cli.recipe.encoder_checks import encoder_problems
from ie_cli.recipe.folds import fold_problems
from ie_cli.recipe.heads import HEADS, heads_of, task_names
from ie_cli.recipe.initial_model import INIT_FROM, given_path, inherit_encoder, resolved_model
from ie_cli.recipe.messages import describe, dotted, head_at, schema_problems, schemas_at
from ie_cli.recipe.overrides import Place, apply_overrides, drop_fields_of_other_heads, expand_short_forms, place_of
from ie_cli.recipe.schema import DataSection, Recipe, TaskSection
from ie_cli.recipe.sharding import sharding_problems
from ie_cli.recipe.techniques import technique_problems
from ie_cli.recipe.yaml import INVALID, Loc, ParsedYaml, flow, parse
from ie_cli.system.urls import ALLOWED_HINT, is_url, rejection_reason

PATHS = ("train", "dev", "test", "schema_file")
_EXAMPLE, _EXAMPLE_TASK = "quickstart-en", "relation"
"""The bundled recipe that hints use to explain fields, and its task."""
_MAX_BYTES = 1_000_000
_SHARE = re.compile(r"[0-9]*[.,/]?[0-9]+\s*%?")


def load_recipe(
    path: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    stored: bool = False,
    report: Callable[[str], None] | None = None,
) -> Recipe:
    """Read a recipe, and make its paths relative to the current directory, as those of overrides already are.

    Args:
        path: the YAML file.
        overrides: ``section.key=value``, with values as in YAML; null restores the default of a field. If one names another
            head, the fields of the file that this head does not have are left out.
        stored: whether it is the recipe of a model directory, whose paths are those of the training run.
        report: called with a note on the fields that are left out.

    Raises:
        RecipeError: it lists every problem of the file and the overrides, each with its line.
    """
    file = Path(path)
    document = parse(_read(file))
    problems: list[tuple[Place, str]] = list(document.problems)
    recipe, places = None, dict[Loc, Place](document.lines)
    heads, notes = set[str](), list[str]()
    if not isinstance(document.data, dict):
        if not problems:
            got = (
                "nothing"
                if document.data is None
                else "a list"
                if isinstance(document.data, list)
                else "a single value"
            )
            problems.append((1, f"expected a mapping with name, data and encoder, got {got}"))
    else:
        expand_short_forms(document.data)
        problems.extend(apply_overrides(document, places, overrides))
        notes.extend(drop_fields_of_other_heads(document.data, places))
        if not stored:
            problems.extend(_inherit_encoder(document.data, places, file.parent))
        _infer_tasks_and_heads(document.data)
        recipe, found = _validate(document)
        if recipe is not None and not stored:  # prediction does not read the training data
            found.extend(_rejected_urls(recipe))
            found.extend(_mistaken_fractions(recipe))
        problems.extend((place_of(loc, places), message) for loc, message in found)
        heads.update(filter(None, (head_at(loc, document.data) for loc, _ in found if loc[-1:] != ("name",))))
    if problems or recipe is None:
        raise _recipe_error(file, problems, heads)
    if report is not None:
        for note in notes:
            report(note)
    return recipe if stored else _resolve_paths(recipe, file.parent, places)


def _inherit_encoder(data: dict[str, Any], places: dict[Loc, Place], directory: Path) -> Iterator[tuple[Place, str]]:
    """Take the encoder options that a recipe omits from the model that it starts from, and yield the problem, if any."""
    if (path := given_path(data)) is None:
        return
    place = place_of(INIT_FROM, places)
    start = Path() if isinstance(place, str) else directory
    names, problem = inherit_encoder(
        data, start / os.path.expanduser(path), lambda file: load_recipe(file, stored=True)
    )
    # As those of overrides, paths in the recipe of a model are relative to the current directory.
    places.update({("encoder", name): "training.init_from" for name in names})
    if problem is not None:
        yield place, f"{dotted(INIT_FROM)}: {problem}"


def _recipe_error(file: Path, problems: Sequence[tuple[Place, str]], heads: Collection[str] = ()) -> RecipeError:
    """Return an error with all problems.

    Args:
        file: the recipe.
        problems: the problems.
        heads: the names of the heads whose fields some problems concern.
    """
    of_file = sorted((place, message) for place, message in problems if isinstance(place, int))
    lines = [f"{file}:{line}: {message}" for line, message in of_file]
    lines += [f"{place}: {message}" for place, message in problems if isinstance(place, str)]
    hint = f"see `{_help_command(heads)}` for the help of every field."
    if problems and all(message.startswith(INVALID) and "character #" not in message for _, message in problems):
        hint = (
            "write `key: value`, with a space after the colon, indent with spaces, and quote texts with : # [ ] or { }."
        )
    if file.suffix.lower() not in (".yaml", ".yml"):
        hint = "name a YAML file; create a recipe for your data with `ie init DATA -o recipe.yaml`."
    return RecipeError("\n".join(dict.fromkeys(lines)), hint=hint)


def _help_command(heads: Collection[str]) -> str:
    """Return the command that explains the fields of a head, or those of another head if it is not exactly one."""
    name = next(iter(heads), "") if len(heads) == 1 else ""
    task = HEADS[name].tasks[0] if name in HEADS else _EXAMPLE_TASK
    if name not in HEADS or name == heads_of(_EXAMPLE_TASK)[0]:
        return f"ie show {_EXAMPLE} --help-fields"
    other = f" --set task={task}" if task != _EXAMPLE_TASK else ""
    return f"ie show {_EXAMPLE}{other} --set head={name} --help-fields"


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        names = [p.name for p in file.parent.glob("*.y*ml")] if file.parent.is_dir() else []
        raise RecipeError(
            f"{file}: no such recipe{did_you_mean(file.name, names)}",
            hint="list the bundled recipes with `ie recipes`, or create one with `ie init DATA -o recipe.yaml`.",
        ) from error
    except (OSError, ValueError) as error:  # a NUL in the name raises ValueError
        raise RecipeError(f"{file}: {getattr(error, 'strerror', None) or error}", hint="name a YAML file.") from error
    if len(raw) > _MAX_BYTES:
        raise _recipe_error(file, [(1, f"the file is too large for a recipe: more than {_MAX_BYTES:,} bytes")])
    # PowerShell's `>` writes UTF-16, which YAML allows.
    utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return raw.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        hint = "it looks like a binary file: name a YAML file." if b"\0" in raw else "save the recipe as UTF-8."
        raise RecipeError(f"{file}:{line}: not UTF-8", hint=hint) from error


def _infer_tasks_and_heads(data: dict[str, Any]) -> None:
    """Derive a missing head from the task, and a missing task from the head."""
    expand_short_forms(data)
    if isinstance(data.get("tasks"), dict) and data["tasks"]:
        for name, section in data["tasks"].items():
            if isinstance(section, dict):
                if name in task_names():
                    section.setdefault("task", name)
                _infer_task_and_head(section)
        return
    _infer_task_and_head(data)


def _infer_task_and_head(data: dict[str, Any]) -> None:
    if "head" in data and data["head"] is None:
        data["head"] = {}
    if isinstance(data.get("head"), str):
        data["head"] = {"name": data["head"]}
    named = data["head"].get("name") if isinstance(data.get("head"), dict) else None
    if "task" not in data and isinstance(named, str) and named in HEADS:
        data["task"] = HEADS[named].tasks[0]
    data.setdefault("head", {})
    if isinstance(data["head"], dict):
        task = data.get("task")
        known = task if isinstance(task, str) and task in task_names() else task_names()[0]
        data["head"].setdefault("name", heads_of(known)[0])


def _validate(document: ParsedYaml) -> tuple[Recipe | None, list[tuple[Loc, str]]]:
    """Return the recipe, or None if it violates the schema, and all problems."""
    try:
        recipe = Recipe.model_validate(document.data)
    except ValidationError as error:
        problems = list(schema_problems(error, document.data, document.spelled))
        # The valid fields may still be inconsistent: check them without the invalid ones.
        rest = copy.deepcopy(document.data)
        for loc, _ in problems:
            _drop(rest, loc)
        _infer_tasks_and_heads(rest)
        try:
            recipe = Recipe.model_validate(rest)
        except ValidationError:
            return None, problems
        return None, [*problems, *_cross_checks(recipe)]
    return recipe, list(_cross_checks(recipe))


def _drop(data: Any, loc: Loc) -> None:
    field = loc[:2]  # removing a single item would renumber the others
    for part in field[:-1]:
        data = data.get(part) if isinstance(data, dict) else None
    if isinstance(data, dict) and field:
        data.pop(field[-1], None)


def _cross_checks(recipe: Recipe) -> Iterator[tuple[Loc, str]]:
    """Yield the problems that involve several fields."""
    return ((loc, f"{dotted(loc)}: {message}") for loc, message in _inconsistencies(recipe))


def _inconsistencies(recipe: Recipe) -> Iterator[tuple[Loc, str]]:
    for option, message in encoder_problems(recipe):
        yield ("encoder", option), message
    yield from balance_problems(recipe)
    yield from technique_problems(recipe)
    yield from sharding_problems(recipe)
    for name, section in recipe.instances().items():
        prefix: Loc = ("tasks", name) if recipe.tasks else ()
        yield from ((prefix + loc, message) for loc, message in _task_inconsistencies(section))
        if section.data.labels is not None:
            yield from _label_inconsistencies(section.data.labels, section, prefix, recipe.training.label_weights)


def _rejected_urls(recipe: Recipe) -> Iterator[tuple[Loc, str]]:
    """Yield the data paths whose URLs are not allowed."""
    for name, section in recipe.instances().items():
        for field in PATHS:
            value = getattr(section.data, field)
            listed = isinstance(value, list)
            for number, path in enumerate(value if listed else [value]):
                if isinstance(path, str) and (message := rejection_reason(path)) is not None:
                    task: Loc = ("tasks", name) if recipe.tasks else ()
                    loc: Loc = (*task, "data", field, number) if listed else (*task, "data", field)
                    yield loc, f"{dotted(loc)}: {message}; {ALLOWED_HINT.removesuffix('.')}"


def _mistaken_fractions(recipe: Recipe) -> Iterator[tuple[Loc, str]]:
    """Yield the dev data that are the name of a file by their type, but look like a share of train, e.g. ``10%``."""
    for name, section in recipe.instances().items():
        dev = section.data.dev
        if isinstance(dev, str) and _SHARE.fullmatch(dev.strip()):
            loc: Loc = (*(("tasks", name) if recipe.tasks else ()), "data", "dev")
            yield (
                loc,
                f"{dotted(loc)}: got '{dev}', expected a fraction such as 0.1, without quotes (or a file: ./{dev})",
            )


def _task_inconsistencies(section: TaskSection) -> Iterator[tuple[Loc, str]]:
    data, head = section.data, section.head
    yield from fold_problems(section)
    if head.name not in (heads := heads_of(section.task)):
        yield ("head", "name"), f"got {head.name}, but task {section.task} supports {', '.join(heads)}"
    elif data.schema_file is not None and not head.has_predicates:
        tasks = dict.fromkeys(task for spec in HEADS.values() if spec.section.has_predicates for task in spec.tasks)
        yield ("data", "schema_file"), f"applies only to task: {', '.join(tasks)}"
    if data.context is not None and head.reads != "windows":
        yield ("data", "context"), f"applies only to heads that find items in a text, not to {head.name}"
    formats = () if data.format is None else (data.format,)
    for name in unused_options(given_options(data), formats) if formats else ():
        expected = ", ".join(READING_OPTIONS[name])
        yield ("data", name), f"applies only to format {expected}, but data.format is {data.format}"


def given_options(data: DataSection) -> list[str]:
    """Return the names of the options of reading that a data section has and that apply to some formats only."""
    return [name for name in READING_OPTIONS if getattr(data, name) != DataSection.model_fields[name].default]


def _label_inconsistencies(
    labels: Sequence[str], section: TaskSection, prefix: Loc, weights: Mapping[str, float]
) -> Iterator[tuple[Loc, str]]:
    for number, label in enumerate(labels):
        if label in labels[:number]:
            yield (*prefix, "data", "labels", number), f"the label '{label}' is listed twice"
    # The names may be those of predicates, or of the labels for another head.
    if section.head.has_predicates or section.head.name not in heads_of(section.task):
        return
    for loc, named in (
        ((*prefix, "head", "thresholds"), section.head.thresholds),
        (("training", "label_weights"), weights),
    ):
        for label in named:
            if label not in labels and not (prefix and loc[0] == "training"):
                yield (*loc, label), f"data.labels has no label '{label}'{did_you_mean(label, labels)}"


def _resolve_paths(recipe: Recipe, directory: Path, places: Mapping[Loc, Place]) -> Recipe:
    def base(loc: Loc) -> Path:
        return Path() if isinstance(places.get(loc), str) else directory

    def resolve(value: Any, loc: Loc) -> Any:
        if isinstance(value, list):
            return [resolve(item, loc) for item in value]
        if not isinstance(value, str) or value == "-" or value.startswith("hub:") or is_url(value):
            return value
        return os.path.normpath(base(loc) / os.path.expanduser(value))

    def of_task(data: DataSection, loc: Loc) -> DataSection:
        return data.model_copy(update={field: resolve(getattr(data, field), (*loc, "data", field)) for field in PATHS})

    name, where = recipe.encoder.name, ("encoder", "name")
    is_path = not recipe.encoder.from_scratch and (name.startswith((".", "~")) or os.path.isdir(base(where) / name))
    chosen = {"name": _local(resolve(name, where))} if is_path else {}
    tasks = {
        name: section.model_copy(update={"data": of_task(section.data, ("tasks", name))})
        for name, section in recipe.tasks.items()
    }
    training = recipe.training
    if training.init_from is not None:
        start = Path() if isinstance(place_of(INIT_FROM, places), str) else directory
        path = os.path.join(start, os.path.expanduser(training.init_from))
        training = training.model_copy(update={"init_from": resolved_model(path)})
    return recipe.model_copy(
        update={
            "training": training,
            "data": None if recipe.data is None else of_task(recipe.data, ()),
            "tasks": tasks,
            "encoder": recipe.encoder.model_copy(update=chosen),
        }
    )


def _local(path: str) -> str:
    """Return a path in a form that cannot be mistaken for a hub id."""
    return path if os.path.isabs(path) or path.startswith("..") else os.path.join(".", path)


def dump_recipe(recipe: Recipe, *, explain: bool = False) -> str:
    """Return the recipe as YAML with all defaults filled in; `load_recipe` reads it back unchanged.

    Args:
        recipe: the recipe.
        explain: whether to precede each field with a comment that contains its help and allowed values.
    """
    return "".join(_dump(recipe, (), explain))


def _dump(section: BaseModel, loc: Loc, explain: bool) -> Iterator[str]:
    pad = "  " * len(loc)
    for name in sorted(type(section).model_fields, key="name".__ne__):
        value = getattr(section, name)
        if isinstance(section, Recipe) and name in (("task", "data", "head") if section.tasks else ("tasks",)):
            continue
        inner = (*loc, name)
        if explain:
            if not loc and isinstance(value, BaseModel):
                yield "\n"
            yield f"{pad}# {_help(section, inner)}\n"
        if isinstance(value, Section) and value.short_form is not None and not explain:
            yield f"{pad}{name}: {value.short_form}\n"
        elif isinstance(value, BaseModel):
            yield f"{pad}{name}:\n"
            yield from _dump(value, inner, explain)
        elif name == "tasks" and isinstance(section, Recipe):
            yield f"{pad}{name}:\n"
            for task, part in value.items():
                yield f"{pad}  {task}:\n"
                yield from _dump(part, (*inner, task), explain)
        else:
            yield f"{pad}{name}: {flow(value)}\n"


def _help(section: BaseModel, loc: Loc) -> str:
    text = re.sub(r"\s+", " ", type(section).model_fields[str(loc[-1])].description or "")
    if loc[-2:] == ("head", "name"):  # the allowed value is that of this section alone, but the text names other heads
        return text
    expected = describe(schemas_at(loc, getattr(section, "name", None)))
    return text if expected in ("a mapping", "text", "true or false") else f"{text} [{expected}]"
