"""Groups of near duplicates against a plain comparison of all pairs."""

from __future__ import annotations

import doctest
import random
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.data import near_duplicates
from ie_cli.data.near_duplicates import FEWEST, SIMILARITY, groups, similarity_of


def plain_shingles(text: str) -> set[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    letters = "".join(c if re.match(r"[^\W_]", c) or unicodedata.category(c).startswith("M") else " " for c in folded)
    words = " ".join(letters.split(" ")) if letters.strip(" ") else ""
    words = re.sub(" +", " ", words).strip() or " ".join(folded.split()) or "\0"
    if len(words) < FEWEST:
        return {words}
    return {words[at : at + (3 if ord(words[at]) >= 0x2E80 else 6)] for at in range(len(words))}


def jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def plain_groups(texts: list[str], similarity: float) -> list[int]:
    """Compare every text with every other."""
    labels, sets = list(range(len(texts))), [plain_shingles(text) for text in texts]
    for one, a in enumerate(sets):
        for other in range(one):
            if jaccard(a, sets[other]) >= similarity and labels[one] != labels[other]:
                old, new = labels[one], labels[other]
                labels = [new if label == old else label for label in labels]
    numbers: dict[int, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]


def sentences(count: int, seed: int, alphabet: str = "abcdefgh 的一是不了人") -> list[str]:
    """Sentences of which some are others with a changed, an added or a removed character."""
    made = random.Random(seed)
    texts = ["".join(made.choice(alphabet) for _ in range(made.randrange(0, 90))) for _ in range(count)]
    for _ in range(count * 2):
        text = made.choice(texts)
        at = made.randrange(len(text) + 1)
        texts.append(text[:at] + made.choice(["", "x", "xy"]) + text[at + made.randrange(2) :])
    made.shuffle(texts)
    return texts


@given(
    st.integers(0, 10**6),
    st.sampled_from(["ab", "abcdefgh 的一是不了人", "的一是不了人我在有他这"]),
    st.sampled_from([0.5, 0.6, SIMILARITY, 0.8, 0.9, 1.0]),
    st.booleans(),
)
def test_the_groups_are_those_of_all_pairs(seed: int, alphabet: str, similarity: float, small: bool) -> None:
    texts = sentences(20, seed, alphabet)
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in (("_ENTRIES", 50), ("_PAIRS", 7), ("_SHINGLES", 100), ("_MAX_TEXTS", 7)) if small else ():
            patch.setattr(near_duplicates, name, limit)
        assert groups(texts, similarity=similarity) == plain_groups(texts, similarity)


@given(st.lists(st.text(max_size=12), max_size=8))
def test_any_texts_have_the_groups_of_all_pairs(texts: list[str]) -> None:
    assert groups(texts) == plain_groups(texts, SIMILARITY)


def test_chains_and_long_texts_are_found() -> None:
    made = random.Random(4)
    long = "".join(made.choice("abcdefghijklmnop ") for _ in range(5000))
    texts = [long[n * 200 : n * 200 + 3000] for n in range(10)] + [
        "".join(made.choice("qrstuvwxyz") for _ in range(3000))
    ]
    assert similarity_of(texts[0], texts[9]) < 0.5
    assert groups(texts) == plain_groups(texts, SIMILARITY) == [0] * 10 + [1]


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("刊登于《电脑游戏攻略》杂志二〇一〇年十二月", "刊登于《电脑游戏攻略》杂志二〇一〇年十二月刊", True),
        ("Ann Hill met Bo in the town hall of Wien today", "ann hill met Bo in the town-hall of Wien today.", True),
        ("他在北京大学读书，今年毕业了", "他在北京大学读书，今年毕业", False),
        ("The first of two quite different sentences", "Nothing here is the same as in the other one", False),
        ("发表于大众软件杂志一月上", "发表于大众软件杂志一月下", False),  # the last character counts
        ("हिन्दी में लिखा हुआ एक वाक्य", "हन्द म लख हुआ एक वक्य", False),  # marks are parts of letters
        ("22号王伟", "2号王伟", False),
        ("Others:", "others", True),
        ("", "", True),
        ("", "a", False),
        ("?", "!", False),
        ("\ud83d x", "x", True),
    ],
)
def test_the_similarity_of_texts(one: str, other: str, near: bool) -> None:
    found = similarity_of(one, other)
    assert found == similarity_of(other, one) == pytest.approx(jaccard(plain_shingles(one), plain_shingles(other)))
    assert (found >= SIMILARITY) is near
    assert similarity_of(one, one) == 1.0
    assert groups([one, other]) == [0, int(not near)]


def test_case_whitespace_and_width_do_not_matter() -> None:
    assert doctest.testmod(near_duplicates) == (0, 2)
    assert groups(["Ann met Bob.", "ann  met\nbob.", "Ａｎｎ met Bob.", "Eve met Ann in Rome."]) == [0, 0, 0, 1]


def test_many_copies_are_one_group() -> None:
    texts = [
        f"The meeting of the committee on trade and fisheries was postponed until Monday {n % 10}" for n in range(500)
    ]
    assert set(groups(texts)) == {0}


def test_similar_texts_below_the_limit_stay_apart() -> None:
    one, other = "abcdefghijklmnopqrstuvwxyz", "abcdefghijklXnopqrstuvwxyz"
    assert 0.6 < similarity_of(one, other) < 0.7
    assert groups([one, other]) == [0, 1]
    assert groups([one, other], similarity=0.6) == [0, 0]
    assert groups([]) == []
