from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import SENTENCES, TOKENIZERS, byte_level, wordpiece
from tokenizers import Tokenizer, models, processors

from ie_cli.encoding.tokenizer import TextTokenizer, Tokens

ANY_TEXT = st.text(
    st.one_of(st.characters(), st.sampled_from(" \u00a0\u3000\t\n\u0301\ud83d👩\u200d️ﬁ½Ａ")), max_size=40
)
BUILT = {name: build() for name, build in TOKENIZERS.items()}


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("mode", ["subword", "char"])
@given(text=ANY_TEXT)
def test_offsets_slice_the_text_and_contain_no_outer_whitespace(name: str, mode: str, text: str) -> None:
    [tokens] = TextTokenizer(BUILT[name], mode=mode).encode([text])  # type: ignore[arg-type]
    assert len(tokens.ids) == len(tokens.starts) == len(tokens.ends)
    previous = 0
    for start, end in zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True):
        assert 0 <= start <= end <= len(text)
        assert start >= previous
        previous = start
        if mode == "subword":
            assert text[start:end] == text[start:end].strip()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_words_begin_and_end_at_tokens(name: str) -> None:
    tokenizer = TextTokenizer(BUILT[name])
    for text in SENTENCES:
        [tokens] = tokenizer.encode([text])
        begins, ends = set(tokens.starts.tolist()), set(tokens.ends.tolist())
        at = 0
        for word in text.split(" "):
            letters = word.rstrip(".,;!")
            assert at in begins, (word, name)
            assert at + len(letters) in ends, (word, name)
            at += len(word) + 1


def test_a_space_before_a_word_is_not_part_of_it() -> None:
    [tokens] = TextTokenizer(byte_level()).encode(["Anna  visited"])
    spans = list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True))
    assert spans[0][0] == 0
    assert any(start == 6 for start, end in spans if end > start)
    assert not any(start < 6 < end for start, end in spans)


def test_combining_marks_belong_to_their_base() -> None:
    [tokens] = TextTokenizer(wordpiece()).encode(["e\u0301le\u0300ve"])
    assert tokens.ends[-1] == 7
    assert all(unicodedata.category("e\u0301le\u0300ve"[start]) != "Mn" for start in tokens.starts.tolist())


@pytest.mark.parametrize("name", TOKENIZERS)
def test_characters_make_every_boundary_reachable(name: str) -> None:
    text = "Anna 北京\u3000ab\u200b\x00 c\ud83d"
    [tokens] = TextTokenizer(BUILT[name], mode="char").encode([text])
    assert sorted(set(tokens.starts.tolist())) == list(range(len(text)))
    assert sorted(set(tokens.ends.tolist())) == list(range(1, len(text) + 1))


def test_special_tokens_in_a_text_are_text() -> None:
    tokenizer = TextTokenizer(wordpiece())
    [tokens] = tokenizer.encode(["a [SEP] b"])
    assert not set(tokens.ids.tolist()) & set(tokenizer.prefix + tokenizer.suffix)


def test_truncation_and_padding_of_the_file_are_switched_off() -> None:
    raw = wordpiece()
    raw.enable_truncation(4)
    raw.enable_padding(length=6)
    tokenizer = TextTokenizer(raw)
    [short, long] = tokenizer.encode(["a", SENTENCES[0]])
    assert len(short) == 1
    assert len(long) > 10
    assert raw.truncation is not None, "the caller's tokenizer is not changed"


def test_batches_and_single_texts_agree() -> None:
    tokenizer = TextTokenizer(wordpiece())
    for text, tokens in zip(SENTENCES, tokenizer.encode(SENTENCES), strict=True):
        assert tokenizer.encode([text])[0].ids.tolist() == tokens.ids.tolist()


@given(text=ANY_TEXT)
def test_nfkc_changes_what_the_tokenizer_sees_and_no_offset(text: str) -> None:
    plain = TextTokenizer(BUILT["characters"], normalization="none")
    folded = TextTokenizer(BUILT["characters"], normalization="nfkc")
    [a], [b] = plain.encode([text]), folded.encode([text])
    assert len(a) == len(b) == len(text)
    # A wide space is whitespace, so only its own width may differ.
    assert a.ends.tolist() == b.ends.tolist()


def test_nfkc_finds_the_half_width_form() -> None:
    tokenizer = TextTokenizer(BUILT["characters"], normalization="nfkc")
    assert tokenizer.encode(["；Ａ"])[0].ids.tolist() == tokenizer.encode([";A"])[0].ids.tolist()
    assert tokenizer.encode(["½"])[0].ids.tolist() == TextTokenizer(BUILT["characters"]).encode(["½"])[0].ids.tolist()


