"""Bad and unusual data: every command reports where, what was got and what to do, or does the right thing."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support.corpora import documents, write_jsonl
from support.runner import ie, said
from support.untrained import write_model

from ie_cli.data.statistics import DatasetStatistics
from ie_cli.document import Document
from ie_cli.modeling.encoder import tiny_encoder
from ie_cli.training import setup as prepare

RECIPE = """name: a
task: {task}
data: {{train: {train}, dev: null{more}}}
encoder: {{name: tiny, max_length: 64, stride: 16}}
training: {{epochs: 1, device: cpu{training}}}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate current directory with the model in `model`."""
    (tmp_path / "model").symlink_to(model)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_recipe(train_file: str, *, task: str = "ner", more: str = "", training: str = "") -> None:
    text = RECIPE.format(task=task, train=json.dumps(train_file), more=more, training=training)
    Path("recipe.yaml").write_text(text, encoding="utf-8")


def run(command: str, file: str, *, format: str = "") -> Result:
    """A command on a file; `check` and `train` by a recipe."""
    said_format = ["--from", format] if format else []
    if command in ("check", "train"):
        task = "relation" if format in ("duie", "triples") else "ner"
        write_recipe(file, task=task, more=f", format: {format}" if format else "")
        return ie(command, "recipe.yaml", *(["--output", "out"] if command == "train" else []))
    if command == "eval":
        return ie("eval", "model", file, *said_format)
    if command == "predict":
        return ie("predict", file, "--model", "model", *said_format)
    if command == "convert":
        return ie("convert", file, "out.jsonl", *(["--from", format] if format else []))
    return ie("init", file, "--encoder", "tiny", *said_format)


EVERY = ("check", "train", "eval", "convert", "init", "predict")
"""The commands that read data."""
GOLD = EVERY[:-1]
"""Those that read annotation: `predict` reads texts alone."""
GOOD = '{"text": "王伟在", "entities": [{"start": 0, "end": 2, "label": "person"}]}\n'


def entity(start: str, end: str, label: str = '"person"') -> str:
    return GOOD + f'{{"text": "王伟在", "entities": [{{"start": {start}, "end": {end}, "label": {label}}}]}}\n'


OFFSETS = "hint: count characters from 0, the end exclusive"


@dataclass(frozen=True)
class Bad:
    """A file that cannot be read: its content, the words for location and problem, and those for the remedy."""

    content: str | bytes
    words: str
    hint: str
    commands: tuple[str, ...] = EVERY
    name: str = "data.jsonl"
    format: str = ""


BAD = {
    "truncated": Bad(GOOD * 2 + GOOD[:40], "data.jsonl:3: not valid JSON: ", "one JSON object per line"),
    "truncated-string": Bad(GOOD + '{"text": "王', "data.jsonl:2: not valid JSON: Unterminated string", "one JSON object"),
    "no-json": Bad(GOOD + "nonsense\n", "data.jsonl:2: not valid JSON: Expecting value (column 1)", "one JSON object"),
    "nul": Bad(GOOD + "\0\0\0\n", "data.jsonl:2: not valid JSON: ", "NUL characters"),
    "empty": Bad("", "data.jsonl: the file is empty", "at least one record"),
    "blank": Bad("\n \n\r\n", "data.jsonl: the file is empty", "at least one record"),
    "binary": Bad(bytes(range(256)), "data.jsonl:2: byte 118 of the line (0x80) is not UTF-8", "iconv"),
    "utf-16": Bad(GOOD.encode("utf-16"), "data.jsonl:1: byte 1 of the line (0xff)", "iconv -f UTF-16 -t UTF-8 IN > OUT"),
    "gzip": Bad(gzip.compress(GOOD.encode()), "data.jsonl:1: ", "a gzip file"),
    "zip": Bad(b"PK\x03\x04\xff\0", "data.jsonl:1: ", "a zip file"),
    "zip with a readable first line": Bad(b"PK\x03\x04\n\xff", "data.jsonl:2: ", "a zip file"),
    "no-utf-8": Bad(b"\0\x80" + GOOD.encode(), "data.jsonl:1: byte 2 ", "it looks like a binary file"),
    "deep": Bad(
        GOOD + '{"text": "a", "x": ' + "[" * 100_000 + "]" * 100_000 + "}\n",
        "data.jsonl:2: not valid JSON: its brackets are nested too deeply",
        "one JSON object per line",
    ),
    "digits": Bad(entity("0", "9" * 5000), "data.jsonl:2: not valid JSON: a number has too many digits", "JSON object"),
    "array": Bad("[1, 2]\n", "data.jsonl:1: expected a JSON object, got an array", "or one array of objects"),
    "text-number": Bad('{"text": 3}\n', "data.jsonl:1: 'text' must be a string, got 3", 'write each line as {"text": '),
    "no-text": Bad('{"txt": "a"}\n', "data.jsonl:1: no field 'text' (found: txt)", """jq -c '.text = .["txt"]'"""),
    "id": Bad('{"text": "a", "id": [1]}\n', "data.jsonl:1: 'id' must be a string or an integer", 'write each line as {"text": '),
    "huge": Bad(
        entity("0", "1" + "0" * 40),
        "data.jsonl:2: entity 'person' covers characters 0-a number of 133 bits", OFFSETS, GOLD,
    ),
    "beyond": Bad(entity("0", "9"), "data.jsonl:2: entity 'person' covers characters 0-9, but the text has 3", OFFSETS, GOLD),
    "negative": Bad(entity("-1", "2"), "data.jsonl:2: entity 'person' covers characters -1-2", OFFSETS, GOLD),
    "turned": Bad(entity("2", "1"), "data.jsonl:2: entity 'person' covers characters 2-1: it ends before", OFFSETS, GOLD),
    "nothing": Bad(entity("1", "1"), "data.jsonl:2: entity 'person' covers characters 1-1: it is empty", OFFSETS, GOLD),
    "nan": Bad(entity("NaN", "2"), "data.jsonl:2: entity 'person': start must be an integer, got nan", OFFSETS, GOLD),
    "infinite": Bad(entity("0", "1e999"), "data.jsonl:2: entity 'person': end must be an integer, got inf", OFFSETS, GOLD),
    "float": Bad(entity("0", "2.0"), "data.jsonl:2: entity 'person': end must be an integer, got 2.0", OFFSETS, GOLD),
    "null-offset": Bad(
        entity("null", "2"),
        "data.jsonl:2: entity 'person': start must be an integer, got None", OFFSETS, GOLD,
    ),
    "label": Bad(
        entity("0", "2", "7"),
        "data.jsonl:2: an entity's label must be a non-empty string, got 7", 'write each line as {"text"', GOLD,
    ),
    "half-a-label": Bad(
        entity("0", "2", r'"p\ud83d"'),
        "data.jsonl:2: the label 'p\\ud83d' contains a lone surrogate", "one of them is missing", GOLD,
    ),
    "score": Bad(
        '{"text": "ab", "entities": [{"start": 0, "end": 1, "label": "x", "score": ' + "9" * 400 + "}]}\n",
        "data.jsonl:1: a score must be a finite number, got 999", 'write each line as {"text"', GOLD,
    ),
    "entities": Bad('{"text": "ab", "entities": "x"}\n', "data.jsonl:1: 'entities' must be a list", 'line as {"text"', GOLD),
    "directory": Bad("", "data: is a directory", "name a file in it", ("check", "train", "eval"), name="data"),
    "directory-without-data": Bad(
        "", "data: this directory contains no file", "name the files", ("convert", "predict", "init"), "data"
    ),
    "missing": Bad("", "data.jsnl: no such file; did you mean 'data.jsonl'?", "check the path", name="data.jsnl"),
    "cluener": Bad(
        '{"text": "王伟", "label": {"x": {"王伟": [[0, 2]]}}}',
        "data.json:1: entity 'x' covers characters 0-3", "inclusive", GOLD, "data.json",
    ),
    "cluener-shape": Bad(
        '{"text": "王伟", "label": {"x": 3}}',
        "data.json:1: 'label' must map labels to objects", 'write each line as {"text"', GOLD, "data.json",
    ),
    "conll": Bad(
        "王\tB-x\n伟\tI-x\n\n在\tO\n青\n\n",
        "data.conll:5: expected at least 2 columns, got 1: '青'", "data.text_column", EVERY[:-1], "data.conll", "conll",
    ),
    "conll-tag": Bad(
        "王\tB-x\n" * 79 + "伟\tQ-x\n",
        "data.conll:80: expected a tag such as O or B-PER, got 'Q-x'", "data.text_column", GOLD, "data.conll",
    ),
    "multihead": Bad(
        "#doc 1\n0\t王伟\tB-x\t['p']\t[7]\n",
        "data.txt:2: relation 'p': no entity ends at token 7", "by its last token", GOLD, "data.txt",
    ),
    "duie": Bad(
        '{"text": "王伟", "spo_list": [{"subject": "王伟"}]}',
        "data.json:1: a triple lacks predicate, object", 'write each line as {"text": "…", "spo_list"', GOLD, "data.json", "duie",
    ),
    "duie-predicate": Bad(
        r'{"text": "王伟", "spo_list": [{"subject": "王", "predicate": "\ud83d", "object": "伟"}]}',
        r"data.json:1: the predicate '\ud83d' contains a lone surrogate", "one of them is missing", GOLD, "data.json", "duie",
    ),
    "duie-type": Bad(
        r'{"text": "王伟", "spo_list": [{"subject": "王", "predicate": "p", "object": "伟", "object_type": "\ud83d"}]}',
        r"data.json:1: the type '\ud83d' contains a lone surrogate", "one of them is missing", GOLD, "data.json", "duie",
    ),
    "triples": Bad(
        '[{"text": "王伟",\n "triple_list": [["王", "p"]]}]',
        "data.json:1: a triple must be [subject, predicate, object], got ", "write each record as", GOLD, "data.json", "triples",
    ),
    "conll04": Bad(
        '{"tokens": ["王"], "entities": [{"type": "x", "start": 0, "end": 2}]}',
        "data.json:1: an entity must satisfy 0 <= start < end <= 1,", "count tokens from 0", GOLD, "data.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_reported_by_every_command(here: Path, name: str) -> None:
    bad = BAD[name]
    if name.startswith("directory"):
        (here / "data").mkdir()
    else:
        content = bad.content.encode() if isinstance(bad.content, str) else bad.content
        (here / ("data.jsonl" if name == "missing" else bad.name)).write_bytes(content)
    for command in bad.commands:
        result = run(command, bad.name, format=bad.format)
        assert result.exit_code == 1, (command, result.output)
        assert bad.words in said(result), (command, result.stderr)
        own = command in ("eval", "convert", "init")  # which have no recipe
        hint = bad.hint.replace("data.text_column", "--text-column") if own else bad.hint
        assert hint in said(result), (command, result.stderr)
        assert not (here / "out").exists()
        assert not (here / "out.jsonl").exists()


def native(text: str, *spans: tuple[int, int], label: str = "person", **more: Any) -> str:
    entities = [{"start": start, "end": end, "label": label, "text": text[start:end]} for start, end in spans]
    return json.dumps({"text": text, "entities": entities, **more}, ensure_ascii=False) + "\n"


ODD = {
    "byte-order mark": b"\xef\xbb\xbf" + native("王伟在", (0, 2)).encode(),
    "two marks": b"\xef\xbb\xbf\xef\xbb\xbf" + native("王伟在", (0, 2)).encode(),
    "a mark inside": (native("李娜", (0, 2)) + "\ufeff" + native("王伟在", (0, 2))).encode(),
    "mark in the text": native("\ufeff王伟", (1, 3)).encode(),
    "windows line ends": native("王伟在", (0, 2)).replace("\n", "\r\n").encode() * 2,
    "line ends in the text": native("王\r\n伟\n在", (0, 4)).encode(),
    "separators in the text": native("王\u2028伟\x85在\x0b\x1c", (0, 3), (2, 5)).encode(),
    "nul in the text": native("王\0伟", (0, 3)).encode(),
    "half a surrogate pair": b'{"text": "a\\ud83d\\u738b", "entities": [{"start": 1, "end": 3, "label": "x"}]}\n',
    "combining marks": native("e\u0301le\u0300ve 王\u0301伟", (0, 7), (8, 11)).encode(),
    "joined emoji": native("👩\u200d🔬王伟👨\u200d👩\u200d👧", (0, 3), (3, 5), (5, 10)).encode(),
    "right to left": native("قال محمد \u202eabc\u202c שלום", (4, 8), (15, 19)).encode(),
    "signs in the label": native("王伟在", (0, 2), label="per/son: [a].x #1 \\ \u202e").encode(),
    "ten megabytes in a line": native("王伟在", (0, 2), note="x" * 10_000_000).encode(),
    "no line end": native("王伟在", (0, 2)).rstrip("\n").encode(),
    "fields of others": native("王伟在", (0, 2), id=10**30, x=[{"y": None}], error="e").encode(),
}


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of JSON lines; only line feeds end these."""
    return [json.loads(line.lstrip("\ufeff")) for line in text.split("\n") if line.strip()]


