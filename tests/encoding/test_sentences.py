"""Sentences partition a text, whatever it contains; nothing but whitespace is between them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ie_cli.encoding import sentences as module
from ie_cli.encoding.sentences import sentence_spans

PARTS = [
    *"ab. A!?。！？“”\"'()（）「」『』\n\r\t \u3000,…\u0301😀é王\u2028\x85\x00:3\ud800",
    "\n\n",
    "Mr. ",
    "U.S. ",
    "a.b. ",
    "[1]",
]


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@given(st.lists(st.sampled_from(PARTS), max_size=60).map("".join) | st.text(max_size=60))
@example("A\u3000. 王 B\u2028. C\x85.")  # the library panics on whitespace outside ASCII after a single letter
def test_nothing_but_whitespace_is_outside_the_sentences(text: str) -> None:
    spans = sentence_spans(text)
    places = [place for span in spans for place in span]
    assert places == sorted(places)
    assert all(start < end for start, end in spans)
    covered = [text[start:end] for start, end in spans]
    assert all(part == part.strip() for part in covered)
    outside = text
    for start, end in reversed(spans):
        outside = outside[:start] + outside[end:]
    assert not outside.strip()
    for start, _ in spans[1:]:
        assert text[start - 1].isspace() or unicodedata.category(text[start]) not in ("Mn", "Me", "Pe")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Smith lives in the U.S. He left.", ["Dr. Smith lives in the U.S.", "He left."]),
        ("他说：“天气好。”然后走了。王伟住在北京！", ["他说：“天气好。”", "然后走了。", "王伟住在北京！"]),
        ("『好。』\n第二段。 第三", ["『好。』", "第二段。", "第三"]),
        ("彼は「行きます。」と言った。本当？", ["彼は「行きます。」", "と言った。", "本当？"]),
        ("Edit Web.Config. Then run it.", ["Edit Web.Config.", "Then run it."]),
        ("1. Introduction. 2. Method. 3.", ["1. Introduction.", "2. Method. 3."]),
        ("He left. ' '", ["He left. ' '"]),
        (" \n ", []),
        ("3.5", ["3.5"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_the_language_decides_on_abbreviations() -> None:
    text = "Das ist z.B. Wien und bzw. Rom. Gut."
    assert len(sentence_spans(text, "de")) == 2
    assert sentence_spans(text, "xx-unknown") == sentence_spans(text)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "王伟住在北京。他去了上海！ Anna met Dr. Lee in the U.S. yesterday. " * 20
    whole = sentence_spans(text[:400])
    monkeypatch.setattr(module, "_BLOCK", 64)
    assert sentence_spans(text)[: len(whole) - 1] == whole[:-1]
    long = "a " * 5000 + "end. Next one."
    assert sentences(long) == [long[:-10], "Next one."]
