"""Encoders: a hub id or a directory, loaded by `transformers`; or built from scratch: `hash_cnn`, or `tiny`."""

from __future__ import annotations

import inspect
import math
import os
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import nn

from ie_cli.encoding.positions import count_positions
from ie_cli.encoding.tokenizer_loading import probe, tokenizer_errors
from ie_cli.encoding.word_features import hash_tokenizer
from ie_cli.encoding.word_vocabulary import SPECIALS, surround
from ie_cli.errors import ModelError, counted
from ie_cli.modeling.encoder_functions import require_functions, set_functions
from ie_cli.modeling.model import first_not_finite
from ie_cli.recipe.encoder_functions import PREFIX
from ie_cli.recipe.schema import EncoderSection
from ie_cli.system.hub import hub_access

TINY = {"hidden_size": 192, "num_attention_heads": 4, "intermediate_size": 768}
HASH_MODEL_TYPE = f"{PREFIX}hash_cnn"
"""The type of the encoder `hash_cnn` in config.json."""
MAY_BE_MISSING = ("pooler.", "position_ids", "token_type_ids")


def load_encoder(section: EncoderSection) -> tuple[nn.Module, Tokenizer]:
    """Load a pretrained encoder in float32 and its tokenizer, with the recipe's options.

    Raises:
        ModelError: the encoder is missing, is not an encoder, or has no fast tokenizer or no safetensors weights; or
            tokenizer and weights do not match.
    """
    with _access(section):
        return _load_encoder(section)


def load_tokenizer_alone(section: EncoderSection) -> Tokenizer:
    """Load the tokenizer of an encoder, and check the recipe's options for it, without its weights.

    Raises:
        ModelError: see `load_encoder`.
    """
    with _access(section):
        apply_options(encoder_config(section.name), section)
        return load_tokenizer(section.name)


def _access(section: EncoderSection) -> AbstractContextManager[None]:
    quiet_transformers()
    return hub_access(
        f"encoder.name: {section.name}", ModelError, files="a config.json, or `hash_cnn`, which needs no download"
    )


def _load_encoder(section: EncoderSection) -> tuple[nn.Module, Tokenizer]:
    from transformers import AutoModel

    config = encoder_config(section.name)
    apply_options(config, section)
    tokenizer = load_tokenizer(section.name)
    try:
        kwargs = without_pooler(config)
        encoder, report = AutoModel.from_pretrained(
            section.name,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **kwargs,
        )
    except Exception as error:  # the libraries raise many kinds of errors for a damaged file
        if "safetensors" in str(error) and isinstance(error, (OSError, ValueError, RuntimeError)):
            raise ModelError(
                f"encoder.name: {section.name} has no weights in safetensors format",
                hint="pickled weights (.bin) are never loaded: convert the model once with save_pretrained().",
            ) from error
        raise ModelError(
            f"encoder.name: {section.name} cannot be loaded: {_first_line(error)}",
            hint="a file is damaged or missing, or the files are from different models; get the directory from its source "
            "again.",
        ) from error
    missing = [key for key in report["missing_keys"] if not any(part in key for part in MAY_BE_MISSING)]
    if missing:
        raise ModelError(
            f"encoder.name: the weights of {section.name} lack {counted(len(missing), 'tensor')}, first {sorted(missing)[0]}",
            hint="use a complete weights file of this architecture, and do not set encoder.layers to more layers than it has.",
        )
    if (name := first_not_finite(encoder)) is not None:
        raise ModelError(
            f"encoder.name: damaged weights of {section.name}: {name} contains non-finite numbers",
            hint="get the directory from its source again.",
        )
    check_vocabulary(tokenizer, encoder, f"encoder.name: the tokenizer of {section.name}")
    require_functions(encoder, section)
    if section.gradient_checkpointing:
        checkpoint_layers(encoder)
    return encoder, tokenizer