@pytest.mark.parametrize("name", ODD)
def test_odd_data_are_read_as_they_are(here: Path, name: str) -> None:
    (here / "data.jsonl").write_bytes(ODD[name])
    lines = objects(ODD[name].decode("utf-8-sig"))
    assert run("convert", "data.jsonl").exit_code == 0
    converted = objects((here / "out.jsonl").read_text(encoding="utf-8"))
    result = ie("predict", "data.jsonl", "--model", "model", "--threshold", "0.05")
    assert result.exit_code == 0, result.output
    predicted = objects(result.stdout)
    for given, out, guess in zip(lines, converted, predicted, strict=True):
        text: Any = given["text"]
        assert out["text"] == guess["text"] == text
        places = [(e["start"], e["end"], e["label"]) for e in given["entities"]]
        assert [(e["start"], e["end"], e["label"]) for e in out["entities"]] == sorted(places)
        for found in (*out["entities"], *guess["entities"]):
            assert text[found["start"] : found["end"]] == found["text"] != ""
        assert {key: value for key, value in given.items() if key != "entities"}.items() <= out.items()
    for command in ("check", "eval", "init") if len(ODD[name]) < 10**6 else ():
        assert run(command, "data.jsonl").exit_code == 0, command


def test_a_text_of_ten_megabytes_is_read(here: Path) -> None:
    text = "王伟在青川" * 700_000
    (here / "data.jsonl").write_text(native(text, (0, 2), (3_499_997, 3_499_999)), encoding="utf-8")
    assert run("convert", "data.jsonl").exit_code == 0
    assert json.loads((here / "out.jsonl").read_text(encoding="utf-8"))["entities"][1]["text"] == "在青"
    (here / "data.conll").write_text("x" * 10_000_000 + "\tQ\n", encoding="utf-8")
    result = ie("convert", "data.conll", "-", "--from", "conll", "--label-column", "1")
    assert "data.conll:1: expected a tag such as O or B-PER, got 'Q': 'xxx" in said(result)
    assert len(result.stderr) < 1000


