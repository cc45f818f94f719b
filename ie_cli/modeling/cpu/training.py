"""Speed up training on a CPU outside the matrix products, which already run at the speed of the machine.

Measurements are in benchmarks/RESULTS.md. The model that is trained is the same; its numbers differ no more than those of two
seeds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ie_cli.modeling.cpu.attention import use_cpu_attention
from ie_cli.modeling.cpu.dropout import replace_dropout


def prepare_for_training(encoder: nn.Module) -> None:
    """Modify an encoder in place for training on a CPU."""
    replace_dropout(encoder)
    use_cpu_attention(encoder)
    embeddings = getattr(encoder, "embeddings", None)
    if isinstance(embeddings, nn.Module):
        embeddings.register_forward_hook(_autocast_output)


def _autocast_output(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Under autocast, convert the input of the first layer to the lower precision, as in prediction.

    Otherwise the hidden states stay float32: every product converts its input, and all other operations move twice the bytes.
    """
    if isinstance(output, torch.Tensor) and torch.is_autocast_enabled("cpu"):
        return output.to(torch.get_autocast_dtype("cpu"))
    return output
