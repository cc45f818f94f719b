"""The seams: a head and a task added only by their table lines, several tasks on one encoder, and no code that asks for one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from support.corpora import documents, relation_documents, write_jsonl
from support.every_command import through_all_commands
from support.runner import ie, said
from support.stopping import StopAfter
from support.toy_head import TOY
from support.toy_task import NAMES_HEAD, NamesTask

from ie_cli import Document
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.pipeline import extract
from ie_cli.recipe.heads import HEADS
from ie_cli.recipe.loader import load_recipe
from ie_cli.system.signals import Stopped
from ie_cli.tasks import TASKS
from ie_cli.training.events import Evaluated, Finished, Started
from ie_cli.training.run import train

PACKAGE = Path(__file__).parent.parent / "ie_cli"
TINY = "encoder: {name: tiny, layers: 1, max_length: 64, stride: 16}\n"
QUICK = "training: {epochs: 12, batch_size: 8, learning_rate: 2.0e-3, head_learning_rate: 1.0e-2, precision: float32}\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "train.jsonl", documents())
    write_jsonl(tmp_path / "linked.jsonl", relation_documents(annotated=True))
    return tmp_path


# --- a head


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS, "toy", TOY)


def test_a_head_goes_through_everything_by_its_line_alone(toy: None, here: Path) -> None:
    recipe = write(
        here / "recipe.yaml",
        f"name: toy\ndata: {{train: train.jsonl, dev: 0.3}}\n{TINY}head: {{name: toy, scale: 3.0}}\n{QUICK}",
    )
    scores = through_all_commands(recipe, here, here / "train.jsonl")
    assert isinstance(scores["f1"], float)
    assert scores["f1"] > 0.5
    shown = ie("show", str(recipe), "--help-fields")
    assert "The factor of the scores." in shown.stdout
    assert "unknown key 'head.scales'; did you mean 'head.scale'?" in said(
        ie("show", str(recipe), "--set", "head.scales=1")
    )


def test_without_its_line_there_is_no_such_head(here: Path) -> None:
    recipe = write(here / "recipe.yaml", f"name: toy\ndata: {{train: train.jsonl}}\n{TINY}head: {{name: toy}}\n")
    assert "head.name: unknown head 'toy'" in said(ie("check", str(recipe)))


def test_a_codec_may_ask_for_a_second_pass(toy: None, here: Path) -> None:
    recipe = write(
        here / "recipe.yaml",
        f"name: toy\ndata: {{train: train.jsonl}}\n{TINY}head: {{name: toy}}\ntraining: {{epochs: 1}}\n",
    )
    list(train(load_recipe(recipe), here / "run"))
    extractor = Extractor.from_pretrained(here / "run" / "model", device="cpu", precision="float32")
    ids = np.array([[2, 5, 6, 3], [2, 7, 8, 3]], dtype=np.int64)
    outputs = extractor.backend.run(ids, np.ones_like(ids, dtype=bool))["ner"]
    found = outputs.query("vectors", {"token": np.array([1, 2])})["vectors"]
    with torch.inference_mode():
        hidden = extractor.model.hidden(torch.from_numpy(ids), torch.ones(2, 4, dtype=torch.bool)).numpy()
    np.testing.assert_array_equal(found, hidden[[0, 1], [1, 2]])


# --- a task


def test_a_task_goes_through_everything_by_its_line_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "names", NamesTask())
    monkeypatch.setitem(HEADS, "names_pointer", NAMES_HEAD)
    recipe = write(
        here / "recipe.yaml",
        f"name: toy\ntask: names\ndata: {{train: train.jsonl, dev: 0.3}}\n{TINY}{QUICK}",
    )
    scores = through_all_commands(recipe, here, here / "train.jsonl")
    assert scores["texts"] == 20
    assert isinstance(scores["exact"], float)
    assert scores["exact"] > 0.5
    log = (here / "run" / "log.csv").read_text(encoding="utf-8").splitlines()
    assert log[0] == "step,epoch,loss,sentences_per_second,learning_rate,exact"
    card = (here / "run" / "model" / "README.md").read_text(encoding="utf-8")
    assert "Names of a text" in card
    assert "exact" in card


# --- several tasks

BOTH = f"""name: both
{TINY}tasks:
  ner: {{data: {{train: train.jsonl, dev: train.jsonl}}, head: {{name: global_pointer}}}}
  links: {{task: relation, data: {{train: linked.jsonl, dev: linked.jsonl}}}}
