"""Directories of brat: what is read, what is kept beyond the data model, and what is written."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_documents import documents, events
from support.runner import ie, said
from support.untrained import write_model

from ie_cli.data.dataset import Split
from ie_cli.data.reading import read_task_data
from ie_cli.doctor.siblings import find_siblings
from ie_cli.document import Argument, Document, Entity, Event, Relation
from ie_cli.errors import DataError
from ie_cli.formats import FORMATS, BadLine, Reading, brat, container_of, jsonl, read_documents, read_records
from ie_cli.formats.common.brat_lines import parse, write
from ie_cli.formats.suffixes import suffixes_of
from ie_cli.recipe.schema import DataSection
from ie_cli.system.json_reading import loads

TEXT = "Anna and Bo Li met in\nNew Harbour. 安娜 👩 bought Bo's firm."
ANN = """\
T1\tPerson 0 4\tAnna
T2\tPerson 9 14\tBo Li
T3\tCity 22 33\tNew Harbour
T4\tMeet 15 18\tmet
E1\tMeet:T4 Who:T1 Who2:T2 Place:T3
R1\tKnows Arg1:T1 Arg2:T2\t
T5\tPerson 0 4;12 14\tAnna Li
R2\tKin Arg1:T5 Arg2:T2\t
T6\tPerson 35 37\t安娜
T7\tBuy 40 46\tbought
E2\tBuy:T7 Agent:T6 Cause:E1
*\tEquiv T1 T6
A1\tNegated E1
M1\tGrade T1 High
N1\tReference T3 Wiki:12\tNew Harbour
#1\tAnnotatorNotes T5\tboth
"""
ANNA, BO, CITY, OTHER = (
    Entity(0, 4, "Person"),
    Entity(9, 14, "Person"),
    Entity(22, 33, "City"),
    Entity(35, 37, "Person"),
)
MEET = Event("Meet", (15, 18), (Argument("Who", ANNA), Argument("Who", BO), Argument("Place", CITY)))
BUY = Event("Buy", (40, 46), (Argument("Agent", OTHER), Argument("Cause", Entity(15, 18, "Meet"))))


def write_pair(directory: Path, name: str = "a", text: str = TEXT, ann: str = ANN) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.txt").write_bytes(text.encode())
    (directory / f"{name}.ann").write_bytes(ann.encode())
    return directory


def saved(directory: Path, *some: Document) -> Path:
    with brat.save(str(directory)) as store:
        for document in some:
            store(document)
    return directory


def bad(directory: Path, ann: str, text: str = TEXT) -> str:
    [record] = read_records(str(write_pair(directory, ann=ann, text=text)))
    assert isinstance(record, BadLine), record
    assert record.error.hint
    return record.error.message.removeprefix(str(directory))


def test_a_directory_is_detected_and_read(tmp_path: Path) -> None:
    write_pair(tmp_path)
    write_pair(tmp_path / "more", "ü", "x", "")
    (tmp_path / "later.txt").write_text("not yet annotated")
    said, formats = list[str](), list[str]()
    one, two = read_documents(str(tmp_path), reading=Reading(report=said.append), detected=formats.append)
    assert (formats, one.id, two.id, two.text, two.entities) == (["brat"], "a", "more/ü", "x", [])
    assert one.text == TEXT
    assert one.entities == [ANNA, BO, CITY, OTHER]
    assert one.relations == [Relation(ANNA, "Knows", BO)]
    assert set(one.events) == {MEET, BUY}
    assert one.where == str(tmp_path / "a.ann")
    assert f"{tmp_path}: 1 text without an .ann file left out: later.txt" in said
    assert said[-1].endswith(
        "not learned: discontinuous spans: 1, relations with a discontinuous end: 1, equivalences: 1, attributes: 2, "
        "normalizations: 1, notes: 1"
    )


def test_texts_to_predict_need_no_annotation(tmp_path: Path) -> None:
    write_pair(tmp_path, ann="not read")
    (tmp_path / "later.txt").write_text("not yet annotated")
    found = list(read_documents(str(tmp_path), reading=Reading(annotation=False)))
    assert [(one.id, one.text, one.meta) for one in found] == [("a", TEXT, {}), ("later", "not yet annotated", {})]


def test_one_annotation_file_is_read_with_its_text(tmp_path: Path) -> None:
    write_pair(tmp_path)
    [document] = read_documents(str(tmp_path / "a.ann"))
    assert (document.id, len(document.entities)) == ("a", 4)
    (tmp_path / "a.txt").unlink()
    [record] = read_records(str(tmp_path / "a.ann"))
    assert isinstance(record, BadLine)
    assert "a.ann: its text" in record.error.message


def test_the_same_lines_are_written_from_native_json(tmp_path: Path) -> None:
    [document] = read_documents(str(write_pair(tmp_path / "in")))
    back = jsonl.from_fields(loads(jsonl.write(document)))
    saved(tmp_path / "out", back)
    assert (tmp_path / "out" / "a.ann").read_text(encoding="utf-8") == ANN
    assert (tmp_path / "out" / "a.txt").read_bytes() == TEXT.encode()
    assert not any(FORMATS["brat"].count_losses(back).values())
    configuration = (tmp_path / "out" / "annotation.conf").read_text()
    for line in (
        "Person",
        "Knows\tArg1:Person, Arg2:Person",
        "Buy\tAgent*:Person, Cause*:Meet",
        "Grade\tArg:<ANY>, Value:High",
    ):
        assert f"\n{line}\n" in configuration


def test_a_simple_file_needs_no_field_of_its_own(tmp_path: Path) -> None:
    [document] = read_documents(str(write_pair(tmp_path, ann="T1\tPerson 0 4\tAnna\n")))
    assert document.meta == {}


def test_what_refers_to_changed_annotations_is_lost_and_counted(tmp_path: Path) -> None:
    [document] = read_documents(str(write_pair(tmp_path / "in")))
    document.entities.remove(OTHER)  # of the equivalence
    document.entities = [Entity(one.start, one.end, "Town" if one == CITY else one.label) for one in document.entities]
    document.events = [MEET]
    lost = {what: count for what, count in FORMATS["brat"].count_losses(document).items() if count}
    assert lost == {brat.CARRIED_LOST: 1}
    [back] = read_documents(str(saved(tmp_path / "out", document)))
    assert set(back.events) == {MEET}
    lines = (tmp_path / "out" / "a.ann").read_text(encoding="utf-8")
    assert "\tPerson 0 4;12 14\tAnna Li\n" in lines
    assert "Equiv" not in lines
    assert "A1\tNegated E1\n" in lines
    assert "\tboth\n" in lines


@pytest.mark.parametrize(
    ("ann", "message"),
    [
        (
            "T1\tPerson 0 5\tAnna\n",
            "/a.ann:1: entity 'Person' covers characters 0-5, which are 'Anna ', but its text is",
        ),
        ("\nT1\tPerson 0 400\tAnna\n", "/a.ann:2: entity 'Person' covers characters 0-400, but the text has"),
        (
            "T1\tPerson 0 4;9 14\tAnna Li\n",
            "/a.ann:1: the characters 0 4;9 14 are 'Anna Bo Li', but the text is 'Anna Li'",
        ),
        ("T1\tPerson 4\tAnna\n", "/a.ann:1: not a text-bound annotation"),
        ("T1\tPerson 0 4\tAnna\nT1\tPerson 0 4\tAnna\n", "/a.ann:2: the id 'T1' occurs twice"),
        ("T1\tPerson 0 4\tAnna\nR1\tKnows Arg1:T1 Arg2:T9\n", "/a.ann:2: there is no annotation 'T9'"),
        ("T1\tPerson 0 4\tAnna\nR1\tKnows Arg1:T1\n", "/a.ann:2: expected a relation with two arguments"),
        ("E1\tMeet:T1\n", "/a.ann:1: there is no annotation 'T1'"),
        ("some text\n", "/a.ann:1: not a line of brat"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, ann: str, message: str) -> None:
    assert bad(tmp_path, ann).startswith(message)


def test_other_encodings_are_an_error(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "a.txt").write_bytes("安娜".encode("gbk"))
    [record] = read_records(str(tmp_path))
    assert isinstance(record, BadLine)
    assert "is not UTF-8" in record.error.message


def test_a_span_that_brat_splits_at_a_line_end_is_one(tmp_path: Path) -> None:
    text = "New\nHarbour\r\nis far"
    [document] = read_documents(str(write_pair(tmp_path / "in", text=text, ann="T1\tCity 0 3;4 11\tNew Harbour\n")))
    assert document.text == text
    assert document.entities == [Entity(0, 11, "City")]
    assert document.meta == {}  # it is written in the same way
    [back] = read_documents(str(saved(tmp_path / "out", Document(text, [Entity(4, 15, "x")], id="7"))))
    assert (back.text, back.entities) == (text, [Entity(4, 15, "x")])


def test_reversed_and_named_arguments_keep_their_direction(tmp_path: Path) -> None:
    spans = "T1\tPerson 0 4\tAnna\nT2\tPerson 9 14\tBo Li\n"
    lines = "R1\tKnows Arg2:T1 Arg1:T2\nR2\tLikes Agent:T1 Theme:T2\n"
    [document] = read_documents(str(write_pair(tmp_path / "in", ann=spans + lines)))
    assert set(document.relations) == {Relation(BO, "Knows", ANNA), Relation(ANNA, "Likes", BO)}
    saved(tmp_path / "out", document)
    assert (tmp_path / "out" / "a.ann").read_text() == spans + lines


@settings(max_examples=60)
@given(document=documents(), happened=st.data())
def test_what_is_written_is_read(document: Document, happened: st.DataObject) -> None:
    if document.text:
        document.events = happened.draw(st.lists(events(document.text), max_size=2))
    lost = FORMATS["brat"].count_losses(document)
    if any(count for what, count in lost.items()):
        return
    lines = write(document, None).lines
    found = parse(enumerate(lines, 1), document.text, "x")
    ends = {end for one in document.relations for end in (one.subject, one.object)}
    ends |= {argument.entity for event in document.events for argument in event.arguments}
    triggers = {(*event.trigger, event.type) for event in document.events if event.trigger is not None}
    implied = {one for one in ends if (one.start, one.end, one.label) not in triggers}
    assert set(found.entities) == set(document.entities) | implied
    assert set(found.relations.values()) == set(document.relations)
    assert set(found.events.values()) == set(document.events)


ALONE = "T1\tPerson 0 4\tAnna\n"
DECLARED = "[entities]\nPerson\n[relations]\n# who\n---\n!Social\n\tKnows\tArg1:Person, Arg2:Person\n"


@pytest.mark.parametrize(
    ("configuration", "declared"),
    [
        (DECLARED, True),
        (DECLARED.replace("\n", "\r\n"), True),
        ("\ufeff[relations]\nKnows\tArg1:Person, Arg2:Person\n", True),
        (DECLARED.replace("[relations]", "[events]"), False),
        ("[relations]\n\n# Knows\n<P>=Person\n<OVERLAP>\tArg1:<ENTITY>, Arg2:<ENTITY>, <OVL-TYPE>:<ANY>\n", False),
        ("[relations]\nEquiv\tArg1:Person, Arg2:Person, <REL-TYPE>:symmetric-transitive\n[events]\nMeet\n", False),
        ("", False),
    ],
)
def test_a_text_without_a_relation_has_none_if_the_configuration_declares_relations(
    configuration: str, declared: bool, tmp_path: Path
) -> None:
    write_pair(tmp_path, ann=ALONE)
    (tmp_path / "annotation.conf").write_bytes(configuration.encode())
    for path in (tmp_path, tmp_path / "a.ann"):
        [document] = read_documents(str(path))
        assert document.to_dict().get("relations") == ([] if declared else None)


def test_the_nearest_configuration_counts(tmp_path: Path) -> None:
    for name in ("train/x", "dev", "notes/x"):
        write_pair(tmp_path / "corpus" / name, ann=ALONE)
    (tmp_path / "corpus" / "annotation.conf").write_text(DECLARED)
    (tmp_path / "corpus" / "notes" / "annotation.conf").write_bytes("[entities]\nGerät\n".encode("latin-1"))
    found = {document.id: document.related for document in read_documents(str(tmp_path / "corpus"), format="brat")}
    assert found == {"dev/a": True, "notes/x/a": False, "train/x/a": True}
    assert [document.related for document in read_documents(str(tmp_path / "corpus" / "train" / "x"))] == [True]


def test_texts_without_relations_come_back_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    knows = Relation(ANNA, "Knows", BO)
    for name, relations in (("related", [knows]), ("alone", [])):
        some = [Document(TEXT, [ANNA, BO], relations, "a", related=bool(relations))]
        some.append(Document("Anna", [ANNA], id="b", related=bool(relations)))
        Path(f"{name}.jsonl").write_text("".join(map(jsonl.write, some)))
        assert ie("convert", f"{name}.jsonl", name, "--to", "brat").exit_code == 0
        assert ie("convert", name, f"{name}-back.jsonl").exit_code == 0
        assert Path(f"{name}-back.jsonl").read_text() == Path(f"{name}.jsonl").read_text()


def test_names_of_files_come_from_ids(tmp_path: Path) -> None:
    losses = list[int]()
    with brat.save(str(tmp_path / "out")) as store:
        for id in ("x/y", "../up", None, 7, "7"):
            losses.append(store(Document("a", id=id))[brat.IDS_CHANGED])
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.txt"))
    assert names == ["000003.txt", "7-2.txt", "7.txt", "_../up.txt", "x/y.txt"]
    assert losses == [0, 1, 0, 1, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize(("id", "text"), [("长" * 120, "Ann"), ("x", "A\ud800n")])
def test_long_ids_and_lone_surrogates_give_files_that_can_be_read(id: str, text: str, tmp_path: Path) -> None:
    with brat.save(str(tmp_path / "out")) as store:
        store(Document(text, [Entity(0, 3, "Person")], id=id))
    [found] = read_documents(str(tmp_path / "out"))
    assert (found.text, found.entities) == (text.replace("\ud800", "\ufffd"), [Entity(0, 3, "Person")])


def test_the_text_of_an_annotation_file_is_an_input_too(tmp_path: Path) -> None:
    write_pair(tmp_path)
    (tmp_path / "annotation.conf").write_text("[relations]\nKnows\n")
    conf = "annotation.conf"
    for name, output in (("a.ann", "a.txt"), ("", "a.txt"), ("", "a.ann"), ("", conf), ("a.ann", conf)):
        result = ie("convert", str(tmp_path / name), str(tmp_path / output), "--from", "brat", "--to", "conll")
        assert (result.exit_code, "this file is also the input" in said(result)) == (1, True), said(result)
    assert (tmp_path / "a.txt").read_bytes() == TEXT.encode()


def test_a_directory_with_contents_is_not_replaced(tmp_path: Path) -> None:
    write_pair(tmp_path / "in")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    for target, message in (
        ("full", "is not empty"),
        ("in", "is not empty"),
        ("in/a.ann", "is a file"),
        ("in/new", "is in the input"),
    ):
        result = ie("convert", str(tmp_path / "in"), str(tmp_path / target), "--to", "brat")
        assert (result.exit_code, message in said(result)) == (1, True), said(result)
    result = ie("convert", str(tmp_path / "in"), "-", "--to", "brat")
    assert "the format brat is no stream of text" in said(result)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]


def test_commands_take_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        write_pair(tmp_path / "gold", name)
    result = ie("convert", "gold", "gold.jsonl")
    assert result.exit_code == 0
    assert "3 records, brat to jsonl" in said(result)
    assert ie("convert", "gold.jsonl", "back", "--to", "brat").exit_code == 0
    assert Path("back/b.ann").read_text(encoding="utf-8") == ANN
    scored = ie("eval", "--predictions", "back", "gold")
    assert scored.exit_code == 0, said(scored)
    assert "errors: 0 wrong predicate, 0 wrong type, 0 wrong boundary, 0 missed, 0 invented" in said(scored)
    assert ie("init", "gold", "--encoder", "tiny", "-o", "recipe.yaml").exit_code == 0
    assert "format: brat" in Path("recipe.yaml").read_text()
    checked = ie("check", "recipe.yaml", "--no-time")
    assert "train: 3 examples (0 without a relation), 12 entities: Person 9, City 3; 3 relations: Knows 3" in said(
        checked
    )


def test_a_directory_is_training_data_and_its_fingerprint_is_that_of_its_files(tmp_path: Path) -> None:
    data = str(write_pair(tmp_path / "train"))
    write_pair(tmp_path / "dev")
    assert find_siblings(data) == {"dev": str(tmp_path / "dev")}
    section = DataSection(train=data, dev=str(tmp_path / "dev"))
    read = read_task_data(section)
    assert (len(read.documents), read.dev_documents and len(read.dev_documents)) == (1, 1)
    before = Split((data,), section)
    assert before.fingerprint is not None
    assert before.fingerprint == Split((data,), section).fingerprint
    stamp = before.stamp()
    write_pair(tmp_path / "train", ann=ANN.replace("Kin", "Son"))
    assert Split((data,), section).fingerprint != before.fingerprint
    write_pair(tmp_path / "train", "b")
    assert before.stamp() != stamp
    (tmp_path / "lines").mkdir()
    with pytest.raises(DataError, match="is a directory"):
        Split((str(tmp_path / "lines"),), section).require_rereadable()


def test_predictions_are_written_as_a_directory(tmp_path: Path) -> None:
    write_pair(tmp_path / "in")
    model = str(write_model(tmp_path / "model"))
    arguments = (
        "predict",
        str(tmp_path / "in"),
        "--model",
        model,
        "-o",
        str(tmp_path / "out"),
        "--to",
        "brat",
        "--quiet",
    )
    result = ie(*arguments)
    assert result.exit_code == 0, said(result)
    assert (tmp_path / "out" / "a.txt").read_bytes() == TEXT.encode()
    assert "Person" not in (tmp_path / "out" / "a.ann").read_text()  # of the gold annotation
    result = ie(*arguments[:-4], str(tmp_path / "new"), "--to", "brat", "--resume")
    assert "--resume is not possible with the output format brat" in said(result)


def test_gold_lines_are_no_part_of_a_text_to_predict(tmp_path: Path) -> None:
    [document] = read_documents(str(write_pair(tmp_path / "in")))
    (tmp_path / "x.jsonl").write_text(jsonl.write(document))
    [back] = read_documents(str(tmp_path / "x.jsonl"), reading=Reading(annotation=False))
    assert (back.id, back.meta) == ("a", {})


def test_a_directory_of_other_files_stays_a_list_of_files(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "x.txt").write_text("b\n")
    result = ie("convert", str(tmp_path), "-", "--from", "brat")
    assert "this directory contains no .ann file" in said(result)
    write_pair(tmp_path)
    result = ie("convert", str(tmp_path), "-", "--from", "text")
    assert result.exit_code == 0
    assert [loads(line)["text"] for line in result.stdout.splitlines()] == [*TEXT.split("\n"), "b"]


def test_a_stray_annotation_file_does_not_replace_the_data_beside_it(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": "Ann", "entities": []}\n')
    (tmp_path / "notes.ann").write_text("not of brat\n")
    assert container_of(str(tmp_path)) is None
    (tmp_path / "notes.txt").write_text("a text")
    assert container_of(str(tmp_path)) == "brat"
    (tmp_path / "data.jsonl").unlink()
    (tmp_path / "notes.txt").unlink()
    assert container_of(str(tmp_path)) == "brat"  # the missing text is reported


def test_a_directory_with_annotated_subdirectories_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pair(Path("corpus/news/old"))
    write_pair(Path("corpus/web"), "b")
    Path("corpus/LICENSE.md").write_text("free")
    Path("corpus/web/todo.txt").write_text("not yet annotated")
    result = ie("convert", "corpus", "x.jsonl")
    assert result.exit_code == 0, said(result)
    assert [loads(line)["id"] for line in Path("x.jsonl").read_text().splitlines()] == ["news/old/a", "web/b"]
    for other in ("test", "web/dev"):
        Path("corpus", other).mkdir()
        assert container_of("corpus") is None  # splits are separate data
        Path("corpus", other).rmdir()
    for suffix in suffixes_of(written=False):
        for directory in ("corpus", "corpus/news"):
            file = Path(directory, f"data{suffix}")
            file.write_text("")
            is_text = suffix in FORMATS["text"].suffixes
            assert container_of("corpus") == ("brat" if is_text and directory != "corpus" else None), file
            file.unlink()
    assert container_of("corpus") == "brat"
    Path("corpus/news/old/a.txt").unlink()
    Path("corpus/web/b.txt").unlink()
    assert container_of("corpus") is None  # files of something else


def test_splits_may_have_annotated_subdirectories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train/a", "train/b", "dev/a"):
        write_pair(Path("corpus", name))
    assert ie("init", "corpus", "--encoder", "hash_cnn", "-o", "r.yaml").exit_code == 0
    recipe = Path("r.yaml").read_text()
    assert "train: corpus/train\n" in recipe
    assert "dev: corpus/dev\n" in recipe
    assert ie("convert", "corpus", "x.jsonl").exit_code == 0
    assert len(Path("x.jsonl").read_text().splitlines()) == 3


def test_names_of_many_documents_with_equal_ids_are_found_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def counting(first: int) -> Iterator[int]:
        nonlocal steps
        for number in count(first):
            steps += 1
            yield number

    monkeypatch.setattr(brat, "count", counting)
    with brat.save(str(tmp_path / "out")) as store:
        for name in ["a", "A-2", *["a"] * 60]:
            store(Document("x", id=name))
    assert len(list((tmp_path / "out").glob("*.ann"))) == 62
    assert steps < 4 * 62
