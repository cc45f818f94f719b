"""How many tokens an encoder makes of a text: by its own tokenizer where it is at hand, else an estimate."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ie_cli.data.token_lengths import CountTokens
from ie_cli.doctor.scripts import HAN, KANA_HANGUL
from ie_cli.encoding.positions import count_positions
from ie_cli.encoding.tokenizer_loading import read_tokenizer
from ie_cli.errors import ModelError
from ie_cli.system.json_reading import loads

_MOST_POSITIONS = 512
_PIECES = re.compile(rf"[{HAN}{KANA_HANGUL}]|[^\W\d_{HAN}{KANA_HANGUL}]+|\S")


def estimate_tokens(text: str) -> int:
    """Tokens that a subword tokenizer may make of a text, rather too many than too few.

    One for each Chinese, Japanese or Korean character, digit and sign, one for every four letters of a word.

    >>> estimate_tokens("浙商银行 opened in 2004.")
    12
    """
    return sum(-(-len(piece) // 4) for piece in _PIECES.findall(text))


def count_characters(text: str) -> int:
    """Tokens that a character vocabulary makes of a text."""
    return len(text) - sum(map(str.isspace, text))


def token_counter(encoder: str | None) -> tuple[CountTokens, int]:
    """How to count the tokens of an encoder, and how many it takes: by its own tokenizer where it is a directory here."""
    if encoder == "tiny":
        return count_characters, _MOST_POSITIONS
    directory = os.path.expanduser(encoder) if encoder else ""
    if directory.startswith((".", "~", os.sep)) and not os.path.isdir(directory):
        raise ModelError(
            f"--encoder {encoder}: no such directory", hint="give a hub id, a directory with a config.json, or `tiny`."
        )
    file = os.path.join(directory, "tokenizer.json")
    if not directory or not os.path.isfile(file):
        return estimate_tokens, _MOST_POSITIONS
    tokenizer = read_tokenizer(Path(file), "take the encoder's directory from its source again.")
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(text: str) -> int:
        text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8 form
        return len(tokenizer.encode(text, add_special_tokens=False))

    return count, _positions(Path(directory))


def _positions(directory: Path) -> int:
    try:
        positions = count_positions(loads((directory / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return _MOST_POSITIONS  # the loader of models says what is wrong with the directory
    return int(max(32, min(_MOST_POSITIONS, positions)))
