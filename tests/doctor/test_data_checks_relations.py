"""The data doctor on relations, with offsets and without; labels, bad lines and repetitions are in test_check.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.corpora import recipe as recipe_of_entities
from support.corpora import write_jsonl
from support.fakes import wordpiece
from transformers import BertConfig, BertModel

from ie_cli.doctor.data_checks import check
from ie_cli.document import Document, Entity, Relation
from ie_cli.recipe.heads import heads_of
from ie_cli.recipe.schema import Recipe

Triple = tuple[str, str, str]
Findings = list[tuple[str, str]]


def relation(text: str, triple: Triple, types: tuple[str, str] = ("person", "place")) -> Relation:
    """A triple at the first places of its mentions."""
    sides = [Entity(text.index(m), text.index(m) + len(m), t) for m, t in zip(triple[::2], types, strict=True)]
    return Relation(sides[0], triple[1], sides[1])


def placed(text: str, *triples: Triple, entities: bool = False) -> Document:
    """An example with separate offsets."""
    relations = [relation(text, triple) for triple in triples]
    arguments = {side for r in relations for side in (r.subject, r.object)}
    return Document(text, sorted(arguments) if entities else [], relations)


def native(path: Path, *documents: Document) -> str:
    return str(write_jsonl(path, list(documents)))


def duie(path: Path, *records: tuple[str, Sequence[tuple[str, str, Any]]]) -> str:
    """Records of texts and triples, an object a string or a map."""
    lines = [
        {"text": text, "spo_list": [{"subject": s, "predicate": p, "object": o} for s, p, o in spos]}
        for text, spos in records
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def recipe(train: str, dev: str | None = None, **sections: dict[str, Any]) -> Recipe:
    data = {"dev": dev, **sections.pop("data", {})}
    head = {"name": "gplinker", **sections.pop("head", {})}
    return recipe_of_entities(Path(train), data=data, head=head, **sections).model_copy(update={"task": "relation"})


def findings(made: Recipe) -> Findings:
    """What is found, but that there is no or little dev data, and that the small vocabularies of these tests lack characters."""
    usual = ("no dev data", "chosen largely by chance", "does not know")
    found = [(finding.kind, finding.text) for finding in check(made)]
    return [(kind, text) for kind, text in found if not any(part in text for part in usual)]


def of(kind: str, found: Findings) -> list[str]:
    return [text for each, text in found if each == kind]


LIVES = "王伟住在青川，第{}年。"


def many(count: int, *, entities: bool = False, predicate: str = "住地") -> list[Document]:
    return [placed(LIVES.format(n), ("王伟", predicate, "青川"), entities=entities) for n in range(count)]


def test_relations_with_offsets_are_counted_by_predicate(tmp_path: Path) -> None:
    data = [*many(6), *(placed(f"李娜{n}生于云州", ("李娜", "生地", "云州")) for n in range(5)), Document("今天下雨。")]
    file = native(tmp_path / "t.jsonl", *data)
    assert findings(recipe(file)) == [
        ("note", f"{file}: records without a field 'relations', which count as texts without relations: 1 of 12"),
        ("note", "train: 12 examples (1 without a relation), 11 relations: 住地 6, 生地 5"),
    ]


def test_entities_that_are_annotated_are_counted_too(tmp_path: Path) -> None:
    train = native(tmp_path / "t.jsonl", *many(5, entities=True))
    assert findings(recipe(train)) == [
        ("note", "train: 5 examples (0 without a relation), 10 entities: person 5, place 5; 5 relations: 住地 5")
    ]


def test_entities_without_a_relation_do_not_make_a_text_positive(tmp_path: Path) -> None:
    data = [*many(5), Document("张敏", [Entity(0, 2, "person")])]
    [_, note] = of("note", findings(recipe(native(tmp_path / "t.jsonl", *data))))
    assert note.startswith("train: 6 examples (1 without a relation), 1 entity: person 1; 5 relations")


def test_slots_are_counted_as_triples_of_their_own(tmp_path: Path) -> None:
    award = ("王伟", "获奖", {"@value": "松湖奖", "onDate": "1999年"})
    lines = [(f"{n}：王伟1999年获松湖奖", [award]) for n in range(5)]
    train = duie(tmp_path / "t.json", *lines, ("李娜获松湖奖", [("李娜", "获奖", "松湖奖")]), ("无", []))
    assert findings(recipe(train)) == [
        ("note", "train: 7 examples (1 without a relation), 11 relations: 获奖 6, 获奖.onDate 5")
    ]


def test_findings_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    award = ("王伟", "获奖", {"@value": "松湖奖", "onDate": "1999年", "inWork": "云州"})
    train = duie(tmp_path / "t.json", *((f"{n}：王伟1999年凭云州获松湖奖", [award]) for n in range(5)))
    made = tmp_path / "r.yaml"
    made.write_text(f"name: a\ntask: relation\ndata: {{train: {train}, dev: {train}}}\nencoder: {{name: tiny}}\n")
    code = (
        "import sys; from ie_cli.doctor.data_checks import check; from ie_cli.recipe.loader import load_recipe; "
        "sys.stdout.write(next(f.text for f in check(load_recipe(sys.argv[1])) if 'examples' in f.text))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, str(made)],
            check=True,
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(3)
    }
    assert len(seen) == 1


def test_a_triple_given_twice_counts_once(tmp_path: Path) -> None:
    triple = ("王伟", "住地", "青川")
    train = duie(tmp_path / "t.json", *((LIVES.format(n), [triple, triple]) for n in range(5)))
    assert of("note", findings(recipe(train))) == [
        f"{train}: triples that repeat another one of their text and count once: 5",
        "train: 5 examples (0 without a relation), 5 relations: 住地 5",
    ]


def test_several_places_are_a_note(tmp_path: Path) -> None:
    train = duie(tmp_path / "t.json", *((f"{n}王伟，王伟住在青川", [("王伟", "住地", "青川")]) for n in range(5)))
    assert findings(recipe(train, data={"mentions": "first"})) == [
        (
            "note",
            f"{train}: triples without offsets: 5; with several possible positions: 5 (mentions: first); "
            "not found in the text: 0",
        ),
        ("note", "train: 5 examples (0 without a relation), 5 relations: 住地 5"),
    ]


def test_what_is_not_in_the_text_is_a_warning_with_its_places(tmp_path: Path) -> None:
    lines = [(LIVES.format(n), [("王伟", "住地", "南岭" if n in (1, 3, 4, 6) else "青川")]) for n in range(8)]
    train = duie(tmp_path / "t.json", *lines)
    assert of("warning", findings(recipe(train))) == [
        "train: 4 of 8 relations (50.00%) can never be predicted: 4 mention not in the text\n"
        "  mention not in the text: fix the annotation\n"
        f"    {train}:2: 王伟 | 住地 | 南岭\n"
        f"    {train}:4: 王伟 | 住地 | 南岭\n"
        f"    {train}:5: 王伟 | 住地 | 南岭"
    ]


def test_what_the_head_cannot_express_is_a_warning_with_a_head_that_can(tmp_path: Path) -> None:
    train = duie(
        tmp_path / "t.json",
        *((f"{n}北京大学在青川", [("北京", "在", "青川"), ("北京大学", "在", "青川")]) for n in range(5)),
    )
    assert not of("warning", findings(recipe(train)))
    [warning] = of("warning", findings(recipe(train, head={"name": "casrel"})))
    assert warning.startswith(
        "train: 5 of 10 relations (50.00%) can never be predicted: 5 with a subject that overlaps another subject\n"
        "  with a subject that overlaps another subject: head.name: gplinker can express it\n"
        f"    {train}:1: 北京大学 | 在 | 青川\n"
    )


def test_a_slot_that_is_not_in_the_text_leaves_its_triple(tmp_path: Path) -> None:
    award = ("王伟", "获奖", {"@value": "松湖奖", "onDate": "2000年"})
    train = duie(tmp_path / "t.json", *((f"{n}：王伟获松湖奖", [award]) for n in range(5)))
    [warning] = of("warning", findings(recipe(train)))
    assert warning.startswith("train: 5 of 10 relations (50.00%) can never be predicted: 5 mention not in the text")
    assert f"{train}:1: 松湖奖 | 获奖.onDate | 2000年" in warning


FAR = "王伟" + "很" * 40 + "住在青川"
SHORT = {"max_length": 22, "stride": 10}


def test_what_no_window_holds_is_a_warning_with_the_remedy(tmp_path: Path) -> None:
    train = native(tmp_path / "t.jsonl", *many(5), placed(FAR, ("王伟", "住地", "青川")))
    [warning] = of("warning", findings(recipe(train, encoder=SHORT)))
    assert warning == (
        "train: 1 of 6 relations (16.67%) can never be predicted: 1 subject and object in no common window\n"
        "  subject and object in no common window: raise encoder.stride (now 10) or encoder.max_length (now 22)\n"
        f"    {train}:6: 王伟 | 住地 | 青川"
    )


def test_triples_without_offsets_are_in_no_common_window_either(tmp_path: Path) -> None:
    near = [(LIVES.format(n), [("王伟", "住地", "青川")]) for n in range(5)]
    train = duie(tmp_path / "t.json", *near, (FAR, [("王伟", "住地", "青川")]))
    [warning] = of("warning", findings(recipe(train, encoder=SHORT)))
    assert warning.startswith(
        "train: 1 of 6 relations (16.67%) can never be predicted: 1 subject and object in no common"
    )
    assert f"{train}:6: 王伟 | 住地 | 青川" in warning


@pytest.mark.parametrize("mentions", ["nearest", "first", "all"])
def test_a_triple_is_lost_only_if_all_its_places_are(mentions: str, tmp_path: Path) -> None:
    train = duie(tmp_path / "t.json", *((f"{FAR}{n}，王伟", [("王伟", "住地", "青川")]) for n in range(5)))
    assert of("warning", findings(recipe(train, encoder=SHORT, data={"mentions": mentions}))) == []


def test_a_window_that_is_long_enough_holds_it(tmp_path: Path) -> None:
    train = native(tmp_path / "t.jsonl", *(placed(f"{FAR}{n}", ("王伟", "住地", "青川")) for n in range(5)))
    assert of("warning", findings(recipe(train))) == []


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder whose tokens are words and their pieces."""
    directory = tmp_path_factory.mktemp("encoder")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=400, **sizes)).save_pretrained(directory)
    wordpiece().save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return str(directory)


