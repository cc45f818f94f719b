"""The citation file is one of the Citation File Format 1.2.0, and of this version."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from ie_cli import __version__
from ie_cli.recipe.yaml import parse

ROOT = Path(__file__).parent.parent
TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
PERSON = {
    "type": "object",
    "properties": {"family-names": TEXT, "given-names": TEXT},
    "required": ["family-names", "given-names"],
    "additionalProperties": False,
}
ENTITY = {"type": "object", "properties": {"name": TEXT}, "required": ["name"], "additionalProperties": False}
AUTHORS = {"type": "array", "items": {"anyOf": [PERSON, ENTITY]}, "minItems": 1, "uniqueItems": True}
IDENTIFIER = {
    "type": "object",
    "properties": {"type": {"const": "other"}, "value": TEXT},
    "required": ["type", "value"],
    "additionalProperties": False,
}
REFERENCE = {
    "type": "object",
    "properties": {
        "type": {"enum": ["article", "blog"]},
        "title": TEXT,
        "authors": AUTHORS,
        "year": {"type": "integer"},
        "date-published": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "languages": {"type": "array", "items": {"pattern": "^[a-z]{2,3}$"}, "minItems": 1},
        "url": {"type": "string", "pattern": "^https://"},
        "identifiers": {"type": "array", "items": IDENTIFIER, "minItems": 1},
    },
    "required": ["type", "title", "authors"],
    "additionalProperties": False,
}
FORMAT = {
    "type": "object",
    "properties": {
        "cff-version": {"const": "1.2.0"},
        "message": TEXT,
        "title": TEXT,
        "abstract": TEXT,
        "type": {"const": "software"},
        "authors": AUTHORS,
        "version": TEXT,
        "license": {"const": "Apache-2.0"},
        "keywords": {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True},
        "references": {"type": "array", "items": REFERENCE, "minItems": 1},
    },
    "required": ["cff-version", "message", "title", "authors"],
    "additionalProperties": False,
}
"""The part of the format's own JSON Schema that is used."""


def citation() -> Any:
    document = parse((ROOT / "CITATION.cff").read_text(encoding="utf-8"))  # dates stay texts, as the format wants them
    assert document.problems == []
    return document.data


def test_it_is_of_the_format_and_of_this_version() -> None:
    Draft202012Validator(FORMAT).validate(citation())
    assert citation()["version"] == __version__
    assert [author["name"] for author in citation()["authors"]] == ["The ie contributors"]


def test_it_names_every_source_of_the_methods() -> None:
    """The sources that the code cites."""
    urls = [reference["url"] for reference in citation()["references"]]
    assert len(set(urls)) == len(urls)
    cited = set()
    for path in (ROOT / "ie_cli").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        cited |= {f"https://{found}" for found in re.findall(r"kexue\.fm/archives/\d+", text)}
        cited |= {f"https://arxiv.org/abs/{found}" for found in re.findall(r"arXiv[ :](\d{4}\.\d{5})", text)}
    assert {"https://kexue.fm/archives/8373", "https://kexue.fm/archives/7359"} <= cited
    assert cited <= set(urls)
    assert "https://arxiv.org/abs/2208.03054" in urls
