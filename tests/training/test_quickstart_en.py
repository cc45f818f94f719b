"""The English quickstart, as far as it can be trained in a second."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from ie_cli.evaluation.gold import GoldSet
from ie_cli.formats import read_documents
from ie_cli.inference.extractor import Extractor
from ie_cli.recipe.bundled import find_recipe
from ie_cli.recipe.loader import load_recipe
from ie_cli.training.events import Finished, Trained
from ie_cli.training.run import train

DATA = Path(__file__).parent.parent.parent / "data" / "quickstart-en"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe, trained for two steps on the first sentences of its data."""
    directory = tmp_path_factory.mktemp("quickstart-en")
    overrides = ["data.test=null", "training.epochs=1", "training.eval_every=null", "training.batch_size=16"]
    for name, count in (("train", 32), ("dev", 8)):
        with (DATA / f"{name}.jsonl").open(encoding="utf-8") as lines:
            (directory / f"{name}.jsonl").write_text("".join(islice(lines, count)), encoding="utf-8")
        overrides.append(f"data.{name}={directory / name}.jsonl")
    shipped = find_recipe("quickstart-en")
    assert shipped is not None
    events = list(train(load_recipe(shipped.path, overrides), directory / "run"))
    [trained] = [event for event in events if isinstance(event, Trained)]
    assert trained.steps == 2
    [finished] = [event for event in events if isinstance(event, Finished)]
    return finished.model


def test_the_recipe_trains_and_its_model_finds_every_label_and_predicate(model: Path) -> None:
    extractor = Extractor.from_pretrained(model)
    [task] = extractor.tasks.values()
    train_documents = list(read_documents(str(DATA / "train.jsonl")))[:32]
    assert set(task.schema.labels) == {entity.label for document in train_documents for entity in document.entities}
    assert set(task.schema.predicates) == {r.predicate for document in train_documents for r in document.relations}
    [document] = extractor.extract(["José O'Brannon founded Vale-Ortiz Inc. in 2014."])
    assert document.text.startswith("José")


def test_every_entity_and_relation_of_the_corpus_can_be_found(model: Path) -> None:
    engine = Extractor.from_pretrained(model).engine(split="never")
    for name in ("dev", "test"):
        gold = GoldSet(list(read_documents(str(DATA / f"{name}.jsonl"))), engine.only("relation"))
        assert {what: ceiling.recall for what, ceiling in gold.ceilings.items()} == {"entities": 1.0, "relations": 1.0}
