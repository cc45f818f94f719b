"""Set the recipe's activation and attention in the config of an encoder, and check that the encoder uses them.

A config names them with their parameters, so that its config.json describes the function completely. No library knows the
names: loading such an encoder without `ie_cli` is an error and does not silently compute something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from ie_cli.errors import ModelError
from ie_cli.modeling.attention_scale import register_attention
from ie_cli.modeling.squareplus import SquarePlus
from ie_cli.recipe.encoder_functions import PREFIX, activation_name, attention_name
from ie_cli.recipe.schema import EncoderSection

_ACTIVATIONS = ("hidden_act", "hidden_activation", "activation")
"""The fields in which configs name the activation of the feed-forward layers."""
ATTENTION = "attn_implementation"


def set_functions(config: Any, section: EncoderSection) -> None:
    """Set the activation and the attention of the recipe in a config; what the recipe omits is not changed.

    Raises:
        ModelError: the architecture does not support an option, or the encoder was trained with other options.
    """
    for what, stored, expected in _stored_and_expected(config, section):
        if stored not in (None, expected):
            raise ModelError(
                f"encoder.name: {section.name} was trained by `ie train` with the {what} {stored}, but the recipe requires "
                f"{expected or 'the usual one'}",
                hint="set the encoder options to those of its recipe, or start from its model with training.init_from.",
            )
    register_functions(section)
    if (name := activation_name(section)) is not None:
        fields = [field for field in _ACTIVATIONS if isinstance(getattr(config, field, None), str)]
        if not fields:
            raise _unsupported("activation", config, "its config does not name its activation")
        try:
            for field in fields:
                setattr(config, field, name)
        except Exception as error:  # some configs validate the name
            raise _unsupported("activation", config, "its config allows no other activation") from error
    if (name := attention_name(section)) is not None:
        from transformers import AutoModel

        if not AutoModel._model_mapping[type(config)]._supports_attention_backend:
            raise _unsupported("attention_scale", config, "its attention cannot be replaced")
        config._attn_implementation = name
        setattr(config, ATTENTION, name)  # is stored; the private field is not


def register_functions(section: EncoderSection) -> None:
    """Register the activation and the attention of a recipe with `transformers`."""
    from transformers.activations import ACT2FN

    if (name := activation_name(section)) is not None:
        ACT2FN[name] = (SquarePlus, {"b": section.squareplus_b})
    if (name := attention_name(section)) is not None:
        register_attention(name, base=section.attention_base, floor=section.attention_floor)


def require_functions(encoder: nn.Module, section: EncoderSection) -> None:
    """Check that an encoder has the activation of the recipe: some architectures ignore their config.

    Raises:
        ModelError: no layer uses it.
    """
    if section.activation is not None and not any(isinstance(module, SquarePlus) for module in encoder.modules()):
        raise _unsupported("activation", encoder.config, "its layers ignore the activation in the config")


def require_stored_functions(config: Any, section: EncoderSection) -> None:
    """Check that the config of a model directory names the functions of its recipe, and register them.

    Raises:
        ValueError: the files differ.
    """
    register_functions(section)
    for what, stored, expected in _stored_and_expected(config, section):
        if stored != expected:
            raise ValueError(
                f"the {what} is {stored or 'the usual one'}, but {expected or 'the usual one'} in recipe.yaml"
            )
    if attention_name(section) is not None:
        setattr(config, ATTENTION, attention_name(section))  # reading has moved it to the private field


def exported_attention(config: Any) -> str:
    """Return the attention for a graph: plain operations, which are faster in ONNX Runtime, or the recipe's."""
    name: str = config._attn_implementation
    return name if getattr(config, ATTENTION, None) == name else "eager"


def _stored_and_expected(config: Any, section: EncoderSection) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield what a function is for, its name in the config if it is one of `ie_cli`, and its name in the recipe."""
    activations = [getattr(config, field, None) for field in _ACTIVATIONS]
    for what, names, expected in (
        ("activation", activations, activation_name(section)),
        ("attention", [config._attn_implementation], attention_name(section)),
    ):
        ours = (name for name in names if isinstance(name, str) and name.startswith(PREFIX))
        yield what, next(ours, None), expected


def _unsupported(option: str, config: Any, reason: str) -> ModelError:
    return ModelError(
        f"encoder.{option}: models of type {config.model_type} do not support this option: {reason}",
        hint=f"remove encoder.{option}, or use another encoder, e.g. `tiny` or one of type bert, roberta or electra.",
    )