INSIDE = "  boundary inside a token: encoder.tokenization: char makes every boundary reachable\n"


def test_boundaries_inside_a_token_are_a_warning_with_the_remedy(tmp_path: Path, words: str) -> None:
    data = [placed(f"The quick fox {n}", ("The", "p", "fox")) for n in range(5)]
    train = native(tmp_path / "t.jsonl", *data, placed("The quick fox", ("he", "p", "fox")))
    [warning] = of("warning", findings(recipe(train, encoder={"name": words})))
    assert warning.startswith(
        "train: 1 of 6 relations (16.67%) can never be predicted: 1 boundary inside a token\n" + INSIDE
    )
    assert f"{train}:6: he | p | fox" in warning


def test_triples_without_offsets_may_end_inside_a_token(tmp_path: Path, words: str) -> None:
    # '3D' is one unknown token; a letter after a digit starts a new run, so that 'D' has a place.
    train = duie(tmp_path / "t.json", *((f"The 3D fox {n}", [("D", "p", "fox")]) for n in range(5)))
    [warning] = of("warning", findings(recipe(train, encoder={"name": words})))
    assert warning.startswith(
        "train: 5 of 5 relations (100.00%) can never be predicted: 5 boundary inside a token\n" + INSIDE
    )


@pytest.mark.parametrize("mention", ["he", "D"])
def test_characters_as_tokens_reach_every_boundary(mention: str, tmp_path: Path, words: str) -> None:
    data = [placed(f"The 3D fox {n}", (mention, "p", "fox")) for n in range(5)]
    encoder = {"name": words, "tokenization": "char"}
    assert of("warning", findings(recipe(native(tmp_path / "t.jsonl", *data), encoder=encoder))) == []


