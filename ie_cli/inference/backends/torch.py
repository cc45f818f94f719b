"""The torch backend: ids in, factors out; and its weights in a model folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from accelerate import init_empty_weights
from tokenizers import Tokenizer
from torch import Tensor

from ie_cli.codecs.spans import Factors
from ie_cli.data.label_schema import LabelSchema
from ie_cli.errors import ModelError
from ie_cli.inference.integrity import BELONG
from ie_cli.inference.model_directory import CONFIG, FACTS, RECIPE, TOKENIZER, WEIGHTS, reading
from ie_cli.modeling.devices import choose_device, choose_precision, torch_dtype
from ie_cli.modeling.encoder import (
    MAY_BE_MISSING,
    build_encoder,
    check_vocabulary,
    positions_of,
    quiet_transformers,
    refuse_kernels,
)
from ie_cli.modeling.heads import Head, Scorer
from ie_cli.modeling.model import SpanModel, build_head
from ie_cli.recipe.base import Precision
from ie_cli.recipe.schema import Recipe

_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


class TorchBackend:
    """Run a model forward.

    Args:
        model: on its device; it is set to prediction when it is run.
        precision: of the encoder. Where its weights are float32, other precisions run by autocast.
    """

    def __init__(self, model: SpanModel, precision: Precision) -> None:
        self.model = model
        self.precision = precision

    def factors(
        self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]
    ) -> tuple[Iterator[Factors], ...]:
        """Factors of a batch ``[batch, L]`` for each table of the head, for `decode`."""
        if self.model.training:
            self.model.eval()
        parameter = next(self.model.encoder.parameters())
        device, dtype = parameter.device, torch_dtype(self.precision)
        autocast = torch.autocast(device.type, dtype=dtype, enabled=dtype not in (parameter.dtype, torch.float32))
        with torch.inference_mode(), autocast:
            hidden = self.model.hidden(
                torch.from_numpy(input_ids).to(device), torch.from_numpy(attention_mask).to(device)
            )
        return tuple(_factors(scorer, hidden) for scorer in cast(Head, self.model.head).scorers)

    def write(self, folder: Path) -> None:
        """Write `model.safetensors` and the encoder's `config.json`."""
        from safetensors.torch import save_file

        weights = {name: tensor.detach().cpu().float().contiguous() for name, tensor in _tensors(self.model)}
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
        os.chmod(folder / WEIGHTS, 0o644)  # safetensors creates it for the owner alone
        self.model.encoder.config.save_pretrained(folder)  # type: ignore[operator,union-attr]


def _factors(scorer: Scorer, hidden: Tensor) -> Iterator[Factors]:
    parts = scorer.factors(hidden)
    while True:
        # Not across a yield: two tables are read in turn, and each would put back the mode it found.
        with torch.inference_mode():
            part = next(parts, None)
        if part is None:
            return
        yield part


def load_torch(
    path: Path,
    recipe: Recipe,
    schema: LabelSchema,
    tokenizer: Tokenizer,
    pad_id: int,
    *,
    device: Literal["auto", "cpu"],
    precision: Precision | Literal["auto"],
) -> TorchBackend:
    """Read the model of a folder, every fault of it a `ModelError`."""
    from transformers import AutoConfig

    quiet_transformers()
    names = _tensor_names(path / WEIGHTS)
    with reading(path / CONFIG):
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        refuse_kernels(config, str(path / CONFIG))
        if recipe.encoder.max_length > (positions := positions_of(config)):
            raise ModelError(
                f"{path / RECIPE}: encoder.max_length is {recipe.encoder.max_length}, but the encoder has {positions} "
                f"positions ({CONFIG})",
                hint="the recipe is of another model, or was changed: set it back.",
            )
        sizes = {name: value for name in _SIZES if isinstance(value := getattr(config, name, None), int)}
        if wrong := [name for name, value in sizes.items() if value < 1]:
            raise ValueError(f"{wrong[0]} is {sizes[wrong[0]]}")
        if sizes.get("num_hidden_layers", 0) > len(names):  # before minutes go into building them
            raise ValueError(f"{config.num_hidden_layers} layers, but {WEIGHTS} beside it has {len(names)} tensors")
        with init_empty_weights(include_buffers=False):  # buffers (rotary frequencies, …) are in no file
            encoder = build_encoder(config)
    with reading(path / RECIPE, BELONG), init_empty_weights(include_buffers=False):
        head = build_head(recipe.head, hidden_size=config.hidden_size, schema=schema)
    model = SpanModel(encoder, head)
    check_vocabulary(tokenizer, encoder, f"{path / TOKENIZER}: it")
    if pad_id >= (rows := encoder.get_input_embeddings().num_embeddings):  # type: ignore[operator]
        raise ModelError(f"{path / FACTS}: pad_id is {pad_id}, but the embedding has {rows} rows", hint=BELONG)
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    _load_weights(model, path / WEIGHTS)
    model.encoder.to(where, torch_dtype(chosen))
    model.head.to(where)
    return TorchBackend(model, chosen)


def _tensors(model: SpanModel) -> Iterator[tuple[str, torch.Tensor]]:
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:  # safetensors refuses tied weights; loading ties them again
            seen.add(tensor.data_ptr())
            yield name, tensor


def _tensor_names(path: Path) -> list[str]:
    from safetensors import safe_open

    with reading(path), safe_open(path, framework="pt") as file:
        return list(file.keys())


def _load_weights(model: SpanModel, path: Path) -> None:
    from safetensors.torch import load_file

    with reading(path):
        weights = load_file(path)
    buffers = {name for name, _ in model.named_buffers()}
    expected = dict(model.state_dict())
    wrong = [
        name
        for name, tensor in expected.items()
        if name not in buffers and name in weights and tensor.shape != weights[name].shape
    ]
    lacking = sorted(set(expected) - set(weights) - buffers)
    # A buffer that an older version of the library stored is no weight.
    beyond = sorted(name for name in set(weights) - set(expected) if not any(part in name for part in MAY_BE_MISSING))
    if wrong or lacking or beyond:
        first = (wrong or lacking or beyond)[0]
        what = "is missing" if lacking else "has no place in the model"
        if wrong:
            what = f"is {list(weights[first].shape)}, expected {list(expected[first].shape)}"
        raise ModelError(
            f"{path}: the weights do not fit config.json, ie.json and recipe.yaml beside it: {first} {what}",
            hint=BELONG,
        )
    model.load_state_dict(weights, strict=False, assign=True)
