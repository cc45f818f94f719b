"""Every reader, writer, metric and analysis grows with its input, and not with the square of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
TIMES, MOST = 8, 24  # eight times the input; what grows with its square takes 64 times as long
ENOUGH, NOTHING = 0.005, 0.02  # seconds of the smaller point; what the larger one may take in any case
TRIES = 4
pytestmark = pytest.mark.slow


def parts() -> Any:
    """The module, which is not in a package."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import growth_parts
    finally:
        sys.path.remove(str(BENCHMARKS))
    return growth_parts


GROWTH = parts()
SHAPES = [(part.name, shape, make) for part in GROWTH.PARTS for shape, make in GROWTH.shapes(part)]


@pytest.mark.parametrize(("part", "shape", "make"), SHAPES, ids=[f"{part}, {shape}" for part, shape, _ in SHAPES])
def test_eight_times_the_input_takes_less_than_24_times_as_long(part: str, shape: str, make: Any) -> None:
    size = GROWTH.base_size(make, ENOUGH)
    small, large = make(size), make(TIMES * size)
    for _ in range(TRIES):  # other processes may have the caches
        limit = max(MOST * GROWTH.seconds(small, 2), NOTHING)
        if (taken := GROWTH.seconds(large, 1)) < limit:
            return
    pytest.fail(f"{part}, {shape}: {TIMES * size} items took {taken:.3f} s, {size} took {limit / MOST:.3f} s")


def test_what_grows_with_the_square_is_found() -> None:
    def make(size: int) -> Any:
        return lambda: sum(1 for _ in range(size) for _ in range(size))

    size = GROWTH.base_size(make, ENOUGH)
    assert GROWTH.seconds(make(TIMES * size), 1) > MOST * GROWTH.seconds(make(size), 2)
    assert GROWTH.exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GROWTH, "PARTS", GROWTH.PARTS[:2])


@pytest.mark.usefixtures("few")
def test_the_table_has_a_row_for_each_shape(capsys: pytest.CaptureFixture[str]) -> None:
    GROWTH.main(quick=True)
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "| part | shape | items | seconds | items | seconds | exponent |"
    assert [row.split(" | ")[:2] for row in rows[2:]] == [
        [f"| {part.name}", shape] for part in GROWTH.PARTS for shape in ("one record", "many records")
    ]
