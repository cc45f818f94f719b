"""Texts that are nearly equal: what is reported is true, and nearly everything is found."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest

from ie_cli.doctor import near_duplicates
from ie_cli.doctor.near_duplicates import SIMILAR, TextSketches, find_near, near_findings, similarity


def sketches(*texts: str, name: str = "a") -> TextSketches:
    made = TextSketches()
    for number, text in enumerate(texts, 1):
        made.add(text, f"{name}.txt:{number}")
    return made


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("刊登于《电脑游戏攻略》杂志二〇一〇年十二月", "刊登于《电脑游戏攻略》杂志二〇一〇年十二月刊", True),
        ("Ann Hill met Bo in the town hall of Wien today", "ann hill met Bo in the town-hall of Wien today.", True),
        ("他在北京大学读书，今年毕业了", "他在北京大学读书，今年工作了", False),
        ("The first of two quite different sentences", "Nothing here is the same as in the other one", False),
        ("发表于大众软件杂志一月上", "发表于大众软件杂志一月下", False),  # the last character counts
    ],
)
def test_similarity_of_texts(one: str, other: str, near: bool) -> None:
    assert (similarity(one, other) >= SIMILAR) is near
    assert similarity(one, other) == similarity(other, one)
    assert similarity(one, one) == 1


def test_nearly_all_pairs_are_found_and_only_true_ones() -> None:
    randomly = random.Random(3)
    words = [f"wort{n}" for n in range(300)]
    texts = []
    for _ in range(60):
        base = randomly.choices(words, k=15)
        texts.append(" ".join(base))
        for changed in range(randomly.randrange(3)):
            base[randomly.randrange(15)] = f"neu{changed}"
            texts.append(" ".join(base))
    found, complete = find_near({"a": sketches(*texts)})
    expected = {
        second
        for first, second in combinations(range(len(texts)), 2)
        if similarity(texts[first], texts[second]) >= SIMILAR
    }
    assert complete
    assert len(expected) > 30
    assert 0.98 * len(expected) <= found["a", "a"].count <= len(expected)
    for pair in found["a", "a"].shown:
        assert pair.similarity == similarity(pair.text, pair.other_text) >= SIMILAR


def test_splits_are_compared_with_places_and_equal_texts_do_not_count() -> None:
    text = "Ann Hill met Bo in the town hall of Wien today"
    train = sketches("something else that is long enough", text, name="train")
    dev = sketches(text, text.replace("today", "Today!"), "short", name="dev")
    findings = list(near_findings({"train": train, "dev": dev}))
    leak = next(one for one in findings if one.message.startswith("train contains"))
    assert leak.kind == "warning"
    assert "1 of 2 texts of 20 or more characters of dev" in leak.message
    assert leak.details == ["dev.txt:2 '…n hall of Wien Today!' and train.txt:2 '…n hall of Wien today' (100%)"]
    assert [one.message.partition(":")[0] for one in findings if one is not leak] == ["dev"]


def test_different_splits_give_no_finding() -> None:
    assert not list(near_findings({"train": sketches("one text of more than twenty letters"), "dev": TextSketches()}))
    assert not list(near_findings({"train": TextSketches()}))


def test_limits_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "_TEXTS", 2)
    findings = list(near_findings({"train": sketches(*(f"{n} text that is long enough" for n in "abc"))}))
    assert findings[-1].text.endswith("were not compared with similar ones: train 1")
    monkeypatch.setattr(near_duplicates, "_PAIRS", 1)
    many = sketches(*(f"one sentence of some length that many texts share {n}" for n in range(5)))
    monkeypatch.setattr(near_duplicates, "_TEXTS", 9)
    many = sketches(*(f"one sentence of some length that many texts share {n}" for n in range(5)))
    [finding] = near_findings({"train": many})
    assert finding.text.startswith("train: at least 1 of 5 texts")


def test_texts_are_hashed_alike_in_any_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [
        "Ann Hill met Bo Berg in Wien",
        "王伟在云州市的大学读书一年，李娜在东湖的大学教书三年",
        "\ud800 lone surrogates are hashed too",
    ]
    together = sketches(*texts).keys()
    monkeypatch.setattr(near_duplicates, "_BATCH", 1)
    single = sketches(*texts)
    assert np.array_equal(together, single.keys())
    assert [single.read(number) for number in range(3)] == [(text, f"a.txt:{n}") for n, text in enumerate(texts, 1)]
