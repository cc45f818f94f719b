"""Count the tokens of a text with the encoder's tokenizer if it is available, or else estimate them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tokenizers import Tokenizer

from ie_cli.data.token_lengths import CountTokens
from ie_cli.doctor.scripts import HAN, KANA_HANGUL
from ie_cli.encoding.positions import count_positions
from ie_cli.encoding.tokenizer_loading import read_tokenizer
from ie_cli.encoding.word_features import hash_tokenizer
from ie_cli.errors import ModelError
from ie_cli.recipe.schema import HASH_CNN, TINY
from ie_cli.system.json_reading import loads

_MAX_POSITIONS = 512
_PIECES = re.compile(rf"[{HAN}{KANA_HANGUL}]|[^\W\d_{HAN}{KANA_HANGUL}]+|\S")


def estimate_tokens(text: str) -> int:
    """Estimate how many tokens a subword tokenizer produces for a text, rather too many than too few.

    Count one token for each Chinese, Japanese or Korean character, digit and symbol, and one for every four letters of
    a word.

    >>> estimate_tokens("浙商银行 opened in 2004.")
    12
    """
    return sum(-(-len(piece) // 4) for piece in _PIECES.findall(text))


def count_characters(text: str) -> int:
    """Return the number of tokens that a character vocabulary produces for a text."""
    return len(text) - sum(map(str.isspace, text))


def token_counter(encoder: str | None) -> tuple[CountTokens, int]:
    """Return a function that counts the encoder's tokens, and its maximum length.

    The encoder's tokenizer is used if the encoder is a local directory; otherwise tokens are estimated.

    Raises:
        ModelError: the directory does not exist, or its tokenizer is damaged.
    """
    if encoder == TINY:
        return count_characters, _MAX_POSITIONS
    if encoder == HASH_CNN:
        return _counter(hash_tokenizer()), _MAX_POSITIONS
    directory = os.path.expanduser(encoder) if encoder else ""
    if directory.startswith((".", "~", os.sep)) and not os.path.isdir(directory):
        raise ModelError(
            f"--encoder {encoder}: no such directory",
            hint="name a hub id, a directory with a config.json, or `hash_cnn`.",
        )
    tokenizer = local_tokenizer(encoder)
    if tokenizer is None:
        return estimate_tokens, _MAX_POSITIONS
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return _counter(tokenizer), _positions(Path(directory))


def _counter(tokenizer: Tokenizer) -> CountTokens:
    def count(text: str) -> int:
        text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8 form
        return len(tokenizer.encode(text, add_special_tokens=False))

    return count


def local_tokenizer(encoder: str | None) -> Tokenizer | None:
    """Return the tokenizer of an encoder in a local directory, None for any other encoder.

    Raises:
        ModelError: the tokenizer is damaged.
    """
    file = Path(os.path.expanduser(encoder or ""), "tokenizer.json")
    if not encoder or not file.is_file():
        return None
    return read_tokenizer(file, "download the encoder's directory again.")


def _positions(directory: Path) -> int:
    try:
        positions = count_positions(loads((directory / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return _MAX_POSITIONS  # the model loader reports what is wrong with the directory
    return int(max(32, min(_MAX_POSITIONS, positions)))
