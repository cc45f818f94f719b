"""The label schema: labels and predicates from data, recipe and schema file; serialisation; loss weights of labels."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ie_cli.codecs.base import build_codec
from ie_cli.data.label_schema import LabelSchema, Types, read_schema, schema_facts, schema_of_facts
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.errors import DataError, RecipeError
from ie_cli.recipe.schema import Recipe
from ie_cli.tasks import TASKS
from ie_cli.training.setup import loss_weights, validate_names
from ie_cli.triples import ROLES

PAIRS = {
    ("影视作品", "导演", "人物"): 9,
    ("人物", "获奖", "奖项"): 2,
    ("影视作品", "获奖", "奖项"): 5,
    ("奖项", "获奖.onDate", "Date"): 4,
}
KNOWN: dict[str, tuple[Types, ...]] = {
    "获奖": (("人物", "奖项"), ("企业", "奖项"), ("影视作品", "奖项")),
    "作者": (("图书作品", "人物"),),
    "导演": (("影视作品", "人物"),),
    "获奖.onDate": (("奖项", "Date"),),
}


# Of entities


def test_labels_are_sorted() -> None:
    assert LabelSchema.build(["b", "a", "b"]) == LabelSchema(("a", "b"))


def test_listed_labels_keep_their_order() -> None:
    assert LabelSchema.build(["a", "b"], ["c", "b", "a"]).labels == ("c", "b", "a")


def test_a_label_that_is_not_listed_is_an_error() -> None:
    with pytest.raises(DataError, match=r"(?m)labels that data.labels does not list: a, d$"):
        LabelSchema.build(["d", "a", "b"], ["b"])


def test_no_label_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="the training data contain no entities"):
        LabelSchema.build([])


def test_data_without_labels_are_allowed_if_labels_are_listed() -> None:
    assert LabelSchema.build([], ["a"]).labels == ("a",)


# Of relations


def test_predicates_are_sorted() -> None:
    schema = LabelSchema.of_relations(None, PAIRS)
    assert schema.predicates == tuple(sorted({"导演", "获奖", "获奖.onDate"}))
    assert (schema.labels, schema.constrained) == (ROLES, False)


def test_the_most_frequent_types_come_first() -> None:
    schema = LabelSchema.of_relations(None, PAIRS)
    assert schema.types["获奖"] == (("影视作品", "奖项"), ("人物", "奖项"))
    assert schema.usual_types("获奖") == ("影视作品", "奖项")


def test_of_equally_usual_types_the_order_is_that_of_their_names() -> None:
    pairs = {("b", "p", "x"): 1, ("a", "p", "x"): 1, ("a", "p", "w"): 1}
    for order in (pairs, dict(reversed(pairs.items()))):
        assert LabelSchema.of_relations(None, order).types["p"] == (("a", "w"), ("a", "x"), ("b", "x"))


def test_predicates_of_a_file_keep_its_order_and_its_types() -> None:
    schema = LabelSchema.of_relations(None, PAIRS, known=KNOWN)
    assert schema.predicates == ("获奖", "作者", "导演", "获奖.onDate")
    assert schema.types["作者"] == (("图书作品", "人物"),)


def test_types_of_the_data_precede_other_types_of_a_file() -> None:
    schema = LabelSchema.of_relations(None, PAIRS, known=KNOWN)
    assert schema.types["获奖"] == (("影视作品", "奖项"), ("人物", "奖项"), ("企业", "奖项"))


def test_types_that_the_file_does_not_have_are_not_taken_from_the_data() -> None:
    schema = LabelSchema.of_relations(None, {("企业", "导演", "人物"): 99, **PAIRS}, known=KNOWN)
    assert schema.types["导演"] == (("影视作品", "人物"),)


def test_predicates_that_the_file_does_not_have_are_an_error() -> None:
    pairs = PAIRS | {("a", "主演", "b"): 1, ("a", "z", "b"): 1}
    with pytest.raises(DataError, match=r"(?m)predicates that data\.schema_file lacks: z, 主演$"):
        LabelSchema.of_relations(None, pairs, known=KNOWN)


@pytest.mark.parametrize("known", [None, KNOWN])
def test_no_relation_at_all_is_an_error(known: dict[str, tuple[Types, ...]] | None) -> None:
    with pytest.raises(DataError, match="the training data contain no relations") as raised:
        LabelSchema.of_relations(["a"], {}, known=known)
    assert "task: ner" in str(raised.value.hint)


def test_rows_of_types_are_sorted_and_free_without_a_file() -> None:
    schema = LabelSchema.of_relations(["人物", "Date", "人物"], PAIRS)
    assert (schema.labels, schema.constrained, schema.roles) == (("Date", "人物"), False, False)


def test_rows_of_types_are_those_of_the_file_too_and_constrained_by_it() -> None:
    schema = LabelSchema.of_relations(["人物", "地点"], PAIRS, known=KNOWN)
    named = {kind for types in KNOWN.values() for pair in types for kind in pair}
    assert schema.labels == tuple(sorted(named | {"地点"}))
    assert schema.constrained


def test_rows_of_types_are_listed_in_the_recipe() -> None:
    assert LabelSchema.of_relations(["a", "b"], {("a", "p", "b"): 1}, listed=["b", "c", "a"]).labels == ("b", "c", "a")


def test_types_of_the_file_that_the_recipe_does_not_list_are_an_error() -> None:
    with pytest.raises(DataError, match=r"data\.labels does not list: Date, 企业, 图书作品"):
        LabelSchema.of_relations(["人物"], PAIRS, listed=["人物", "奖项", "影视作品"], known=KNOWN)


def test_observed_types_constrain() -> None:
    schema = LabelSchema.of_relations(["a", "b"], {("a", "p", "b"): 1}, observed=True)
    assert (schema.types, schema.constrained) == ({"p": (("a", "b"),)}, True)


def test_rows_are_numbered() -> None:
    schema = LabelSchema(("b", "a"), ("q", "p"))
    assert (schema.ids, schema.predicate_ids) == ({"b": 0, "a": 1}, {"q": 0, "p": 1})


@pytest.mark.parametrize(
    ("schema", "roles"),
    [
        (LabelSchema(ROLES, ("p",)), True),
        (LabelSchema(("a", "b"), ("p",)), False),
        (LabelSchema(ROLES), False),  # a model of entities, two of whose labels have these names
    ],
)
def test_role_models(schema: LabelSchema, roles: bool) -> None:
    assert schema.roles is roles


@pytest.mark.parametrize(
    ("predicates", "slots"),
    [
        (("获奖", "获奖.onDate", "获奖.inWork"), {"获奖.onDate": "获奖", "获奖.inWork": "获奖"}),
        (("org.founder", "获奖.onDate"), {}),
        (("a.b", "a.b.c"), {"a.b.c": "a.b"}),
        (("/a/b", "/a/b/c"), {}),
        ((), {}),
    ],
)
def test_slots_are_those_of_a_known_predicate(predicates: tuple[str, ...], slots: dict[str, str]) -> None:
    assert LabelSchema(ROLES, predicates, declared=frozenset(predicates)).slots == slots
    assert not LabelSchema(ROLES, predicates).slots  # a dot alone makes no slot


@pytest.mark.parametrize("types", [{}, {"p": ()}, {"q": (("a", "b"),)}])
def test_a_predicate_without_types_joins_subject_and_object(types: dict[str, tuple[Types, ...]]) -> None:
    assert LabelSchema(ROLES, ("p",), types).usual_types("p") == ROLES


# As facts

NAMES = st.text(max_size=4)
SCHEMAS = st.builds(
    lambda labels, types, constrained: LabelSchema(tuple(labels), tuple(types), types, constrained and bool(types)),
    st.lists(NAMES, min_size=1, max_size=4, unique=True),
    st.dictionaries(NAMES, st.lists(st.tuples(NAMES, NAMES), max_size=3).map(tuple), max_size=4),
    st.booleans(),
)


@given(SCHEMAS)
def test_facts_give_the_schema_back(schema: LabelSchema) -> None:
    back = schema_of_facts(json.loads(json.dumps(schema_facts(schema))))
    assert back == schema
    assert (list(back.types), back.predicates) == (list(schema.types), schema.predicates)


def test_a_model_of_entities_has_labels_alone() -> None:
    assert schema_facts(LabelSchema(("a", "b"))) == {"labels": ("a", "b")}


def test_predicates_without_types_are_facts_too() -> None:
    facts = json.loads(json.dumps(schema_facts(LabelSchema(ROLES, ("q", "p"), {"p": (("a", "b"),)}))))
    assert facts["predicates"] == {"q": [], "p": [["a", "b"]]}
    assert schema_of_facts(facts).predicates == ("q", "p")


def test_other_facts_are_left_alone() -> None:
    assert schema_of_facts({"labels": ["a"], "pad_id": 0, "format_version": 1}) == LabelSchema(("a",))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"labels": []}, "labels must be a list of names"),
        ({"labels": None}, "labels must be a list of names"),
        ({}, "labels must be a list of names"),
        ({"labels": "ab"}, "labels must be a list of names"),
        ({"labels": ["a", 1]}, "labels must be a list of names"),
        ({"labels": ["a", "b", "a"]}, "labels must not contain duplicates"),
        ({"labels": ["a"], "predicates": ["p"]}, "predicates must map names to pairs of types"),
        ({"labels": ["a"], "predicates": None}, "predicates must map names to pairs of types"),
        ({"labels": ["a"], "predicates": {"p": [["a"]]}}, "pairs of types"),
        ({"labels": ["a"], "predicates": {"p": 3}}, "pairs of types"),
        ({"labels": ["a"], "predicates": {"p": [3]}}, "pairs of types"),
        ({"labels": ["a"], "predicates": {"p": ["ab"]}}, "pairs of types"),
        ({"labels": ["a"], "constrained": "no"}, "constrained must be true or false"),
        ({"labels": ["a"], "predicates": {"p": [["a", "b", "c"]]}}, "pairs of types"),
    ],
)
def test_damaged_facts_are_an_error(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schema_of_facts(facts)


# Schema files

DUIE1 = [
    '{"object_type": "地点", "predicate": "祖籍", "subject_type": "人物"}',
    '{"object_type": "人物", "predicate": "父亲", "subject_type": "人物"}',
]
DUIE2 = [
    '{"object_type": {"inWork": "影视作品", "@value": "人物"}, "predicate": "饰演", "subject_type": "娱乐人物"}',
    '{"object_type": {"@value": "Text"}, "predicate": "气候", "subject_type": "行政区"}',
    '{"object_type": {"@value": "奖项", "onDate": "Date", "inWork": "作品"}, "predicate": "获奖", "subject_type": "人物"}',
]


def read(directory: Path, *lines: str, end: str = "\n") -> dict[str, tuple[Types, ...]]:
    (directory / "schema.json").write_bytes("".join(line + end for line in lines).encode())
    return read_schema(str(directory / "schema.json"))


def test_the_first_editions_file(tmp_path: Path) -> None:
    assert read(tmp_path, *DUIE1) == {"祖籍": (("人物", "地点"),), "父亲": (("人物", "人物"),)}


def test_the_second_editions_file_has_slots_behind_all_predicates(tmp_path: Path) -> None:
    found = read(tmp_path, *DUIE2)
    assert list(found) == ["饰演", "气候", "获奖", "饰演.inWork", "获奖.onDate", "获奖.inWork"]
    assert found["饰演"] == (("娱乐人物", "人物"),)
    assert found["获奖.onDate"] == (("奖项", "Date"),)


def test_a_predicate_may_have_several_types(tmp_path: Path) -> None:
    line = DUIE1[0]
    found = read(tmp_path, line.replace("人物", "机构"), *DUIE1, line)
    assert list(found) == ["祖籍", "父亲"]
    assert found["祖籍"] == (("机构", "地点"), ("人物", "地点"))


def test_a_slot_may_have_several_types(tmp_path: Path) -> None:
    found = read(tmp_path, DUIE2[0], DUIE2[0].replace("影视作品", "小说"))
    assert found["饰演"] == (("娱乐人物", "人物"),)
    assert found["饰演.inWork"] == (("人物", "影视作品"), ("人物", "小说"))


def test_lines_without_a_leading_brace_are_comments(tmp_path: Path) -> None:
    assert list(read(tmp_path, "# 疾病", "", "疾病 (2)", *DUIE1, "  ", "// end")) == ["祖籍", "父亲"]


@pytest.mark.parametrize("indent", ["", " ", "\t", "\ufeff"])
def test_byte_order_marks_and_windows_line_ends(tmp_path: Path, indent: str) -> None:
    lines = ["\ufeff" + indent + DUIE1[0], *DUIE1[1:]]
    assert list(read(tmp_path, *lines, end="\r\n")) == ["祖籍", "父亲"]


@pytest.mark.parametrize(
    "line",
    [
        '{"object_type": "地点", "predicate": "祖籍", "subject_type": "人物"',
        "{}",
        "{spam}",
        '{"object_type": "地点", "predicate": "祖籍"}',
        '{"object_type": "地点", "subject_type": "人物"}',
        '{"predicate": "祖籍", "subject_type": "人物"}',
        '{"object_type": "地点", "predicate": "", "subject_type": "人物"}',
        '{"object_type": "地点", "predicate": 3, "subject_type": "人物"}',
        '{"object_type": "地点", "predicate": "祖籍", "subject_type": ["人物"]}',
        '{"object_type": "", "predicate": "祖籍", "subject_type": "人物"}',
        '{"object_type": 3, "predicate": "祖籍", "subject_type": "人物"}',
        '{"object_type": null, "predicate": "祖籍", "subject_type": "人物"}',
        '{"object_type": {}, "predicate": "祖籍", "subject_type": "人物"}',
        '{"object_type": {"inWork": "a"}, "predicate": "祖籍", "subject_type": "人物"}',
        '{"object_type": {"@value": "a", "inWork": 3}, "predicate": "祖籍", "subject_type": "人物"}',
        '{"object_type": {"@value": null}, "predicate": "祖籍", "subject_type": "人物"}',
        '{"a": ' * 100_000,
    ],
)  # fmt: skip
def test_a_bad_line_is_reported_with_its_place(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError) as raised:
        read(tmp_path, DUIE1[0], "# a comment", line, DUIE1[1])
    assert raised.value.message == f"{tmp_path / 'schema.json'}:3: invalid line of a schema file: {line[:80]!r}"
    assert "subject_type" in str(raised.value.hint)


@pytest.mark.parametrize("lines", [[], [""], ["# only", "comments"], [f"[{DUIE1[0]}]"]])
def test_a_file_without_a_predicate_is_an_error(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(DataError, match=r"schema\.json: the file contains no predicates"):
        read(tmp_path, *lines)


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_schema(str(tmp_path / "schema.json"))


def test_the_quickstart_schema_names_all_that_its_data_hold() -> None:
    directory = Path(__file__).parent.parent.parent / "data" / "relations"
    found = read_schema(str(directory / "schema.json"))
    records = [json.loads(line) for line in (directory / "train.json").read_text("utf-8").splitlines()]
    triples = [spo for record in records for spo in record["spo_list"]]
    names = {spo["predicate"] for spo in triples}
    slots = {f"{spo['predicate']}.{slot}" for spo in triples for slot in spo["object"] if slot != "@value"}
    assert set(found) == names | slots


# From a recipe and one pass over the data


def recipe(data: dict[str, Any] | None = None, training: dict[str, Any] | None = None, **head: Any) -> Recipe:
    fields: dict[str, Any] = {
        "name": "a",
        "task": "relation" if head.get("name") == "gplinker" else "ner",
        "data": {"train": "t", **(data or {})},
        "encoder": {"name": "tiny"},
        "training": training or {},
    }
    return Recipe.model_validate(fields | ({"head": head} if head else {}))


def linker(data: dict[str, Any] | None = None, training: dict[str, Any] | None = None, **head: Any) -> Recipe:
    return recipe(data, training, name="gplinker", **head)


def statistics(*, entities: bool) -> DatasetStatistics:
    """Training data whose triples join two types, and that may annotate entities of a third type."""
    labels = Counter({"人物": 3, "地点": 1, "影视作品": 2}) if entities else Counter[str]()
    return DatasetStatistics(3, labels, Counter({"人物": 2, "影视作品": 2}), Counter({("影视作品", "导演", "人物"): 2}))


def build_schema(made: Recipe, found: DatasetStatistics) -> LabelSchema:
    [section] = made.instances().values()
    return TASKS[section.task].build_schema(section, found)


@pytest.fixture
def schema_file(tmp_path: Path) -> str:
    lines = [
        {"predicate": "作者", "subject_type": "图书作品", "object_type": "人物"},
        {"predicate": "导演", "subject_type": "影视作品", "object_type": {"@value": "人物", "inWork": "Text"}},
    ]
    (tmp_path / "schema.json").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(tmp_path / "schema.json")


def test_a_model_of_entities_takes_no_predicates() -> None:
    assert build_schema(recipe(), statistics(entities=True)) == LabelSchema(("人物", "地点", "影视作品"))


def test_a_model_of_entities_takes_the_labels_of_the_recipe() -> None:
    listed = ["地点", "人物", "影视作品"]
    assert build_schema(recipe({"labels": listed}), statistics(entities=True)).labels == tuple(listed)


TYPES = ("人物", "地点", "影视作品")


@pytest.mark.parametrize(
    ("rows", "entities", "labels"),
    [
        ("auto", True, TYPES),
        ("auto", False, ROLES),
        ("types", True, TYPES),
        ("types", False, ("人物", "影视作品")),
        ("roles", True, ROLES),
        ("roles", False, ROLES),
    ],
)
def test_entity_rows(rows: str, entities: bool, labels: tuple[str, ...]) -> None:
    schema = build_schema(linker(entity_rows=rows), statistics(entities=entities))
    assert (schema.labels, schema.roles) == (labels, labels == ROLES)
    assert schema.predicates == ("导演",)


def test_arguments_that_are_not_annotated_entities_have_labels_too() -> None:
    found = DatasetStatistics(1, Counter({"地点": 1}), Counter({"人物": 2}), Counter({("人物", "父亲", "人物"): 1}))
    assert build_schema(linker(), found).labels == ("人物", "地点")


def test_roles_need_no_list_of_labels() -> None:
    listed = {"labels": ["地点"]}
    assert build_schema(linker(listed, entity_rows="roles"), statistics(entities=True)).labels == ROLES


@pytest.mark.parametrize(
    ("pairs", "with_file", "constrained"),
    [
        ("schema", True, True),
        ("schema", False, False),
        ("observed", False, True),
        ("any", True, False),
        ("any", False, False),
    ],
)
def test_type_pairs(pairs: str, with_file: bool, constrained: bool, schema_file: str) -> None:
    data = {"schema_file": schema_file} if with_file else {}
    schema = build_schema(linker(data, type_pairs=pairs), statistics(entities=True))
    assert schema.constrained is constrained
    assert schema.types["导演"] == (("影视作品", "人物"),)
    assert schema.predicates == (("作者", "导演", "导演.inWork") if with_file else ("导演",))


def test_observed_types_are_those_of_the_data_whatever_the_file_allows(schema_file: str) -> None:
    found = statistics(entities=True)
    found.pairs["地点", "导演", "人物"] += 1
    schema = build_schema(linker({"schema_file": schema_file}, type_pairs="observed"), found)
    assert schema.types["导演"] == (("影视作品", "人物"), ("地点", "人物"))
    assert schema.constrained


@pytest.mark.parametrize("pairs", ["schema", "observed", "any"])
@pytest.mark.parametrize("with_file", [True, False])
def test_roles_are_never_constrained_by_a_file(pairs: str, with_file: bool, schema_file: str) -> None:
    data = {"schema_file": schema_file} if with_file else {}
    schema = build_schema(linker(data, type_pairs=pairs, entity_rows="roles"), statistics(entities=True))
    assert (schema.labels, schema.constrained) == (ROLES, False)


@pytest.mark.parametrize("rows", ["types", "roles"])
def test_observed_types_leave_the_predicates_of_the_file(rows: str, schema_file: str) -> None:
    made = linker({"schema_file": schema_file}, type_pairs="observed", entity_rows=rows)
    assert build_schema(made, statistics(entities=True)).predicates == ("作者", "导演", "导演.inWork")


@pytest.mark.parametrize("pairs", ["schema", "any"])
def test_predicates_beyond_the_file_are_an_error(pairs: str, schema_file: str) -> None:
    found = statistics(entities=False)
    found.pairs["人物", "父亲", "人物"] += 1
    with pytest.raises(DataError, match=r"(?m)data\.schema_file lacks: 父亲$"):
        build_schema(linker({"schema_file": schema_file}, type_pairs=pairs), found)


def test_data_without_relations_are_an_error() -> None:
    with pytest.raises(DataError, match="no relations"):
        build_schema(linker(), DatasetStatistics(1, Counter({"a": 1})))


# Weights

RELATIONS = LabelSchema(("a", "b"), ("p", "q", "r"))


def weights_of(made: Recipe, schema: LabelSchema) -> dict[str, list[float]] | None:
    """The weights of a recipe's one task as lists, by table."""
    [(name, section)] = made.instances().items()
    validate_names(made, {name: schema})
    [weights] = loss_weights(made, {name: build_codec(section.head, schema)}).values()
    if weights is None:
        return None
    assert all(table.dtype == torch.float32 for table in weights.values())
    return {table: values.tolist() for table, values in weights.items()}


