"""Tokens whose ids are the features of words: exact offsets, and the same ids everywhere."""

from __future__ import annotations

import json
import unicodedata
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.encoding.pairs import PairSequences
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens, recipe_tokenizer
from ie_cli.encoding.word_features import FEATURE_BITS, WORD, character_id, hash_tokenizer, shape, word_id
from ie_cli.recipe.schema import EncoderSection

CHARACTERS = st.one_of(
    st.sampled_from(" ab1é.'-\u0301\n\ud83d王伟の한กำ，２"),
    st.characters(exclude_categories=["Cn"]),  # of newer characters, Python may not know what they are
)


def tokenizer(tokenization: Literal["subword", "char"] = "subword", **options: Any) -> TextTokenizer:
    return recipe_tokenizer(hash_tokenizer(), EncoderSection(name="hash_cnn", tokenization=tokenization, **options))


def encoded(text: str, **options: Any) -> Tokens:
    return tokenizer(**options).encode([text])[0]


def pieces(text: str) -> list[str]:
    tokens = encoded(text)
    return [text[start:end] for start, end in zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)]


def features(number: int) -> dict[str, int]:
    found, shift = {}, 0
    for name, bits in FEATURE_BITS.items():
        found[name] = number >> shift & ((1 << bits) - 1)
        shift += bits
    assert number >> shift == 1
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. O'Neill paid $2.50 in Łódź.", "Dr . O ' Neill paid $ 2 . 50 in Łódź ."),
        ("王伟2004年读iPhone15，", "王 伟 2004 年 读 iPhone 15 ，"),
        ("東京のカフェ", "東 京 の カ フ ェ"),
        ("한국어", "한 국 어"),
        ("สวัสดี", "ส วั ส ดี"),
        ("e\u0301te\u0301 1\u0301", "e\u0301te\u0301 1\u0301"),
        ("A\u0f71b 1\u0e31", "A\u0f71 b 1\u0e31"),  # marks of scripts without spaces
    ],
)
def test_words_numbers_symbols_and_characters_without_spaces_are_tokens(text: str, expected: str) -> None:
    assert pieces(text) == expected.split()


@given(text=st.text(CHARACTERS, max_size=30))
def test_each_character_but_whitespace_is_in_one_token(text: str) -> None:
    tokens = encoded(text)
    assert tokens.ids.dtype == np.int64
    at = 0
    for start, end in zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True):
        assert at <= start < end
        assert not text[at:start].strip()
        assert not any(map(str.isspace, text[start:end]))
        if start and unicodedata.category(text[start]) in {"Mn", "Me"}:
            assert text[start - 1].isspace()
        at = end
    assert not text[at:].strip()
    assert (tokens.ids >= WORD).all()
    assert (tokens.ids < 2 * WORD).all()


@given(text=st.text(CHARACTERS, max_size=20))
def test_with_the_option_char_each_character_is_a_token(text: str) -> None:
    tokens = encoded(text, tokenization="char")
    assert tokens.starts.tolist() == list(range(len(text)))
    assert (tokens.ids >= WORD).all()


@given(one=st.text(CHARACTERS, max_size=15), other=st.text(CHARACTERS, max_size=15))
def test_the_ids_of_a_text_do_not_depend_on_what_is_before_a_space(one: str, other: str) -> None:
    alone, joined = encoded(other), encoded(f"{one} {other}")
    assert joined.ids[len(joined) - len(alone) :].tolist() == alone.ids.tolist()


def test_ids_are_the_same_in_every_process_and_on_every_machine() -> None:
    """Otherwise a stored model reads other rows of its tables."""
    assert [word_id(word) for word in ("Rome", "rome", "2004", "é", "")] == ROME
    assert [character_id("王", "伟", "在"), character_id("", "伟", ".")] == WEI


ROME = [1623545917153333438, 1201333452087349438, 1614740900870974096, 1958673080785541064, 2038975529743185530]
WEI = [1480813147355087641, 1481655075869033241]


def test_words_share_the_hashes_of_the_features_that_they_share() -> None:
    rome, home, lower = (features(word_id(word)) for word in ("Rome", "Home", "rome"))
    assert rome["form"] == lower["form"] != home["form"]
    assert rome["prefix"] != home["prefix"]
    assert rome["suffix"] == home["suffix"]
    assert rome["shape"] == home["shape"] != lower["shape"]


def test_a_character_shares_pairs_with_its_neighbours() -> None:
    one, two, three = (features(number) for number in encoded("王伟王").ids.tolist())
    assert one["form"] == three["form"] != two["form"]
    assert one["suffix"] != three["suffix"]
    assert one["prefix"] != three["prefix"]
    assert one["shape"] == two["shape"] != features(int(encoded("の").ids[0]))["shape"]
    alone = features(int(encoded("，王，").ids[1]))
    assert (alone["prefix"], alone["suffix"]) == (one["prefix"], three["suffix"])  # punctuation makes no pair


@pytest.mark.parametrize(
    ("word", "expected"), [("Rome", "Xxxx"), ("iPhone", "xXxxxx"), ("20044", "dddd"), ("a-b", "x-x")]
)
def test_a_shape_has_the_kinds_of_characters(word: str, expected: str) -> None:
    assert shape(word) == expected


def test_normalisation_counts() -> None:
    assert encoded("Ａ２", normalization="nfkc").ids.tolist() == encoded("A2").ids.tolist()


def test_windows_and_pairs_keep_all_bits() -> None:
    made, ids = tokenizer(), encoded("Ann slept").ids
    around = made.surround(ids)
    assert around.dtype == np.int64
    assert around.tolist() == [2, *ids.tolist(), 3]
    for reads in ("pair", "texts"):
        sequences = PairSequences.build(reads, made, 16)  # type: ignore[arg-type]
        assert set(ids.tolist()) < set(np.concatenate(sequences.ids(ids, ids)).tolist())


def test_encoded_data_depend_on_the_features() -> None:
    plain = TextTokenizer(hash_tokenizer())
    assert json.dumps(tokenizer().identity()) != json.dumps(plain.identity())
