"""`ie init` on data with relations: the proposed recipe is valid, and its windows hold the relations."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.data.statistics import DatasetStatistics
from ie_cli.data.token_lengths import TokenLengths
from ie_cli.doctor.data_checks import check
from ie_cli.doctor.recipe_proposal import propose_recipe
from ie_cli.doctor.token_counting import count_characters, estimate_tokens
from ie_cli.doctor.windows_proposal import window
from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, Reading, read_documents
from ie_cli.recipe.heads import GPLinkerSection
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import Recipe
from ie_cli.recipe.techniques import AdversarialSection

SAMPLES = Path(__file__).parent.parent.parent / "data" / "samples"
QUICKSTART = SAMPLES.parent / "relations"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to the directory in which a user would name the file."""
    monkeypatch.chdir(tmp_path)


def proposed(data: str, **options: Any) -> tuple[str, Recipe]:
    text = propose_recipe(data, **options)
    Path("proposed.yaml").write_text(text, encoding="utf-8")
    return text, load_recipe("proposed.yaml")


def save(name: str, format: str, *documents: Document) -> str:
    write = FORMATS[format].write
    assert write is not None
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(map(write, documents)), encoding="utf-8")
    return name


def directs(gap: int = 1, *, entities: bool = False) -> Document:
    """A film and who directed it, so many characters apart."""
    text = "《灯塔》" + "很" * gap + "王伟导演。"
    film, person = Entity(1, 3, "film"), Entity(4 + gap, 6 + gap, "person")
    return Document(text, [film, person] if entities else [], [Relation(film, "导演", person)])


def without_offsets(gap: int = 1) -> Document:
    return Document(directs(gap).text, spos=[Spo("灯塔", "导演", "王伟")])


def reaches(documents: Sequence[Document]) -> list[tuple[int, int]]:
    """From the beginning of a relation's first argument to the end of its last."""
    sides = [(r.subject, r.object) for document in documents for r in document.relations]
    return [(min(a.start, b.start), max(a.end, b.end)) for a, b in sides]


@pytest.mark.parametrize(
    ("name", "format", "mentions_line", "spans"),
    [
        ("relations.conll04.json", "conll04", False, "labelled with entity types"),
        ("relations.multihead.txt", "multihead", False, "labelled with entity types"),
        ("relations.tplinker.json", "triples", False, "labelled with entity types"),
        ("relations.duie.json", "duie", True, "labelled as subject or object"),
        ("triples.json", "triples", True, "labelled as subject or object"),
    ],
)
def test_samples_get_a_valid_recipe_of_relations(name: str, format: str, mentions_line: bool, spans: str) -> None:
    text, recipe = proposed(str(SAMPLES / name))
    assert (recipe.task, recipe.data.format) == ("relation", format)
    assert recipe.head == GPLinkerSection(name="gplinker", flat=not mentions_line)
    assert ("\n  mentions: nearest " in text) is mentions_line
    assert re.search(rf"^  name: gplinker +# .*{spans}$", text, re.MULTILINE)
    assert Path(recipe.data.train if isinstance(recipe.data.train, str) else "") == SAMPLES / name


def test_duie_with_all_its_files() -> None:
    text, recipe = proposed(str(QUICKSTART / "train.json"))
    assert (recipe.name, recipe.task, recipe.data.format) == ("relations", "relation", "duie")
    assert [Path(str(path)).name for path in (recipe.data.dev, recipe.data.test)] == ["dev.json", "test.json"]
    assert recipe.data.mentions == "nearest"
    assert recipe.head == GPLinkerSection(name="gplinker")
    assert "# triples have no offsets: use the nearest pair of mentions; or first, all" in text
    assert recipe.encoder.name == "bert-base-chinese"


def test_slots_are_predicates_of_the_comment() -> None:
    spo = Spo("王伟", "获奖", "松湖奖", (("onDate", "1999年"),))
    data = save("t.json", "duie", Document("王伟1999年获松湖奖", spos=[spo]))
    lines = proposed(data)[0].splitlines()
    assert lines[0] == "# 1 example, 2 relations. Next: `ie check` and `ie train` with this file."
    assert lines[1] == "# 2 predicates: 获奖 1, 获奖.onDate 1"


