"""A word vocabulary built from the training texts, for an encoder from scratch and languages that separate words by spaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
UNKNOWN_SHARE = 0.12
"""Share of the running words, the rarest ones, that are unknown in training, so that [UNK] is trained for unseen names."""
# A run of letters, or any other single character: a date consists of the month and separate digits.
_WORD = Regex(r"[\p{L}\p{M}]+|[^\s\p{L}\p{M}]")


def word_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Build a tokenizer with a token for each word; the rarest words are unknown, so that [UNK] is trained."""
    split = pre_tokenizers.Split(_WORD, "removed", invert=True)
    counts: Counter[str] = Counter()
    for text in texts:
        clean = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8 form
        counts.update(word for word, _ in split.pre_tokenize_str(clean))
    vocabulary = {token: number for number, token in enumerate([*SPECIALS, *_known(counts)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = split
    tokenizer.post_processor = surround(vocabulary)
    return tokenizer


def _known(counts: Counter[str]) -> list[str]:
    """Return all words but the rarest; words with equal counts are either all known or all unknown."""
    by_count = Counter[int]()
    for count in counts.values():
        by_count[count] += count
    least, unknown = 1, 0
    for count in sorted(by_count):
        unknown += by_count[count]
        if unknown > UNKNOWN_SHARE * counts.total():
            break
        least = count + 1
    return sorted(word for word, count in counts.items() if count >= max(2, least))


def surround(vocabulary: dict[str, int]) -> processors.TemplateProcessing:
    """Return a post-processor that adds [CLS] before a text and [SEP] after it."""
    marks = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    return processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
