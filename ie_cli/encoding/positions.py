"""How many tokens an encoder can take, by its config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_COUNT_FROM_PADDING = frozenset({"roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert"})


def count_positions(config: Any) -> float:
    """How many tokens an encoder can take; infinite where it learned no positions.

    Args:
        config: an object of `transformers`, or the content of a config.json, which nobody has validated.

    Raises:
        TypeError: a value of it is no number.
    """

    def value(name: str) -> Any:
        return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)

    positions = value("max_position_embeddings")
    if positions is None or not positions > 0:
        return math.inf
    # RoBERTa and its children start counting positions after the padding id.
    skipped = value("pad_token_id") + 1 if value("model_type") in _COUNT_FROM_PADDING else 0
    left: float = positions - skipped
    return left