def test_every_reason_is_counted_and_shown(tmp_path: Path) -> None:
    near = [(LIVES.format(n), [("王伟", "住地", "青川")]) for n in range(4)]
    train = duie(tmp_path / "t.json", *near, (FAR, [("王伟", "住地", "青川"), ("王伟", "住地", "南岭")]))
    [warning] = of("warning", findings(recipe(train, encoder=SHORT)))
    assert "2 of 6 relations (33.33%)" in warning
    assert "1 subject and object in no common window" in warning
    assert "1 mention not in the text" in warning
    assert warning.count(f"{train}:5: ") == 2


def test_what_tplinker_cannot_express_is_a_warning_with_a_head_that_can(tmp_path: Path) -> None:
    data = [placed(f"{n}王伟爱青川", ("王伟", "爱", "青川"), ("青川", "爱", "王伟")) for n in range(5)]
    train = native(tmp_path / "t.jsonl", *data)
    assert not of("warning", findings(recipe(train)))
    [warning] = of("warning", findings(recipe(train, head={"name": "tplinker"})))
    reason = "with boundaries that the same predicate links in the opposite direction"
    assert warning.startswith(
        f"train: 5 of 10 relations (50.00%) can never be predicted: 5 {reason}\n"
        f"  {reason}: head.name: gplinker can express it\n    {train}:1: 青川 | 爱 | 王伟\n"
    )


