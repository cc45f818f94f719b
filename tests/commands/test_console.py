from __future__ import annotations

import io
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from support.corpora import documents, recipe, write_jsonl

from ie_cli.commands import console
from ie_cli.commands.console import (
    TrainingView,
    busy,
    fitting_columns,
    print_error,
    say,
    show_scores,
    warn,
)
from ie_cli.commands.inputs import Input
from ie_cli.commands.progress import counting
from ie_cli.document import Document, Entity, Relation
from ie_cli.errors import DataError, duration
from ie_cli.formats import Reading
from ie_cli.metrics.duie import OfficialScorer
from ie_cli.metrics.entities import EntityScorer
from ie_cli.metrics.relations import RelationScorer
from ie_cli.metrics.scores import Ceiling
from ie_cli.reports.cells import number
from ie_cli.training.events import Started
from ie_cli.training.run import train


@pytest.fixture(params=[True, False], ids=["terminal", "file"])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Console:
    made = Console(file=io.StringIO(), force_terminal=request.param, width=120, highlight=False, soft_wrap=True)
    monkeypatch.setattr(console, "console", made)
    return made


def shown(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_training_is_a_live_table_on_a_terminal_and_plain_lines_elsewhere(screen: Console, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    view = TrainingView(quiet=False)
    view.follow(train(recipe(data, training={"epochs": 3}), tmp_path / "run"))
    text = shown(screen)
    assert "20 examples in 20 windows" in text
    assert "trained 9 steps in " in text
    assert view.finished is not None
    if screen.is_terminal:
        assert "reading the data and loading the encoder …" in text
        assert "\x1b[" in text
        assert "examples/s" in text
        assert text.count("└") > 3  # drawn again with every event
        assert "\nepoch 1.0" not in text
    else:
        assert "\x1b" not in text
        lines = [line for line in text.splitlines() if line.startswith("epoch ")]
        assert len(lines) == 3
        assert lines[0].startswith("epoch 1.0  step 3/9  loss ")
        assert all(f"  {name} " in lines[0] for name in ("P", "R", "F1", "examples/s", "left"))


def test_what_changes_in_a_pretrained_encoder_is_a_warning(screen: Console) -> None:
    facts = {"tasks": {}, "steps": 1, "device": "cpu", "precision": "float32", "parameters": 1, "has_dev": True}
    TrainingView(quiet=False).follow(iter([Started(**facts, changes=("an option changes the encoder",))]))
    assert "warning: an option changes the encoder" in shown(screen)


def test_the_start_of_a_run_names_its_processes(screen: Console, tmp_path: Path) -> None:
    started = next(iter(train(recipe(write_jsonl(tmp_path / "train.jsonl", documents())), tmp_path / "run")))
    assert isinstance(started, Started)
    for count, named in ((1, "on cpu in float32"), (2, "on 2 processes, cpu in float32")):
        TrainingView(quiet=False).follow([replace(started, processes=count, device="cpu", precision="float32")])
        assert named in shown(screen)


def test_quiet_prints_only_warnings(screen: Console, tmp_path: Path) -> None:
    """As `--quiet` promises: a job whose score is 0, or whose dev data are its training data, does not end in silence."""
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    section = {"epochs": 1, "learning_rate": 2e-4, "head_learning_rate": 1e-4}
    TrainingView(quiet=True).follow(train(recipe(data, training=section), tmp_path / "run"))
    first, last = re.sub(r"\x1b\[[0-9;]*m", "", shown(screen)).splitlines()
    assert first.startswith("warning: data.dev is the same file as data.train")
    assert re.match(r"warning: F1 is (0\.|only 0\.0)", last)


def test_the_table_of_scores(screen: Console) -> None:
    scorer = EntityScorer(["X", "never"], seen=set())
    scorer.add(Document("ab", [Entity(0, 1, "X"), Entity(1, 2, "X")]), Document("ab", [Entity(0, 1, "X")]))
    show_scores(scorer.scores({"entities": Ceiling(1, 2, {"boundary inside a token": 1})}), "dev")
    text = shown(screen)
    rows = {row.split("│")[1].strip(): row.split("│")[2:-1] for row in text.splitlines() if row.startswith("│")}
    assert [cell.strip() for cell in rows["X"]] == ["1.0000", "0.5000", "0.6667", "2", "1", "1"]
    assert [cell.strip() for cell in rows["never"]] == ["–", "–", "–", "0", "0", "0"]
    assert "recall ceiling 0.5000: 1 of 2 entities cannot be predicted (1 boundary inside a token)" in text
    assert "recall on names never seen in training 0.5000 (1 of 2)" in text


def test_footnotes_without_gold_are_none() -> None:
    [table] = EntityScorer().scores({"entities": Ceiling(0, 0)}).tables()
    assert table.notes == ()


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599.4, "59:59"), (3723, "1:02:03")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_numbers() -> None:
    assert (number(None), number(0.12345), number(math.pi)) == ("–", "0.1235", "3.1416")


def test_scores_of_relations_name_every_way_to_match(screen: Console) -> None:
    scorer = RelationScorer(["p", "q"], ["X"], entities=True, official=OfficialScorer(), seen=set())
    gold = Document("abcd", [Entity(0, 1, "X")], [Relation(Entity(0, 1, "X"), "p", Entity(2, 3, "X"))])
    scorer.add(gold, gold)
    show_scores(scorer.scores({"relations": Ceiling(0, 1, {"too far": 1}), "entities": Ceiling(1, 1)}), "dev")
    printed = shown(screen)
    for part in (
        "dev: relations",
        "dev: entities",
        "by spans",
        "by text",
        "DuIE's rules",
        "relations by spans and types",
    ):
        assert part in printed, part
    assert "recall ceiling 0.0000: 1 of 1 relations cannot be predicted (1 too far)" in printed
    assert "recall on triples never seen in training 1.0000 (1 of 1)" in printed


def test_texts_and_labels_neither_drive_the_terminal_nor_count_as_markup(screen: Console) -> None:
    hostile = "a\x1b]0;owned\x07\x9b2J\r[red]b[/red]"
    say(hostile)
    warn(hostile)
    print_error(DataError(hostile, hint=hostile))
    scorer = EntityScorer([hostile])
    scorer.add(Document("ab", [Entity(0, 1, hostile)]), Document("ab", []))
    show_scores(scorer.scores(), f"runs/[bold]x[/bold] {hostile}")
    printed = shown(screen)
    assert printed.count(r"a\x1b]0;owned\x07\x9b2J\x0d[red]b[/red]") == 6
    assert "runs/[bold]x[/bold]" in printed
    assert not {"\x07", "\x9b", "\r"} & set(printed)
    assert "\x1b]" not in printed


NUMBERS = {
    "epoch": "100.0",
    "step": "123456",
    "loss": "0.1234",
    "examples/s": "1234.5",
    "left": "1:02:03",
    "best": "*",
}


@pytest.mark.parametrize(
    ("scores", "width", "names"),
    [
        (("precision", "recall", "F1"), 120, "epoch step loss precision recall F1 examples/s left best"),
        (("precision", "recall", "F1"), 80, "epoch step loss P R F1 examples/s best"),
        (("precision", "recall", "F1"), 70, "epoch step loss P R F1 best"),
        (
            ("a.precision", "a.recall", "a.f1", "b.precision", "b.recall", "b.f1"),
            80,
            "epoch step loss a.f1 b.precision b.recall b.f1 best",
        ),
    ],
)
def test_headings_are_complete_in_a_narrow_terminal(scores: tuple[str, ...], width: int, names: str) -> None:
    columns = ["epoch", "step", "loss", *scores, "examples/s", "left", "best"]
    kept = fitting_columns([(name, [NUMBERS.get(name, "0.1234")]) for name in columns], width)
    assert " ".join(name for name, _ in kept) == names


@pytest.mark.parametrize("chosen", ["", "0.4000 at 0.1201"])
def test_the_table_of_training_fits_eighty_columns(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False, soft_wrap=True)
    monkeypatch.setattr(console, "console", made)
    view = TrainingView(quiet=False)
    view._scores = ("precision", "recall", "F1")
    view._rows = [("100.0", "123456", "0.1234", "0.1000", "0.2000", "0.3000", chosen, "1234.5", "1:02:03", "*")]
    made.print(view._table())
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown(made))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert all(part in text for part in ("epoch", "step", "loss", " P ", " R ", "F1", "123456", "0.3000", chosen))
    assert ("F1 at" in text) == bool(chosen)


