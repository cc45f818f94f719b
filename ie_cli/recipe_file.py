"""Recipes as files: YAML in, every fault at once with its line; a `Recipe` out, and back to YAML."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ie_cli.errors import RecipeError
from ie_cli.recipe import DataSection, Head, Recipe, Section
from ie_cli.suggest import did_you_mean, nearest
from ie_cli.textio import is_url
from ie_cli.yaml_nodes import Document, Loc, parse, resolve_plain

Fault = tuple[int | str, str]
"""Line, or the override at fault, and message."""

HEAD_SECTIONS: dict[str, type[Section]] = {
    get_args(section.model_fields["name"].annotation)[0]: section for section in get_args(get_args(Head)[0])
}
DEFAULT_HEAD = "efficient_global_pointer"


def load_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = (), *, stored: bool = False) -> Recipe:
    """Read a recipe; its paths come out relative to the current directory, to which those of overrides already are.

    Args:
        overrides: ``section.key=value``, values as in YAML.
        stored: it is the recipe of a model folder, whose paths are those of the training run.

    Raises:
        RecipeError: every fault of the file and the overrides, each with its line.
    """
    file = Path(path)
    document = parse(_read(file))
    faults: list[Fault] = list(document.faults)
    recipe: Recipe | None = None
    places: dict[Loc, int | str] = {}
    if not faults:
        data, places = _overridden(document, overrides, faults)
        if not faults:
            recipe = _validate(data, places, faults)
    if recipe is None or faults:
        lines = [
            f"{file}:{place}: {message}" if isinstance(place, int) else f"{place}: {message}"
            for place, message in sorted(faults, key=lambda fault: (isinstance(fault[0], str), fault[0]))
        ]
        raise RecipeError("\n".join(lines), hint="`ie show RECIPE --help-fields` explains every field.")
    return recipe if stored else _resolve_paths(recipe, file.parent, places)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        names = [p.name for p in file.parent.glob("*.y*ml")] if file.parent.is_dir() else []
        raise RecipeError(
            f"{file}: no such recipe{did_you_mean(file.name, names)}",
            hint="`ie recipes` lists those that come with `ie`; `ie init DATA > recipe.yaml` writes one.",
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file}: not UTF-8 (byte {error.start + 1})", hint="save the recipe as UTF-8.") from error
    except OSError as error:
        raise RecipeError(f"{file}: {error.strerror or error}") from error


def _overridden(
    document: Document, overrides: Sequence[str], faults: list[Fault]
) -> tuple[dict[str, Any], dict[Loc, int | str]]:
    """The document's data with overrides put in, and where each value comes from."""
    if not isinstance(document.data, dict):
        got = "nothing" if document.data is None else "a list" if isinstance(document.data, list) else "one value"
        faults.append((1, f"a recipe is a mapping with name, data and encoder, got {got}"))
        return {}, {}
    places: dict[Loc, int | str] = dict(document.lines)
    for override in overrides:
        key, equals, value = override.partition("=")
        place = f"--set {override}"
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", key.strip()):
            faults.append((place, "expected section.key=value, e.g. training.epochs=1"))
            continue
        parsed = parse(value)
        faults.extend((place, message) for _, message in parsed.faults)
        *sections, last = key.strip().split(".")
        target = document.data
        for section in sections:
            inner = target.get(section)
            target[section] = target = inner if isinstance(inner, dict) else {}
        target[last] = parsed.data
        for depth in range(len(sections) + 2):
            places.setdefault(tuple(key.strip().split("."))[:depth], place)
        places[tuple(key.strip().split("."))] = place
    return document.data, places


def _validate(data: dict[str, Any], places: Mapping[Loc, int | str], faults: list[Fault]) -> Recipe | None:
    head = data.get("head")
    if isinstance(head, str):
        data["head"] = {"name": head}
    elif isinstance(head, dict) and "name" not in head:
        head["name"] = DEFAULT_HEAD
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        faults.extend(_pydantic_faults(error, data, places))
        return None
    faults.extend((_place(loc, places), f"{_dotted(loc)}: {message}") for loc, message in _cross_checks(recipe))
    return recipe


def _pydantic_faults(error: ValidationError, data: dict[str, Any], places: Mapping[Loc, int | str]) -> Iterator[Fault]:
    wanted: dict[Loc, list[str]] = {}
    got: dict[Loc, Any] = {}
    for fault in error.errors(include_url=False):
        loc = fault["loc"]
        if fault["type"] == "extra_forbidden":
            yield _place(_known(loc, places), places), _unknown_key(loc)
        elif fault["type"] == "union_tag_invalid":
            name = fault["ctx"]["tag"]
            known = ", ".join(HEAD_SECTIONS)
            yield (
                _place((*loc, "name"), places),
                f"head.name: there is no head '{name}'{did_you_mean(str(name), HEAD_SECTIONS)} (heads: {known})",
            )
        elif fault["type"] == "missing":
            section = _known(loc[:-1], places)
            yield _place(section, places), f"{_dotted(_real(loc))} is missing"
        else:
            known = _known(loc, places)
            wanted.setdefault(known, []).append(_expected(fault))
            got[known] = _at(data, known)
    for loc, expected in wanted.items():
        either = " or ".join(dict.fromkeys(expected))
        yield _place(loc, places), f"{_dotted(loc) or 'recipe'}: got {_shown(got[loc])}, expected {either}{_quote_hint(got[loc], either)}"


