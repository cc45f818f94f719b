"""The pictures of the documentation are what their script draws."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parent.parent.parent / "docs"
GUIDE = ("view", "check", "diff")
RECORDED = {"terminal.svg": DOCS.parent / "README.md"} | {
    f"guide-{name}.svg": DOCS / "guide" / "annotation-tools.md" for name in GUIDE
}
"""What `docs/record_terminal.py` records, and the page that shows it; the background is dark for everyone."""
PICTURES = sorted(path.name for path in (DOCS / "_static").glob("*.svg") if path.name not in RECORDED)


def load(name: str) -> ModuleType:
    """Import a script of docs/."""
    spec = spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(svg: str) -> list[str]:
    """The texts of a picture without spaces, which versions of rich place differently."""
    found = ("".join((part.text or "").split()) for part in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))
    return [text for text in found if text]


def test_the_pictures_are_those_that_the_script_draws() -> None:
    drawn = load("draw").draw(json.loads((DOCS / "_static" / "scores.json").read_text(encoding="utf-8")))
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


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_terminal_is_self_contained_and_shown(name: str) -> None:
    text = (DOCS / "_static" / name).read_text(encoding="utf-8")
    assert ET.fromstring(text).get("aria-label")
    assert not any(word in text for word in ("href", "@import", "<script", "@font-face", "https:"))
    assert f"_static/{name})" in RECORDED[name].read_text(encoding="utf-8")


@pytest.mark.parametrize("name", GUIDE)
def test_the_pictures_of_the_guide_show_what_is_printed(name: str) -> None:
    kept = (DOCS / "_static" / f"guide-{name}.svg").read_text(encoding="utf-8")
    recorded = load("record_terminal").record_guide(name)
    assert words(recorded) == words(kept), "run `python docs/record_terminal.py --guide`"


def test_the_pictures_of_the_guide_show_commands_of_their_page() -> None:
    page = (DOCS / "guide" / "annotation-tools.md").read_text(encoding="utf-8")
    for before, command, _ in load("record_terminal").GUIDE.values():
        assert f"\n{command}\n" in page
        for one in before:
            assert f"\n{one.replace(' --quiet', '')}\n" in page


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_shown(name: str) -> None:
    assert any(f"_static/{name})" in page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
