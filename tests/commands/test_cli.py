"""The commands as a user runs them: output, exit codes, messages."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.corpora import as_json, documents, recipe, write_jsonl
from support.untrained_export import write_export
from typer.testing import CliRunner, Result

from ie_cli.cli import app
from ie_cli.evaluation.result import read_result
from ie_cli.recipe.loader import dump_recipe
from ie_cli.reports.html import html_page
from ie_cli.system.cores import share_cores
from ie_cli.training.run import train

ROOT = Path(__file__).parent.parent.parent
QUICK = ["--set", "training.epochs=1", "--set", "training.device=cpu"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with data.jsonl and a trained model in runs/test/model."""
    directory = tmp_path_factory.mktemp("work")
    data = write_jsonl(directory / "data.jsonl", documents())
    list(train(recipe(data, training={"epochs": 30}), directory / "runs" / "test"))
    return directory


@pytest.fixture
def here(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the current directory."""
    shutil.copytree(work, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ie(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def test_help_is_quick_and_imports_no_torch() -> None:
    began = time.monotonic()
    run = subprocess.run([sys.executable, "-X", "importtime", "-m", "ie_cli", "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    assert "torch" not in run.stderr
    assert "predict" in run.stdout
    assert time.monotonic() - began < 5  # far above the promise: a loaded machine


def test_cores_are_shared_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    share_cores()
    assert "GOMP_SPINCOUNT" not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    share_cores()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.setenv("GOMP_SPINCOUNT", "")  # so that it is put back
    del os.environ["GOMP_SPINCOUNT"]
    share_cores()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"


def test_version() -> None:
    assert ie("--version").stdout.startswith("ie 0.")


def test_init_check_show_train_eval_predict(here: Path) -> None:
    proposed = ie("init", "data.jsonl", "--encoder", "tiny")
    assert proposed.exit_code == 0, proposed.output
    (here / "recipe.yaml").write_text(proposed.stdout, encoding="utf-8")
    checked = ie("check", "recipe.yaml")
    assert checked.exit_code == 0, checked.output
    assert "20 examples" in checked.stderr or "examples" in checked.stderr
    shown = ie("show", "recipe.yaml", "--set", "training.epochs=3")
    assert "epochs: 3" in shown.stdout
    trained = ie("train", "recipe.yaml", "--output", "out", *QUICK)
    assert trained.exit_code == 0, trained.output
    assert "model: out/model" in trained.stderr
    assert trained.stdout == ""
    evaluated = ie("eval", "out/model", "data.jsonl", "--json")
    assert json.loads(evaluated.stdout)["gold"] == 54
    predicted = ie("predict", "data.jsonl", "--model", "out/model")
    assert [line["id"] for line in as_json(predicted.stdout)] == list(range(20))


def test_predict_uses_the_newest_model_and_says_so(here: Path) -> None:
    result = ie("predict", "data.jsonl")
    assert "model: runs/test/model" in result.stderr
    first = as_json(result.stdout)[0]
    assert [e["text"] for e in first["entities"]] == ["王伟", "青川", "青川大学"]  # type: ignore[index,attr-defined]


def test_ie_model_names_the_model(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IE_MODEL", "nowhere")
    result = ie("predict", "data.jsonl")
    assert result.exit_code == 1
    assert "nowhere: no such directory" in result.stderr


def test_train_eval_and_predictions_agree_to_the_last_digit(here: Path) -> None:
    trained = json.loads((here / "runs/test/model/metrics.json").read_text())["dev"]
    options = ("--precision", "float32", "--device", "cpu")
    evaluated = json.loads(ie("eval", "runs/test/model", "data.jsonl", "--json", *options).stdout)
    (here / "p.jsonl").write_text(
        ie("predict", "-", "-m", "runs/test/model", *options, stdin=(here / "data.jsonl").read_text()).stdout
    )
    scored = json.loads(ie("eval", "--predictions", "p.jsonl", "data.jsonl", "--json").stdout)
    for key in ("precision", "recall", "f1", "macro_f1", "labels", "boundaries"):
        assert trained[key] == evaluated[key] == scored[key]


def test_fields_of_the_input_come_out_again_in_order(here: Path) -> None:
    lines = [
        {"text": "王伟", "source": {"a": [1]}},
        {"text": "", "id": "x"},
        {"id": 3, "text": "李娜在云州市", "n": None},
    ]
    result = ie("predict", "-", "--quiet", stdin="".join(json.dumps(line) + "\n" for line in lines))
    for line, out in zip(lines, as_json(result.stdout), strict=True):
        assert {key: out[key] for key in line} == line


@pytest.mark.parametrize("name", ["data.jsonl.gz", "data.jsonl.zst"])
def test_compressed_files_in_and_out(here: Path, name: str) -> None:
    raw = (here / "data.jsonl").read_bytes()
    if name.endswith("gz"):
        (here / name).write_bytes(gzip.compress(raw))
    else:
        zstandard = pytest.importorskip("zstandard")
        (here / name).write_bytes(zstandard.ZstdCompressor().compress(raw))
    plain = ie("predict", "data.jsonl")
    compressed = ie("predict", name, "--output", f"out.{name}")
    assert compressed.exit_code == 0, compressed.output
    again = ie("eval", "--predictions", f"out.{name}", name, "--json")
    assert json.loads(again.stdout)["gold"] == 54
    assert plain.exit_code == 0
    assert not list(here.glob(".out*")), "no temporary file stays"


def test_plain_text_and_other_output_formats(here: Path) -> None:
    result = ie("predict", "-", "--text", stdin="王伟在青川大学读书，第1年。\n\n李娜\n")
    assert [line["text"] for line in as_json(result.stdout)] == ["王伟在青川大学读书，第1年。", "", "李娜"]
    columns = ie("predict", "-", "--text", "--to", "conll", "--flat", stdin="王伟在青川大学读书，第1年。\n")
    assert columns.stdout.startswith("王\tB-person\n伟\tI-person\n在\tO\n")
    assert "overlap" not in columns.stderr
    nested = ie("predict", "-", "--text", "--to", "conll", stdin="王伟在青川大学读书，第1年。\n")
    assert "warning: entities that overlap longer ones cannot be stored in one tag column" in nested.stderr
    assert "hint: --flat" in nested.stderr
    submission = ie("predict", "-", "--to", "cluener", stdin='{"id": 0, "text": "王伟在青川大学读书，第1年。"}\n')
    assert as_json(submission.stdout)[0]["label"]["person"] == {"王伟": [[0, 1]]}  # type: ignore[index]


def test_columns_are_those_of_the_recipe_or_given(here: Path) -> None:
    rows = "".join("1\t王伟\tB-NP\tB-person\n2\t在\tO\tO\n3\t青川\tB-NP\tB-place\n\n" for _ in range(8))
    (here / "rows.tsv").write_text(rows, encoding="utf-8")
    proposed = ie("init", "rows.tsv", "--encoder", "tiny", "--text-column", "1", "--label-column", "-1")
    assert "  text_column: 1\n  label_columns: [-1]\n" in proposed.stdout
    (here / "recipe.yaml").write_text(proposed.stdout, encoding="utf-8")
    trained = ie("train", "recipe.yaml", "--output", "columns", *QUICK, "--set", "data.dev=null")
    assert trained.exit_code == 0, trained.output
    evaluated = ie("eval", "columns/model", "rows.tsv", "--json")
    assert json.loads(evaluated.stdout)["gold"] == 16
    assert "tokens in column 1, tags in column 3" in evaluated.stderr
    predicted = ie("predict", "rows.tsv", "-m", "columns/model")
    assert as_json(predicted.stdout)[0]["text"] == "王伟在青川"
    scored = ie("eval", "--predictions", "-", "rows.tsv", "--text-column", "1", "--json", stdin=predicted.stdout)
    assert json.loads(scored.stdout)["f1"] == json.loads(evaluated.stdout)["f1"]
    (here / "words.txt").write_text("王伟 O\n在 O\n", encoding="utf-8")
    assert (
        as_json(ie("predict", "words.txt", "-m", "columns/model", "--text-column", "0").stdout)[0]["text"] == "王伟在"
    )
    untagged = ("predict", "tokens.txt", "-m", "columns/model", "--from", "conll")
    (here / "tokens.txt").write_text("王伟\n在\n\n青川\n", encoding="utf-8")
    assert [found["text"] for found in as_json(ie(*untagged, "--text-column", "0").stdout)] == ["王伟在", "青川"]
    (here / "tokens.txt").write_text("1\t王伟\tNN\n# a comment\n2\t#\tPU\n\n1\t青川\tNR\n", encoding="utf-8")
    assert [found["text"] for found in as_json(ie(*untagged).stdout)] == ["王伟#", "青川"]
    missing = ie(*untagged, "--text-column", "3")
    assert "hint: change --text-column;" in missing.stderr
    assert "hint: set --from: jsonl" in ie("predict", "-", "-m", "columns/model", stdin="王伟 在\n").stderr
    assert "hint: set --from: jsonl" in ie("convert", "-", "-", stdin="王伟 在\n").stderr


def test_a_submission_has_no_texts_to_convert(here: Path) -> None:
    line = '{"id": 3, "label": {"person": {"王伟": [[0, 1]]}}}\n'
    for target in ("jsonl", "cluener"):
        refused = ie("convert", "-", "-", "--from", "cluener", "--to", target, stdin=line)
        assert refused.exit_code == 1
        assert "stdin:1: a record of a submission" in refused.stderr


BAD = '{"text": "王伟"}\n{"text": 3}\nnot json\n{"text": "李娜"}\n'


def test_a_bad_line_stops_with_its_number(here: Path) -> None:
    result = ie("predict", "-", "--output", "out.jsonl", stdin=BAD)
    assert result.exit_code == 1
    assert "error: stdin:2: 'text' must be a string, got 3" in result.stderr
    assert "--on-error skip" in result.stderr
    assert not (here / "out.jsonl").exists()


def test_annotation_of_the_input_is_of_no_account(here: Path) -> None:
    lines = '{"text": "王伟", "entities": [[0, 9, "PER"]], "x": 1}\n{"text": "李娜", "entities": 7}\n'
    result = ie("predict", "-", stdin=lines)
    assert [line["text"] for line in as_json(result.stdout)] == ["王伟", "李娜"]
    assert as_json(result.stdout)[0]["x"] == 1


def test_the_input_is_not_replaced(here: Path) -> None:
    before = (here / "data.jsonl").read_bytes()
    result = ie("predict", "data.jsonl", "--output", "./data.jsonl")
    assert result.exit_code == 1
    assert "is also the input" in result.stderr
    assert (here / "data.jsonl").read_bytes() == before


def test_lines_kept_as_bad_are_distinguished_when_scored(here: Path) -> None:
    (here / "p.jsonl").write_text('{"error": "e", "line": "l"}\n')
    result = ie("eval", "--predictions", "p.jsonl", "data.jsonl")
    assert "p.jsonl:1: this line is the error record of an input line" in result.stderr


def test_bad_lines_are_skipped_or_kept_and_counted(here: Path) -> None:
    skipped = ie("predict", "-", "--on-error", "skip", stdin=BAD)
    assert skipped.exit_code == 0
    assert [line["text"] for line in as_json(skipped.stdout)] == ["王伟", "李娜"]
    assert "2 bad lines skipped; the first: stdin:2" in skipped.stderr
    kept = as_json(ie("predict", "-", "--on-error", "keep", stdin=BAD).stdout)
    assert [line.get("text") for line in kept] == ["王伟", None, None, "李娜"]
    assert kept[2]["line"] == "not json"
    assert str(kept[2]["error"]).startswith("stdin:3: not valid JSON")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict", "nothing.jsonl"], 1, "nothing.jsonl: no such file"),
        (["predict", "dta.jsonl"], 1, "dta.jsonl: no such file; did you mean 'data.jsonl'?"),
        (["predict", "data.jsonl", "--to", "jsnl"], 1, "unknown format 'jsnl'; did you mean 'jsonl'?"),
        (["predict", "data.jsonl", "--to", "text"], 1, "format 'text' cannot be written"),
        (["predict", "data.jsonl", "--on-error", "keep", "--to", "conll"], 1, "--on-error keep requires the output format"),
        (["predict", "data.jsonl", "--output", "no/where/x.jsonl"], 1, "no/where"),
        (["predict", "data.jsonl", "--output", "runs"], 1, "runs: is a directory"),
        (["predict", "王" * 300], 1, "no such file"),
        (["train", "王" * 300], 1, "hint: name a YAML file."),
        (["predict", "data.jsonl", "--text", "--from", "conll"], 2, "contradict each other"),
        (["predict", "data.jsonl", "--threshold", "2"], 2, "threshold"),
        (["eval", "runs/test/model"], 2, "is a model: name the gold data after it"),
        (["eval", "runs/test/model", "empty.jsonl"], 1, "empty.jsonl: the file is empty"),
        (["eval", "runs/test/model", "plain.jsonl"], 1, "contains no entity: there is nothing to score"),
        (["eval", "--predictions", "plain.jsonl", "data.jsonl"], 1, "plain.jsonl:1 and data.jsonl:1: the texts differ"),
        (["eval", "runs/test/model", "data.jsonl", "--scorer", "duie"], 1, "--scorer duie applies to relations, but the model"),
        (["eval", "runs/test/model", "data.jsonl", "--match", "text"], 1, "--match applies to relations, but the model"),
        (["eval", "runs/test/model", "data.jsonl", "--scorer", "seqeval"], 1, "data.jsonl:1: gold entities overlap"),
        (["eval", "runs/test/model", "data.jsonl", "--save", "x.txt"], 2, "must end in .json or .html, got x.txt"),
        (["eval", "runs/test/model", "data.jsonl", "--save", "no/where/x.json"], 1, "no/where"),
        (["train", "nothing.yaml"], 1, "nothing.yaml: no such recipe"),
        (["train", "quickstar"], 1, "no such recipe"),
        (["recipes", "copy", "quickstar"], 1, "no recipe 'quickstar'; did you mean 'quickstart'?"),
        (["init", "plain.jsonl"], 1, "without any entities"),
        (["trian"], 2, "No such command"),
        (["predict"], 2, "Missing argument"),
    ],
)  # fmt: skip
def test_errors_say_where_what_and_what_to_do(here: Path, arguments: list[str], code: int, message: str) -> None:
    (here / "empty.jsonl").write_text("")
    (here / "plain.jsonl").write_text('{"text": "nothing annotated"}\n')
    result = ie(*arguments)
    assert result.exit_code == code, result.output
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output


def test_no_model_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    result = ie("predict", "x.jsonl")
    assert result.exit_code == 1
    assert "no model found under" in result.stderr
    assert "ie train quickstart" in result.stderr


def test_check_exits_with_an_error_if_something_is_wrong(here: Path) -> None:
    (here / "bad.jsonl").write_text(BAD)
    (here / "bad.yaml").write_text(dump_recipe(recipe(here / "data.jsonl", data={"dev": "bad.jsonl"})))
    result = ie("check", "bad.yaml")
    assert result.exit_code == 1
    assert "bad.jsonl:3: not valid JSON" in result.stderr
    assert "dev: 2 records cannot be read" in result.stderr


def test_check_reports_what_costs_quality(here: Path) -> None:
    lines = (here / "data.jsonl").read_text().splitlines(keepends=True)
    clash = json.loads(lines[0]) | {"entities": []}
    (here / "train.jsonl").write_text("".join([*lines, lines[0], json.dumps(clash) + "\n"]))
    config = recipe(
        here / "train.jsonl", data={"dev": "data.jsonl"}, encoder={"max_length": 8, "stride": 0}, head={"flat": True}
    )
    (here / "r.yaml").write_text(dump_recipe(config))
    said = " ".join(ie("check", "r.yaml").stderr.split())
    assert "3 of 22 texts are duplicates" in said or "2 of 22 texts are duplicates" in said
    assert "1 text occurs again with different annotations" in said
    assert "entities overlap in" in said
    assert "nothing is lost" in said
    assert "can never be predicted" in said
    assert "texts of dev: scores on dev will be too high" in said


def test_eval_prints_a_table_and_examples_of_errors(here: Path) -> None:
    gold = documents()
    gold[0].entities[0] = type(gold[0].entities[0])(0, 3, "person")
    write_jsonl(here / "gold.jsonl", gold)
    result = ie("eval", "runs/test/model", "gold.jsonl", "--errors", "2", "--train", "data.jsonl")
    assert result.exit_code == 0
    for part in (
        "all (micro)",
        "boundaries only",
        "recall ceiling 1.0000",
        "1 wrong boundary",
        "never seen in training",
    ):
        assert part in result.stderr
    assert "wrong boundary: gold.jsonl:1:" in result.stderr


def test_eval_stores_what_it_found(here: Path) -> None:
    options = ("--device", "cpu", "--precision", "float32")
    printed = json.loads(ie("eval", "runs/test/model", "data.jsonl", "--json", *options).stdout)
    result = ie("eval", "runs/test/model", "data.jsonl", "--save", "r.json", "--save", "r.html", *options)
    assert result.exit_code == 0, result.stderr
    assert "result: r.json" in result.stderr
    stored = read_result("r.json")
    assert stored.scores.to_dict() | {"errors": stored.errors.counts} == printed
    assert stored.documents is not None
    assert len(stored.documents.gold) == 20
    assert sum(stored.documents.correct) == printed["correct"]
    assert stored.title == "runs/test/model on data.jsonl"
    assert [stored.environment[name] for name in ("backend", "device", "precision")] == ["torch", "cpu", "float32"]
    assert Path("r.html").read_text(encoding="utf-8") == html_page(stored)


def test_recipes_are_listed_and_copied_so_that_they_run_in_place(here: Path) -> None:
    listed = ie("recipes")
    assert "quickstart" in listed.stdout
    assert ie("recipes", "copy", "quickstart", "mine.yaml").exit_code == 0
    again = ie("recipes", "copy", "quickstart", "mine.yaml")
    assert again.exit_code == 1
    assert "mine.yaml exists already" in again.stderr
    assert ie("check", "mine.yaml").exit_code == 0


def test_a_closed_pipe_ends_quietly(here: Path) -> None:
    (here / "big.jsonl").write_text('{"text": "王伟在青川大学读书，第1年。"}\n' * 5000)
    write_export(here / "onnx")  # starts without torch
    command = f"{sys.executable} -m ie_cli predict big.jsonl --model onnx | head -1"
    run = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=here, env=_env()
    )
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) == 1
    assert "error" not in run.stderr.lower()
    assert "Traceback" not in run.stderr


def test_an_answer_comes_while_the_pipe_stays_open(here: Path) -> None:
    write_export(here / "onnx")  # starts without torch
    with subprocess.Popen(
        [sys.executable, "-m", "ie_cli", "predict", "-", "--quiet", "--model", "onnx"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here, env=_env(),
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write('{"text": "王伟在青川大学读书，第1年。"}\n')
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["entities"]
        process.stdin.close()
        assert process.wait(30) == 0


# Started in the background of a shell, this process may ignore Ctrl-C, and its children would too.
LISTENING = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
COMMAND = LISTENING + "sys.argv[0] = 'ie'; from ie_cli.cli import main; main()"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_ends_with_130(here: Path) -> None:
    arguments = ["train", "quickstart", "--output", "long", "--set", "training.epochs=500"]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments], stderr=subprocess.PIPE, text=True, cwd=here, env=_env()
    )
    assert process.stderr is not None
    try:
        assert "900 examples" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in rest


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_while_waiting_on_a_pipe_ends_with_130(here: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "predict", "-", "--text"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=here, env=_env(),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write("王伟\n")
        process.stdin.flush()
        assert '"text":"王伟"' in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        process.kill()
    rest = process.communicate()[1]
    assert process.returncode == 130
    assert "Fatal" not in rest
    assert "Traceback" not in rest


def test_all_and_nothing_by_the_threshold(here: Path) -> None:
    everything = ie("predict", "-", "--text", "--threshold", "0", stdin="王伟\n")
    assert "Warning" not in everything.stderr
    assert len(as_json(everything.stdout)[0]["entities"]) == 3 * 3  # type: ignore[arg-type]  # labels x spans
    nothing = ie("predict", "-", "--text", "--threshold", "1", stdin="王伟\n")
    assert as_json(nothing.stdout)[0]["entities"] == []


def test_training_on_a_pipe_is_refused(here: Path) -> None:
    result = ie("train", "quickstart", "--output", "piped", "--set", "data.train=-", stdin='{"text": "a"}')
    assert result.exit_code == 1
    assert "stdin: a pipe can be read only once" in result.stderr


def _env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
