"""The number of positions of an encoder, from its config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_COUNT_FROM_PADDING = frozenset({"roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert"})


def count_positions(config: Any) -> float:
    """Return how many tokens an encoder accepts; infinity if it has no learned positions.

    Args:
        config: a config object of `transformers`, or the unvalidated content of a config.json.

    Raises:
        TypeError: a value is not a number.
    """

    def value(name: str) -> Any:
        return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)

    positions = value("max_position_embeddings")
    if positions is None or not positions > 0:
        return math.inf
    # RoBERTa and its derivatives count positions from the padding id + 1.
    skipped = value("pad_token_id") + 1 if value("model_type") in _COUNT_FROM_PADDING else 0
    usable: float = positions - skipped
    return usable
