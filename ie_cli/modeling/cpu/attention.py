"""Attention for training on a CPU: plain matrix products with the dropout of `ie_cli.modeling.cpu.dropout`.

torch's fused attention has no dropout on a CPU, and its backward pass is slower at the lengths of sentences. It is still used
without gradients, and for variants that this module does not support.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ie_cli.modeling.cpu.dropout import dropout as drop

NAME = "ie_cpu"
FUSED_FROM = 1024
"""The number of tokens from which the fused form is used if there is no dropout: its memory grows linearly with the length."""


def use_cpu_attention(encoder: nn.Module) -> None:
    """Make an encoder of `transformers` use `attention`, unless it has its own attention code."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if getattr(encoder.config, "_attn_implementation", None) != "sdpa":
        return
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    encoder.set_attn_implementation(NAME)  # type: ignore[operator]


def attention(  # noqa: PLR0917 - as `transformers` calls it
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[Tensor, None]:
    """Compute attention, with the signature that `transformers` expects.

    Args:
        module: the attention module.
        query: ``[batch, heads, L, size]``.
        key: ``[batch, heads, L, size]``.
        value: ``[batch, heads, L, size]``.
        attention_mask: bool ``[batch, 1, L, L]``, true where a query attends to a key; None: everywhere.
        scaling: the factor of the scores; ``size**-0.5`` if omitted.
        dropout: the dropout probability of the attention weights.
        **options: other options of `transformers`; those not supported here select the fused form.

    Returns:
        ``[batch, L, heads, size]``.
    """
    known = all(options.get(name) is None for name in ("position_bias", "softcap", "s_aux"))
    known = known and (attention_mask is None or attention_mask.dtype == torch.bool)
    causal = options.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    plain = torch.is_grad_enabled() and query.shape == key.shape and known and not causal
    if not plain or not (dropout or query.shape[2] < FUSED_FROM):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        output: Tensor = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )[0]
        return output, None
    batch, heads, length, size = query.shape
    flat = (batch * heads, length, size)
    empty = query.new_empty(()).expand(batch * heads, length, length)  # beta 0: not read
    scale = size**-0.5 if scaling is None else scaling
    scores = torch.baddbmm(empty, query.reshape(flat), key.reshape(flat).transpose(1, 2), beta=0, alpha=scale)
    if attention_mask is not None:
        # Not infinity: with local attention a query at the padding may attend to no key, and its weights would be NaN.
        lowest = torch.finfo(scores.dtype).min
        bias = torch.zeros_like(attention_mask, dtype=scores.dtype).masked_fill_(~attention_mask, lowest)
        scores = (scores.view(batch, heads, length, length) + bias).flatten(0, 1)
    weights = scores.softmax(-1)
    if dropout:
        weights = drop(weights, dropout)
    mixed = torch.bmm(weights, value.reshape(flat)).view(query.shape)
    return mixed.transpose(1, 2).contiguous(), None
