"""The encoder that is built from scratch: what it sees, and what its directory must contain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ie_cli.encoding.tokenizer import recipe_tokenizer
from ie_cli.errors import ModelError
from ie_cli.modeling.encoder import build_encoder, check_vocabulary, hash_encoder, register_hash_cnn
from ie_cli.recipe.schema import EncoderSection


def encoder(**options: Any) -> nn.Module:
    torch.manual_seed(1)
    return hash_encoder(EncoderSection(name="hash_cnn", **options))[0].eval()


def ids(text: str) -> torch.Tensor:
    section = EncoderSection(name="hash_cnn")
    tokenizer = recipe_tokenizer(hash_encoder(section)[1], section)
    return torch.from_numpy(tokenizer.surround(tokenizer.encode([text])[0].ids))[None]


def hidden(module: nn.Module, given: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    with torch.inference_mode():
        output = module(input_ids=given, attention_mask=torch.ones_like(given).bool() if mask is None else mask)
    found: torch.Tensor = output.last_hidden_state
    return found


def test_padding_changes_nothing() -> None:
    module, given = encoder(), ids("王伟 met Ann.")
    padded = nn.functional.pad(given, (0, 5))
    mask = torch.arange(padded.shape[1])[None] < given.shape[1]
    assert torch.allclose(hidden(module, padded, mask)[:, : given.shape[1]], hidden(module, given), atol=1e-6)


@pytest.mark.parametrize("layers", [1, 3])
def test_a_token_sees_as_many_neighbours_as_there_are_layers(layers: int) -> None:
    module = encoder(layers=layers)
    one, other = ids("a b c d e f g h i j"), ids("a b c d e f g h i K")
    same = (hidden(module, one) - hidden(module, other)).abs().amax(-1)[0] < 1e-7
    assert same.nonzero().flatten().tolist() == list(range(10 - layers))  # the last word is at 10


def test_words_without_a_common_feature_differ_and_unseen_ones_have_vectors() -> None:
    found = hidden(encoder(layers=1), ids("Rome zzyzx 1984"))
    assert (found[0, 1] - found[0, 2]).abs().max() > 0.1
    assert found.isfinite().all()


def test_the_rows_of_a_value_are_the_same_in_every_process() -> None:
    """They are not stored with the weights."""
    embeddings: Any = encoder().embeddings
    assert embeddings.multipliers[0].tolist() == ROWS[0]
    assert embeddings.offsets[3].tolist() == ROWS[1]
    assert not [name for name in encoder().state_dict() if "multipliers" in name or "offsets" in name]


ROWS = [[293145493, 413007268, 242217735, 1062679487], [1104583291, 1418576241, 1104667343, 979900990]]


def test_hidden_states_are_those_of_all_layers() -> None:
    given = ids("Ann slept")
    output = encoder()(input_ids=given, attention_mask=torch.ones_like(given), output_hidden_states=True)
    assert len(output.hidden_states) == 5
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)


def test_options_of_attention_are_refused() -> None:
    for option, value in (("attention_dropout", 0.1), ("activation", "squareplus"), ("attention_scale", "log_n")):
        with pytest.raises(ModelError, match="ie_hash_cnn"):
            encoder(**{option: value})
    assert encoder(dropout=0.3).config.hidden_dropout_prob == pytest.approx(0.3)


def test_a_config_can_be_stored_and_read(tmp_path: Path) -> None:
    from transformers import AutoConfig

    register_hash_cnn()
    module: Any = encoder(layers=2)
    module.config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert again.embedding_rows == module.config.embedding_rows
    rebuilt = build_encoder(again)
    rebuilt.load_state_dict(module.state_dict())
    given = ids("王伟 met Ann.")
    assert torch.equal(hidden(rebuilt.eval(), given), hidden(module, given))


@pytest.mark.parametrize(
    "change",
    [{"embedding_rows": [5, 5]}, {"embedding_hashes": 10**9}, {"window": 0}, {"pieces": "3"}, {"hidden_size": -1}],
)
def test_damaged_sizes_are_an_error(change: dict[str, Any], tmp_path: Path) -> None:
    from transformers import AutoConfig

    register_hash_cnn()
    module: Any = encoder()
    module.config.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match="positive integers"):
        AutoConfig.from_pretrained(tmp_path)


def test_the_special_tokens_have_embeddings() -> None:
    section = EncoderSection(name="hash_cnn")
    module, tokenizer = hash_encoder(section)
    check_vocabulary(tokenizer, module, "it")
