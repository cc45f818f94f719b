"""The order of the classes of pairs of texts, from the least to the most similar, if their names show it."""

from __future__ import annotations

import math
from collections.abc import Iterable

_ORDERS = (
    (
        ("contradiction", "contradictory", "contradicts", "矛盾"),
        ("neutral", "中立", "中性"),
        ("entailment", "entails", "蕴含", "蕴涵"),
    ),
    (("not_entailment", "non-entailment"), ("entailment", "entails")),
    (
        (
            *("no", "false", "n", "f", "different", "unrelated", "irrelevant", "dissimilar", "negative"),
            *("not_duplicate", "not_similar", "not_equivalent", "not_paraphrase"),
            *("否", "不是", "不同", "不相同", "不相似", "不一致", "无关", "不相关"),
        ),
        (
            *("yes", "true", "y", "t", "same", "related", "relevant", "similar", "positive"),
            *("duplicate", "equivalent", "paraphrase"),
            *("是", "相同", "相似", "一致", "相关"),
        ),
    ),
)
"""Known orders of classes; a level lists several names of one class."""


def order_of_classes(names: Iterable[str]) -> tuple[str, ...] | None:
    """Return classes from the least to the most similar, or None if their names do not show the order.

    Numbers are ordered by value. Other names must be different levels of one known order, whatever their case.

    >>> order_of_classes(["entailment", "contradiction", "neutral"])
    ('contradiction', 'neutral', 'entailment')
    >>> order_of_classes(["duplicate", "No"])
    ('No', 'duplicate')
    """
    found = sorted(set(names))
    for ranks in (_numbers(found), *(_levels(found, order) for order in _ORDERS)):
        if ranks is not None and len(set(ranks)) == len(found):
            return tuple(name for _, name in sorted(zip(ranks, found, strict=True)))
    return None


def _numbers(names: list[str]) -> list[float] | None:
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _levels(names: list[str], order: tuple[tuple[str, ...], ...]) -> list[float] | None:
    level_of = {word: float(level) for level, words in enumerate(order) for word in words}
    levels = [level_of.get(name.strip().casefold().replace(" ", "_")) for name in names]
    return [level for level in levels if level is not None] if None not in levels else None