def _known(loc: Loc, places: Mapping[Loc, int | str]) -> Loc:
    """The longest beginning of a location that stands in the file; pydantic adds names of union members."""
    loc = _real(loc)
    while loc and loc not in places:
        loc = loc[:-1]
    return loc


def _real(loc: Loc) -> Loc:
    return tuple(part for number, part in enumerate(loc) if not (number == 1 and part in HEAD_SECTIONS))


def _place(loc: Loc, places: Mapping[Loc, int | str]) -> int | str:
    while loc and loc not in places:
        loc = loc[:-1]
    return places.get(loc, 1)


def _dotted(loc: Loc) -> str:
    return ".".join(str(part) for part in loc)


def _at(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= 60 else shown[:59] + "…"


def _quote_hint(value: Any, expected: str) -> str:
    plain = isinstance(value, (bool, int, float)) and "text" in expected
    return f' (put quotes around it: "{json.dumps(value)}")' if plain else ""


_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-', beginning with a letter or digit",
}


def _expected(fault: Mapping[str, Any]) -> str:
    template = _EXPECTED.get(fault["type"])
    return template.format(**fault.get("ctx", {})) if template else str(fault["msg"])


def _unknown_key(loc: Loc) -> str:
    *section, key = _real(loc)
    fields = _section_fields(section)
    if near := nearest(str(key), fields):
        return f"unknown key '{_dotted((*section, key))}'; did you mean '{_dotted((*section, near))}'?"
    for name, field in Recipe.model_fields.items():
        inner = HEAD_SECTIONS[DEFAULT_HEAD] if name == "head" else field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel) and key in inner.model_fields:
            return f"unknown key '{_dotted((*section, key))}'; did you mean '{name}.{key}'?"
    return f"unknown key '{_dotted((*section, key))}' (known: {', '.join(fields)})"


def _section_fields(section: Sequence[str | int]) -> list[str]:
    if not section:
        return list(Recipe.model_fields)
    if section[0] == "head":
        return list(HEAD_SECTIONS[DEFAULT_HEAD].model_fields)
    annotation = Recipe.model_fields[str(section[0])].annotation
    return list(annotation.model_fields) if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def _cross_checks(recipe: Recipe) -> Iterator[tuple[Loc, str]]:
    """What no single field can tell."""
    encoder, data = recipe.encoder, recipe.data
    if encoder.stride > encoder.max_length - 3:
        yield (
            ("encoder", "stride"),
            f"got {encoder.stride}, but windows of max_length {encoder.max_length} would not advance; at most "
            f"{encoder.max_length // 2} is sensible",
        )
    if data.format not in (None, "conll"):
        for name in ("text_column", "label_columns", "joiner"):
            if getattr(data, name) != DataSection.model_fields[name].default:
                yield ("data", name), f"is for format conll, but data.format is {data.format}"
    if data.labels is not None:
        if len(set(data.labels)) < len(data.labels) or not all(data.labels):
            yield ("data", "labels"), "labels must be distinct and not empty"
        for section, named in (("head", recipe.head.thresholds), ("training", recipe.training.label_weights)):
            field = "thresholds" if section == "head" else "label_weights"
            for label in named:
                if label not in data.labels:
                    yield (section, field, label), f"data.labels has no such label{did_you_mean(label, data.labels)}"


def _resolve_paths(recipe: Recipe, folder: Path, places: Mapping[Loc, int | str]) -> Recipe:
    def base(loc: Loc) -> Path:
        return Path() if isinstance(places.get(loc), str) else folder

    def resolve(value: Any, loc: Loc) -> Any:
        if isinstance(value, list):
            return [resolve(item, loc) for item in value]
        if not isinstance(value, str) or value == "-" or value.startswith("hub:") or is_url(value):
            return value
        return os.path.normpath(base(loc) / Path(value).expanduser())

    paths = {name: resolve(getattr(recipe.data, name), ("data", name)) for name in ("train", "dev", "test")}
    name = recipe.encoder.name
    is_path = name.startswith((".", "~")) or (base(("encoder", "name")) / name).is_dir()
    chosen = {"name": _local(resolve(name, ("encoder", "name")))} if is_path and name != "tiny" else {}
    return recipe.model_copy(
        update={"data": recipe.data.model_copy(update=paths), "encoder": recipe.encoder.model_copy(update=chosen)}
    )


def _local(path: str) -> str:
    """A path that cannot be taken for a hub id."""
    return path if os.path.isabs(path) or path.startswith("..") else os.path.join(".", path)


def dump_recipe(recipe: Recipe, *, explain: bool = False) -> str:
    """The recipe as YAML with every default filled in; `load_recipe` reads the same recipe back.

    Args:
        explain: put the help of each field above it, as a comment.
    """
    return "".join(_dump(recipe, 0, explain))


def _dump(section: BaseModel, indent: int, explain: bool) -> Iterator[str]:
    pad = "  " * indent
    names = sorted(type(section).model_fields, key=lambda name: name != "name")
    for name in names:
        value = getattr(section, name)
        if explain and (text := type(section).model_fields[name].description):
            yield from (f"{pad}# {line}\n" for line in text.splitlines())
        if isinstance(value, BaseModel):
            yield f"{pad}{name}:\n"
            yield from _dump(value, indent + 1, explain)
        else:
            yield f"{pad}{name}: {flow(value)}\n"


_PLAIN = re.compile(r"[A-Za-z\u4e00-\u9fff_][A-Za-z0-9\u4e00-\u9fff_./-]*")


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and resolve_plain(value) == value:
            return value
        return json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)
