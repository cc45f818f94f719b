"""GPLinker (kexue.fm/archives/8888): entities and relations in one pass, as three tables of scores.

A triple (subject, p, object) is where both spans are entities, and row p links the spans' starts and the spans' ends. The
link tables have one pair scorer and two biases per predicate, so that their cost hardly grows with the predicates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import nn

from ie_cli.modeling.heads.base import TableHead
from ie_cli.modeling.heads.efficient_global_pointer import EfficientGlobalPointer
from ie_cli.modeling.heads.global_pointer import GlobalPointer

LINK_PRIOR = -7.0
"""Score that links start from, about -log of the cells of a sentence."""
ScorerName = Literal["global_pointer", "efficient_global_pointer"]
SCORERS: dict[ScorerName, type[EfficientGlobalPointer] | type[GlobalPointer]] = {
    "global_pointer": GlobalPointer,
    "efficient_global_pointer": EfficientGlobalPointer,
}


def build(
    hidden_size: int,
    rows: Mapping[str, int],
    /,
    *,
    head_size: int = 64,
    rope: bool = True,
    entity_scorer: ScorerName = "global_pointer",
) -> TableHead:
    """Scorers of the entity rows (first ≤ last) and of the links of starts and of ends (a row per predicate, any order).

    Args:
        hidden_size: of the encoder's output.
        rows: of the tables ``entities``, ``start_links``, ``end_links``.
        head_size: d, the size of each q and k; even.
        rope: rotary positions in the entity scorer; the links have none.
        entity_scorer: what scores the entity rows.
    """
    scorers: dict[str, nn.Module] = {
        "entities": SCORERS[entity_scorer](hidden_size, rows["entities"], head_size=head_size, rope=rope)
    }
    for table in ("start_links", "end_links"):
        scorers[table] = EfficientGlobalPointer(
            hidden_size, rows[table], False, LINK_PRIOR, head_size=head_size, rope=False
        )
    return TableHead(scorers)