def test_special_tokens_of_a_vocabulary_without_latin_letters() -> None:
    vocabulary = {"[CLS]": 0, "[SEP]": 1, "北": 2, "京": 3}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    made = TextTokenizer(tokenizer)
    assert (list(made.prefix), list(made.suffix)) == ([0], [1])


# The cache


def arrays(tokens: Tokens) -> tuple[list[int], list[int], list[int]]:
    return tokens.ids.tolist(), tokens.starts.tolist(), tokens.ends.tolist()


class Watched(TextTokenizer):
    """A tokenizer that records the texts it tokenises."""

    def _encode(self, texts: Sequence[str]) -> list[Tokens]:
        self.asked.extend(texts)
        return super()._encode(texts)

    asked: list[str]


def watched(name: str = "wordpiece", **options: Any) -> Watched:
    tokenizer = Watched(BUILT[name], **options)
    tokenizer.asked = []
    return tokenizer


def remembered(tokenizer: Watched, texts: Iterable[str]) -> list[str]:
    """Return the texts whose tokens come from the cache."""
    tokenizer.asked = []
    texts = list(dict.fromkeys(texts))
    tokenizer.encode(texts)
    return [text for text in texts if text not in tokenizer.asked]


TEXTS = st.lists(st.lists(st.sampled_from(["", "a", "Wien", *SENTENCES]) | ANY_TEXT, max_size=5), max_size=6)


@pytest.mark.parametrize("mode", ["subword", "char"])
@given(batches=TEXTS, most=st.sampled_from([0, 1, 20, 60, 10**6]))
def test_a_cached_tokenizer_returns_the_same_tokens(mode: str, batches: list[list[str]], most: int) -> None:
    plain = TextTokenizer(BUILT["wordpiece"], mode=mode)  # type: ignore[arg-type]
    cached = plain.with_cache(most)
    for batch in [*batches, *batches[::-1]]:
        assert [arrays(tokens) for tokens in cached.encode(batch)] == [arrays(tokens) for tokens in plain.encode(batch)]
    assert cached.identity() == plain.identity()


@given(batches=TEXTS, most=st.sampled_from([0, 1, 20, 60]))
def test_the_cache_holds_at_most_its_limit(batches: list[list[str]], most: int) -> None:
    tokenizer = watched().with_cache(most)
    assert isinstance(tokenizer, Watched)
    for batch in batches:
        tokenizer.encode(batch)
    known = remembered(tokenizer, (text for batch in batches for text in batch))
    assert sum(len(tokens) + 1 for tokens in TextTokenizer(BUILT["wordpiece"]).encode(known)) <= most


def test_recent_texts_are_cached_and_tokenised_once() -> None:
    tokenizer = watched("characters").with_cache(25)
    assert isinstance(tokenizer, Watched)
    texts = ["a" * 9, "b" * 9, "c" * 9]
    tokenizer.encode([texts[0], texts[0], texts[1]])
    assert tokenizer.asked == texts[:2]
    tokenizer.encode(texts[:2])
    assert tokenizer.asked == texts[:2]
    tokenizer.encode(texts[2:])  # removes the first one from the cache
    assert remembered(tokenizer, texts[1:]) == texts[1:]
    assert remembered(tokenizer, texts[:1]) == []


def test_with_cache_does_not_change_the_original() -> None:
    plain = watched()
    plain.with_cache()
    for _ in range(2):
        plain.encode(["Wien"])
    assert plain.asked == ["Wien"] * 2


def test_threads_may_share_a_cache() -> None:
    texts = [f"{sentence} {n}" for n in range(40) for sentence in SENTENCES]
    plain = TextTokenizer(BUILT["wordpiece"])
    expected = {text: arrays(tokens) for text, tokens in zip(texts, plain.encode(texts), strict=True)}
    most = sum(len(ids) + 1 for ids, _, _ in expected.values()) // 3  # texts are removed from the cache all the time
    tokenizer = watched().with_cache(most)
    assert isinstance(tokenizer, Watched)

    def work(seed: int) -> bool:
        chosen = random.Random(seed)
        for _ in range(60):
            batch = chosen.choices(texts, k=5)
            if [arrays(tokens) for tokens in tokenizer.encode(batch)] != [expected[text] for text in batch]:
                return False
        return True

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))
    finally:
        sys.setswitchinterval(switch)
    known = remembered(tokenizer, texts)
    assert 0 < sum(len(expected[text][0]) + 1 for text in known) <= most