def test_a_proposal_for_duie_in_full() -> None:
    text, _ = proposed(save("films.json", "duie", *map(without_offsets, (1, 1, 1))))
    assert text.splitlines() == [
        "# 3 examples, 3 relations. Next: `ie check` and `ie train` with this file.",
        "# 1 predicate: 导演 3",
        "name: films",
        "task: relation",
        "data:",
        "  train: films.json",
        "  dev: null                           # too few examples to split some off: name another file, or see "
        "`ie train --folds`",
        "  format: duie",
        "  mentions: nearest                   # triples have no offsets: use the nearest pair of mentions; or first, all",
        "  context: 3                          # joins neighbouring texts in training, so that the model knows "
        "texts of several sentences",
        "encoder:",
        "  name: bert-base-chinese             # hub id or directory; `hash_cnn` needs no download",
        "  max_length: 128                     # the longest text has about 10 tokens; overlong texts are split into windows",
        "  stride: 32                          # the longest relation has about 6 tokens",
        "head:",
        "  name: gplinker                      # no entities annotated: the spans are labelled as subject or object",
        "training:",
        "  epochs: 100                         # about 100 steps; without dev data, the last model is kept",
        "  batch_size: 8                       # few examples",
        "  learning_rate: 2.0e-5               # for an encoder of 12 layers of 768",
        "  head_learning_rate: 1.0e-3          # the layers on the encoder begin untrained",
    ]


def test_native_data_with_entities_have_rows_of_types() -> None:
    text, recipe = proposed(save("t.jsonl", "jsonl", directs(entities=True)))
    assert text.splitlines()[:3] == [
        "# 1 example, 2 entities, 1 relation. Next: `ie check` and `ie train` with this file.",
        "# 2 labels: film 1, person 1",
        "# 1 predicate: 导演 1",
    ]
    assert "# the spans are labelled with entity types" in text
    assert "mentions" not in text
    assert recipe.head == GPLinkerSection(name="gplinker", flat=True)


def test_native_data_with_relations_alone_have_rows_of_roles() -> None:
    text, recipe = proposed(save("t.jsonl", "jsonl", directs()))
    assert "# no entities annotated: the spans are labelled as subject or object" in text
    assert "flat" not in text
    assert "mentions" not in text
    assert recipe.head == GPLinkerSection(name="gplinker")


def test_native_data_with_guessed_offsets_say_so() -> None:
    [document] = read_documents(save("t.json", "duie", without_offsets()), format="duie")
    text, recipe = proposed(save("t.jsonl", "jsonl", document))
    assert recipe.data.format == "jsonl"
    assert "\n  mentions: nearest " in text


def test_overlapping_entities_are_nested_in_relation_data_too() -> None:
    document = directs(entities=True)
    document.entities.append(Entity(0, 4, "title"))
    text, recipe = proposed(save("t.jsonl", "jsonl", document))
    assert not recipe.head.flat
    assert "# entities overlap in 1 of 1 example" in text


def test_entities_alone_are_a_task_of_entities() -> None:
    document = directs(entities=True)
    document.relations = []
    recipe = proposed(save("t.jsonl", "jsonl", document))[1]
    assert (recipe.task, recipe.head.name) == ("ner", "crf")  # few examples


@pytest.mark.parametrize("predicate", ["NO", "a: b", "#", "获奖\n者: x", "\u2028name: evil", "1e3", "it's"])
def test_odd_predicates_cannot_break_the_recipe(predicate: str) -> None:
    document = directs()
    document.relations = [Relation(r.subject, predicate, r.object) for r in document.relations]
    assert proposed(save("t.jsonl", "jsonl", document))[1].task == "relation"


def test_many_predicates_stay_few_lines() -> None:
    documents = [directs() for _ in range(600)]
    for n, document in enumerate(documents):
        document.relations = [Relation(r.subject, f"predicate-number-{n}", r.object) for r in document.relations]
    text = proposed(save("t.jsonl", "jsonl", *documents))[0]
    assert text.count("\n") <= 30
    assert "600 predicates:" in text
    assert max(map(len, text.splitlines())) <= 130


@pytest.mark.parametrize(
    "documents",
    [
        [Document("无", spos=[])],
        [Document("无", spos=[Spo("王伟", "导演", "灯塔")])],  # a triple that occurs nowhere
    ],
)
def test_data_without_a_relation_in_their_texts(documents: list[Document]) -> None:
    with pytest.raises(DataError, match=r"(?m)^t\.json: 1 example without any entities: there is nothing to train on$"):
        propose_recipe(save("t.json", "duie", *documents))


def test_test_data_of_duie_are_no_test_data() -> None:
    save("d/train.json", "duie", without_offsets())
    save("d/dev.json", "duie", without_offsets(2))
    Path("d/test.json").write_text(json.dumps({"text": "灯塔"}) + "\n", encoding="utf-8")
    recipe = proposed("d/train.json")[1]
    assert (recipe.name, recipe.data.dev, recipe.data.test) == ("d", str(Path("d/dev.json")), None)


