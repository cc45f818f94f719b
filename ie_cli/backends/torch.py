"""The torch backend: ids in, factors out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from ie_cli.decode import Factors
from ie_cli.devices import Precision, torch_dtype
from ie_cli.heads import Head
from ie_cli.model import SpanModel


class TorchBackend:
    """Run a model forward.

    Args:
        model: on its device; it is not changed.
        precision: of the encoder. Where its weights are float32, other precisions run by autocast.
    """

    def __init__(self, model: SpanModel, precision: Precision) -> None:
        self.model = model
        self.precision = precision

    def factors(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> Iterator[Factors]:
        """Factors of a batch ``[batch, L]``, for `decode.decode_spans`."""
        parameter = next(self.model.encoder.parameters())
        device, dtype = parameter.device, torch_dtype(self.precision)
        autocast = torch.autocast(device.type, dtype=dtype, enabled=dtype not in (parameter.dtype, torch.float32))
        with torch.inference_mode():
            with autocast:
                hidden = self.model.hidden(
                    torch.from_numpy(input_ids).to(device), torch.from_numpy(attention_mask).to(device)
                )
            yield from cast(Head, self.model.head).factors(hidden)