training: {{epochs: 40, batch_size: 8, learning_rate: 2.0e-3, head_learning_rate: 1.0e-2, precision: float32}}
"""


def test_two_tasks_share_an_encoder(here: Path) -> None:
    recipe = load_recipe(write(here / "recipe.yaml", BOTH))
    events = list(train(recipe, here / "run"))
    started, finished = events[0], events[-1]
    assert isinstance(started, Started)
    assert list(started.tasks) == ["ner", "links"]
    assert isinstance(finished, Finished)
    dev = finished.scores["dev"]
    assert dev["ner"].primary > 0.9
    assert dev["links"].primary > 0.9
    best = max(event.primary for event in events if isinstance(event, Evaluated))
    assert best == pytest.approx((dev["ner"].primary + dev["links"].primary) / 2)
    extractor = Extractor.from_pretrained(here / "run" / "model", device="cpu", precision="float32")
    assert list(extractor.tasks) == ["ner", "links"]
    assert extractor.recipe.instances().keys() == recipe.instances().keys()
    texts = [documents()[0].text, relation_documents(annotated=True)[0].text]
    first, second = extractor.extract(texts)
    assert {entity.label for entity in first.entities} >= {"person", "place"}
    assert second.relations
    # One pass over the encoder gives the same as each task alone.
    engine = extractor.engine()
    [alone] = extract(engine.only("links"), [Document(texts[1])])
    assert alone.relations == second.relations


def test_a_run_of_two_tasks_is_resumed_exactly(here: Path) -> None:
    short = BOTH.replace("epochs: 40", "epochs: 3")
    recipe = load_recipe(write(here / "recipe.yaml", short))
    list(train(recipe, here / "whole"))
    with pytest.raises(Stopped):
        list(train(recipe, here / "stopped", stop=StopAfter(9)))
    list(train(recipe, here / "stopped", resume=True))
    files = [(here / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert files[0] == files[1]


def test_a_recipe_of_several_tasks_is_shown_as_it_is_read(here: Path) -> None:
    write(here / "recipe.yaml", BOTH)
    shown = ie("show", "recipe.yaml")
    assert shown.exit_code == 0
    write(here / "again.yaml", shown.stdout)
    assert load_recipe(here / "again.yaml") == load_recipe(here / "recipe.yaml")
    both = ie("show", "recipe.yaml", "--set", "data.train=x.jsonl")
    assert "tasks: replaces task, data and head" in said(both)
    wrong = write(here / "wrong.yaml", BOTH.replace("{name: global_pointer}", "{name: gplinker}"))
    assert "but task ner supports " in said(ie("show", str(wrong)))


# --- no code asks

QUESTIONS = {
    "which task a recipe has": r"\.task [!=]= |\.task in \(|task [!=]= \"",
    "whether there are predicates": r"(?:if|and|or|not|bool\(|elif|while) ?\(?[\w.]*schema\.predicates\b(?! ?[\[.])",
    "whether rows are roles": r"schema\.roles\b",
    "whether a dataset has links": r"\.linked\b",
    "the kind of a head's section": r"isinstance\([^)]*\b(?!HeadSection\b)\w+Section\b",
    "the kind of scores": r"isinstance\([^)]*(?:Entity|Relation|Pair)(?:Scores|Scorer)",
    "the kind of factors": r"isinstance\([^)]*(?:Shared|Label)Factors",
}
ALLOWED = ("tasks", "codecs", "modeling/heads")


@pytest.mark.parametrize("question", QUESTIONS)
def test_only_tasks_codecs_and_heads_ask(question: str) -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(ALLOWED):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(QUESTIONS[question], line):
                found.append(f"{name}:{number}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("which task a recipe has", 'if recipe.task == "relation":'),
        ("which task a recipe has", 'known = (recipe.task != "ner")'),
        ("whether there are predicates", "if schema.predicates:"),
        ("whether there are predicates", "found = 1 if not engine.schema.predicates else 2"),
        ("whether there are predicates", "bool(schema.predicates)"),
        ("whether rows are roles", "gold = [] if schema.roles else [1]"),
        ("whether a dataset has links", "if store.linked:"),
        ("the kind of a head's section", "if not isinstance(head, GPLinkerSection):"),
        ("the kind of scores", "if isinstance(scores, EntityScores):"),
        ("the kind of scores", "if isinstance(scores, PairScores):"),
        ("the kind of factors", "if isinstance(part, SharedFactors):"),
    ],
)
def test_the_search_finds_the_questions(question: str, line: str) -> None:
    assert re.search(QUESTIONS[question], line)


def test_a_field_of_one_of_several_tasks_can_be_overridden(here: Path) -> None:
    write(here / "recipe.yaml", BOTH)
    made = load_recipe(here / "recipe.yaml", ["tasks.links.data.dev=0.2", "tasks.ner.head.thresholds.person=0.3"])
    assert made.instances()["links"].data.dev == 0.2
    assert made.instances()["ner"].head.thresholds == {"person": 0.3}
    beside = BOTH + "head: {name: global_pointer}\n"
    write(here / "beside.yaml", beside)
    assert "tasks: replaces task, data and head" in said(ie("show", "beside.yaml"))


@pytest.mark.parametrize("name", ["type", "train", "keys", "half"])
def test_a_task_may_be_called_like_an_attribute_of_a_module(name: str, here: Path) -> None:
    recipe = load_recipe(
        write(here / "recipe.yaml", BOTH.replace("links:", f"{name}:").replace("epochs: 40", "epochs: 1"))
    )
    list(train(recipe, here / "run"))
    assert list(Extractor.from_pretrained(here / "run" / "model", device="cpu").tasks) == ["ner", name]


def test_a_model_of_two_tasks_goes_through_the_commands(here: Path) -> None:
    """tests/commands/test_two_tasks.py exports such a model."""
    recipe = write(
        here / "recipe.yaml", BOTH.replace("dev: train.jsonl", "dev: 0.3").replace("dev: linked.jsonl", "dev: 0.3")
    )
    checked = ie("check", str(recipe))
    assert checked.exit_code == 0, checked.stderr
    assert "links: train: " in checked.stderr
    trained = ie("train", str(recipe), "--output", "run")
    assert trained.exit_code == 0, trained.stderr
    metrics = json.loads((here / "run" / "model" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["dev"].keys() == {"ner", "links"}
    assert "one of them" in said(ie("eval", "run/model", "linked.jsonl"))
    scored = ie("eval", "run/model", "linked.jsonl", "--task", "links", "--json")
    assert json.loads(scored.stdout)["f1"] > 0.5
    predicted = ie("predict", "linked.jsonl", "--model", "run/model", "--quiet")
    assert any(json.loads(line).get("relations") for line in predicted.stdout.splitlines())


def test_changed_data_of_a_single_named_task_are_refused(here: Path) -> None:
    one = f"name: one\n{TINY}tasks: {{people: {{task: ner, data: {{train: train.jsonl}}}}}}\ntraining: {{epochs: 3}}\n"
    write(here / "recipe.yaml", one)
    with pytest.raises(Stopped):
        list(train(load_recipe(here / "recipe.yaml"), here / "run", stop=StopAfter(2)))
    write_jsonl(here / "train.jsonl", documents()[:-1])
    assert "tasks.people.data.train" in said(ie("train", "recipe.yaml", "--output", "run", "--resume"))
