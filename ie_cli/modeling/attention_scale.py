"""Attention whose scores are scaled with the logarithm of the number of visible tokens (articles 8823 and 9034).

    softmax((log n / log base) Q Kᵀ / √d) V        n: the number of keys that the query sees, at least `floor`

The entropy of the attention weights then grows more slowly with the length of the text. Padding and tokens outside a local
attention window are not visible and do not count. For n = base, the result is that of the usual attention.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ie_cli.modeling.cpu.attention import attention as cpu_attention


def register_attention(name: str, *, base: int, floor: int) -> None:
    """Register the attention with `transformers`: an encoder whose config names it uses it in every layer."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(name, partial(scaled_attention, base=base, floor=floor))
    AttentionMaskInterface.register(name, _mask)


def _mask(*args: Any, **options: Any) -> Tensor | None:
    """Return the mask as for torch's fused attention, but explicit unless every query sees every key."""
    from transformers.masking_utils import sdpa_mask

    options["allow_is_causal_skip"] = False
    if torch.device(options.get("device", "cpu")).type != "cpu" and options.get("attention_mask") is not None:
        options["allow_is_bidirectional_skip"] = (
            False  # it depends on the values, for which the host would have to wait
        )
    mask: Tensor | None = sdpa_mask(*args, **options)
    return mask


def scaled_attention(  # noqa: PLR0917 - as `transformers` calls it
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    *,
    base: int,
    floor: int,
    **options: Any,
) -> tuple[Tensor, None]:
    """Compute the scaled attention, with the signature that `transformers` expects.

    Args:
        module: the attention module.
        query: ``[batch, heads, L, size]``.
        key: ``[batch, heads, L, size]``.
        value: ``[batch, heads, L, size]``.
        attention_mask: ``[batch, 1, L, L]``: bool, true where a query sees a key, or numbers that are added to the scores; None
            if every query sees every key.
        scaling: the factor of the scores; ``size**-0.5`` if omitted.
        dropout: the dropout probability of the attention weights.
        base: the number of visible keys for which the factor is 1.
        floor: the smallest number of visible keys that is used.
        **options: other options of `transformers`.

    Returns:
        ``[batch, L, heads, size]``.
    """
    query = (query * length_factor(attention_mask, key, base=base, floor=floor)).to(query.dtype)
    if torch.compiler.is_exporting() and key.shape[1] == query.shape[1]:
        return _plain(query, key, value, attention_mask, scaling), None
    if query.device.type == "cpu":
        return cpu_attention(module, query, key, value, attention_mask, scaling=scaling, dropout=dropout, **options)
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    output: Tensor = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
    )[0]
    return output, None


def length_factor(mask: Tensor | None, key: Tensor, *, base: int, floor: int) -> Tensor:
    """Return log n / log base in float32, ``[batch or 1, 1, L or 1, 1]``; exactly 1 for n = base.

    Args:
        mask: see `scaled_attention`.
        key: ``[batch, heads, L, size]``.
        base: see `scaled_attention`.
        floor: see `scaled_attention`; it also keeps the factor finite for queries that see nothing.
    """
    if mask is None:
        visible = torch.ones_like(key[:1, :1, :, :1], dtype=torch.float32).sum(2, keepdim=True)
    elif mask.dtype == torch.bool:
        visible = mask.sum(-1, keepdim=True)
    else:
        visible = (mask > torch.finfo(mask.dtype).min / 2).sum(-1, keepdim=True)
    return 1 + torch.log(visible.clamp(min=floor).float() / base) / math.log(base)


def _plain(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None) -> Tensor:
    """Compute attention with plain operations for the graph of an export; a query that sees nothing gives no NaN."""
    scores = query @ key.transpose(2, 3) * (query.shape[3] ** -0.5 if scaling is None else scaling)
    if mask is not None:
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=scores.dtype).masked_fill(~mask, torch.finfo(scores.dtype).min)
        scores = scores + mask
    return (scores.softmax(-1) @ value).transpose(1, 2).contiguous()