def quiet_transformers() -> None:
    """Suppress the progress bars and warnings of `transformers`; errors are still raised."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def encoder_config(name: str) -> Any:
    """Read a config, and raise an error unless it is of an encoder of the BERT family."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    if _looks_like_path(name) and not os.path.isdir(name):
        raise ModelError(
            f"encoder.name: directory {name} not found",
            hint="use a hub id, a directory with a config.json, or `hash_cnn`.",
        )
    if os.path.isfile(os.path.join(name, "ie.json")):
        raise ModelError(
            f"encoder.name: {name} is a model trained by `ie train`, not an encoder",
            hint=f"continue from it with training.init_from: {name}, and without encoder.name; or use the encoder that it was "
            "trained from: encoder.name in its recipe.yaml.",
        )
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # whatever the libraries raise for damaged files
        raise ModelError(
            f"encoder.name: the config of {name} cannot be read: {_first_line(error)}",
            hint="use a hub id, a directory with a config.json, or `hash_cnn`.",
        ) from error
    require_builtin_kernels(config, name, f"encoder.name: {name}")
    if config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or config.is_encoder_decoder:
        raise ModelError(
            f"encoder.name: {name} is a {config.model_type} model, which is not a bidirectional encoder",
            hint="use an encoder of the BERT family: bert, roberta, electra, deberta, xlm-roberta, modernbert, …",
        )
    return config


def require_builtin_kernels(config: Any, name: str, where: str) -> None:
    """Check that a config does not name a custom implementation, whose code the library would download from the hub.

    Args:
        config: the config.
        name: the directory or hub id that the config was read from. Releases of the library differ in which fields they use;
            fields that only other releases use are checked too.
        where: the place for the message.

    Raises:
        ModelError: the config names a custom implementation.
    """
    stored, _ = type(config).get_config_dict(name)
    for part in ("attn", "experts"):
        fields = (stored.get(f"{part}_implementation"), stored.get(f"_{part}_implementation"))
        named = getattr(config, f"_{part}_implementation_internal", None) or fields[0] or fields[1]
        ours = part == "attn" and str(named).startswith(PREFIX)  # is compared with the recipe by `encoder_functions`
        if not ours and named not in (None, "eager", "sdpa"):
            raise ModelError(
                f"{where}: requires {part}_implementation {named!r}, whose code would be downloaded",
                hint=f"remove {part}_implementation from config.json.",
            )


def apply_options(config: Any, section: EncoderSection) -> None:
    """Set the recipe's options in a config, and check that a window fits its positions."""
    if section.layers is not None:
        if section.layers > config.num_hidden_layers:
            raise ModelError(
                f"encoder.layers: got {section.layers}, but {section.name} has {config.num_hidden_layers}",
                hint="set fewer, or remove encoder.layers to keep all layers.",
            )
        config.num_hidden_layers = section.layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: section.layers]
    _set_dropout(config, section.dropout, ("hidden_dropout_prob", "dropout", "mlp_dropout", "embedding_dropout"))
    _set_dropout(config, section.attention_dropout, ("attention_probs_dropout_prob", "attention_dropout"))
    set_functions(config, section)
    positions = positions_of(config)
    if section.max_length > positions:
        raise ModelError(
            f"encoder.max_length: {section.max_length} is more than the {positions} positions of {section.name}",
            hint=f"set encoder.max_length to at most {positions}; longer texts are split into windows, not truncated.",
        )


def positions_of(config: Any) -> float:
    """Return how many tokens an encoder accepts; infinity if it has no learned positions."""
    return count_positions(config)


def max_tokens(config: Any) -> int:
    """Return `positions_of` as an integer bound for shapes; a large number if the encoder has no learned positions."""
    positions = positions_of(config)
    return 2**20 if math.isinf(positions) else int(positions)


def _set_dropout(config: Any, value: float | None, names: tuple[str, ...]) -> None:
    if value is None:
        return
    known = [name for name in names if hasattr(config, name)]
    if not known:
        raise ModelError(
            f"encoder.dropout: a {config.model_type} model has none of the settings {', '.join(names)}",
            hint="remove encoder.dropout and encoder.attention_dropout to keep the encoder's own settings.",
        )
    for name in known:
        setattr(config, name, value)


