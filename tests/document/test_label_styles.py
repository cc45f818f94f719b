"""The styles of labels: different for many labels, readable on every page, the same wherever a label appears."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.runner import ie

from ie_cli import Document, Entity
from ie_cli.commands.records import RecordWriter, Tally
from ie_cli.document.markup import STYLES, LabelStyles, mark, style_of
from ie_cli.formats import FORMATS
from ie_cli.formats.html import FRAME
from ie_cli.reports.html import PAGE_STYLE

CSS = (Path(__file__).parent.parent.parent / "ie_cli" / "serving" / "static" / "page.css").read_text(encoding="utf-8")
LIGHT, DARK = "#ffffff", "#121212"
VISION = {
    "normal": np.eye(3),
    # Machado, Oliveira and Fernandes (2009), severity 1.0, in linear RGB.
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
Colour = npt.NDArray[np.float64]


def linear(colour: str) -> Colour:
    """The linear RGB of a colour as three pairs of hexadecimal digits."""
    digits = colour.removeprefix("#")
    srgb = np.array([int(digits[place : place + 2], 16) for place in (0, 2, 4)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as in WCAG 2."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    high, low = sorted((float(weights @ linear(colour)) for colour in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def lab(rgb: Colour) -> Colour:
    """CIE L*a*b* of linear RGB, for the illuminant D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def parts(number: int) -> tuple[str, str, str]:
    """Text colour, background and line of a style."""
    match = re.fullmatch(r"color:(#\w+);background:(#\w{6});border-bottom:3px (\w+) #0009", style_of(number))
    assert match is not None
    text, background, line = match.groups()
    assert text == "#000"
    return "#000000", background, line


@pytest.mark.parametrize("number", range(STYLES))
def test_a_label_can_be_read_on_its_mark(number: int) -> None:
    text, background, _ = parts(number)
    assert contrast(text, background) >= 4.5  # opaque: the same on a light page, on a dark one, and inside other marks


def test_an_error_can_be_read_on_light_and_dark_pages() -> None:
    match = re.search(r"light-dark\((#\w{6}), (#\w{6})\)", CSS)
    assert match is not None
    assert contrast(match[1], LIGHT) >= 4.5
    assert contrast(match[2], DARK) >= 4.5


def test_all_styles_differ_and_neighbours_also_without_colours() -> None:
    looks = [parts(number)[1:] for number in range(STYLES)]
    assert len(set(looks)) == STYLES
    for number in range(STYLES - 1):
        assert looks[number][1] != looks[number + 1][1]


@pytest.mark.parametrize("vision", VISION)
def test_the_first_labels_can_be_told_apart_by_the_colour_blind(vision: str) -> None:
    for one, other in combinations(range(8), 2):
        (_, first, line), (_, second, other_line) = parts(one), parts(other)
        matrix = np.array(VISION[vision])
        difference = float(np.linalg.norm(lab(matrix @ linear(first)) - lab(matrix @ linear(second))))
        assert line != other_line or difference >= 10, (first, second, difference)


def test_sides_of_errors_differ_by_their_lines_too() -> None:
    lines = [re.search(rf"mark\.{side} {{.*?3px (\w+)", PAGE_STYLE) for side in ("gold", "predicted", "both")]
    assert len({match[1] for match in lines if match is not None}) == 3


def classes(html: str) -> dict[str, str]:
    """The class of each label; a label has one."""
    found: dict[str, set[str]] = {}
    for name, title in re.findall(r'<mark class="(c\d+)"[^>]* title="(\S+) ', html):
        found.setdefault(title, set()).add(name)
    return {label: name for label, (name,) in found.items()}


def test_labels_do_not_collide_and_keep_their_style_on_a_page(tmp_path: Path) -> None:
    labels = ["PRODUCT", "ERROR_CODE", *(f"L{number}" for number in range(STYLES - 2))]
    documents = [
        {"text": "abc", "entities": [{"start": 0, "end": 1, "label": label}, {"start": 1, "end": 2, "label": other}]}
        for label, other in zip(labels, reversed(labels), strict=True)
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(part) + "\n" for part in documents), encoding="utf-8")
    assert ie("convert", str(tmp_path / "in.jsonl"), str(tmp_path / "out.html")).exit_code == 0
    found = classes((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert found.keys() == set(labels)
    assert len(set(found.values())) == STYLES
    assert all(f".{name} {{ {style_of(int(name[1:]))}; }}" in FRAME[0] for name in found.values())


class Out:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        """Nothing to do."""


def test_the_labels_of_a_model_come_first_in_their_order() -> None:
    out = Out()
    writer = RecordWriter(FORMATS["html"], "stop", out, None, Tally(), labels=["person", "place"])
    writer.add(Document("ab", [Entity(0, 1, "other"), Entity(1, 2, "place")]))
    writer.add(Document("ab", [Entity(0, 1, "person"), Entity(1, 2, "other")]))
    assert classes(out.text) == {"person": "c0", "place": "c1", "other": "c2"}


def test_a_label_looks_the_same_in_all_cells_of_a_notebook() -> None:
    def backgrounds(html: str) -> dict[str, str]:
        return {label: found for found, label in re.findall(r'style="(color:[^"]*)" title="(\w+) ', html)}

    first = backgrounds(Document("ab", [Entity(0, 1, "cell_a"), Entity(1, 2, "cell_b")])._repr_html_())
    second = backgrounds(Document("ab", [Entity(0, 1, "cell_b"), Entity(1, 2, "cell_c")])._repr_html_())
    assert first["cell_b"] == second["cell_b"]
    assert len({first["cell_a"], first["cell_b"], second["cell_c"]}) == 3


def test_styles_repeat_only_after_the_last() -> None:
    styles = LabelStyles(["a", "b", "a"])
    assert [styles.number(label) for label in ("b", "c", "a")] == [1, 2, 0]
    assert [styles.number(str(n)) for n in range(STYLES)] == [*range(3, STYLES), 0, 1, 2]
    html, _ = mark("ab", [Entity(1, 2, "y"), Entity(0, 1, "z")])
    assert classes(html) == {"z": "c0", "y": "c1"}
