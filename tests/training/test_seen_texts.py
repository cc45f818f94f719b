"""The size of the training texts, as it is stored in a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.corpora import documents, recipe, write_jsonl
from support.fakes import characters
from support.pair_corpora import pair_recipe, write_pairs

from ie_cli.data.document_shards import DocumentShards
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.errors import ModelError
from ie_cli.inference import integrity
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import SeenTexts, read_facts
from ie_cli.training import seen_texts as module
from ie_cli.training.evaluator import Evaluator
from ie_cli.training.seen_texts import seen_texts
from ie_cli.training.setup import prepare

FIXTURE = Path(__file__).parent.parent / "fixtures" / "format_v2" / "ner" / "model"


def measured(texts: list[str]) -> SeenTexts:
    tokenizer = TextTokenizer(characters(), mode="char")
    return seen_texts(DocumentShards(map(Document, texts)), tokenizer, language="en")


def test_one_of_a_hundred_texts_may_be_longer() -> None:
    short, longer = ["王伟。"] * 98, ["王伟去北京。他在。"]
    assert measured([*short, *longer, "长。" * 50]) == SeenTexts(9, 2, 1)
    assert measured([*short, *longer * 2]) == SeenTexts(9, 2, 1)
    assert measured([*short[:97], *longer, *short[:2]]) == SeenTexts(3, 1, 1)
    assert measured(["王伟。"] * 89 + ["王伟。在。"] * 11) == SeenTexts(5, 2, 2)
    assert measured([""]) == SeenTexts(1, 1, 1)


def test_many_texts_are_measured_at_regular_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEASURED", 10)
    texts = DocumentShards(Document("长" * (n % 4 == 1) + "短") for n in range(25))
    assert seen_texts(texts, TextTokenizer(characters(), mode="char"), language="en") == SeenTexts(2, 1, 1)


def test_training_stores_the_size_in_the_model(tmp_path: Path) -> None:
    made = recipe(write_jsonl(tmp_path / "train.jsonl", documents()))
    model = tmp_path / "model"
    Evaluator(made, prepare(made)).save_model(model)
    size = max(len(document.text) for document in documents())
    stored = json.loads((model / "ie.json").read_text(encoding="utf-8"))["tasks"]["ner"]["seen"]
    assert stored == {"tokens": size, "sentences": 1, "usual_sentences": 1}
    extractor = Extractor.from_pretrained(model, device="cpu")
    assert extractor.tasks["ner"].seen == SeenTexts(size, 1, 1)
    splitter = extractor.engine().splitter
    assert splitter is not None
    assert (splitter.mode, splitter.seen) == ("auto", SeenTexts(size, 1, 1))
    integrity.replace_tasks(model, extractor.tasks)
    assert read_facts(model, "torch").tasks["ner"].seen == SeenTexts(size, 1, 1)
    facts = json.loads((model / "ie.json").read_text(encoding="utf-8"))
    for damaged in (
        [1, 2, 3],
        {"tokens": 3},
        stored | {"tokens": 0},
        stored | {"tokens": 2.5},
        stored | {"sentences": True},
    ):
        facts["tasks"]["ner"]["seen"] = damaged
        (model / "ie.json").write_text(json.dumps(facts), encoding="utf-8")
        with pytest.raises(ModelError, match="seen must have the positive integers tokens, sentences, usual_sentences"):
            read_facts(model, "torch")


def test_texts_that_are_joined_count_as_one_in_tokens_alone(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.jsonl", documents(60))
    alone = prepare(recipe(path)).trained_tasks()["ner"].seen
    joined = prepare(recipe(path, data={"context": {"share": 1.0, "texts": 3}})).trained_tasks()["ner"].seen
    assert alone is not None
    assert joined is not None
    assert (joined.sentences, joined.usual_sentences) == (alone.sentences, alone.usual_sentences) == (1, 1)
    assert 2 * alone.tokens < joined.tokens <= 3 * alone.tokens + 2 * 2  # with the empty lines between them


def test_pairs_and_models_of_earlier_versions_have_no_size(tmp_path: Path) -> None:
    setup = prepare(pair_recipe(write_pairs(tmp_path)))
    assert [task.seen for task in setup.trained_tasks().values()] == [None]
    assert [task.seen for task in read_facts(FIXTURE, "torch").tasks.values()] == [None]