@pytest.mark.parametrize("schema", [LabelSchema(("a", "b")), RELATIONS])
def test_without_weights_there_is_no_tensor(schema: LabelSchema) -> None:
    assert weights_of(linker(), schema) is None


def test_weights_of_entities_are_one_table_in_the_order_of_the_rows() -> None:
    made = recipe(training={"label_weights": {"b": 2.0}})
    assert weights_of(made, LabelSchema(("a", "b", "c"))) == {"entities": [1.0, 2.0, 1.0]}


def test_weights_of_relations_are_three_tables() -> None:
    made = linker(training={"label_weights": {"r": 0.5, "a": 3.0, "p": 2.0}})
    links = [2.0, 1.0, 0.5]
    assert weights_of(made, RELATIONS) == {"entities": [3.0, 1.0], "start_links": links, "end_links": links}


def test_subjects_and_objects_have_weights_too() -> None:
    made = linker(training={"label_weights": {"object": 2.0}})
    assert weights_of(made, LabelSchema(ROLES, ("p",))) == {
        "entities": [1.0, 2.0],
        "start_links": [1.0],
        "end_links": [1.0],
    }


@pytest.mark.parametrize(
    ("made", "schema", "message"),
    [
        (
            recipe(training={"label_weights": {"persn": 2.0}}),
            LabelSchema(("person", "place")),
            "training.label_weights: the data contain no label 'persn'; did you mean 'person'?",
        ),
        (
            linker(training={"label_weights": {"founded": 2.0}}),
            LabelSchema(("x",), ("founder", "z")),
            "training.label_weights: the data contain no label or predicate 'founded'; did you mean 'founder'?",
        ),
        (
            linker(thresholds={"q9": 0.5}),
            LabelSchema(("x",), ("founder",)),
            "head.thresholds: the data contain no label or predicate 'q9'",
        ),
    ],
)
def test_a_name_that_the_data_do_not_have_is_an_error(made: Recipe, schema: LabelSchema, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        weights_of(made, schema)
    assert raised.value.message == message
    assert raised.value.hint == f"use one of: {', '.join([*schema.labels, *schema.predicates])}"


def test_thresholds_of_known_names_are_not_weights() -> None:
    assert weights_of(linker(thresholds={"a": 0.3, "q": 0.6}), RELATIONS) is None


# Of pairs of texts


def test_classes_are_ordered_from_the_least_to_the_most_similar() -> None:
    assert LabelSchema.of_pairs({"1": 3, "0": 5}, None).labels == ("0", "1")
    assert LabelSchema.of_pairs({"10": 1, "9": 1, "-1": 1, "2.5": 1}, None).labels == ("-1", "2.5", "9", "10")
    words = {"entailment": 1, "neutral": 1, "contradiction": 1}
    assert LabelSchema.of_pairs(words, None).labels == ("contradiction", "neutral", "entailment")
    assert LabelSchema.of_pairs(words, None, ["neutral", "entailment", "contradiction"]).labels[0] == "neutral"


def test_scores_without_classes_give_a_range() -> None:
    schema = LabelSchema.of_pairs({}, (0.0, 4.75))
    assert (schema.labels, schema.grades) == ((), (0.0, 4.75))


@pytest.mark.parametrize(
    ("labels", "scores", "listed", "message"),
    [
        ({}, None, None, "no pairs of texts with a class or a score"),
        ({"a": 1, "b": 1}, None, None, "the order of the classes a, b is unknown"),
        ({"1": 1, "1.0": 1}, None, None, "the order of the classes 1, 1.0 is unknown"),
        ({"1": 4}, None, None, "all pairs of the training data have the class 1"),
        ({"1": 4}, None, ["0", "1"], "all pairs of the training data have the class 1"),
        ({"0": 1, "2": 1}, None, ["0", "1"], "labels that data.labels does not list: 2"),
        (
            {"0": 1, "1": 1},
            (0.0, 1.0),
            None,
            "some pairs of the training data have a class, and others have only a score",
        ),
        ({}, (3.0, 3.0), None, "all pairs of the training data have the score 3"),
        ({}, (0.0, 5.0), ["0", "1"], "data.labels lists 0, 1, but the pairs of the training data have scores"),
    ],
)
def test_pairs_that_cannot_be_learned_are_an_error(
    labels: dict[str, int], scores: tuple[float, float] | None, listed: list[str] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        LabelSchema.of_pairs(labels, scores, listed)
    assert caught.value.hint


def test_an_unknown_order_is_given_by_the_recipe() -> None:
    assert LabelSchema.of_pairs({"b": 1, "a": 2}, None, ["b", "a"]).labels == ("b", "a")


@pytest.mark.parametrize("schema", [LabelSchema(("0", "1")), LabelSchema((), grades=(0.0, 5.0))])
def test_a_schema_of_pairs_is_restored(schema: LabelSchema) -> None:
    facts = json.loads(json.dumps(schema_facts(schema)))
    assert schema_of_facts(facts) == schema
    assert ("grades" in facts) == (schema.grades is not None)  # files of other models stay as they were


@pytest.mark.parametrize(
    "facts",
    [
        {"labels": []},
        {"labels": [], "grades": [1, 1]},
        {"labels": [], "grades": [0, 1, 2]},
        {"labels": [], "grades": [0, "1"]},
        {"labels": [], "grades": [0, True]},
        {"labels": [], "grades": [0, math.inf]},
        {"labels": [], "grades": [math.nan, 1]},
        {"labels": ["a"], "grades": [0, 1]},
        {"labels": [], "grades": [0, 1], "predicates": {"P": []}},
    ],
)
def test_an_invalid_range_is_reported(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="grades|labels must be a list"):
        schema_of_facts(facts)
