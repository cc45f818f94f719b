from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ie_cli.doctor.token_counting import token_counter
from ie_cli.encoding.positions import count_positions

CASES: list[tuple[dict[str, Any], float]] = [
    ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
    ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
    ({"model_type": "roberta-prelayernorm", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
    ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
    ({"model_type": "xlm-roberta-xl", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
    ({"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
    ({"model_type": "bert"}, math.inf),
    ({"model_type": "roberta", "max_position_embeddings": -1, "pad_token_id": 1}, math.inf),
    ({}, math.inf),
]


@pytest.mark.parametrize(("config", "positions"), CASES)
def test_a_mapping_and_an_object_give_the_same_count(config: dict[str, Any], positions: float) -> None:
    assert count_positions(config) == count_positions(SimpleNamespace(**config)) == positions


@pytest.mark.parametrize(
    "model_type", ["roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert"]
)
def test_as_many_tokens_fit_as_are_counted(model_type: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(
        model_type,
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=12,
        pad_token_id=1,
    )
    model = AutoModel.from_config(config).eval()
    most = int(count_positions(config))
    with torch.inference_mode():
        model(torch.full((1, most), 5))
        with pytest.raises((IndexError, RuntimeError)):
            model(torch.full((1, most + 1), 5))


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        (json.dumps({"model_type": "bert", "max_position_embeddings": 64}), 64),
        (json.dumps({"model_type": "bert", "max_position_embeddings": 8192}), 512),
        (json.dumps({"model_type": "bert", "max_position_embeddings": 8}), 32),
        (json.dumps({"model_type": "roberta", "max_position_embeddings": 130, "pad_token_id": 1}), 128),
        (json.dumps({"model_type": "roberta", "max_position_embeddings": 130}), 512),
        ('{"max_position_embeddings": "many"}', 512),
        ('{"max_position_embeddings": 1e999}', 512),
        ('{"max_position_embeddings": NaN}', 512),
        ('{"max_position_embeddings": [1], "model_type": []}', 512),
        ("[]", 512),
        ("nonsense", 512),
        (None, 512),
    ],
)
def test_a_damaged_config_is_left_to_the_loader_of_models(tmp_path: Path, config: str | None, limit: int) -> None:
    from support.fakes import wordpiece

    wordpiece().save(str(tmp_path / "tokenizer.json"))
    if config is not None:
        (tmp_path / "config.json").write_text(config, encoding="utf-8")
    assert token_counter(str(tmp_path))[1] == limit
