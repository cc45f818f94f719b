"""Encoders: a hub id or a folder, read by `transformers`, or `tiny`, built from scratch with a vocabulary of the data."""

from __future__ import annotations

import inspect
import math
import os
from collections import Counter
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import nn

from ie_cli.encoding.positions import count_positions
from ie_cli.encoding.tokenizer_loading import probe, working
from ie_cli.encoding.word_vocabulary import SPECIALS, surround
from ie_cli.errors import ModelError
from ie_cli.modeling.model import first_not_finite
from ie_cli.recipe.schema import EncoderSection

TINY = {"hidden_size": 192, "num_attention_heads": 4, "intermediate_size": 768}
MAY_BE_MISSING = ("pooler.", "position_ids", "token_type_ids")


def load_encoder(section: EncoderSection) -> tuple[nn.Module, Tokenizer]:
    """Load a pretrained encoder in float32 and its tokenizer, with the recipe's options.

    Raises:
        ModelError: it is missing, is no encoder, has no fast tokenizer or no safetensors, or they do not fit.
    """
    quiet_transformers()
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
    except Exception as error:  # the libraries raise errors of many kinds over a damaged file
        if "safetensors" in str(error) and isinstance(error, (OSError, ValueError, RuntimeError)):
            raise ModelError(
                f"encoder.name: {section.name} holds no weights in safetensors form",
                hint="pickled weights (.bin) are never loaded: save the model once with save_pretrained().",
            ) from error
        raise ModelError(
            f"encoder.name: {section.name} cannot be loaded: {_first_line(error)}",
            hint="a file of it is damaged or missing, or they belong to two models; take the folder from its source again.",
        ) from error
    missing = [key for key in report["missing_keys"] if not any(part in key for part in MAY_BE_MISSING)]
    if missing:
        raise ModelError(
            f"encoder.name: the weights of {section.name} lack {len(missing)} tensors, first {sorted(missing)[0]}",
            hint="the file is incomplete, belongs to another architecture, or encoder.layers asks for more than it has.",
        )
    if (name := first_not_finite(encoder)) is not None:
        raise ModelError(
            f"encoder.name: damaged weights of {section.name}: {name} holds numbers that are not finite",
            hint="take the folder from its source again.",
        )
    check_vocabulary(tokenizer, encoder, f"encoder.name: the tokenizer of {section.name}")
    if section.gradient_checkpointing:
        _checkpoint_layers(encoder)
    return encoder, tokenizer


def quiet_transformers() -> None:
    """Keep the library's progress bars and advice off the terminal; errors still raise."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def encoder_config(name: str) -> Any:
    """Read a config and refuse what is no encoder of the BERT family."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    if _looks_like_path(name) and not os.path.isdir(name):
        raise ModelError(
            f"encoder.name: no folder {name}", hint="give a hub id, a folder with a config.json, or `tiny`."
        )
    if os.path.isfile(os.path.join(name, "ie.json")):
        raise ModelError(
            f"encoder.name: {name} is a model that `ie train` wrote, no encoder",
            hint="name the encoder that it was trained from: encoder.name in its recipe.yaml.",
        )
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # of damaged files, whatever the libraries raise
        raise ModelError(
            f"encoder.name: no config of {name} can be read: {_first_line(error)}",
            hint="give a hub id, a folder with a config.json, or `tiny`; without a network only folders and models "
            "already downloaded can be used.",
        ) from error
    refuse_kernels(config, name, f"encoder.name: {name}")
    if config.model_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or config.is_encoder_decoder:
        raise ModelError(
            f"encoder.name: {name} is a {config.model_type} model, which is no bidirectional encoder",
            hint="use an encoder of the BERT family: bert, roberta, electra, deberta, xlm-roberta, modernbert, …",
        )
    return config


def refuse_kernels(config: Any, name: str, where: str) -> None:
    """Refuse a config that names an implementation of its own: the library would fetch its code from the hub.

    Args:
        name: the folder or hub id that it was read from. Which fields count differs between releases of the library:
            those that one leaves out are refused too, as another one would use them.

    Raises:
        ModelError: it does.
    """
    stored, _ = type(config).get_config_dict(name)
    for part in ("attn", "experts"):
        fields = (stored.get(f"{part}_implementation"), stored.get(f"_{part}_implementation"))
        named = getattr(config, f"_{part}_implementation_internal", None) or fields[0] or fields[1]
        if named not in (None, "eager", "sdpa"):
            raise ModelError(
                f"{where}: asks for {part}_implementation {named!r}, whose code would come from elsewhere",
                hint=f"remove {part}_implementation from config.json.",
            )


