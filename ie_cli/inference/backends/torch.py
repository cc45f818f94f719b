"""The torch backend: runs a model, and reads and writes its weights in a model directory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from accelerate import init_empty_weights
from tokenizers import Tokenizer
from torch import Tensor

from ie_cli.codecs.base import Codec
from ie_cli.errors import ModelError
from ie_cli.inference.integrity import MIXED_FILES_HINT
from ie_cli.inference.model_directory import CONFIG, FACTS, RECIPE, TOKENIZER, WEIGHTS, ModelFacts, reading
from ie_cli.modeling.device_queue import IN_ORDER, DeviceQueue, queue_of
from ie_cli.modeling.devices import choose_device, choose_precision, convert, to_device
from ie_cli.modeling.encoder import (
    HASH_MODEL_TYPE,
    MAY_BE_MISSING,
    build_encoder,
    check_vocabulary,
    positions_of,
    quiet_transformers,
    register_hash_cnn,
    require_builtin_kernels,
)
from ie_cli.modeling.encoder_functions import require_stored_functions
from ie_cli.modeling.gpu_attention import prepare_for_device
from ie_cli.modeling.heads.base import Head, build_head
from ie_cli.modeling.model import ExtractionModel, distinct_tensors, first_not_finite, rename_tensor_of_0_1
from ie_cli.recipe.base import Precision
from ie_cli.recipe.schema import HASH_CNN, Recipe

_SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


class TorchBackend:
    """Run a model with torch.

    Args:
        model: the model on its device; it is set to evaluation mode when it is run.
        precision: the precision of the encoder's weights when it is run.
    """

    def __init__(self, model: ExtractionModel, precision: Precision) -> None:
        self.model = model
        self.precision = precision

    @property
    def ahead(self) -> int:
        """How many batches are worth launching before the oldest of them is decoded."""
        return queue_of(next(self.model.encoder.parameters()).device).ahead

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> dict[str, TorchOutputs]:
        """Return the outputs of each head for a batch ``[batch, L]``; a head is run when its outputs are requested."""
        if self.model.training:
            self.model.eval()
        device = next(self.model.encoder.parameters()).device
        queue = queue_of(device)
        with torch.inference_mode():
            ids, mask = (to_device(torch.from_numpy(array), device) for array in (input_ids, attention_mask))
            read = self.model.read(self.model.tasks, ids, mask, padded=not attention_mask.all())
            ready = queue.hand_over(read.values())
        return {task: TorchOutputs(self.model.head(task), hidden, queue, ready) for task, hidden in read.items()}

    def query(
        self, task: str, name: str, vectors: npt.NDArray[np.float32], arguments: Mapping[str, npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        """Run a query of a head on vectors that it has read; float32 ``[rows, d]``."""
        device = next(self.model.encoder.parameters()).device
        return TorchOutputs(self.model.head(task), torch.from_numpy(vectors).to(device)).query(name, arguments)

    def write(self, directory: Path) -> None:
        """Write `model.safetensors` and the encoder's `config.json`.

        The tensors of the encoder are named as in `transformers`, so that `AutoModel` can load it.
        """
        from safetensors.torch import save_file

        weights = {
            _name_in_file(name): tensor.detach().cpu().float().contiguous()
            for name, tensor in distinct_tensors(self.model)
        }
        save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})
        os.chmod(directory / WEIGHTS, 0o644)  # safetensors creates it readable only for the owner
        self.model.encoder.config.save_pretrained(directory)  # type: ignore[operator,union-attr]


@dataclass(frozen=True, slots=True)
class TorchOutputs:
    """The outputs of a head for what it reads of the encoder's output, which its device may still be computing.

    Attributes:
        queue: where the head computes.
        ready: the mark of the queue after which `hidden` is there.
    """

    head: Head
    hidden: Tensor
    queue: DeviceQueue = IN_ORDER
    ready: Any = None

    def matrix(self, name: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Yield the blocks of a score matrix."""
        with self._computing():
            blocks = self.head.blocks(self.hidden)[name]
        while True:
            # Not across the yield: if two generators alternate, each would restore the mode that it found.
            with self._computing():
                block = next(blocks, None)
                arrays = None if block is None else self.queue.bring(block)
            if arrays is None:
                return
            del block  # so that its memory is free while it is decoded
            yield arrays

    def query(self, name: str, arguments: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run a second pass over the hidden states."""
        with self._computing():
            given = {key: to_device(torch.from_numpy(value), self.hidden.device) for key, value in arguments.items()}
            return self.queue.bring(self.head.query(name, self.hidden, given))

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with torch.inference_mode(), self.queue.after(self.ready):
            yield


def load_torch(
    path: Path,
    recipe: Recipe,
    codecs: Mapping[str, Codec],
    *,
    tokenizer: Tokenizer,
    facts: ModelFacts,
    device: str,
    precision: Precision | Literal["auto"],
) -> TorchBackend:
    """Load the model of a directory.

    Raises:
        ModelError: a file is damaged, or the files do not belong together.
    """
    from transformers import AutoConfig

    quiet_transformers()
    names = _tensor_names(path / WEIGHTS)
    with reading(path / CONFIG):
        if hashed := recipe.encoder.name == HASH_CNN:
            register_hash_cnn()
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        if (config.model_type == HASH_MODEL_TYPE) != hashed:
            raise ValueError(f"the encoder has the type {config.model_type}, but is {recipe.encoder.name} in {RECIPE}")
        require_builtin_kernels(config, str(path), str(path / CONFIG))
        require_stored_functions(config, recipe.encoder)
        if recipe.encoder.max_length > (positions := positions_of(config)):
            raise ModelError(
                f"{path / RECIPE}: encoder.max_length is {recipe.encoder.max_length}, but the encoder has {positions} "
                f"positions ({CONFIG})",
                hint="restore the recipe: it belongs to another model, or has been changed.",
            )
        sizes = {name: value for name in _SIZES if isinstance(value := getattr(config, name, None), int)}
        if wrong := [name for name, value in sizes.items() if value < 1]:
            raise ValueError(f"{wrong[0]} is {sizes[wrong[0]]}")
        if sizes.get("num_hidden_layers", 0) > len(names):  # before minutes are spent on building them
            raise ValueError(f"{config.num_hidden_layers} layers, but {WEIGHTS} has {len(names)} tensors")
        with init_empty_weights(include_buffers=False):  # buffers (rotary frequencies, …) are not in the file
            encoder = build_encoder(config)
    with reading(path / RECIPE, MIXED_FILES_HINT), init_empty_weights(include_buffers=False):
        heads = {
            task: build_head(section.head, hidden_size=config.hidden_size, codec=codecs[task])
            for task, section in recipe.instances().items()
        }
    model = ExtractionModel(encoder, heads)
    check_vocabulary(tokenizer, encoder, f"{path / TOKENIZER}: it")
    if facts.pad_id >= (rows := encoder.get_input_embeddings().num_embeddings):  # type: ignore[operator]
        raise ModelError(
            f"{path / FACTS}: pad_id is {facts.pad_id}, but the embedding has {rows} rows", hint=MIXED_FILES_HINT
        )
    chosen_device = choose_device(device)
    chosen_precision = choose_precision(precision, chosen_device)
    _load_weights(model, path / WEIGHTS, earlier=next(iter(heads)) if facts.earlier_names else None)
    prepare_for_device(model.encoder, chosen_device)
    convert(model.encoder, chosen_precision)
    model.to(chosen_device)
    return TorchBackend(model, chosen_precision)


def _name_in_file(name: str) -> str:
    """Return the name in the file of a tensor in the model."""
    return name.removeprefix("encoder.")


def _name_in_model(name: str) -> str:
    """Return the name in the model of a tensor in the file."""
    return name if name.startswith("heads.") else f"encoder.{name}"


def _tensor_names(path: Path) -> list[str]:
    from safetensors import safe_open

    with reading(path), safe_open(path, framework="pt") as file:
        return list(file.keys())


def _load_weights(model: ExtractionModel, path: Path, *, earlier: str | None) -> None:
    """Load the tensors of a file into a model.

    Args:
        model: the model.
        path: the file.
        earlier: the only task of a file with the names of version 0.1; None for later versions.
    """
    from safetensors.torch import load_file

    with reading(path):
        stored = load_file(path)
    names = {name: _name_in_model(name) if earlier is None else rename_tensor_of_0_1(name, earlier) for name in stored}
    weights = {names[name]: tensor for name, tensor in stored.items()}
    buffers = {name for name, _ in model.named_buffers()}
    expected = dict(model.state_dict())
    wrong = [
        name
        for name, tensor in expected.items()
        if name not in buffers and name in weights and tensor.shape != weights[name].shape
    ]
    lacking = sorted(set(expected) - set(weights) - buffers)
    # Buffers stored by older versions of the library are not weights.
    unexpected = sorted(
        name for name in set(weights) - set(expected) if not any(part in name for part in MAY_BE_MISSING)
    )
    if wrong or lacking or unexpected:
        first = (wrong or lacking or unexpected)[0]
        what = "is missing" if lacking else "has no place in the model"
        if wrong:
            what = f"has the shape {list(weights[first].shape)}, expected {list(expected[first].shape)}"
        raise ModelError(
            f"{path}: the weights do not fit config.json, ie.json and recipe.yaml: {first} {what}",
            hint=MIXED_FILES_HINT,
        )
    model.load_state_dict(weights, strict=False, assign=True)
    if (name := first_not_finite(model)) is not None:
        raise ModelError(
            f"{path}: damaged: {name} contains non-finite numbers",
            hint="restore the directory from a backup, or train again.",
        )
