"""A `tokenizer.json`, read so that every problem of it is an error of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ie_cli.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PROBE = "a 中\U0010fffd"  # with a character that no vocabulary has: the unknown token may be missing


def read_tokenizer(file: Path, hint: str) -> Tokenizer:
    """The tokenizer of a file.

    Raises:
        ModelError: it is damaged; `hint` is what to do.
    """
    from tokenizers import Tokenizer

    with working(str(file), hint):
        tokenizer: Tokenizer = Tokenizer.from_file(str(file))
        probe(tokenizer)
    return tokenizer


def probe(tokenizer: Tokenizer) -> None:
    """Let a tokenizer show that it works; to be called inside `working`, for a problem may be a panic of its Rust code.

    Raises:
        ValueError: two tokens have one id.
    """
    ids = tokenizer.get_vocab(with_added_tokens=False).values()
    if len(set(ids)) < len(ids):  # which of the two a text gets would change from run to run
        raise ValueError("two tokens have one id")
    tokenizer.encode(_PROBE)
    tokenizer.encode(_PROBE, add_special_tokens=False)


@contextmanager
def working(what: str, hint: str) -> Iterator[None]:
    """Turn whatever the library raises into a `ModelError`; a panic of its Rust code is no `Exception`."""
    try:
        yield
    except ModelError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{what}: damaged: {first}", hint=hint) from error
