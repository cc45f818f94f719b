"""A run that starts from a trained model: its weights, its labels, its report, and what `--resume` makes of it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl
from support.pair_corpora import pair_documents, pair_recipe
from support.runner import ie, said

from ie_cli.doctor.data_checks import check
from ie_cli.document import Document, Entity
from ie_cli.errors import DataError, ModelError, RecipeError
from ie_cli.evaluation.evaluate import score
from ie_cli.inference.extractor import Extractor
from ie_cli.recipe.heads import CrfSection, TPLinkerSection
from ie_cli.recipe.loader import dump_recipe, load_recipe
from ie_cli.recipe.schema import Recipe
from ie_cli.system.signals import Stop, Stopped
from ie_cli.tasks import TASKS, ScoringOptions
from ie_cli.training.evaluator import Evaluator
from ie_cli.training.events import Finished, Started
from ie_cli.training.initial_model import _difference
from ie_cli.training.run import train
from ie_cli.training.setup import prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_jsonl(tmp_path_factory.mktemp("data") / "train.jsonl", documents())


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sentences with a label more, which sorts between the others."""
    found = documents()
    for document in found:
        if (at := document.text.find("第")) >= 0:
            document.entities.append(Entity(at, len(document.text) - 1, "number"))
    return write_jsonl(tmp_path_factory.mktemp("more") / "train.jsonl", found)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model knows three labels."""
    output = tmp_path_factory.mktemp("runs") / "first"
    list(train(recipe(data, training={"epochs": 20, "eval_every": 60}), output))
    return output


def from_model(train_file: Path, model: Path, **sections: Any) -> Recipe:
    """A recipe that starts from a model, by the path of the model directory."""
    training = {"init_from": str(model), "epochs": 4, **sections.pop("training", {})}
    return recipe(train_file, training=training, **sections)


def f1_by_label(model: Path, file: Path) -> dict[str, float]:
    engine = Extractor.from_pretrained(model, device="cpu", precision="float32")
    found = score(
        engine.engine(),
        list(load(file)),
        task=TASKS["ner"],
        schema=engine.schema,
        options=ScoringOptions(),
        ceilings=None,
    ).to_dict()
    return {label: counts["f1"] for label, counts in found["labels"].items()}


def load(file: Path) -> list[Document]:
    from ie_cli.formats import read_documents

    return list(read_documents(str(file)))


def test_before_the_first_step_the_scores_of_the_old_labels_are_those_of_the_model(trained: Path, more: Path) -> None:
    made = from_model(more, trained / "model")
    setup = prepare(made)
    [scores] = Evaluator(made, setup).dev_scores()[0].values()
    now = scores.to_dict()["labels"]
    before = f1_by_label(trained / "model", more)
    assert min(before[label] for label in ("person", "place", "school")) > 0.9
    assert {label: now[label]["f1"] for label in before if label != "number"} == {
        label: f1 for label, f1 in before.items() if label != "number"
    }
    assert setup.initial is not None
    [head] = setup.initial.heads.values()
    assert (head.kept, head.fresh, head.dropped, head.reason) == (["person", "place", "school"], ["number"], [], None)


def test_a_new_label_is_learned_and_the_others_stay(trained: Path, more: Path, tmp_path: Path) -> None:
    before = f1_by_label(trained / "model", more)
    list(train(from_model(more, trained / "model", training={"epochs": 15, "eval_every": 45}), tmp_path / "second"))
    now = f1_by_label(tmp_path / "second" / "model", more)
    assert now["number"] > 0.9
    for label in ("person", "place", "school"):
        assert now[label] >= before[label] - 0.05


def test_a_dropped_label_takes_no_row_with_it(trained: Path, data: Path, tmp_path: Path) -> None:
    fewer = documents()
    for document in fewer:
        document.entities = [entity for entity in document.entities if entity.label != "place"]
    setup = prepare(from_model(write_jsonl(tmp_path / "fewer.jsonl", fewer), trained / "model"))
    assert setup.initial is not None
    [head] = setup.initial.heads.values()
    assert (head.kept, head.fresh, head.dropped) == (["person", "school"], [], ["place"])
    old = load_file(trained / "model" / "model.safetensors")["heads.ner_head.tables.entities.bias.bias"].view(2, 3)
    new = setup.model.state_dict()["heads.ner_head.tables.entities.bias.bias"].view(2, 2)
    assert torch.equal(new, old[:, [0, 2]])


def test_check_warns_of_a_new_head_like_train(trained: Path, data: Path) -> None:
    found = list(check(from_model(data, trained / "model", head={"name": "global_pointer"})))
    assert (
        "warning",
        "the head is new, with all its labels: head.name was efficient_global_pointer and is now global_pointer",
    ) in [(finding.kind, finding.text) for finding in found]
    assert not any("the head is new" in finding.text for finding in check(from_model(data, trained / "model")))


def test_other_heads_take_the_encoder_only_and_say_why(trained: Path, data: Path) -> None:
    for head, reason in (
        ({"name": "global_pointer"}, "head.name was efficient_global_pointer and is now global_pointer"),
        ({"head_size": 16}, "head.head_size was 32 and is now 16"),
    ):
        setup = prepare(from_model(data, trained / "model", head=head))
        assert setup.initial is not None
        [taken] = setup.initial.heads.values()
        assert (taken.kept, taken.reason) == ((), reason)
        old = load_file(trained / "model" / "model.safetensors")
        new = setup.model.encoder.state_dict()
        assert all(torch.equal(new[name], tensor) for name, tensor in old.items() if not name.startswith("heads."))


def test_options_that_only_concern_decoding_keep_the_head(trained: Path, data: Path) -> None:
    setup = prepare(from_model(data, trained / "model", head={"flat": True, "threshold": 0.3}))
    assert setup.initial is not None
    assert [head.reason for head in setup.initial.heads.values()] == [None]


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"name": "bert-base-chinese"}, "encoder.name: got bert-base-chinese, but .* has tiny"),
        ({"layers": 1}, "encoder.layers: got 1, but .* has 2"),
        ({"tokenization": "char"}, "encoder.tokenization: got char, but .* has subword"),
        ({"vocabulary": "words"}, "encoder.vocabulary: got words, but .* has characters"),
        ({"normalization": "nfkc"}, "encoder.normalization: got nfkc, but .* has none"),
    ],
)
def test_encoder_options_that_do_not_fit_are_errors(
    encoder: dict[str, object], message: str, trained: Path, data: Path
) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        prepare(from_model(data, trained / "model", encoder=encoder))
    assert "taken from the model" in str(error.value.hint)


def test_windows_beyond_the_positions_of_the_encoder_are_an_error(trained: Path, data: Path) -> None:
    with pytest.raises(ModelError, match=r"encoder\.max_length: 128 is more than the 64 positions of .*model"):
        prepare(from_model(data, trained / "model", encoder={"max_length": 128}))


def test_dropout_may_change(trained: Path, data: Path) -> None:
    encoder: Any = prepare(from_model(data, trained / "model", encoder={"dropout": 0.5})).model.encoder
    assert encoder.config.hidden_dropout_prob == encoder.embeddings.dropout.p == 0.5


def test_relations_continue_by_the_names_of_their_predicates(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "train.jsonl", relation_documents(annotated=True))
    list(train(relation_recipe(file, data={"dev": None}, training={"epochs": 1}), tmp_path / "first"))
    other = relation_documents(annotated=True)
    for document in other:
        document.relations += [type(r)(r.object, "a new one", r.subject) for r in document.relations[:1]]
    made = relation_recipe(
        write_jsonl(tmp_path / "other.jsonl", other), training={"init_from": str(tmp_path / "first" / "model")}
    )
    setup = prepare(made)
    assert setup.initial is not None
    [head] = setup.initial.heads.values()
    assert (head.kept, head.fresh) == (["person", "school", "学校", "老师"], ["a new one"])
    name = "heads.relation_head.tables.end_links.bias.weight"
    old = load_file(tmp_path / "first" / "model" / "model.safetensors")[name].view(2, 2, -1)
    assert torch.equal(setup.model.state_dict()[name].view(2, 3, -1)[:, 1:], old)


def two_tasks(data: Path, relations: Path, *, names: tuple[str, str], **training: object) -> Recipe:
    fields = recipe(data).model_dump()
    section = {key: fields.pop(key) for key in ("task", "data", "head")}
    links = {key: relation_recipe(relations).model_dump()[key] for key in ("task", "data", "head")}
    for part in (section, links):
        part["data"]["dev"] = None
    fields["tasks"] = dict(zip(names, (section, links), strict=True))
    fields["training"] |= {"epochs": 1, **training}
    return Recipe.model_validate(fields)


def test_several_tasks_are_matched_by_name(data: Path, tmp_path: Path) -> None:
    relations = write_jsonl(tmp_path / "relations.jsonl", relation_documents(annotated=True))
    list(train(two_tasks(data, relations, names=("names", "links")), tmp_path / "first"))
    setup = prepare(two_tasks(data, relations, names=("names", "facts"), init_from=str(tmp_path / "first" / "model")))
    assert setup.initial is not None
    heads = setup.initial.heads
    assert (list(heads["names"].kept), heads["names"].reason) == (["person", "place", "school"], None)
    assert heads["facts"].reason == "no task facts"


# The recipe


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "recipe.yaml"


@pytest.mark.parametrize("name", ["", "/model"])
def test_the_encoder_need_not_be_named(name: str, trained: Path, data: Path, tmp_path: Path) -> None:
    file = written(
        tmp_path, f"name: a\ndata: {{train: '{data}'}}\ntraining: {{init_from: '{trained}{name}', epochs: 1}}\n"
    )
    made = load_recipe(file)
    assert made.training.init_from == str(trained / "model")
    assert (made.encoder.name, made.encoder.max_length, made.encoder.stride) == ("tiny", 64, 16)
    again = written(tmp_path, dump_recipe(made))
    shutil.move(trained, trained.with_name("moved"))  # the recipe of a model does not need the model it started from
    try:
        assert load_recipe(again, stored=True) == made
    finally:
        shutil.move(trained.with_name("moved"), trained)


def test_a_path_is_relative_to_the_recipe_and_of_an_override_to_the_directory(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained / "model", tmp_path / "runs" / "x" / "model")
    monkeypatch.chdir(trained.parent)
    file = written(tmp_path, f"name: a\ndata: {{train: '{data}'}}\ntraining: {{init_from: runs/x}}\n")
    made = load_recipe(file)
    assert made.training.init_from is not None
    assert Path(made.training.init_from).resolve() == (tmp_path / "runs" / "x" / "model").resolve()
    assert load_recipe(file, ["training.init_from=first"]).training.init_from == "first/model"


def test_a_path_without_a_model_is_reported_with_its_line(data: Path, tmp_path: Path) -> None:
    file = written(tmp_path, f"name: a\ndata: {{train: '{data}'}}\ntraining:\n  init_from: runs/none\n")
    with pytest.raises(RecipeError, match=r"recipe\.yaml:4: training\.init_from: .*runs/none \(no such directory\)"):
        load_recipe(file)


def test_a_model_as_encoder_leads_to_the_option(trained: Path, data: Path) -> None:
    with pytest.raises(ModelError, match="is a model trained by `ie train`") as error:
        prepare(recipe(data, encoder={"name": str(trained / "model")}))
    assert f"training.init_from: {trained / 'model'}" in str(error.value.hint)


# The commands


def test_the_commands_say_what_continues(trained: Path, more: Path, tmp_path: Path) -> None:
    file = written(
        tmp_path,
        f"name: a\ndata: {{train: '{more}', dev: '{more}'}}\nhead: {{name: efficient_global_pointer, head_size: 32}}\n"
        "training: {epochs: 1, device: cpu, precision: float32}\n",
    )
    start = f"training.init_from={trained}"
    checked = ie("check", str(file), "--set", start)
    assert "20 examples" in said(checked)
    result = ie("train", str(file), "--set", start, "--output", str(tmp_path / "run"))
    assert result.exit_code == 0, result.stderr
    assert f"starting from {trained / 'model'}: its tokenizer and its encoder" in said(result)
    assert "3 of 4 labels continue; new: number" in said(result)
    inside = ie(
        "train",
        str(file),
        "--set",
        f"training.init_from={tmp_path / 'run'}",
        "--output",
        str(tmp_path / "run"),
        "--overwrite",
    )
    assert inside.exit_code == 1
    assert "is in this directory, which the run would replace" in said(inside)
    Extractor.from_pretrained(tmp_path / "run" / "model")


# Resuming


def test_a_run_from_a_model_resumes_exactly(
    trained: Path, more: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = from_model(more, trained / "model", data={"dev": None}, training={"epochs": 2})
    list(train(made, tmp_path / "whole"))
    from ie_cli.training import loop

    stop, mark = Stop(), loop.Run._finish_step

    def marked(run: loop.Run) -> None:
        mark(run)
        if run.step == 4:
            stop.signum = signal.SIGTERM

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "_finish_step", marked)
        with pytest.raises(Stopped):
            list(train(made, tmp_path / "cut", stop=stop))
    shutil.copytree(trained / "model", tmp_path / "moved" / "model")
    moved = from_model(more, tmp_path / "moved" / "model", data={"dev": None}, training={"epochs": 2})
    events = train(moved, tmp_path / "cut", resume=True)
    first = next(events)
    assert isinstance(first, Started)
    assert (first.resumed_from, first.initial) == (4, None)
    assert isinstance(list(events)[-1], Finished)
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_model_in_its_place_is_refused(trained: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "model", tmp_path / "start" / "model")
    made = from_model(data, tmp_path / "start" / "model", training={"epochs": 1})
    events = train(made, tmp_path / "run")
    next(events)
    events.close()  # type: ignore[attr-defined]
    shutil.rmtree(tmp_path / "start")
    list(train(recipe(data, data={"dev": None}, training={"epochs": 1}), tmp_path / "start"))
    with pytest.raises(DataError, match=r"different weights: the model in training\.init_from has changed"):
        list(train(made, tmp_path / "run", resume=True))
    with pytest.raises(RecipeError, match=r"training\.init_from was .* and is now null"):
        list(train(recipe(data, training={"epochs": 1}), tmp_path / "run", resume=True))


def test_options_of_training_alone_may_differ_from_the_model() -> None:
    before = CrfSection(name="crf", mask_illegal=True, transition_learning_rate=0.1)
    assert _difference(before, CrfSection(name="crf", mask_illegal=False)) is None
    other = CrfSection(name="crf", scheme="bioes")
    assert _difference(before, other) == "head.scheme was bio and is now bioes"
    trained = TPLinkerSection(name="tplinker", entities_first=0.05)
    assert _difference(trained, TPLinkerSection(name="tplinker", entities_first=0.5)) is None
    sized = TPLinkerSection(name="tplinker", head_size=8)
    assert _difference(trained, sized) == "head.head_size was None and is now 8"


@pytest.mark.parametrize("name", ["sbert", "cross_encoder"])
def test_a_model_of_classes_can_learn_grades(name: str, tmp_path: Path) -> None:
    """The encoder continues; what has learned classes cannot learn grades, and the other way round."""
    head = {"name": name}
    files = {
        kind: write_jsonl(tmp_path / f"{kind}.jsonl", pair_documents(8, graded=kind == "grades"))
        for kind in ("classes", "grades")
    }
    for before, now in (("classes", "grades"), ("grades", "classes")):
        list(train(pair_recipe(files[before], head=head, training={"epochs": 1}), tmp_path / before))
        model = str(tmp_path / before / "model")
        setup = prepare(pair_recipe(files[now], head=head, training={"init_from": model}))
        assert setup.initial is not None
        assert setup.initial.heads["match"].reason == f"it learned {before}, and the data have {now}"
        stored = load_file(tmp_path / before / "model" / "model.safetensors")
        assert torch.equal(
            setup.model.encoder.embeddings.word_embeddings.weight, stored["embeddings.word_embeddings.weight"]
        )