def load_tokenizer(name: str) -> Tokenizer:
    """Load the fast tokenizer of a hub id or directory."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises bare exceptions
        raise ModelError(
            f"encoder.name: the tokenizer of {name} cannot be read: {_first_line(error)}",
            hint="its tokenizer.json is damaged or missing; get the directory from its source again.",
        ) from error
    backend: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"encoder.name: {name} has no fast tokenizer, which is needed for offsets",
            hint="convert it once to tokenizer.json (AutoTokenizer.from_pretrained(…, use_fast=True).save_pretrained).",
        )
    with tokenizer_errors(
        f"encoder.name: the tokenizer of {name}", "get the encoder's directory from its source again."
    ):
        probe(backend)
    return backend


def check_vocabulary(tokenizer: Tokenizer, encoder: nn.Module, what: str) -> None:
    """Check that every id of a tokenizer has an embedding; `what` is the tokenizer's place and name for the message."""
    size = encoder.get_input_embeddings().num_embeddings  # type: ignore[operator]
    # The file lists the ids of the special tokens around a text separately.
    ids = [*tokenizer.get_vocab(with_added_tokens=True).values(), *tokenizer.encode("").ids]
    largest = max(ids, default=-1)
    if largest >= size:
        raise ModelError(
            f"{what} has ids up to {largest}, but the embedding has only {size} rows",
            hint="tokenizer and weights are from different models; use those of the same model.",
        )


def without_pooler(config: Any) -> dict[str, Any]:
    """Return keyword arguments that build the encoder without the pooler, which no head uses."""
    from transformers import AutoModel

    accepts = inspect.signature(AutoModel._model_mapping[type(config)].__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepts else {}


def build_encoder(config: Any) -> nn.Module:
    """Build an encoder with fresh weights."""
    from transformers import AutoModel

    encoder: nn.Module = AutoModel._model_mapping[type(config)](config, **without_pooler(config))
    return encoder


def tiny_tokenizer(characters: Counter[str]) -> Tokenizer:
    """Build a tokenizer with a token per character; characters that occur only once are unknown, so that [UNK] is trained."""
    known = sorted(char for char, count in characters.items() if count > 1 and not "\ud800" <= char <= "\udfff")
    vocabulary = {token: i for i, token in enumerate([*SPECIALS, *known])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.post_processor = surround(vocabulary)
    return tokenizer


def tiny_encoder(
    section: EncoderSection, characters: Counter[str], *, tokenizer: Tokenizer | None = None
) -> tuple[nn.Module, Tokenizer]:
    """Build a small BERT from scratch and its tokenizer: `tiny_tokenizer` unless another one is given."""
    from transformers import BertConfig

    tokenizer = tokenizer or tiny_tokenizer(characters)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        num_hidden_layers=section.layers or 2,
        max_position_embeddings=section.max_length,
        pad_token_id=0,
        **TINY,
    )
    apply_options(config, section.model_copy(update={"layers": None}))
    try:
        encoder = build_encoder(config)
    except (RuntimeError, TypeError, MemoryError) as error:
        raise ModelError(
            f"encoder: a `tiny` encoder with max_length {section.max_length} and "
            f"{counted(config.num_hidden_layers, 'layer')} does not fit in memory: {_first_line(error)[:120]}",
            hint="set encoder.max_length to 512 or less; longer texts are split into windows, not truncated.",
        ) from error
    if section.gradient_checkpointing:
        checkpoint_layers(encoder)
    return encoder, tokenizer


def hash_encoder(section: EncoderSection) -> tuple[nn.Module, Tokenizer]:
    """Build a `hash_cnn` encoder from scratch and its tokenizer."""
    from ie_cli.modeling.hash_cnn import HashCnnConfig

    config = HashCnnConfig() if section.layers is None else HashCnnConfig(num_hidden_layers=section.layers)
    apply_options(config, section.model_copy(update={"layers": None}))
    return build_encoder(config), hash_tokenizer()


def register_hash_cnn() -> None:
    """Make `transformers` know the encoder `hash_cnn`, whose module imports it."""
    import ie_cli.modeling.hash_cnn  # noqa: F401


def checkpoint_layers(encoder: nn.Module) -> None:
    """Let each layer recompute its activations in the backward pass."""
    options = {"use_reentrant": False}
    if hasattr(encoder, "activation_checkpointing_enable"):  # transformers 6 removes the older name
        encoder.activation_checkpointing_enable(activation_checkpointing_kwargs=options)  # type: ignore[operator]
    else:
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)  # type: ignore[operator]


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
