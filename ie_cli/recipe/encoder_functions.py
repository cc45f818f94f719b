"""The options that change what an encoder computes: the names of these functions, checks of the options, and warnings."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ie_cli.recipe.schema import EncoderSection, Recipe

PREFIX = "ie_"
"""The beginning of the names in config.json that no library knows, so that none computes another function instead."""
_DEPENDENT = {
    "activation": ("squareplus_b",),
    "attention_scale": ("attention_base", "attention_floor"),
}
_LENGTHS = (16, 64)


def activation_name(section: EncoderSection) -> str | None:
    """Return the name of the activation with its parameter, or None for the encoder's own activation."""
    return None if section.activation is None else f"{PREFIX}{section.activation}_{section.squareplus_b!r}"


def attention_name(section: EncoderSection) -> str | None:
    """Return the name of the attention with its parameters, or None for the usual attention."""
    if section.attention_scale is None:
        return None
    return f"{PREFIX}{section.attention_scale}_{section.attention_base}_{section.attention_floor}"


def options_in_use(section: EncoderSection) -> dict[str, object]:
    """Return the options that decide on the function by name; those without an effect are left out."""
    found: dict[str, object] = {}
    for name, parameters in _DEPENDENT.items():
        found[name] = getattr(section, name)
        if found[name] is not None:
            found |= {parameter: getattr(section, parameter) for parameter in parameters}
    return found


def options_without_effect(section: EncoderSection) -> Iterator[tuple[str, str]]:
    """Yield the parameters of options that are not set, and a message."""
    for name, parameters in _DEPENDENT.items():
        for parameter in parameters:
            value, default = getattr(section, parameter), EncoderSection.model_fields[parameter].default
            if getattr(section, name) is None and value != default:
                yield parameter, f"got {value:g}, but it has no effect without encoder.{name}"


def attention_factor(visible: int, section: EncoderSection) -> float:
    """Return the factor of the attention scores of a query that sees this number of tokens."""
    return math.log(max(visible, section.attention_floor)) / math.log(section.attention_base)


def changes_of_pretrained(recipe: Recipe) -> Iterator[str]:
    """Yield a warning for each option that changes what a pretrained encoder computes.

    An encoder built from scratch has nothing to lose, and `training.init_from` requires the options of its model.
    """
    section = recipe.encoder
    if section.from_scratch or recipe.training.init_from is not None:
        return
    if section.activation is not None:
        yield (
            f"encoder.activation: {section.activation} changes what {section.name} computes, unless it was trained with this "
            "activation: its weights fit another one. Expect lower scores; remove encoder.activation to keep the "
            "encoder's own."
        )
    if section.attention_scale is None:
        return
    lengths = sorted({n for n in _LENGTHS if n < section.max_length} | {section.max_length})
    factors = {n: attention_factor(n, section) for n in lengths}
    if all(abs(factor - 1) < 1e-9 for factor in factors.values()):
        return
    listed = ", ".join(f"{factor:.3f} at {n}" for n, factor in factors.items())
    yield (
        f"encoder.attention_scale: {section.attention_scale} changes what {section.name} computes, unless it was trained with "
        f"this scale. It multiplies the attention scores by a factor that depends on the number of tokens: {listed} "
        f"(encoder.max_length). Remove encoder.attention_scale, or set encoder.attention_floor to {section.attention_base} "
        "(encoder.attention_base), which changes only longer windows."
    )
