"""The size of an encoder is read from its config, and its learning rates follow from it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ie_cli.encoding.encoder_size import EncoderSize


@pytest.mark.parametrize(
    ("config", "rate", "words"),
    [
        ({"hidden_size": 384, "num_hidden_layers": 6}, 1e-4, "6 layers of 384"),
        ({"hidden_size": 768, "num_hidden_layers": 12}, 2e-5, "12 layers of 768"),
        ({"dim": 768, "n_layers": 6}, 2e-5, "6 layers of 768"),
        ({"hidden_size": 1024, "num_hidden_layers": 24}, 1e-5, "24 layers of 1024"),
        ({"hidden_size": "many", "num_hidden_layers": True}, 2e-5, "base size assumed"),
        (SimpleNamespace(hidden_size=312, num_hidden_layers=4), 1e-4, "4 layers of 312"),
    ],
)
def test_the_rate_follows_from_the_size(config: object, rate: float, words: str) -> None:
    size = EncoderSize.of(config)
    assert (size.rate, size.describe()) == (rate, words)
    lowest, highest = size.rates
    assert lowest < size.rate < highest


def test_an_encoder_from_scratch_learns_faster() -> None:
    assert EncoderSize(hidden=192, layers=2, pretrained=False).rate == 1e-3
