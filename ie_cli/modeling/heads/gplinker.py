"""GPLinker (kexue.fm/archives/8888): entities and relations in one pass, as three score matrices.

A triple (subject, p, object) is predicted if both spans are entities, and predicate p links their starts and their ends. The
link matrices have one pair scorer and two biases per predicate, so that their cost hardly grows with the predicates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import nn

from ie_cli.modeling.heads.base import MatrixHead
from ie_cli.modeling.heads.efficient_global_pointer import EfficientGlobalPointer
from ie_cli.modeling.heads.global_pointer import GlobalPointer

LINK_PRIOR = -7.0
"""The initial score of links, about -log of the number of entries of a sentence."""
ScorerName = Literal["global_pointer", "efficient_global_pointer"]
SCORERS: dict[ScorerName, type[EfficientGlobalPointer] | type[GlobalPointer]] = {
    "global_pointer": GlobalPointer,
    "efficient_global_pointer": EfficientGlobalPointer,
}


def build(
    hidden_size: int,
    labels: Mapping[str, int],
    /,
    *,
    head_size: int = 64,
    rope: bool = True,
    entity_scorer: ScorerName = "global_pointer",
) -> MatrixHead:
    """Build scorers of entities (first ≤ last), and of links between starts and between ends (by predicate, in any order).

    Args:
        hidden_size: the size of the encoder's output.
        labels: the number of labels or predicates of ``entities``, ``start_links`` and ``end_links``.
        head_size: d, the size of each q and k; even.
        rope: use rotary positions in the entity scorer; the link scorers never do.
        entity_scorer: the scorer of the entities.
    """
    scorers: dict[str, nn.Module] = {
        "entities": SCORERS[entity_scorer](hidden_size, labels["entities"], head_size=head_size, rope=rope)
    }
    for matrix in ("start_links", "end_links"):
        scorers[matrix] = EfficientGlobalPointer(
            hidden_size, labels[matrix], False, LINK_PRIOR, head_size=head_size, rope=False
        )
    return MatrixHead(scorers, sides={"start_links": (0, 0), "end_links": (1, 1)})
