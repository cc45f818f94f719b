"""The tables and the picture of `benchmarks/growth.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture
def curves(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, which is not in a package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import growth_curves

    yield growth_curves
    del sys.modules["growth_curves"]


def some(curves: Any) -> list[Any]:
    points = [
        curves.Point(1_000, 0.878, 1138.6, 402, 473.4, "spans: 1,026"),
        curves.Point(10_000, note="failed: no memory"),
        curves.Point(100_000, 78.3, 1276, 402, 512, "spans: 108,154"),
    ]
    return [
        curves.Curve("Prediction", "lines", "seconds", "lines/s", points),
        curves.Curve("Training", "labels", "ms per batch", "tokens/s", points[:1]),
    ]


def test_tables_are_read_as_they_were_written(curves: Any) -> None:
    given = some(curves)
    found = curves.read_tables("## Growth\n\nA note.\n\n" + "\n\n".join(map(curves.table, given)))
    assert [(c.title, c.size, c.time, c.rate) for c in found] == [(c.title, c.size, c.time, c.rate) for c in given]
    assert [[(p.size, p.note, p.failed) for p in c.points] for c in found] == [
        [(p.size, p.note, p.failed) for p in c.points] for c in given
    ]
    assert (found[0].points[0].time, found[0].points[0].rate) == (0.878, 1139)
    assert (found[0].points[0].peak, found[0].points[0].growth) == pytest.approx((473, 71.4))


def test_the_results_have_the_tables_of_all_curves(curves: Any) -> None:
    _, _, text = (BENCHMARKS / "RESULTS.md").read_text(encoding="utf-8").partition("<!-- growth:begin -->")
    found = curves.read_tables(text.partition("<!-- growth:end -->")[0])
    assert [(c.title, c.size, c.time, c.rate) for c in found] == [
        (series.title, series.size, series.time, series.rate) for axis in curves.AXES.values() for series in axis
    ]
    assert all(curve.measured for curve in found)


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")  # matplotlib 3.9 beside a new pyparsing
def test_the_picture_has_two_panels_a_curve(curves: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("one.svg", "two.svg"):
        curves.draw(some(curves), tmp_path / name)
    picture = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert picture == (tmp_path / "two.svg").read_text(encoding="utf-8")
    for text in (
        "Prediction: seconds",
        "Prediction: MB",
        "Training: ms per batch",
        "Training: MB",
        "n^0.98",
        "100,000",
    ):
        assert f">{text}</text>" in picture