def test_progress_is_a_share_of_the_input_if_its_size_is_known(screen: Console) -> None:
    with counting("predicting", quiet=False, size=200, done=1000) as count:
        items = count.follow(iter(range(4)))
        for _ in range(4):  # read ahead of what is done
            if count.on_read is not None:
                count.on_read(50)
            next(items)
        for _ in range(3):
            count()
        if screen.is_terminal:
            assert count._progress is not None
            count._progress.refresh()
    text = shown(screen)
    assert (count.on_read is not None) == screen.is_terminal
    assert text == "" or ("75 %" in text and "1,003 records" in text and "/?" not in text)
    assert bool(text) == screen.is_terminal


def test_progress_without_a_size_counts_records(screen: Console) -> None:
    with counting("converting", quiet=False) as count:
        if count.on_read is not None:
            count.on_read(50)
        count()
        if count._progress is not None:
            count._progress.refresh()
    text = shown(screen)
    assert bool(text) == screen.is_terminal == ("1 records" in text)
    assert "%" not in text


def test_an_activity_is_shown_only_on_a_terminal(screen: Console) -> None:
    with busy("loading", quiet=True):
        pass
    assert shown(screen) == ""
    with busy("loading"):
        say("in between")
    assert ("loading …" in shown(screen)) == screen.is_terminal
    assert "in between" in shown(screen)


def test_the_bytes_of_all_lines_are_reported(tmp_path: Path) -> None:
    text = '{"text": "王伟"}\n\n{"text": "b"}\n'
    (tmp_path / "x.jsonl").write_text(text, encoding="utf-8")
    source, sizes = Input(str(tmp_path / "x.jsonl")), list[int]()
    assert len(list(source.documents(Reading(progress=sizes.append)))) == 2
    assert sum(sizes) == source.size() == len(text.encode())


def test_the_size_of_a_stream_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl.gz").write_bytes(b"x")
    (tmp_path / "empty").touch()
    for path in ("-", "hub:a/b", "https://x/y", str(tmp_path / "x.jsonl.gz"), str(tmp_path / "empty"), str(tmp_path)):
        assert Input(path).size() is None
