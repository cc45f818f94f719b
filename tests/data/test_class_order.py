from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.data.class_order import order_of_classes


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["1", "0"], ("0", "1")),
        (["1", "-1", "0"], ("-1", "0", "1")),
        (["5", "10", "2.5"], ("2.5", "5", "10")),
        (["neutral", "entailment"], ("neutral", "entailment")),
        (["Entailment", "NEUTRAL", "contradiction"], ("contradiction", "NEUTRAL", "Entailment")),
        (["entailment", "not_entailment"], ("not_entailment", "entailment")),
        (["True", "False"], ("False", "True")),
        (["not duplicate", "duplicate"], ("not duplicate", "duplicate")),
        (["蕴含", "矛盾", "中立"], ("矛盾", "中立", "蕴含")),
        (["相似", "不相似"], ("不相似", "相似")),
    ],
)
def test_known_orders(names: list[str], order: tuple[str, ...]) -> None:
    assert order_of_classes(names) == order


@pytest.mark.parametrize(
    "names", [["a", "b"], ["yes", "true"], ["0", "no"], ["1", "1.0"], ["nan", "0"], ["yes", "maybe"]]
)
def test_unknown_orders(names: list[str]) -> None:
    assert order_of_classes(names) is None


@given(st.lists(st.integers(), unique=True, min_size=1))
def test_numbers_are_ordered_by_value(numbers: list[int]) -> None:
    small = [number % 10**6 for number in numbers]
    found = order_of_classes(map(str, small))
    assert found == tuple(map(str, sorted(set(small))))
