"""The heads that a recipe may name; each is one file: parameters, and the scorers of its tables."""

from __future__ import annotations

from torch import nn

from ie_cli.modeling.heads.efficient_global_pointer import EfficientGlobalPointer
from ie_cli.modeling.heads.global_pointer import GlobalPointer
from ie_cli.modeling.heads.gplinker import GPLinker
from ie_cli.modeling.heads.scorer import Head, Scorer

__all__ = ["HEADS", "Head", "Scorer"]

HEADS: dict[str, type[nn.Module]] = {
    "efficient_global_pointer": EfficientGlobalPointer,
    "global_pointer": GlobalPointer,
    "gplinker": GPLinker,
}
