"""A model directory can also be loaded with `transformers`: its encoder and tokenizer load with the library's classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from support.corpora import documents, recipe, write_jsonl
from support.fakes import TOKENIZERS
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    RobertaConfig,
)

from ie_cli.codecs.base import build_codec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.modeling.encoder import build_encoder, tiny_tokenizer
from ie_cli.modeling.heads.base import build_head
from ie_cli.modeling.model import ExtractionModel
from ie_cli.training.run import train

SMALL = {"vocab_size": 400, "max_position_embeddings": 72}
CONFIGS = {
    "bert": BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, **SMALL),
    "roberta": RobertaConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, **SMALL),
    "electra": ElectraConfig(
        hidden_size=16, embedding_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, **SMALL
    ),
    "distilbert": DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, **SMALL),
    "modernbert": ModernBertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, pad_token_id=0, **SMALL
    ),
}


@pytest.fixture(autouse=True)
def quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def hidden_states(
    directory: Path, ids: torch.Tensor, mask: torch.Tensor, *, precision: Any = "float32"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the library's encoder and of ours."""
    theirs = AutoModel.from_pretrained(directory, dtype=getattr(torch, precision)).eval()
    ours = Extractor.from_pretrained(directory, device="cpu", precision=precision).model.eval()
    with torch.inference_mode():
        return theirs(ids, attention_mask=mask).last_hidden_state, ours.hidden(ids, mask)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", CONFIGS)
def test_auto_model_gets_the_encoder(kind: str, precision: str, tmp_path: Path) -> None:
    """In bfloat16, too, the frequencies of rotary positions are in float32: the angles of distant tokens are exact."""
    made = recipe(tmp_path / "train.jsonl")
    torch.manual_seed(0)
    encoder = build_encoder(CONFIGS[kind])
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.mul_(8 if weight.ndim == 2 else 1)  # attention that depends on the positions
    schema = LabelSchema(("person", "place"))
    codec = build_codec(made.head, schema)
    model = ExtractionModel(encoder, {"ner": build_head(made.head, hidden_size=16, codec=codec)})
    tokenizer = tiny_tokenizer(Counter("王伟在青川大学读书" * 2))
    pad_id = CONFIGS[kind].pad_token_id
    extractor = Extractor(TorchBackend(model, "float32"), {"ner": TrainedTask(schema)}, tokenizer, made, pad_id)
    extractor.save_pretrained(tmp_path / "model")
    ids = torch.randint(2, 15, (2, 60))
    mask = torch.ones(2, 60, dtype=torch.bool)
    mask[1, 40:] = False
    theirs, ours = hidden_states(tmp_path / "model", ids, mask, precision=precision)
    torch.testing.assert_close(theirs[mask], ours[mask], rtol=0, atol=1e-6)


def test_a_trained_model_is_one_of_transformers(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    list(train(recipe(data, training={"epochs": 1}), tmp_path / "run"))
    directory = tmp_path / "run" / "model"
    text = "王伟在青川大学读书，第3年。"
    encoded = AutoTokenizer.from_pretrained(directory)([text, "今天下雨"], padding=True, return_tensors="pt")
    ours = Extractor.from_pretrained(directory, device="cpu", precision="float32").text_tokenizer()
    assert encoded.input_ids[0].tolist() == ours.surround(ours.encode([text])[0].ids).tolist()
    assert encoded.attention_mask[1].tolist() == [1] * 6 + [0] * (encoded.input_ids.shape[1] - 6)
    theirs, mine = hidden_states(directory, encoded.input_ids, encoded.attention_mask.bool())
    torch.testing.assert_close(theirs, mine, rtol=0, atol=0)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_auto_tokenizer_gives_our_ids(name: str, tmp_path: Path) -> None:
    made = recipe(tmp_path / "train.jsonl")
    codec = build_codec(made.head, LabelSchema(("a",)))
    model = ExtractionModel(build_encoder(CONFIGS["bert"]), {"ner": build_head(made.head, hidden_size=16, codec=codec)})
    tokenizer = TOKENIZERS[name]()
    extractor = Extractor(TorchBackend(model, "float32"), {"ner": TrainedTask(codec.schema)}, tokenizer, made, 0)
    extractor.save_pretrained(tmp_path / "model")
    text = "Anna Müller visited the Café Zentral, then 北京大学."
    ours = extractor.text_tokenizer()
    theirs = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert theirs(text).input_ids == ours.surround(ours.encode([text])[0].ids).tolist()
    assert theirs.pad_token_id == 0
