from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from support.corpora import documents, recipe, write_jsonl
from support.fake_hub import FakeHub

from ie_cli import Document, Entity
from ie_cli.errors import HubError, ModelError
from ie_cli.inference.extractor import Extractor
from ie_cli.training.run import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained")
    data = write_jsonl(directory / "train.jsonl", documents())
    list(train(recipe(data, training={"epochs": 30}), directory / "run"))
    return directory / "run" / "model"


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


def load(path: Path) -> Extractor:
    return Extractor.from_pretrained(path, device="cpu", precision="float32")


def test_the_directory_explains_itself(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names == {
        "README.md", "config.json", "ie.json", "metrics.json", "model.safetensors", "recipe.yaml", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    facts = json.loads((trained / "ie.json").read_text())
    assert facts["tasks"] == {
        "ner": {
            "labels": ["person", "place", "school"],
            "temperature": 1.0,
            "tokens": None,
            "seen": {"tokens": 17, "sentences": 1, "usual_sentences": 1},
            "whole_words": True,
        }
    }
    readme = (trained / "README.md").read_text(encoding="utf-8")
    assert "| **all (micro)** |" in readme
    assert "`school`" in readme
    assert oct((trained / "model.safetensors").stat().st_mode)[-3:] == "644"


def test_saving_and_loading_again_changes_nothing(trained: Path, tmp_path: Path) -> None:
    first = load(trained)
    first.save_pretrained(tmp_path / "copy")
    second = load(tmp_path / "copy")
    texts = [document.text for document in documents()]
    assert list(first.extract(texts)) == list(second.extract(texts))
    for (name, a), (_, b) in zip(first.model.state_dict().items(), second.model.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    assert second.scores == first.scores
    assert second.card == first.card == (trained / "README.md").read_text(encoding="utf-8")
    assert second.recipe == first.recipe


def test_a_card_that_somebody_edited_is_kept(model: Path, tmp_path: Path) -> None:
    (model / "README.md").write_text("# Mine\n", encoding="utf-8")
    load(model).save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / "README.md").read_text(encoding="utf-8") == "# Mine\n"


@pytest.mark.parametrize("raw", [None, b"\xff\xfe broken"])
def test_a_model_runs_without_its_card_and_with_a_broken_one(model: Path, tmp_path: Path, raw: bytes | None) -> None:
    (model / "README.md").unlink()
    if raw is not None:
        (model / "README.md").write_bytes(raw)
    extractor = load(model)
    assert (extractor.card is None) == (raw is None)
    extractor.save_pretrained(tmp_path / "copy")
    assert (tmp_path / "copy" / "README.md").exists() == (raw is not None)


def test_scores_and_card_are_stored_each_by_itself(model: Path) -> None:
    extractor = load(model)
    before = extractor.card
    extractor.write_scores(model, {"dev": {"f1": 1.0}})
    assert (model / "README.md").read_text(encoding="utf-8") == before
    extractor.write_card(model, "# New\n")
    again = load(model)
    assert (again.card, again.scores) == ("# New\n", {"dev": {"f1": 1.0}})


def test_saving_over_an_older_model_replaces_it(trained: Path, model: Path) -> None:
    (model / "stale").write_text("x")
    load(trained).save_pretrained(model)
    assert not (model / "stale").exists()
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_texts_and_examples_in_annotated_examples_out(trained: Path) -> None:
    extractor = load(trained)
    [a, b, c] = extractor.extract(["王伟在青川大学读书，第1年。", Document("", id=7), Document("王伟", meta={"k": 1})])
    assert [(a.text[e.start : e.end], e.label) for e in a.entities] == [
        ("王伟", "person"),
        ("青川", "place"),
        ("青川大学", "school"),
    ]
    assert all(0.5 < (e.score or 0) <= 1 for e in a.entities)
    assert (b.id, b.entities) == (7, [])
    assert c.meta == {"k": 1}


def test_the_repr_is_one_short_line(trained: Path) -> None:
    extractor = load(trained)
    assert repr(extractor) == f"Extractor({extractor.recipe.name!r}, tasks=['ner'], backend=TorchBackend)"


def test_a_higher_threshold_and_flat_mode_give_less(trained: Path) -> None:
    extractor = load(trained)
    texts = ["王伟在青川大学读书，第1年。"]
    [nested] = extractor.extract(texts)
    [flat] = extractor.extract(texts, flat=True)
    [none] = extractor.extract(texts, threshold=1 - 1e-12)
    assert set(flat.entities) < set(nested.entities)
    assert none.entities == []


@pytest.mark.parametrize("name", ["model.safetensors", "ie.json", "recipe.yaml", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(ModelError, match=rf"not a model directory: {name} missing"):
        load(model)


def test_a_newer_format_is_refused(model: Path) -> None:
    facts = json.loads((model / "ie.json").read_text())
    (model / "ie.json").write_text(json.dumps(facts | {"format_version": 99}))
    with pytest.raises(ModelError, match="has format version 99, but this version of `ie` supports versions up to 5"):
        load(model)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_damaged_facts_are_reported(model: Path, content: str) -> None:
    (model / "ie.json").write_text(content)
    with pytest.raises(ModelError, match=r"ie\.json: damaged"):
        load(model)


def test_damaged_weights_are_reported(model: Path) -> None:
    raw = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors: damaged"):
        load(model)


def test_files_of_two_models_do_not_mix(model: Path) -> None:
    facts = json.loads((model / "ie.json").read_text())
    facts["tasks"]["ner"]["labels"] = ["a", "b"]
    (model / "ie.json").write_text(json.dumps(facts))
    with pytest.raises(
        ModelError, match=r"heads\.ner_head\.tables\.entities\.bias\.weight has the shape \[6, 64\], expected \[4, 64\]"
    ):
        load(model)


def test_a_directory_that_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such directory"):
        load(tmp_path / "nothing")


def test_an_unknown_hub_id_without_a_network() -> None:
    with pytest.raises(ModelError, match="no such directory, and it cannot be downloaded: .*HF_HUB_OFFLINE is set"):
        Extractor.from_pretrained("nobody/nothing")


def test_push_to_hub_uploads_the_directory(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub()
    monkeypatch.setattr("huggingface_hub.HfApi", hub)
    assert load(trained).push_to_hub("me/model", private=True, token="t") == "https://hub/me/model"
    assert hub.calls[:2] == [
        ("HfApi", {"token": "t"}),
        ("create_repo", {"repo_id": "me/model", "private": True, "exist_ok": True}),
    ]
    assert hub.files["me/model", None] == {path.name for path in trained.iterdir()}
    hub.public.add("me/public")
    with pytest.raises(HubError, match="me/public: exists already and is public"):
        load(trained).push_to_hub("me/public", private=True)


@pytest.mark.parametrize(
    "text", ["a\u0301👩\u200d🔬\ud83d北\u2028京", " \t\r\n", "王伟" * 3000, "x" * 50_000, "مرحبا王伟"]
)
def test_any_text_gives_spans_that_slice_it(trained: Path, text: str) -> None:
    [found] = load(trained).extract([text], threshold=0.05)
    assert found.text == text
    for entity in found.entities:
        assert isinstance(entity, Entity)
        assert 0 <= entity.start < entity.end <= len(text)


def test_no_other_directory_is_replaced(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="already exists and is not a model directory"):
        load(trained).save_pretrained(tmp_path / "home")
    assert (tmp_path / "home" / "thesis.txt").exists()
    load(trained).save_pretrained(tmp_path / "empty")
    assert list(load(tmp_path / "empty").extract(["王伟"]))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", "{"), ("config.json", "{}"), ("tokenizer.json", "{"), ("metrics.json", ""), ("ie.json", "[]")]
    + [
        ("ie.json", json.dumps({"format_version": 1, "labels": ["a"], "pad_id": 0} | change))
        for change in ({"format_version": "1"}, {"labels": None}, {"labels": ["a", "a"]}, {"temperature": 0})
    ],
)
def test_every_damaged_file_is_named(model: Path, name: str, content: str) -> None:
    (model / name).write_text(content)
    with pytest.raises(ModelError, match="damaged") as caught:
        load(model)
    assert str(model / name) in caught.value.message


def test_wrong_arguments_are_reported(trained: Path) -> None:
    extractor = load(trained)
    with pytest.raises(TypeError, match=r"expected several strings or documents, got '王伟': use predict\(text\)"):
        extractor.extract("王伟")
    for wrong in (5, None, {"text": "王伟"}):
        with pytest.raises(TypeError, match="expected several strings or documents, got"):
            extractor.predict(wrong)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="expected a string or a Document, got 1"):
        list(extractor.extract([1]))  # type: ignore[list-item]
    with pytest.raises(ValueError, match="batch_size"):
        extractor.extract(["王伟"], batch_size=0)
    with pytest.raises(ValueError, match="threshold"):
        extractor.extract(["王伟"], threshold=1.5)


def test_a_text_of_200_000_characters(trained: Path) -> None:
    sentence = "王伟在青川大学读书，第1年。"
    extractor = load(trained)
    [one], [many] = (list(extractor.extract([text], split="never")) for text in (sentence, sentence * 14_300))
    assert len(many.text) > 200_000
    # The context of a sentence is longer than in training, but the model still finds some entities in every tenth of the text.
    shifted = {
        (n * len(sentence) + e.start, n * len(sentence) + e.end, e.label) for n in range(14_300) for e in one.entities
    }
    found = {(e.start, e.end, e.label) for e in many.entities}
    assert len(one.entities) == 3
    tenth = len(many.text) // 10
    assert {start // tenth for start, _, _ in found & shifted} >= set(range(10))
    assert all(0 <= start < end <= len(many.text) for start, end, _ in found)
