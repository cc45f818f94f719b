from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch
from support.fakes import characters, wordpiece
from tokenizers import Tokenizer
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.errors import ModelError
from ie_cli.modeling.encoder import load_encoder, tiny_encoder
from ie_cli.recipe.schema import EncoderSection

SMALL = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def save(directory: Path, *, vocabulary: int = 400, tokenizer: Tokenizer | None = None) -> Path:
    """Save a BERT with three layers in the layout of the hub."""
    config = BertConfig(vocab_size=vocabulary, max_position_embeddings=64, **SMALL)
    torch.manual_seed(0)
    BertModel(config).save_pretrained(directory)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer or wordpiece(), unk_token="[UNK]", pad_token="[PAD]"
    ).save_pretrained(directory)
    return directory


def section(name: Path | str, **options: object) -> EncoderSection:
    return EncoderSection.model_validate({"name": str(name), "max_length": 32, "stride": 8, **options})


def test_a_directory_is_loaded_without_a_pooler(tmp_path: Path) -> None:
    encoder, tokenizer = load_encoder(section(save(tmp_path)))
    assert not any("pooler" in name for name, _ in encoder.named_parameters())
    assert all(parameter.dtype == torch.float32 for parameter in encoder.parameters())
    assert len(TextTokenizer(tokenizer).encode(["quick fox"])[0]) >= 2


def test_a_tokenizer_with_two_tokens_of_one_id_is_an_error_before_training(tmp_path: Path) -> None:
    save(tmp_path)
    fields = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    fields["model"]["vocab"]["[MASK]"] = fields["model"]["vocab"]["[UNK]"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(ModelError, match="the tokenizer of .* damaged: two tokens have the same id"):
        load_encoder(section(tmp_path))


def test_layers_keeps_the_first_ones(tmp_path: Path) -> None:
    whole, _ = load_encoder(section(save(tmp_path)))
    part, _ = load_encoder(section(tmp_path, layers=2))
    assert len(part.encoder.layer) == 2
    for name, parameter in part.named_parameters():
        assert torch.equal(parameter, whole.get_parameter(name)), name
    with pytest.raises(ModelError, match=r"encoder\.layers: got 9, but .* has 3"):
        load_encoder(section(tmp_path, layers=9))


def test_dropout_and_checkpointing_options(tmp_path: Path) -> None:
    encoder, _ = load_encoder(section(save(tmp_path), dropout=0.3, attention_dropout=0.4, gradient_checkpointing=True))
    assert encoder.config.hidden_dropout_prob == 0.3
    assert encoder.config.attention_probs_dropout_prob == 0.4
    assert encoder.encoder.layer[0].gradient_checkpointing


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("./nothing-here", "encoder.name: directory ./nothing-here not found", "use a hub id"),
        ("nobody/has-this", "encoder.name: nobody/has-this: no such directory", "set HF_ENDPOINT to a mirror"),
    ],
)
def test_a_missing_encoder_is_an_error(name: str, message: str, hint: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_encoder(section(name))
    assert message in str(caught.value)
    assert hint in str(caught.value.hint)


def test_a_window_must_fit_the_positions(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"encoder\.max_length: 65 is more than the 64 positions"):
        load_encoder(section(save(tmp_path), max_length=65))


def test_roberta_starts_counting_after_its_padding(tmp_path: Path) -> None:
    config = RobertaConfig(vocab_size=400, max_position_embeddings=34, pad_token_id=1, **SMALL)
    RobertaModel(config).save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=wordpiece(), unk_token="[UNK]", pad_token="[PAD]").save_pretrained(
        tmp_path
    )
    with pytest.raises(ModelError, match="more than the 32 positions"):
        load_encoder(section(tmp_path, max_length=33))
    encoder, _ = load_encoder(section(tmp_path))
    ids = torch.full((1, 32), 7)
    assert encoder(input_ids=ids).last_hidden_state.shape == (1, 32, 16)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no weights in safetensors form") as caught:
        load_encoder(section(tmp_path))
    assert "never loaded" in (caught.value.hint or "")


def test_a_model_that_is_not_an_encoder_is_an_error(tmp_path: Path) -> None:
    GPT2Model(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=400)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="gpt2 model, which is not a bidirectional encoder"):
        load_encoder(section(tmp_path))


def test_a_tokenizer_with_more_ids_than_embeddings_is_refused(tmp_path: Path) -> None:
    save(tmp_path, vocabulary=20)
    with pytest.raises(ModelError, match=r"ids up to \d+, but the embedding has only 20 rows"):
        load_encoder(section(tmp_path))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 5}))
    with pytest.raises(ModelError, match=r"lack \d+ tensors, first encoder\.layer\.3"):
        load_encoder(section(tmp_path))


def test_tiny_knows_the_characters_that_occur_twice() -> None:
    encoder, tokenizer = tiny_encoder(section("tiny"), Counter("北京北京上海"))
    assert encoder.config.num_hidden_layers == 2
    assert encoder.config.vocab_size == tokenizer.get_vocab_size() == 6
    [tokens] = TextTokenizer(tokenizer).encode(["北\n 上"])
    assert tokens.ends.tolist() == [1, 2, 3, 4]
    assert tokens.ids.tolist()[1:] == [1, 1, 1]


def test_character_tokenizers_of_a_directory_work(tmp_path: Path) -> None:
    _, tokenizer = load_encoder(section(save(tmp_path, tokenizer=characters())))
    [tokens] = TextTokenizer(tokenizer).encode(["北京"])
    assert tokens.ends.tolist() == [1, 2]
