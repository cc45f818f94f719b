"""`ie import-predictions`: joined with texts by id or in order, nothing dropped silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.corpora import as_json
from support.runner import ie, said

from ie_cli.formats import read_documents

TEXTS = ["Ann lives in Rome.", "Bob met Ann.", "It rained."]
ANSWERS: list[Any] = [{"person": ["Ann"], "city": ["Rome"]}, {"person": ["Bob", "Ann", "Carl"]}, {"person": []}]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    write("texts.jsonl", [{"id": number, "text": text, "source": "x"} for number, text in enumerate(TEXTS)])


def write(name: str, values: list[Any]) -> str:
    Path(name).write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return name


def mentions(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entity["text"], entity["label"]) for entity in record["entities"]]


PLAIN = ("--texts", "texts.txt", "--from", "text")
EXPECTED = [[("Ann", "person"), ("Rome", "city")], [("Bob", "person"), ("Ann", "person")], []]


def test_answers_in_the_order_of_the_texts() -> None:
    result = ie("import-predictions", write("a.jsonl", ANSWERS), *PLAIN)
    assert result.exit_code == 0, result.stderr
    found: list[Any] = as_json(result.stdout)
    assert [record["text"] for record in found] == TEXTS
    assert list(map(mentions, found)) == EXPECTED
    assert "4 entities and 0 relations placed in 3 records" in said(result)
    assert "mentions and triples that are not in their text: 1; a.jsonl:2: 'Carl' (person)" in said(result)


def test_answers_of_a_batch_by_their_ids() -> None:
    lines = [
        {
            "custom_id": str(number),
            "response": {"body": {"choices": [{"message": {"content": f"```{json.dumps(a)}```"}}]}},
        }
        for number, a in reversed(list(enumerate(ANSWERS[:2])))
    ]
    lines.append({"custom_id": "7", "response": "{}"})
    write("a.jsonl", lines)
    arguments = "import-predictions", "a.jsonl", "--texts", "texts.jsonl"
    assert "a.jsonl:3: the answer has the id '7', which no text has" in said(ie(*arguments))
    result = ie(*arguments, "--rejects", "rejects.jsonl", "-o", "out.jsonl")
    assert result.exit_code == 0, result.stderr
    found: list[Any] = as_json(Path("out.jsonl").read_text(encoding="utf-8"))
    assert [(record["id"], record["source"]) for record in found] == [(1, "x"), (0, "x")]
    assert list(map(mentions, found)) == [EXPECTED[1], EXPECTED[0]]
    assert "texts without an answer, which are not written: 1" in said(result)
    rejected: list[Any] = as_json(Path("rejects.jsonl").read_text(encoding="utf-8"))
    assert [row["where"] for row in rejected] == ["a.jsonl:1", "a.jsonl:3"]
    assert json.loads(rejected[0]["line"])["item"]["text"] == "Carl"


def test_answers_with_their_texts_in_another_format() -> None:
    records = [
        {"id": "q", "text": TEXTS[0], "relations": [["Ann", "lives in", "Rome"]], "model": "m"},
        {"text": TEXTS[1], "entities": [{"text": "BOB", "label": "person", "start": 5, "end": 8, "score": 0.5}, 7]},
    ]
    result = ie("import-predictions", write("a.jsonl", records), "--to", "triples")
    assert [record["triple_list"] for record in json.loads(result.stdout)] == [[["Ann", "lives in", "Rome"]], []]
    for part in (
        "1 mention found by ignoring case",
        "looked up instead: 1",
        "items without a text or a name: 1; a.jsonl:2: 7",
    ):
        assert part in said(result)
    native: list[Any] = as_json(ie("import-predictions", "a.jsonl").stdout)
    assert (native[0]["id"], native[0]["model"]) == ("q", "m")
    assert native[1]["entities"] == [{"start": 0, "end": 3, "label": "person", "text": "Bob", "score": 0.5}]


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        (ANSWERS[:2], PLAIN, "2 answers, but 3 texts"),
        ([*ANSWERS, {}], PLAIN, "more answers than the 3 texts"),
        (
            [{"text": "Cy ran.", "entities": []}, *ANSWERS[1:]],
            PLAIN,
            "its text is 'Cy ran.', but that of",
        ),
        (ANSWERS, (), "a.jsonl:1: the answer has no text"),
        ([{"text": "Ann", "note": "x"}], (), "a.jsonl:1: no field with entities or relations"),
        (["Sorry.", *ANSWERS[1:]], PLAIN, "a.jsonl:1: no JSON in the answer"),
        ([], PLAIN, "no answers"),
        (ANSWERS, ("--from", "text"), "--from is the format of --texts"),
        (ANSWERS, ("--column", "text=body"), "--column is an option of --texts"),
        (ANSWERS, ("--texts", "none.txt"), "none.txt"),
        (ANSWERS, (*PLAIN, "-o", "a.jsonl"), "a.jsonl: this file is also the input"),
    ],
)
def test_what_does_not_fit_is_an_error(lines: list[Any], options: tuple[str, ...], message: str) -> None:
    result = ie("import-predictions", write("a.jsonl", lines), *options)
    assert result.exit_code != 0
    assert message in said(result).replace("│ ", "")


def test_a_line_that_is_no_json_is_a_bad_line() -> None:
    Path("a.jsonl").write_text('{"person": [\n[]\n{"person": []}\n', encoding="utf-8")
    result = ie("import-predictions", "a.jsonl", *PLAIN, "--on-error", "skip")
    assert (result.exit_code, len(as_json(result.stdout))) == (0, 2)
    assert "1 bad line skipped; the first: a.jsonl:1: invalid JSON" in said(result)


def test_an_id_that_two_texts_have_is_an_error() -> None:
    write("texts.jsonl", [{"id": 1, "text": "Ann"}, {"id": "1", "text": "Bob"}])
    result = ie("import-predictions", write("a.jsonl", [{"id": 1, "answer": "{}"}]), "--texts", "texts.jsonl")
    assert "texts.jsonl:2: the text has the id '1', as an earlier one" in said(result)


@pytest.mark.parametrize(("form", "output"), [("brat", "out"), ("parquet", "out.parquet")])
def test_the_output_may_be_a_directory_or_a_binary_file(form: str, output: str) -> None:
    result = ie("import-predictions", write("a.jsonl", ANSWERS), *PLAIN, "--to", form, "-o", output)
    assert result.exit_code == 0, result.stderr
    found = [[(one.text, one.label) for one in document.entities] for document in read_documents(output)]
    assert found == EXPECTED


def test_texts_in_a_table_with_other_names_of_columns() -> None:
    Path("texts.csv").write_text(
        "body,key\n" + "".join(f"{text},{n}\n" for n, text in enumerate(TEXTS)), encoding="utf-8"
    )
    answers = [{"id": n, "entities": answer} for n, answer in reversed(list(enumerate(ANSWERS)))]
    options = "--texts", "texts.csv", "--column", "text=body", "--column", "id=key"
    result = ie("import-predictions", write("a.jsonl", answers), *options)
    assert result.exit_code == 0, result.stderr
    assert list(map(mentions, as_json(result.stdout))) == EXPECTED[::-1]


def test_the_first_answer_that_can_be_read_shows_whether_answers_have_ids() -> None:
    answers = [{"id": n, "entities": answer} for n, answer in reversed(list(enumerate(ANSWERS[:2])))]
    write("a.jsonl", answers)
    Path("a.jsonl").write_text("{\n" + Path("a.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    result = ie("import-predictions", "a.jsonl", "--texts", "texts.jsonl", "--on-error", "skip")
    assert (result.exit_code, list(map(mentions, as_json(result.stdout)))) == (0, EXPECTED[1::-1])


def test_answers_in_order_may_not_have_the_ids_of_other_texts() -> None:
    answers: list[Any] = [{"entities": ANSWERS[0]}, {"id": 2, "entities": {"person": ["Ann"]}}, ANSWERS[2]]
    result = ie("import-predictions", write("a.jsonl", answers), "--texts", "texts.jsonl")
    assert result.exit_code == 1
    assert "a.jsonl:2: its id is 2, but that of texts.jsonl:2 is 1" in said(result)


@pytest.mark.parametrize("arguments", [(), ("--texts", "texts.jsonl")])
def test_a_file_without_an_answer_is_an_error(arguments: tuple[str, ...]) -> None:
    Path("a.jsonl").write_text("\n", encoding="utf-8")
    result = ie("import-predictions", "a.jsonl", "-o", "out.jsonl", *arguments)
    assert result.exit_code == 1
    assert "a.jsonl: no answers" in said(result)
    assert not Path("out.jsonl").exists()


def test_several_answers_with_the_same_id_are_counted() -> None:
    write("a.jsonl", [{"id": number, "entities": {"person": ["Ann"]}} for number in (0, 1, 1)])
    result = ie("import-predictions", "a.jsonl", "--texts", "texts.jsonl", "-o", "out.jsonl")
    assert result.exit_code == 0, result.stderr
    assert "answers with the id of an earlier one, so that their texts are written again: 1" in said(result)
    assert len(Path("out.jsonl").read_text(encoding="utf-8").splitlines()) == 3
