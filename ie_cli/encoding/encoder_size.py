"""The size of an encoder, and the learning rates that encoders of that size need."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ie_cli.recipe.schema import FROM_SCRATCH
from ie_cli.system.json_reading import loads

_BASE = frozenset({"bert-base-chinese", "bert-base-cased", "xlm-roberta-base"})
"""Encoders of 12 layers of 768 that `ie init` proposes."""
HEAD_RATES = (1e-4, 1e-2)
"""The learning rates of a head with which models usually learn: the lowest and the highest."""


def in_hub_cache(name: str) -> bool:
    """Return whether the config of an encoder is in the local cache of the Hub."""
    return isinstance(_cached(name), str)


def _cached(name: str) -> Any:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return try_to_load_from_cache(name, "config.json")
    except HFValidationError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSize:
    """The size of an encoder.

    Attributes:
        hidden: number of components of a hidden state; None if unknown.
        layers: number of layers; None if unknown.
        pretrained: whether the encoder was trained before.
    """

    hidden: int | None = None
    layers: int | None = None
    pretrained: bool = True

    @classmethod
    def of(cls, config: Any, *, pretrained: bool = True) -> EncoderSize:
        """Read the size from a config object of `transformers`, or from the unvalidated content of a config.json."""

        def number(*names: str) -> int | None:
            for name in names:
                value = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
                if type(value) is int and value > 0:
                    return value
            return None

        return cls(
            hidden=number("hidden_size", "dim", "d_model"),
            layers=number("num_hidden_layers", "n_layers"),
            pretrained=pretrained,
        )

    @classmethod
    def read(cls, name: str) -> EncoderSize:
        """Read the size of an encoder from a directory or the local cache of the Hub; it is unknown if neither has a config."""
        if name in FROM_SCRATCH:
            return cls(pretrained=False)
        if name in _BASE:
            return cls(hidden=768, layers=12)
        file: Any = os.path.join(os.path.expanduser(name), "config.json")
        if not os.path.isfile(file):
            file = _cached(name)
        try:
            config = loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError):
            return cls()
        return cls.of(config) if isinstance(config, dict) else cls()

    @property
    def rate(self) -> float:
        """The peak learning rate to start with.

        Smaller encoders need higher rates: Turc et al. (arxiv.org/abs/1908.08962) chose among 5e-5 to 3e-4 for encoders below
        base size, Devlin et al. (arxiv.org/abs/1810.04805) among 2e-5 to 5e-5 for base and large.
        """
        if not self.pretrained:
            return 1e-3
        if self.hidden is None or 512 < self.hidden < 1024:
            return 2e-5
        return 1e-4 if self.hidden <= 512 else 1e-5

    @property
    def rates(self) -> tuple[float, float]:
        """The peak learning rates with which such an encoder usually learns: the lowest and the highest."""
        if not self.pretrained:
            return 2e-4, 5e-3
        return self.rate / 4, self.rate * 5

    def describe(self) -> str:
        """Return the size in words, e.g. ``6 layers of 384``."""
        if self.hidden is None or self.layers is None:
            return "base size assumed"
        return f"{self.layers} layers of {self.hidden}"