def apply_options(config: Any, section: EncoderSection) -> None:
    """Set layers and dropout on a config, and check that a window fits its positions."""
    if section.layers is not None:
        if section.layers > config.num_hidden_layers:
            raise ModelError(
                f"encoder.layers: {section.layers} asked for, but {section.name} has {config.num_hidden_layers}",
                hint="set fewer, or remove encoder.layers to keep all.",
            )
        config.num_hidden_layers = section.layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: section.layers]
    _set_dropout(config, section.dropout, ("hidden_dropout_prob", "dropout", "mlp_dropout", "embedding_dropout"))
    _set_dropout(config, section.attention_dropout, ("attention_probs_dropout_prob", "attention_dropout"))
    positions = positions_of(config)
    if section.max_length > positions:
        raise ModelError(
            f"encoder.max_length: {section.max_length} is more than the {positions} positions of {section.name}",
            hint=f"set encoder.max_length to at most {positions}; longer texts are cut into windows, not lost.",
        )


def positions_of(config: Any) -> float:
    """How many tokens an encoder can take; without end where it learned no positions."""
    return count_positions(config)


def most_tokens(config: Any) -> int:
    """`positions_of` as a bound for shapes: large where the encoder learned no positions."""
    positions = positions_of(config)
    return 2**20 if math.isinf(positions) else int(positions)


def _set_dropout(config: Any, value: float | None, names: tuple[str, ...]) -> None:
    if value is None:
        return
    known = [name for name in names if hasattr(config, name)]
    if not known:
        raise ModelError(
            f"encoder.dropout: a {config.model_type} model has none of the settings {', '.join(names)}",
            hint="remove encoder.dropout and encoder.attention_dropout: the encoder keeps its own.",
        )
    for name in known:
        setattr(config, name, value)


def load_tokenizer(name: str) -> Tokenizer:
    """The fast tokenizer of a hub id or folder."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises bare exceptions
        raise ModelError(
            f"encoder.name: no tokenizer of {name} can be read: {_first_line(error)}",
            hint="its tokenizer.json is damaged or missing; take the folder from its source again.",
        ) from error
    backend: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"encoder.name: {name} has no fast tokenizer, whose offsets are needed",
            hint="save it once as tokenizer.json (AutoTokenizer.from_pretrained(…, use_fast=True).save_pretrained).",
        )
    with working(f"encoder.name: the tokenizer of {name}", "take the encoder's folder from its source again."):
        probe(backend)
    return backend


def check_vocabulary(tokenizer: Tokenizer, encoder: nn.Module, what: str) -> None:
    """Refuse a tokenizer whose ids have no embedding; `what` is its place and name for the message."""
    rows = encoder.get_input_embeddings().num_embeddings  # type: ignore[operator]
    # The special tokens that are put around a text have ids of their own in the file.
    ids = [*tokenizer.get_vocab(with_added_tokens=True).values(), *tokenizer.encode("").ids]
    largest = max(ids, default=-1)
    if largest >= rows:
        raise ModelError(
            f"{what} has ids up to {largest}, but the embedding only {rows} rows",
            hint="tokenizer and weights belong to two models; take both from one.",
        )


def without_pooler(config: Any) -> dict[str, Any]:
    """Keyword arguments that build the encoder without the pooler, whose weights no head uses."""
    from transformers import AutoModel

    accepts = inspect.signature(AutoModel._model_mapping[type(config)].__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepts else {}


def build_encoder(config: Any) -> nn.Module:
    """An encoder with fresh weights."""
    from transformers import AutoModel

    encoder: nn.Module = AutoModel._model_mapping[type(config)](config, **without_pooler(config))
    return encoder


def tiny_tokenizer(characters: Counter[str]) -> Tokenizer:
    """A token for every character; those that the training text holds only once are unknown, so that [UNK] is trained."""
    known = sorted(char for char, count in characters.items() if count > 1 and not "\ud800" <= char <= "\udfff")
    vocabulary = {token: i for i, token in enumerate([*SPECIALS, *known])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.post_processor = surround(vocabulary)
    return tokenizer


def tiny_encoder(
    section: EncoderSection, characters: Counter[str], *, tokenizer: Tokenizer | None = None
) -> tuple[nn.Module, Tokenizer]:
    """A small BERT from scratch and its tokenizer: `tiny_tokenizer`, where no other is given."""
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
            f"encoder: a `tiny` of max_length {section.max_length} and {config.num_hidden_layers} layers does not fit into "
            f"memory: {_first_line(error)[:120]}",
            hint="set encoder.max_length to 512 or less; longer texts are cut into windows, not lost.",
        ) from error
    if section.gradient_checkpointing:
        _checkpoint_layers(encoder)
    return encoder, tokenizer


def _checkpoint_layers(encoder: nn.Module) -> None:
    options = {"use_reentrant": False}
    if hasattr(encoder, "activation_checkpointing_enable"):  # the older name goes away in transformers 6
        encoder.activation_checkpointing_enable(activation_checkpointing_kwargs=options)  # type: ignore[operator]
    else:
        encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)  # type: ignore[operator]


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
