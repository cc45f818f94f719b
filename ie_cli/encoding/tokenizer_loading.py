"""Read a `tokenizer.json`; every problem with the file is raised as a `ModelError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ie_cli.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PROBE = "a 中\U0010fffd"  # the last character is in no vocabulary: the unknown token may be missing


def read_tokenizer(file: Path, hint: str) -> Tokenizer:
    """Read a tokenizer from a file.

    Args:
        file: the file.
        hint: what the user can do if it is damaged.

    Raises:
        ModelError: the file cannot be read or is damaged.
    """
    from tokenizers import Tokenizer

    with tokenizer_errors(str(file), hint):
        tokenizer: Tokenizer = Tokenizer.from_file(str(file))
        probe(tokenizer)
    return tokenizer


def probe(tokenizer: Tokenizer) -> None:
    """Check that a tokenizer works; call this inside `tokenizer_errors`, as its Rust code may panic.

    Raises:
        ValueError: two tokens have the same id.
    """
    ids = tokenizer.get_vocab(with_added_tokens=False).values()
    if len(set(ids)) < len(ids):  # which of the two tokens is used would change from run to run
        raise ValueError("two tokens have the same id")
    tokenizer.encode(_PROBE)
    tokenizer.encode(_PROBE, add_special_tokens=False)


@contextmanager
def tokenizer_errors(what: str, hint: str) -> Iterator[None]:
    """Convert anything that the library raises to a `ModelError`; a panic of its Rust code is not an `Exception`."""
    try:
        yield
    except ModelError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{what}: damaged: {first}", hint=hint) from error
