"""The words that `tiny` may have as tokens: the same every time, each with exact offsets, the rarest unknown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.word_vocabulary import UNKNOWN_SHARE, word_tokenizer

TEXTS = [
    f"In {year} the firm of {name} moved to the port." for year in (1984, 1997) for name in ("José", "Ann", "Łukasz")
]


def spans(tokenizer: TextTokenizer, text: str) -> list[str]:
    [tokens] = tokenizer.encode([text])
    return [text[start:end] for start, end in zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)]


def test_the_order_of_the_texts_does_not_matter() -> None:
    assert word_tokenizer(TEXTS).to_str() == word_tokenizer(TEXTS[::-1]).to_str()


def test_words_digits_and_signs_are_tokens() -> None:
    text = "Dr. O'Brannon, of Vale-Ortiz & Sons, paid $2.5 in Łódź."
    expected = "Dr . O ' Brannon , of Vale - Ortiz & Sons , paid $ 2 . 5 in Łódź ."
    assert spans(TextTokenizer(word_tokenizer(TEXTS)), text) == expected.split()


def test_the_rarest_words_are_unknown_as_far_as_they_are_a_small_share_of_the_text() -> None:
    tokenizer = word_tokenizer(TEXTS)
    known = tokenizer.get_vocab()
    assert "firm" in known
    assert "José" not in known  # each name occurs twice, and all together are a fourteenth of the words
    ids = [number for text in TEXTS for number in tokenizer.encode(text, add_special_tokens=False).ids]
    assert 0 < ids.count(known["[UNK]"]) / len(ids) <= UNKNOWN_SHARE


def test_a_word_that_occurs_once_is_unknown_however_large_its_share_is() -> None:
    assert set(word_tokenizer(["all of these words occur once"]).get_vocab()) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]"}


def test_a_text_gets_the_special_tokens_around_it() -> None:
    tokenizer = TextTokenizer(word_tokenizer(TEXTS))
    vocabulary = tokenizer.tokenizer.get_vocab()
    assert (tokenizer.prefix, tokenizer.suffix) == ([vocabulary["[CLS]"]], [vocabulary["[SEP]"]])


def tokens_of(texts: Sequence[str]) -> TextTokenizer:
    return TextTokenizer(word_tokenizer(texts))


ASSIGNED = st.characters(exclude_categories=["Cn"])  # of newer characters Python may not know what they are


@given(text=st.text(st.one_of(st.sampled_from(" ab1é.'-\u0301\n\ud83d"), ASSIGNED), max_size=30))
def test_tokens_cover_all_but_whitespace_and_split_every_word_from_the_next(text: str) -> None:
    pieces = spans(tokens_of([text, text]), text)
    assert pieces == spans(tokens_of(()), text)  # whatever the vocabulary
    assert "".join(pieces) == "".join(text.split())
    assert all(len(piece) == 1 or all(unicodedata.category(char)[0] in "LM" for char in piece) for piece in pieces)
