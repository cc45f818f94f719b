"""Findings about files: all of them are reported, whatever is wrong with another file or the encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.corpora import documents, recipe, relation_documents, write_jsonl
from support.runner import ie

from ie_cli.doctor.data_checks import check
from ie_cli.document import Document, Entity
from ie_cli.recipe.loader import dump_recipe
from ie_cli.recipe.schema import Recipe


def found(made: Recipe) -> list[tuple[str, str]]:
    return [(finding.kind, finding.text) for finding in check(made)]


def errors(made: Recipe) -> list[str]:
    return [text for kind, text in found(made) if kind == "error"]


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "train.jsonl", documents())


def test_data_are_checked_although_the_encoder_is_missing(train: Path, tmp_path: Path) -> None:
    with train.open("a", encoding="utf-8") as file:
        file.write("nonsense\n")
    absent = str(tmp_path / "absent")
    data = {"dev": str(tmp_path / "no.jsonl"), "test": str(tmp_path / "none.jsonl")}
    made = recipe(train, data=data, encoder={"name": absent})
    first, second, third, fourth = errors(made)
    assert first == f"encoder.name: directory {absent} not found"
    assert second.startswith("train: 1 record cannot be read:")
    assert "no.jsonl: " in third
    assert "none.jsonl: " in fourth
    assert any("20 examples" in text for kind, text in found(made))
    assert not any("be predicted" in text or "longer than a window" in text for _, text in found(made))


def test_without_training_data_the_other_splits_are_checked(train: Path, tmp_path: Path) -> None:
    made = recipe(tmp_path / "no.jsonl", data={"dev": str(train)})
    assert len(errors(made)) == 1
    assert any(text.startswith("dev: 20 examples") for _, text in found(made))


def test_lines_in_another_encoding_are_shown_three_times(tmp_path: Path) -> None:
    train = tmp_path / "t.jsonl"
    train.write_bytes('{"text": "王伟来了"}\n'.encode("gb18030") * 30 + b"nonsense\n")
    [error] = errors(recipe(train, data={"dev": None, "format": "jsonl"}))
    assert error.startswith("train: 31 records cannot be read:\n")
    assert error.count("is not UTF-8") == 3
    assert f"{train}:31: not valid JSON" in error
    assert error.endswith("… and 27 more")


def test_an_unreadable_share_is_no_second_error(tmp_path: Path) -> None:
    train = tmp_path / "t.jsonl"
    train.write_bytes('{"text": "王伟来了"}\n'.encode("gb18030") * 30)
    for format in ("jsonl", None):
        assert len(errors(recipe(train, data={"dev": 0.1, "format": format}))) == 1


def test_weights_are_compared_with_the_labels_of_all_tasks(train: Path, tmp_path: Path) -> None:
    relations = write_jsonl(tmp_path / "relations.jsonl", relation_documents(annotated=False))
    tasks = {
        "names": {"task": "ner", "data": {"train": str(train)}},
        "facts": {"task": "relation", "data": {"train": str(relations)}, "head": {"name": "gplinker"}},
    }

    def with_weights(**weights: float) -> list[str]:
        fields = {"name": "t", "tasks": tasks, "encoder": {"name": "tiny"}, "training": {"label_weights": weights}}
        return errors(Recipe.model_validate(fields))

    assert with_weights(person=2.0, 老师=3.0) == []
    assert with_weights(person=2.0, 老帅=3.0) == [
        "training.label_weights: the data contain no label or predicate '老帅'"
    ]


def test_check_says_that_it_found_nothing(tmp_path: Path) -> None:
    def store(name: str, count: int, person: str) -> Path:
        data = [Document(f"{person}来了{n}次", [Entity(0, 2, "person")]) for n in range(count)]
        return write_jsonl(tmp_path / name, data)

    made = recipe(store("a.jsonl", 60, "王伟"), data={"dev": str(store("b.jsonl", 60, "李娜"))})
    (tmp_path / "good.yaml").write_text(dump_recipe(made), encoding="utf-8")
    result = ie("check", str(tmp_path / "good.yaml"), "--no-time")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[-1] == "no errors or warnings"
    result = ie("check", str(tmp_path / "good.yaml"), "--set", "data.dev=null")
    assert "no errors or warnings" not in result.stderr
