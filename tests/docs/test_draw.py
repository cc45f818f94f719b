"""The pictures of the documentation are what their script draws."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
RECORDED = "terminal.svg"
"""The first screen of the README, recorded by `docs/record_terminal.py`; its background is dark for everyone."""
PICTURES = sorted(path.name for path in (DOCS / "_static").glob("*.svg") if path.name != RECORDED)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location("draw", DOCS / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pictures_are_those_that_the_script_draws(script: ModuleType) -> None:
    drawn = script.draw(json.loads((DOCS / "_static" / "scores.json").read_text(encoding="utf-8")))
    kept = {name: (DOCS / "_static" / name).read_text(encoding="utf-8") for name in PICTURES}
    assert drawn.keys() == kept.keys()
    stale = [name for name in drawn if drawn[name] != kept[name]]
    assert not stale, f"run `python docs/draw.py`: {', '.join(stale)}"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_self_contained_and_readable_in_the_dark(name: str) -> None:
    text = (DOCS / "_static" / name).read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert root.get("aria-label")
    assert "prefers-color-scheme:dark" in text
    assert not any(word in text for word in ("href", "@import", "url(", "<script", "@font-face"))


def test_the_recorded_terminal_is_self_contained_and_shown() -> None:
    text = (DOCS / "_static" / RECORDED).read_text(encoding="utf-8")
    assert ET.fromstring(text).get("aria-label")
    assert not any(word in text for word in ("href", "@import", "<script", "@font-face", "https:"))
    assert f"_static/{RECORDED})" in (DOCS.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_shown(name: str) -> None:
    assert any(f"_static/{name})" in page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
