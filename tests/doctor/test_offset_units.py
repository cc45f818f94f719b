"""Offsets that count bytes or UTF-16 units in data without mentions."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.corpora import recipe

from ie_cli.doctor.data_checks import check
from ie_cli.doctor.offset_units import UnitsGuess

GERMAN = "Zoë Müller besucht Jürgen Krämer in Köln am Rhein"
NAMES = ["Zoë Müller", "Jürgen Krämer", "Köln"]
CHINESE = "昨天晚上八点王伟在青川大学见到了李娜和陈晨同学"
PEOPLE = ["王伟", "青川大学", "李娜", "陈晨"]
EMOJI = "👩 Anna met 👨\u200d👩\u200d👧 Bob 😀 in Rome and 👍 Carla"
FRIENDS = ["Anna", "Bob", "Rome", "Carla"]


def spans(text: str, mentions: list[str], encoding: str | None, width: int = 1) -> list[tuple[int, int]]:
    """Return the spans of the mentions, counted in characters or in the units of an encoding."""

    def count(at: int) -> int:
        return at if encoding is None else len(text[:at].encode(encoding)) // width

    places = [(text.index(mention), text.index(mention) + len(mention)) for mention in mentions]
    return [(count(start), count(end)) for start, end in places]


@pytest.mark.parametrize(
    ("text", "mentions", "encoding", "width", "words"),
    [
        (GERMAN, NAMES, "utf-8", 1, "count UTF-8 bytes, not characters: read that way, all 3 entities"),
        (CHINESE, PEOPLE, "utf-8", 1, "count UTF-8 bytes, not characters: read that way, all 4 entities"),
        (EMOJI, FRIENDS, "utf-16-le", 2, "count UTF-16 units, not characters: read that way, all 4 entities"),
        (EMOJI, FRIENDS, "utf-8", 1, "count UTF-8 bytes, not characters: read that way, all 4 entities"),
    ],
)
def test_other_units_are_recognised(text: str, mentions: list[str], encoding: str, width: int, words: str) -> None:
    guess = UnitsGuess()
    guess.add(text, spans(text, mentions, encoding, width), "x:1")
    verdict = guess.verdict()
    assert verdict is not None
    assert words in verdict
    assert f"and would be {mentions[0]!r}" in verdict
    assert f"len(raw[:{'2 * ' if width == 2 else ''}offset].decode('{encoding}'))" in verdict
    # One span that contradicts the unit is enough for no verdict.
    guess.add(text, [(0, 1), (len(text.encode()), len(text.encode()) + 1)], "x:2")
    assert guess.verdict() is None


def test_offsets_in_bytes_that_lie_in_long_texts() -> None:
    guess = UnitsGuess()
    for n in range(8):
        text = "中" * n + CHINESE + "。" * 200
        guess.add(text, spans(text, PEOPLE, "utf-8"), f"x:{n}")
    assert "UTF-8 bytes" in (guess.verdict() or "")


def test_a_text_that_repeats_itself_is_not_suspected() -> None:
    guess = UnitsGuess()
    guess.add("王伟、" * 20, [(3 * n, 3 * n + 3) for n in range(20)], "x:1")
    assert guess.verdict() is None


def test_long_documents_take_time_in_proportion() -> None:
    guess = UnitsGuess()
    began = time.process_time()
    guess.add("王伟、" * 60_000, [(3 * n, 3 * n + 2) for n in range(20_000)], "x:1")
    assert time.process_time() - began < 5  # by prefixes it was a minute


@pytest.mark.parametrize(
    ("text", "mentions"), [(GERMAN, NAMES), (CHINESE, PEOPLE), (EMOJI, FRIENDS), ("Anna", ["Anna"])]
)
def test_characters_are_not_suspected(text: str, mentions: list[str]) -> None:
    guess = UnitsGuess()
    guess.add(text, spans(text, mentions, None), "x:1")
    assert guess.verdict() is None


def test_wrong_offsets_are_not_mistaken_for_another_unit() -> None:
    guess = UnitsGuess()
    guess.add("Anna met Bob", [(0, 4), (9, 13)], "x:1")  # beyond an ASCII text, where all units are one
    guess.add(GERMAN, spans(GERMAN, NAMES, "utf-8"), "x:2")
    assert guess.verdict() is None


@given(st.text(max_size=20), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4))
def test_any_text_and_offsets(text: str, offsets: list[tuple[int, int]]) -> None:
    guess = UnitsGuess()
    guess.add(text, [(min(a, b), max(a, b) + 1) for a, b in offsets if min(a, b) < len(text)], "x:1")
    assert guess.verdict() is None or "seem to count" in str(guess.verdict())


def test_check_reports(tmp_path: Path) -> None:
    def findings(encoding: str | None) -> list[str]:
        entities = [{"start": a, "end": b, "label": "x"} for a, b in spans(GERMAN, NAMES, encoding)]
        line = json.dumps({"text": GERMAN, "entities": entities}) + "\n"
        beyond = json.dumps({"text": "Köln", "entities": [{"start": 0, "end": 5, "label": "x"}]}) + "\n"
        (tmp_path / "t.jsonl").write_text(line * 5 + beyond * (encoding is not None))
        made = recipe(tmp_path / "t.jsonl", data={"dev": None})
        return [finding.text for finding in check(made) if "seem to count" in finding.text]

    [text] = findings("utf-8")
    assert text.startswith("train: offsets seem to count UTF-8 bytes, not characters: read that way, all 16 entities")
    assert f"{tmp_path / 't.jsonl'}:1: 0-12 is 'Zoë Müller b', and would be 'Zoë Müller'" in text
    assert findings(None) == []
