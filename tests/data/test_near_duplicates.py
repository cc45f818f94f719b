"""Groups of near duplicates against a plain comparison of all pairs."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.data import near_duplicates
from ie_cli.data.near_duplicates import groups, similarity_of


def trigrams(text: str) -> set[str]:
    padded = " ".join(text.casefold().split()) or "\0"
    return {(padded + "\0\0")[at : at + 3] for at in range(len(padded))}


def jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def plain_groups(texts: list[str], similarity: float) -> list[int]:
    """Compare every text with every other."""
    labels, sets = list(range(len(texts))), [trigrams(text) for text in texts]
    for one, a in enumerate(sets):
        for other in range(one):
            if jaccard(a, sets[other]) >= similarity and labels[one] != labels[other]:
                old, new = labels[one], labels[other]
                labels = [new if label == old else label for label in labels]
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]


def sentences(count: int, seed: int) -> list[str]:
    """Sentences of which some are others with a changed, an added or a removed character."""
    made = random.Random(seed)
    texts = ["".join(made.choice("abcdefgh 的一是不了人") for _ in range(made.randrange(5, 60))) for _ in range(count)]
    for _ in range(count):
        text = made.choice(texts)
        at = made.randrange(len(text))
        texts.append(text[:at] + made.choice(["", "x", "xy"]) + text[at + made.randrange(2) :])
    made.shuffle(texts)
    return texts


@pytest.mark.parametrize("similarity", [0.6, 0.8, 1.0])
def test_the_groups_are_those_of_all_pairs(similarity: float) -> None:
    texts = sentences(100, seed=3)
    expected = plain_groups(texts, similarity)
    assert groups(texts, similarity=similarity) == expected
    assert len(set(expected)) < len(texts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann met Bob", "ann met Rob"),
        ("", ""),
        ("", "a"),
        ("王伟在青川", "王伟在青山"),
        ("a" * 50, "aa"),
        ("\ud83d x", "x"),
    ],
)
def test_the_similarity_is_that_of_the_sets(one: str, other: str) -> None:
    assert (
        similarity_of(one, other) == similarity_of(other, one) == pytest.approx(jaccard(trigrams(one), trigrams(other)))
    )
    assert similarity_of(one, one) == 1.0


@given(st.lists(st.text(max_size=5), max_size=5))
def test_any_texts_have_groups_in_order(texts: list[str]) -> None:
    found = groups(texts)
    assert len(found) == len(texts)
    assert sorted(set(found), key=found.index) == list(range(len(set(found))))
    for text, number in zip(texts, found, strict=True):
        assert number == found[texts.index(text)]


def test_case_whitespace_and_width_do_not_matter() -> None:
    assert groups(["Ann met Bob.", "ann  met\nbob.", "Ａｎｎ met Bob.", "Eve met Ann in Rome."]) == [0, 0, 0, 1]


def test_batches_do_not_change_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(60, seed=5)
    whole = groups(texts)
    monkeypatch.setattr(near_duplicates, "_MAX_TEXTS", 7)
    monkeypatch.setattr(near_duplicates, "_MAX_CHARACTERS", 100)
    assert groups(iter(texts)) == whole


def test_many_copies_are_one_group() -> None:
    texts = [
        f"The meeting of the committee on trade and fisheries was postponed until Monday {n % 10}" for n in range(500)
    ]
    assert set(groups(texts)) == {0}


def test_similar_texts_below_the_limit_stay_apart() -> None:
    one, other = "abcdefghijklmnopqrst", "abcdefghijXXmnopqrst"
    assert 0.5 < similarity_of(one, other) < 0.8
    assert groups([one, other]) == [0, 1]
    assert groups([one, other], similarity=0.5) == [0, 0]
    assert groups([]) == []
