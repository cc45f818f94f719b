"""Checks of the encoder's section that involve several of its fields."""

from __future__ import annotations

from collections.abc import Iterator

from ie_cli.recipe.encoder_functions import options_without_effect
from ie_cli.recipe.schema import HASH_CNN, TINY, Recipe

SPECIAL_TOKENS = 2
"""Number of special tokens that BERT adds to a window; the tokenizer itself is checked when training starts."""


def encoder_problems(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Yield the fields that do not fit the others, and a message."""
    encoder = recipe.encoder
    most = encoder.max_length - SPECIAL_TOKENS - 1
    if encoder.stride > most:
        yield (
            "stride",
            f"got {encoder.stride}, expected at most {most} (recommended: {encoder.max_length // 4}), because windows of "
            f"encoder.max_length {encoder.max_length}, including {SPECIAL_TOKENS} special tokens, must advance",
        )
    if encoder.vocabulary != "characters" and encoder.name != TINY:
        what = "needs none" if encoder.name == HASH_CNN else "has a vocabulary of its own"
        yield "vocabulary", f"is for the encoder tiny; {encoder.name} {what}"
    elif encoder.vocabulary == "words" and encoder.tokenization == "char":  # nearly every token would be unknown
        yield "tokenization", "got char, but encoder.vocabulary is words; set encoder.vocabulary: characters instead"
    if encoder.gradient_checkpointing and encoder.name == HASH_CNN:
        yield "gradient_checkpointing", "hash_cnn does not support this option; its layers are small"
    if recipe.training.init_from is None:  # otherwise, they may be those of the model, which is compared later
        yield from options_without_effect(encoder)
