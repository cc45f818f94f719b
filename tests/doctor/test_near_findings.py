"""The report of near duplicates, which are those that `ie split` keeps together."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from ie_cli.data.near_duplicates import groups, similarity_of
from ie_cli.data.split_plan import SplitOptions, plan_split
from ie_cli.doctor import near_findings as module
from ie_cli.doctor.near_findings import NearGroups, StoredTexts, near_findings
from ie_cli.document import Document

TEXT = "Ann Hill met Bo in the town hall of Wien today"


def stored(*texts: str, name: str = "a") -> StoredTexts:
    made = StoredTexts()
    for number, text in enumerate(texts, 1):
        made.add(text, f"{name}.txt:{number}")
    return made


def test_splits_are_compared_with_places_and_equal_texts_do_not_count() -> None:
    train = stored("something else that is long enough", TEXT, name="train")
    dev = stored(TEXT, TEXT.replace("today", "Today!"), "short", name="dev")
    leak, inside = near_findings({"train": train, "dev": dev})
    assert (leak.kind, inside.kind) == ("warning", "warning")
    assert leak.message.startswith(
        "1 of 3 distinct texts of dev is a near duplicate of texts of train (they have at least 70%"
    )
    assert leak.details == ["dev.txt:2 '…n hall of Wien Today!' and train.txt:2 '…n hall of Wien today' (100%)"]
    assert inside.message.startswith("dev: 2 of 3 distinct texts are near duplicates, in 1 group (")
    assert inside.details == ["dev.txt:2 '…n hall of Wien Today!' and dev.txt:1 '…n hall of Wien today' (100%)"]


def test_equal_texts_of_two_splits_are_no_near_duplicates() -> None:
    assert not list(near_findings({"train": stored(TEXT), "dev": stored(TEXT)}))


def test_the_most_similar_text_is_shown_and_a_few_are_a_note() -> None:
    texts = [
        f"one text number {n} of many, which differ in their words: {f' {n} '.join('abcdefghij')}" for n in range(30)
    ]
    train = stored(*texts, f"{TEXT}, and Eve", f"{TEXT}!", *(chr(0x4E00 + n) * 29 for n in range(300)), name="train")
    dev = stored(TEXT, *(chr(0x5E00 + n) * 29 for n in range(300)), name="dev")
    leak = next(iter(near_findings({"train": train, "dev": dev})))
    assert leak.kind == "note"
    assert leak.details == ["dev.txt:1 '…l of Wien today' and train.txt:32 '…l of Wien today!' (100%)"]


def test_different_splits_give_no_finding() -> None:
    assert not list(near_findings({"train": stored("one text of more than twenty letters"), "dev": StoredTexts()}))
    assert not list(near_findings({"train": StoredTexts()}))


def test_the_groups_are_those_that_split_keeps_together() -> None:
    made = random.Random(2)
    texts = ["".join(made.choice("abcdefghijk") for _ in range(50)) for _ in range(60)]
    texts += [f"{text.upper()} ." for text in texts[::9]] + [f"{text[2:]}x" for text in texts[::6]]
    texts = list(dict.fromkeys(texts))
    plan = plan_split([Document(text=text, id=None) for text in texts], SplitOptions())
    near = NearGroups.of({"train": stored(*texts)})
    inside = near.inside("train")
    assert plan.duplicates == (len(inside), sum(map(len, inside)))
    assert len(inside) > 3
    sizes = Counter(groups(texts))
    assert sorted(map(len, inside)) == sorted(size for size in sizes.values() if size > 1)
    parts = {
        name: [text for text, part in zip(texts, plan.parts, strict=True) if part == number]
        for number, name in enumerate(("train", "dev", "test"))
    }
    divided = NearGroups.of({name: stored(*texts) for name, texts in parts.items()})
    assert all(not divided.between(one, other) for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")))


def test_texts_are_stored_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", 10)
    texts = ["Ann Hill met Bo Berg in Wien", "王伟", "\ud800 lone\0 surrogates", ""]
    kept = stored(*texts)
    assert [kept.read(number) for number in range(4)] == [(text, f"a.txt:{n}") for n, text in enumerate(texts, 1)]
    assert list(kept) == texts
    with pytest.raises(IndexError):
        StoredTexts().read(0)
    assert similarity_of(texts[0], texts[0]) == 1