def test_a_share_is_never_more_than_all(tmp_path: Path) -> None:
    first = relation(FAR, ("王伟", "住地", "青川"))
    subject, object_ = (Entity(e.start + len(FAR), e.end + len(FAR), e.label) for e in (first.subject, first.object))
    document = Document(FAR + FAR, [], [first, Relation(subject, "住地", object_)])
    warning = of("warning", findings(recipe(native(tmp_path / "t.jsonl", document), encoder=SHORT)))[0]
    assert warning.startswith("train: 2 of 2 relations (100.00%)")


def test_entities_are_lost_out_of_those_that_a_model_would_learn(tmp_path: Path) -> None:
    """With a row per type the arguments are entities, whether the data list them or not."""
    relations = [placed(LIVES.format(n) + " .", (" .", "住地", "青川")) for n in range(5)]
    head = {"entity_rows": "types", "type_pairs": "observed"}
    warnings = of("warning", findings(recipe(native(tmp_path / "t.jsonl", *relations), head=head)))
    assert warnings[0].startswith("train: 5 of 10 entities (50.00%) can never be predicted: 5 whitespace")


def test_arguments_that_are_not_listed_are_no_entities_of_a_task_of_entities(tmp_path: Path) -> None:
    text = "王伟住在青川 ."
    data = [
        Document(text + str(n), [Entity(0, 2, "person")], placed(text, ("王伟", "p", " .")).relations) for n in range(5)
    ]
    made = recipe_of_entities(Path(native(tmp_path / "t.jsonl", *data)), data={"dev": None})
    assert findings(made) == [("note", "train: 5 examples (0 without an entity), 5 entities: person 5")]


def test_rare_predicates_are_a_warning(tmp_path: Path) -> None:
    names = ["住地"] * 5 + ["生地"] * 4 + ["死地"]
    data = [placed(LIVES.format(n), ("王伟", name, "青川")) for n, name in enumerate(names)]
    assert of("warning", findings(recipe(native(tmp_path / "t.jsonl", *data)))) == [
        "predicates with fewer than 5 examples in train: 死地, 生地"
    ]


def test_predicates_of_dev_that_train_does_not_have_are_a_warning(tmp_path: Path) -> None:
    train = native(tmp_path / "t.jsonl", *many(5))
    text = "李娜生于云州"
    dev = native(tmp_path / "d.jsonl", placed(text, ("李娜", "生地", "云州"), ("李娜", "住地", "云州")))
    assert of("warning", findings(recipe(train, dev))) == [
        "predicates of dev that train does not contain and no model can predict: 生地"
    ]


def test_slots_of_dev_that_train_does_not_have_are_a_warning(tmp_path: Path) -> None:
    text = "王伟1999年获松湖奖"
    train = duie(tmp_path / "t.json", *((f"{n}：{text}", [("王伟", "获奖", "松湖奖")]) for n in range(5)))
    dev = duie(tmp_path / "d.json", (text, [("王伟", "获奖", {"@value": "松湖奖", "onDate": "1999年"})]))
    assert of("warning", findings(recipe(train, dev))) == [
        "predicates of dev that train does not contain and no model can predict: 获奖.onDate"
    ]


def schema_file(path: Path, *predicates: str) -> str:
    rows = [{"predicate": name, "subject_type": "person", "object_type": "place"} for name in predicates]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("predicates", "errors"),
    [
        (["住地"], []),
        (["生地", "住地"], []),
        (["生地"], ["the training data contain predicates that data.schema_file lacks: 住地"]),
    ],
)
def test_predicates_that_the_schema_file_does_not_have_are_an_error(
    predicates: list[str], errors: list[str], tmp_path: Path
) -> None:
    train = native(tmp_path / "t.jsonl", *many(5))
    found = findings(recipe(train, data={"schema_file": schema_file(tmp_path / "s.json", *predicates)}))
    assert of("error", found) == errors


def test_slots_that_the_schema_file_does_not_have_are_an_error(tmp_path: Path) -> None:
    award = ("王伟", "获奖", {"@value": "松湖奖", "onDate": "1999年"})
    train = duie(tmp_path / "t.json", *((f"{n}：王伟1999年获松湖奖", [award]) for n in range(5)))
    found = findings(recipe(train, data={"schema_file": schema_file(tmp_path / "s.json", "获奖")}))
    assert of("error", found) == ["the training data contain predicates that data.schema_file lacks: 获奖.onDate"]


