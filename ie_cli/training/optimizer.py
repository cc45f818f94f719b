"""Parameter groups and learning-rate schedules."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch
from torch import nn

from ie_cli.modeling.heads.base import HeadModule
from ie_cli.recipe.schema import TrainingSection

# A technique may have wrapped the model in other modules.
_ENCODER, _HEADS = re.compile(r"(?:^|\.)encoder\."), re.compile(r"(?:^|\.)heads\.")
_LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")

OWN_RATE = "own_rate"
"""Marks the groups whose rate a head decides; the learning rate that a run reports is that of the others."""


def parameter_groups(model: nn.Module, section: TrainingSection, *, factors: bool = True) -> list[dict[str, object]]:
    """Return AdamW groups: encoder and head rates, layer-wise decay, no weight decay for vectors (biases, normalisations).

    Parameters named by `Head.learning_rates` have that rate, and no weight decay; those named by `Head.rate_factors` have a
    multiple of the rate of heads.
    With ``layer_decay`` γ and N layers, layer n learns at ``learning_rate · γ^(N-1-n)`` and the embeddings at γ^N.

    Args:
        model: the model.
        section: the rates.
        factors: whether `Head.rate_factors` count; not for the rest of a run that an older version began without them.
    """
    special, faster = _special_rates(model), _rate_factors(model) if factors else {}
    names = [name for name, _ in model.named_parameters()]
    depth = 1 + max((int(m[1]) for name in names if (m := _LAYER.search(name))), default=-1)
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = section.head_learning_rate
        if _ENCODER.search(name) and not _HEADS.search(name):
            rate = section.learning_rate * section.layer_decay ** _below_top(name, depth)
        decay = section.weight_decay if parameter.ndim > 1 and not name.endswith(".bias") else 0.0
        rate *= faster.get(id(parameter), 1.0)
        if id(parameter) in special:
            rate, decay = special[id(parameter)], 0.0
        groups.setdefault((rate, decay, id(parameter) in special or id(parameter) in faster), []).append(parameter)
    return [
        {"params": params, "lr": rate, "weight_decay": decay, **({OWN_RATE: True} if own else {})}
        for (rate, decay, own), params in groups.items()
    ]


def _special_rates(model: nn.Module) -> dict[int, float]:
    """Return the learning rates of the parameters for which a head names one, by the id of the parameter."""
    return {
        id(head.get_parameter(name)): rate for head in _heads(model) for name, rate in head.learning_rates().items()
    }


def _rate_factors(model: nn.Module) -> dict[int, float]:
    """Return the factors of the parameters for which a head names one, by the id of the parameter."""
    return {
        id(head.get_parameter(name)): factor for head in _heads(model) for name, factor in head.rate_factors().items()
    }


def _heads(model: nn.Module) -> list[HeadModule]:
    return [module for module in model.modules() if isinstance(module, HeadModule)]


def _below_top(name: str, depth: int) -> int:
    if match := _LAYER.search(name):
        return depth - 1 - int(match[1])
    return depth if "embed" in name else 0


def build_optimizer(model: nn.Module, section: TrainingSection, *, factors: bool = True) -> torch.optim.AdamW:
    """Build AdamW for `parameter_groups`, fused if the device supports it."""
    fused = all(p.device.type in {"cpu", "cuda"} and p.is_floating_point() for p in model.parameters())
    return torch.optim.AdamW(parameter_groups(model, section, factors=factors), fused=fused)


def warmup_steps(section: TrainingSection, steps: int) -> int:
    """Return the number of steps during which the learning rates rise."""
    return round(section.warmup * steps)


def build_schedule(
    optimizer: torch.optim.Optimizer, section: TrainingSection, *, steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Build a schedule: warm-up over ``warmup · steps``, then the shape set in the recipe, down to 0 at the last step."""
    warmup = warmup_steps(section, steps)
    shape = SCHEDULES[section.schedule]

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return shape((step - warmup) / max(1, steps - warmup))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda done: max(0.0, 1.0 - done),
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * min(1.0, done))),
    "constant": lambda done: 1.0,
}
"""The learning rate as a share of the peak, as a function of the completed share of the steps after the warm-up."""
