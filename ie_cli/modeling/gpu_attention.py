"""Attention on a GPU: torch's fused kernels, with a mask that is built without waiting for the GPU.

Torch chooses the kernel by device, precision, length and mask: flash attention if there is no mask, and the memory-efficient
kernel if there is one. The memory of both grows linearly with the length. `transformers` looks at the values of a mask to find
out whether it can be omitted, for which the host has to wait for the GPU in every step; here, a batch says whether it has
padding, which the host knows from building it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ie_cli.recipe.encoder_functions import PREFIX

NAME = "ie_gpu"


def prepare_for_device(encoder: nn.Module, device: torch.device) -> None:
    """Let an encoder of `transformers` that has torch's attention use this mask on a GPU.

    In this process, torch then no longer chooses the attention of cuDNN, which it prefers on Hopper and Blackwell: cuDNN builds a
    plan for every new shape of a batch, which takes some tenths of a second, and batches of texts have many lengths.
    """
    if device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
        use_gpu_attention(encoder)


def use_gpu_attention(encoder: nn.Module) -> None:
    """Let an encoder use torch's attention with `visible`, unless it has its own attention code."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if getattr(encoder.config, "_attn_implementation", None) != "sdpa":
        return
    AttentionInterface.register(NAME, sdpa_attention_forward)
    AttentionMaskInterface.register(NAME, visible)
    encoder.set_attn_implementation(NAME)  # type: ignore[operator]


def visible(*args: Any, attention_mask: Tensor | None = None, **options: Any) -> Tensor | None:
    """Return which keys a query sees, bool ``[batch, 1, L, L]``; None if there is no mask of padding and every query sees all."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is not None:
        options["allow_is_bidirectional_skip"] = False  # it depends on the values
    mask: Tensor | None = sdpa_mask(*args, attention_mask=attention_mask, **options)
    return mask


def accepts_no_mask(encoder: nn.Module) -> bool:
    """Return whether the encoder's attention is faster without a mask, if there is no padding."""
    name = getattr(getattr(encoder, "config", None), "_attn_implementation", None)
    return str(name).startswith(PREFIX)