def test_other_kinds_of_whitespace_are_tokens(here: Path) -> None:
    (here / "data.conll").write_text("王 B-x\n\u3000 O\n\xa0 O\n伟 B-x\n", encoding="utf-8")
    [out] = objects(ie("convert", "data.conll", "-").stdout)
    assert out["text"] == "王\u3000\xa0伟"


def test_stdin_is_called_so(here: Path) -> None:
    for content, words in [
        (b"", "stdin: the file is empty"),
        (b"{\xff", "stdin:1: byte 2"),
        (b"x", "stdin: the format"),
    ]:
        assert words in said(ie("predict", "-", "--model", "model", stdin=content))


def test_data_that_vanish_once_they_are_read_are_not_missed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(here / "data.jsonl", documents())
    write_recipe("data.jsonl")

    def then_gone(*arguments: Any, **options: Any) -> Any:
        (here / "data.jsonl").unlink()
        return tiny_encoder(*arguments, **options)

    monkeypatch.setattr(prepare, "tiny_encoder", then_gone)
    result = ie("train", "recipe.yaml", "--output", "out", "--set", "data.dev=0.2", "--set", "training.epochs=1")
    assert result.exit_code == 0, result.stderr
    assert (here / "out" / "model").exists()


def test_data_that_change_while_they_are_read_are_reported(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_jsonl(here / "data.jsonl", documents())
    write_recipe("data.jsonl")
    add = DatasetStatistics.add

    def then_longer(self: DatasetStatistics, document: Document) -> None:
        with file.open("a", encoding="utf-8") as stream:
            stream.write("\n")
        add(self, document)

    monkeypatch.setattr(DatasetStatistics, "add", then_longer)
    result = ie("train", "recipe.yaml", "--output", "out")
    assert result.exit_code == 1
    assert "data.jsonl: the data changed while they were read" in said(result)


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(here: Path) -> None:
    write_jsonl(here / "data.jsonl", documents()).chmod(0)
    for command in EVERY:
        result = run(command, "data.jsonl")
        assert result.exit_code == 1
        assert "data.jsonl: Permission denied hint: check the permissions" in said(result)


def findings(*, task: str = "ner", more: str = "", training: str = "") -> tuple[int, str]:
    write_recipe("train.jsonl", task=task, more=more, training=training)
    result = ie("check", "recipe.yaml")
    return result.exit_code, said(result)


def test_labels_that_only_dev_and_test_have(here: Path) -> None:
    write_jsonl(here / "train.jsonl", documents())
    (here / "dev.jsonl").write_text(native("李娜在云州", (0, 2), label="never/seen"), encoding="utf-8")
    code, text = findings(more=", test: dev.jsonl")
    assert code == 0
    assert "warning: labels of test that train does not contain and no model can predict: never/seen" in text
    evaluated = said(ie("eval", "model", "dev.jsonl"))
    assert "recall ceiling 0.0000: 1 of 1 entities cannot be predicted (1 label unknown to the model)" in evaluated


@pytest.mark.parametrize("more", [", labels: [person, place, school]", ""])
def test_names_in_the_recipe_that_no_data_have(here: Path, more: str) -> None:
    write_jsonl(here / "train.jsonl", documents())
    code, text = findings(more=more, training=", label_weights: {persn: 2.0}")
    assert code == 1
    assert "label 'persn'; did you mean 'person'?" in text


def test_a_second_file_of_the_same_texts(here: Path) -> None:
    write_jsonl(here / "train.jsonl", documents())
    shutil.copy("train.jsonl", "copy.jsonl")
    for test in ("train.jsonl", "copy.jsonl"):
        code, text = findings(more=f", test: {test}")
        assert code == 1
        assert "train contains 20 of 20 texts of test: scores on test will be too high" in text


def test_ids_that_are_given_twice(here: Path) -> None:
    (here / "train.jsonl").write_text(native("王伟", (0, 2), id=7) + native("李娜", (0, 2), id=7) * 2, encoding="utf-8")
    code, text = findings()
    assert code == 0
    assert "train: 2 duplicate ids, the first at train.jsonl:2: 7; " in text
    write_jsonl(here / "train.jsonl", documents())
    assert "duplicate id" not in findings()[1]


def spo(text: str, subject: str, object_: str) -> str:
    triple = {"subject": subject, "predicate": "住地", "object": object_, "subject_type": "人", "object_type": "地"}
    return json.dumps({"text": text, "spo_list": [triple]}, ensure_ascii=False) + "\n"


def test_predicates_that_the_schema_file_does_not_have(here: Path) -> None:
    (here / "train.jsonl").write_text(spo("王伟住在青川", "王伟", "青川"), encoding="utf-8")
    line = '{"predicate": "生地", "subject_type": "人", "object_type": "地"}\n'
    words = "the training data contain predicates that data.schema_file lacks: 住地"
    for content, part in [
        (line, words),
        ("", "schema.json: the file contains no predicates"),
        (line + line[:-9], "schema.json:2: invalid line of a schema file: "),
        (line.replace("生地", r"\ud83d"), "schema.json:1: invalid line of a schema file: "),
        ("{" + "[" * 100_000, "schema.json:1: invalid line of a schema file: "),
    ]:
        (here / "schema.json").write_text(content, encoding="utf-8")
        code, text = findings(task="relation", more=", schema_file: schema.json")
        assert code == 1
        assert f"error: {part}" in text
        assert "hint: " in text.partition(part)[2].partition("error in the recipe")[0]
        trained = ie("train", "recipe.yaml", "--output", "out")
        assert trained.exit_code == 1
        assert part in said(trained)


def test_triples_that_occur_in_no_text(here: Path) -> None:
    (here / "train.jsonl").write_text(spo("王伟住在青川", "李娜", "云州") * 3, encoding="utf-8")
    code, text = findings(task="relation")
    assert code == 1
    assert "error: train: none of the 3 relations occurs in its text: there is nothing to train on" in text
    (here / "train.jsonl").write_text(
        spo("王伟住在青川", "李娜", "云州") + spo("王伟住在青川", "王伟", "青川"), encoding="utf-8"
    )
    code, text = findings(task="relation")
    assert "1 mention not in the text" in text
    assert "nothing to train on" not in text
