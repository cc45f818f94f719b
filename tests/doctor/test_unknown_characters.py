"""Characters that an encoder does not know, and the normalization that makes it know them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.corpora import recipe
from support.untrained import write_model
from transformers import BertConfig, BertModel

from ie_cli.doctor.data_checks import check
from ie_cli.doctor.recipe_proposal import propose_recipe
from ie_cli.doctor.unknown_characters import UnknownCharacters
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.modeling.encoder import tiny_tokenizer
from ie_cli.recipe.loader import load_recipe
from ie_cli.training.setup import prepare

KNOWN = tiny_tokenizer(Counter("王王伟伟在在青青川川,,::AA"))


def counts(*texts: str, normalization: str = "none") -> UnknownCharacters:
    found = UnknownCharacters(TextTokenizer(KNOWN, normalization=normalization))  # type: ignore[arg-type]
    for text in texts:
        found.add(Document(text))
    return found


def test_unknown_characters_are_counted_and_named() -> None:
    found = counts("王伟，在 青川", "Ａ：王，\u3000囧\n")
    assert (found.characters, found.unknown) == (11, 5)
    assert found.pieces == {"，": 2, "Ａ": 1, "：": 1, "囧": 1}
    assert found.known_with_nfkc() == 4
    assert found.describe() == (
        "5 of 11 characters (45.45%) are in tokens that the encoder does not know and cannot tell apart: '，' 2, 'Ａ' 1, '：' 1, "
        "'囧' 1; encoder.normalization: nfkc makes 4 of them known"
    )
    normalised = counts("王伟，在 青川", "Ａ：王，\u3000囧\n", normalization="nfkc")
    assert (normalised.unknown, normalised.known_with_nfkc()) == (1, 0)
    assert not counts("王伟囧").helped_by_nfkc()
    assert not counts("王伟").helped_by_nfkc()


@given(st.lists(st.text("王，Ａ囧 \u200b\ud800", max_size=6), max_size=4))
def test_normalization_never_makes_more_known_than_were_unknown(texts: list[str]) -> None:
    found = counts(*texts)
    assert 0 <= found.known_with_nfkc() <= found.unknown <= found.characters
    assert found.unknown - found.known_with_nfkc() == counts(*texts, normalization="nfkc").unknown


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("encoder")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=KNOWN.get_vocab_size(), **sizes)).save_pretrained(directory)
    KNOWN.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return str(directory)


def write(path: Path, text: str) -> Path:
    fields = {"text": text, "entities": [{"start": 0, "end": 2, "label": "person"}]}
    path.write_text("".join(json.dumps(fields) + "\n" for _ in range(5)), encoding="utf-8")
    return path


def test_check_warns_and_init_writes_the_normalization(tmp_path: Path, encoder: str) -> None:
    train = write(tmp_path / "t.jsonl", "王伟，在青川")

    def findings(**options: str) -> list[str]:
        made = recipe(train, data={"dev": None}, encoder={"name": encoder, **options})
        return [f"{finding.kind}: {finding.text}" for finding in check(made) if "does not know" in finding.text]

    [warning] = findings()
    assert warning.startswith("warning: train: 5 of 30 characters (16.67%)")
    assert findings(normalization="nfkc") == []
    proposed = propose_recipe(str(train), encoder=encoder)
    [line] = [line for line in proposed.splitlines() if "normalization" in line]
    assert line.split("  # ") == [
        f"{'  normalization: nfkc':36}",
        "the encoder does not know 16.7% of the characters without it",
    ]
    (tmp_path / "r.yaml").write_text(proposed, encoding="utf-8")
    assert load_recipe(tmp_path / "r.yaml").encoder.normalization == "nfkc"
    assert "normalization" not in propose_recipe(str(write(tmp_path / "u.jsonl", "王伟,在青川")), encoder=encoder)
    assert "normalization" not in propose_recipe(str(write(tmp_path / "v.jsonl", "王伟囧在青川")), encoder=encoder)


@pytest.mark.parametrize("vocabulary", ["characters", "words"])
def test_the_vocabulary_of_tiny_consists_of_normalised_text(vocabulary: str, tmp_path: Path) -> None:
    train = write(tmp_path / "t.jsonl", "王伟，ＡＢ在")
    options = {"normalization": "nfkc", "vocabulary": vocabulary}
    setup = prepare(recipe(train, data={"dev": None}, encoder=options))
    [tokens] = setup.text_tokenizer.encode(["王伟，ＡＢ在"])
    assert setup.text_tokenizer.unknown_id not in tokens.ids.tolist()


def test_the_vocabulary_of_tiny_is_fixed_in_a_run_that_starts_from_a_model(tmp_path: Path) -> None:
    train = write(tmp_path / "t.jsonl", "王伟囧读书")  # the model knows the characters of write_model
    made = recipe(train, data={"dev": None}, training={"init_from": str(write_model(tmp_path / "model"))})
    [found] = [finding.text for finding in check(made) if "does not know" in finding.text]
    assert found.startswith("train: 5 of 25 characters (20.00%)")
    assert not [finding for finding in check(recipe(train, data={"dev": None})) if "does not know" in finding.text]
