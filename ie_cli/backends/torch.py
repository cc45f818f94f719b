"""The torch backend: ids in, factors out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ie_cli.decode import Factors
from ie_cli.devices import Precision, torch_dtype
from ie_cli.heads import Head, Scorer
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

    def factors(
        self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]
    ) -> tuple[Iterator[Factors], ...]:
        """Factors of a batch ``[batch, L]`` for each table of the head, for `decode`."""
        parameter = next(self.model.encoder.parameters())
        device, dtype = parameter.device, torch_dtype(self.precision)
        autocast = torch.autocast(device.type, dtype=dtype, enabled=dtype not in (parameter.dtype, torch.float32))
        with torch.inference_mode(), autocast:
            hidden = self.model.hidden(
                torch.from_numpy(input_ids).to(device), torch.from_numpy(attention_mask).to(device)
            )
        return tuple(_factors(scorer, hidden) for scorer in cast(Head, self.model.head).scorers)


def _factors(scorer: Scorer, hidden: Tensor) -> Iterator[Factors]:
    parts = scorer.factors(hidden)
    while True:
        # Not across a yield: two tables are read in turn, and each would put back the mode it found.
        with torch.inference_mode():
            part = next(parts, None)
        if part is None:
            return
        yield part