def test_no_relation_at_all_is_an_error(tmp_path: Path) -> None:
    train = native(tmp_path / "t.jsonl", Document("王伟", [Entity(0, 2, "person")]))
    assert of("error", findings(recipe(train))) == [
        "train: the head gplinker extracts relations, but the data contain none; for entities, use task: ner and one of its "
        f"heads: {', '.join(heads_of('ner'))}"
    ]


def test_data_of_another_task_are_one_error(tmp_path: Path) -> None:
    files = [native(tmp_path / f"{n}.jsonl", Document("王伟" + "。" * n, [Entity(0, 2, "person")])) for n in range(2)]
    [error] = of("error", findings(recipe(*files, head={"name": "casrel"})))
    assert error.startswith("train: the head casrel extracts relations, but the data contain none; for entities, use")


@pytest.mark.parametrize("spo_list", [None, []])
def test_test_data_of_duie_as_training_data_are_an_error(spo_list: list[Any] | None, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({"text": "王伟", "spo_list": spo_list}), encoding="utf-8")
    assert of("error", findings(recipe(str(tmp_path / "t.json")))) == [
        "train: no relations; check that data.format is right"
    ]


def test_dev_without_a_relation_is_an_error_and_test_is_none(tmp_path: Path) -> None:
    train, empty = native(tmp_path / "t.jsonl", *many(5)), native(tmp_path / "d.jsonl", Document("无"))
    other = native(tmp_path / "e.jsonl", Document("没有"))
    assert of("error", findings(recipe(train, empty, data={"test": other}))) == [
        "dev: no relations; check that data.format is right"
    ]


def test_relations_alone_are_no_entities_to_train_on(tmp_path: Path) -> None:
    made = recipe_of_entities(Path(native(tmp_path / "t.jsonl", *many(5))), data={"dev": None})
    assert of("error", findings(made)) == [
        "train: the head efficient_global_pointer extracts entities, but the data contain none; for relations, use task: "
        f"relation and one of its heads: {', '.join(heads_of('relation'))}"
    ]


def test_bad_lines_of_duie_are_listed_with_their_places(tmp_path: Path) -> None:
    train = duie(tmp_path / "t.json", *((LIVES.format(n), [("王伟", "住地", "青川")]) for n in range(5)))
    with Path(train).open("a", encoding="utf-8") as file:
        file.write('{"text": "a", "spo_list": [{"subject": "a", "predicate": "p"}]}\n')
    [error] = of("error", findings(recipe(train)))
    assert error == (
        f'train: 1 record cannot be read:\n  {train}:6: a triple lacks object: {{"subject": "a", "predicate": "p"}}'
    )


def test_texts_with_other_relations_contradict_each_other(tmp_path: Path) -> None:
    text = LIVES.format(9)
    data = [*many(5), placed(text, ("王伟", "住地", "青川")), placed(text)]
    train = native(tmp_path / "t.jsonl", *data)
    assert of("warning", findings(recipe(train))) == [
        f"train: 1 text occurs again with different annotations:\n  {train}:7: {text!r}",
        "train: 1 of 7 texts is a duplicate",
    ]


def test_the_quickstart_data_are_sound() -> None:
    directory = Path(__file__).parent.parent.parent / "data" / "relations"
    data = {"schema_file": str(directory / "schema.json"), "test": str(directory / "test.json")}
    made = recipe(str(directory / "train.json"), str(directory / "dev.json"), data=data, encoder={"max_length": 128})
    found = findings(made)
    assert of("error", found) == of("warning", found) == []
    [train] = [text for text in of("note", found) if text.startswith("train: ")]
    assert train.startswith("train: 900 examples (")


def test_predicates_that_join_several_pairs_of_types_are_a_note(tmp_path: Path) -> None:
    text = "王伟住在青川。"
    triple = ("王伟", "住地", "青川")
    data = [
        Document(f"{text}{n}", [], [relation(text, triple, (a, "place"))])
        for n, a in enumerate(["person"] * 5 + ["cat"])
    ]
    made = recipe(
        native(tmp_path / "t.jsonl", *data), native(tmp_path / "d.jsonl", Document(text, [], data[0].relations))
    )
    [note] = [note for note in of("note", findings(made)) if "pairs of types" in note]
    assert note == (
        "train: predicates that join several pairs of types: 1 of 1, first 住地: person → place 5, cat → place 1"
    )
    alike = recipe(native(tmp_path / "one.jsonl", *data[:5]))
    assert not [note for note in of("note", findings(alike)) if "pairs of types" in note]
