"""Texts follow each other as in a document, and keep their characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.encoding.joined_texts import PARAGRAPH, join_texts, joint_of
from ie_cli.encoding.sentences import sentence_spans

TEXTS = st.lists(st.text('王a。.»"% \n\u0301\u200b', max_size=5), min_size=1, max_size=6)


@given(TEXTS, st.sampled_from([None, "", " ", " | "]))
def test_every_text_is_at_its_offset_and_only_joints_are_between(texts: list[str], joiner: str | None) -> None:
    joined, starts = join_texts(texts, joiner)
    assert [joined[start : start + len(text)] for start, text in zip(starts, texts, strict=True)] == texts
    ends = [0, *(start + len(text) for start, text in zip(starts, texts, strict=True))]
    gaps = [joined[end:start] for end, start in zip(ends, starts, strict=False)]
    assert gaps[0] == ""
    assert ends[-1] == len(joined)
    assert set(gaps[1:]) <= ({"", " ", PARAGRAPH} if joiner is None else {joiner})


@pytest.mark.parametrize(
    ("left", "right", "joint"),
    [
        ("a.", "b", " "),
        ("王。", "b", ""),
        ("a,", "王", ""),
        ("한국.", "사람", " "),
        ("あ、", "い", ""),
        ("He said: “No.”", "b", " "),
        ('"No." ', "b", " "),
        ("（见下。）", "王", ""),
        ("a –", "b", " "),
        ("a", "b", PARAGRAPH),
        ("王", "王", PARAGRAPH),
        ("《王》", "王", PARAGRAPH),
        ("CANBERRA (AP)", "b", PARAGRAPH),
        ('"No"', "b", PARAGRAPH),
        ("30%", "b", PARAGRAPH),
        ("增长30％", "王", PARAGRAPH),
        ("王。＂", "王", ""),
        ("王＂", "王", PARAGRAPH),
        ("6′", "b", PARAGRAPH),
        ("wait…", "b", " "),
        ("what‼", "b", " "),
        ("a", " ", ""),
        ("()", "b", PARAGRAPH),
        ("e\u0301", "b", PARAGRAPH),
        ("", "a", ""),
        ("a", "", ""),
    ],
)
def test_the_joint_depends_on_the_end_of_the_first_text_and_on_the_script(left: str, right: str, joint: str) -> None:
    assert joint_of(left, right) == joint


def test_an_empty_text_changes_no_joint() -> None:
    assert join_texts(["a", "", "b", "", ""], None) == ("a\n\nb", [0, 1, 3, 4, 4])
    assert join_texts(["", "a.", "", "b"], None) == ("a. b", [0, 0, 2, 3])
    assert join_texts(["a.", " ", "b"], None) == ("a.  b", [0, 2, 4])


def test_headings_and_texts_without_full_stops_stay_sentences() -> None:
    for texts in (["Rom (AP)", "The pope spoke", "Then he left."], ["张三生于北京", "他演过《王》", "李四是演员"]):
        joined, _ = join_texts(texts, None)
        assert [joined[start:end] for start, end in sentence_spans(joined)] == texts