def test_arguments_that_overlap_are_entities_that_nest(tmp_path: Path) -> None:
    """`ie check` counts the arguments of relations as entities, so `ie init` has to."""
    inner, outer = Entity(0, 2, "city"), Entity(0, 4, "school")
    documents = [
        Document(f"青川大学{number}", [Entity(4, 5, "number")], [Relation(inner, "has", outer)]) for number in range(20)
    ]
    text, recipe = proposed(save("t.jsonl", "jsonl", *documents), encoder="tiny")
    assert not recipe.head.flat
    assert "# entities overlap in 20 of 20 examples" in text
    assert not any("overlap" in finding.text for finding in check(load_recipe("proposed.yaml")))


def test_the_stride_of_long_texts_covers_the_longest_relation() -> None:
    far = directs(100)
    far.text += "尾" * 500
    text, recipe = proposed(save("t.jsonl", "jsonl", far, *(directs() for _ in range(9))))
    assert "# the longest relation has about 105 tokens" in text
    assert (recipe.encoder.max_length, recipe.encoder.stride) == (224, 111)


def test_relations_that_no_window_covers_are_counted() -> None:
    text, _ = proposed(save("t.jsonl", "jsonl", directs(600), directs(700), directs(2)))
    assert "# the longest relation has about 705 tokens; 2 longer than the stride may be cut by windows" in text


def test_a_relation_counts_from_its_first_argument_to_its_last_whichever_is_the_subject() -> None:
    document = directs(50)
    turned = Document(document.text, [], [Relation(r.object, "作品", r.subject) for r in document.relations])
    lengths = TokenLengths(count_characters)
    DatasetStatistics.of([document, turned], parts=[lengths])
    assert lengths.reaches == {55: 2}


@pytest.mark.parametrize(
    "path",
    [
        QUICKSTART / "train.json",
        *(SAMPLES / f"relations.{name}" for name in ("conll04.json", "duie.json", "multihead.txt", "tplinker.json")),
        SAMPLES / "triples.json",
    ],
    ids=lambda path: path.name,
)
def test_the_windows_of_the_proposal_hold_every_relation(path: Path) -> None:
    recipe = proposed(str(path))[1]
    documents = list(read_documents(str(path), format=recipe.data.format))
    longest = max(estimate_tokens(x.text[a:b]) for x in documents for a, b in reaches([x]))
    assert 0 < longest <= recipe.encoder.stride + 1


def padded(document: Document, count: int) -> Document:
    """Add a number of characters before and after it."""

    def moved(entity: Entity) -> Entity:
        return Entity(entity.start + count, entity.end + count, entity.label)

    relations = [Relation(moved(r.subject), r.predicate, moved(r.object)) for r in document.relations]
    return Document("头" * count + document.text + "尾" * count, [], relations)


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 700)), min_size=1, max_size=6))
def test_what_the_stride_covers_lies_whole_in_a_window(drawn: list[tuple[int, int]]) -> None:
    """Texts with a relation of any reach followed by text of any length, in tokens that are characters."""
    documents = [padded(directs(gap), tail) for gap, tail in drawn]
    lengths = TokenLengths(len)
    DatasetStatistics.of(documents, parts=[lengths])
    max_length, stride, uncovered = window(lengths.texts, lengths.reaches, 512)
    plan = WindowPlan.build(max_length=max_length, stride=stride, special_tokens=2)
    lost = 0
    for document in documents:
        spans = np.array(reaches([document]), dtype=np.int64)
        lost += int((plan.owners(len(document.text), spans[:, 0], spans[:, 1] - 1) < 0).sum())
    assert lost <= uncovered
    assert uncovered == 0  # reaches of up to 155 characters fit twice into 510


def test_the_recipe_holds_the_mentions_that_were_read() -> None:
    data = save("t.json", "duie", without_offsets())
    assert proposed(data, reading=Reading(mentions="first"))[1].data.mentions == "first"


def test_the_recipe_holds_the_joiner_that_was_read() -> None:
    assert proposed(str(SAMPLES / "relations.conll04.json"), reading=Reading(joiner="_"))[1].data.joiner == "_"


def test_few_examples_from_scratch_are_trained_adversarially() -> None:
    text, recipe = proposed(str(SAMPLES / "relations.conll04.json"), encoder="hash_cnn")
    assert recipe.training.adversarial == AdversarialSection()
    assert "  adversarial: fgm                    # better with few examples; two passes in each step" in text
    _, pairs = proposed(str(SAMPLES / "pairs.jsonl"), encoder="hash_cnn")
    assert pairs.training.adversarial is None


@pytest.mark.parametrize(("count", "adversarial"), [(499, True), (500, False)])
def test_from_how_many_examples_training_is_not_adversarial(count: int, adversarial: bool) -> None:
    data = save("many.jsonl", "jsonl", *[Document("Ann", [Entity(0, 3, "person")])] * count)
    text, recipe = proposed(data, encoder="hash_cnn")
    assert (recipe.training.adversarial is not None) is adversarial
    assert "# the longest entity has about 1 token\n" in text
