"""The tokens of train decide how those of dev and test are joined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.corpora import recipe

from ie_cli.data.dataset import Split, splits
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import FACTS, read_facts
from ie_cli.recipe.schema import DataSection
from ie_cli.system.json_reading import loads
from ie_cli.training.events import FinishedBefore
from ie_cli.training.run import train
from ie_cli.training.run_directory import TOKENS, read_run, tokens_of_run, write_run

CHARACTERS = "于 O\n2 B-D\n0 I-D\n2 I-D\n1 I-D\n年 I-D\n\n王 B-P\n伟 I-P\n来 O\n\n"
WORDS = "Anna B-P\nmet O\nBob B-P\n\nyou O\n\n"
FEW = "A B-P\nB O\n\n"
"""A file that is too small to decide."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name, text in {"zh": CHARACTERS, "en": WORDS, "few": FEW}.items():
        (tmp_path / f"{name}.conll").write_text(text, encoding="utf-8")
    (tmp_path / "own.jsonl").write_text('{"text": "A B", "entities": [{"start": 0, "end": 1, "label": "P"}]}\n')
    return tmp_path


def parts(directory: Path, train: str | list[str], dev: str, **options: Any) -> list[list[str]]:
    names = [train] if isinstance(train, str) else train
    files = {"train": [str(directory / name) for name in names], "dev": str(directory / dev)}
    return [
        [document.text for document in part]
        for part in splits(DataSection.model_validate(files | options))
        if part is not None
    ]


@pytest.mark.parametrize(
    ("train", "dev", "texts"),
    [
        ("zh.conll", "few.conll", ["AB"]),
        ("en.conll", "few.conll", ["A B"]),
        ("own.jsonl", "few.conll", ["A B"]),
        ("en.conll", "zh.conll", ["于2 0 2 1年", "王伟来"]),
        ("own.jsonl", "zh.conll", ["于2021年", "王伟来"]),
        (["zh.conll", "en.conll"], "zh.conll", ["于2021年", "王伟来"]),
        ("absent.conll", "zh.conll", ["于2021年", "王伟来"]),
    ],
)
def test_dev_is_joined_like_train(train: str | list[str], dev: str, texts: list[str], directory: Path) -> None:
    section = {"train": [str(directory / name) for name in ([train] if isinstance(train, str) else train)]}
    _, found, _ = splits(DataSection.model_validate(section | {"dev": str(directory / dev)}))
    assert found is not None
    assert [document.text for document in found] == texts


def test_a_joiner_in_the_recipe_decides(directory: Path) -> None:
    assert parts(directory, "zh.conll", "few.conll", joiner="_")[1] == ["A_B"]
    assert parts(directory, "en.conll", "few.conll", joiner="")[1] == ["AB"]
    # Files of different tokens are joined one by one.
    assert parts(directory, ["zh.conll", "en.conll"], "en.conll")[0] == ["于2021年", "王伟来", "Anna met Bob", "you"]


def test_only_other_texts_have_another_fingerprint(directory: Path) -> None:
    def fingerprint(name: str, **given: Any) -> str | None:
        section = DataSection.model_validate({"train": str(directory / name)})
        return splits(section, **given)[0].fingerprint

    plain = fingerprint("zh.conll", tokens="words")
    assert plain != fingerprint("zh.conll") == fingerprint("zh.conll", tokens="characters")
    assert fingerprint("en.conll") == fingerprint("en.conll", tokens="words")
    source = str(directory / "zh.conll")
    assert Split((source,), DataSection(train=source)).fingerprint == fingerprint("zh.conll")


def test_a_model_and_a_run_know_their_tokens(directory: Path) -> None:
    made = recipe(directory / "zh.conll", training={"epochs": 1})
    list(train(made, directory / "run"))
    model = directory / "run" / "model"
    assert [task.tokens for task in Extractor.from_pretrained(model).tasks.values()] == ["characters"]
    run = read_run(directory / "run")
    assert run is not None
    assert run[TOKENS] == tokens_of_run(run, made) == {"ner": "characters"}
    # A model and a run of version 0.1 joined like words.
    facts = loads((model / FACTS).read_text(encoding="utf-8"))
    del facts["tasks"]["ner"][TOKENS]
    (model / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    assert [task.tokens for task in read_facts(model, "torch").tasks.values()] == ["words"]
    before = {name: value for name, value in run.items() if name != TOKENS}
    assert tokens_of_run(before, made) == {"ner": "words"}
    # Its data have not changed, although they would be read in another way today.
    assert made.data is not None
    parts = zip(("train", "dev"), splits(made.data, tokens="words"), strict=False)
    before["data"] = run["data"] | {name: part.fingerprint for name, part in parts if part is not None}
    assert before["data"] != run["data"]
    write_run(directory / "run", before)
    [event] = train(made, directory / "run", resume=True)
    assert isinstance(event, FinishedBefore)
