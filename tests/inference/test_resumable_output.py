"""`ie predict -o`: a job that is interrupted and resumed writes what one that was not writes, to the byte."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.corpora import as_json, documents, recipe, write_jsonl
from support.damage import damage
from typer.testing import CliRunner, Result

from ie_cli.cli import app
from ie_cli.document import Document
from ie_cli.errors import DataError, StorageError
from ie_cli.formats import BadLine
from ie_cli.inference import chunks
from ie_cli.inference import pipeline as predict
from ie_cli.inference import resumable_output as jobs
from ie_cli.system.checksums import with_checksum
from ie_cli.system.places import claimed
from ie_cli.system.streams import read_lines
from ie_cli.training.run import train


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    data = write_jsonl(directory / "train.jsonl", documents())
    list(train(recipe(data, training={"epochs": 20}), directory / "run"))
    return directory / "run" / "model"


LINES = 60


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> Path:
    """A directory with `big.jsonl`, two of whose lines are bad; every chunk has seven records, the journal is always due."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IE_MODEL", str(model))
    monkeypatch.setattr(jobs, "COMMIT_SECONDS", 0.0)
    grouped = chunks.grouped
    monkeypatch.setattr(predict, "grouped", lambda reader, **named: grouped(reader, **named | {"size": 7}))
    data = [Document(document.text * (1 + n % 3), id=n) for n, document in enumerate(documents(LINES))]
    write_jsonl(Path("good.jsonl"), data)
    lines = Path("good.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    lines[10:10], lines[40:40] = ["{bad\n"], ['{"text": 7}\n']
    Path("big.jsonl").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def ie(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


class Killed(BaseException):
    """Ends a job as `kill -9` does; see `killed`."""


def killed(*arguments: str) -> None:
    """Run a command that is killed: what it has written is kept, with or without a journal that covers it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.Job, "drop", lambda job: None)
        with pytest.raises(Killed):
            ie(*arguments)


@pytest.fixture
def kill_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Kill the job at the n-th record that it takes into its digest, i.e. after it was written."""

    def arm(records: int) -> None:
        add, left = jobs.Digest.add, [records]

        def counted(digest: jobs.Digest, record: Document | BadLine) -> None:
            add(digest, record)
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        monkeypatch.setattr(jobs.Digest, "add", counted)

    return arm


def checksum(path: str) -> str:
    """Of the decompressed contents of a file."""
    digest = hashlib.sha256()
    for _, line in read_lines(path):
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.jsonl.zst"])
@pytest.mark.parametrize("moments", [[1], [6], [7], [8], [30], [20, 30, 45], [61]], ids=str)
def test_a_killed_job_resumes_without_loss(
    name: str, moments: list[int], here: Path, kill_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("predict", "big.jsonl", "--rejects", "bad.jsonl")
    assert ie(*options, "-o", f"whole-{name}").exit_code == 0
    Path("bad.jsonl").rename("whole-bad.jsonl")
    for moment in moments:
        kill_after(moment)
        killed(*options, "-o", name, "--resume")
        monkeypatch.setattr(jobs.Digest, "add", _ADD)
        assert not Path(name).exists()
        assert not Path("bad.jsonl").exists()
    result = ie(*options, "-o", name, "--resume")
    assert result.exit_code == 0, result.stderr
    assert checksum(name) == checksum(f"whole-{name}")
    assert checksum("bad.jsonl") == checksum("whole-bad.jsonl")
    assert "2 bad lines skipped and written to bad.jsonl; the first: big.jsonl:11" in result.stderr
    assert [row["id"] for row in as_json("\n".join(line for _, line in read_lines(name)))] == list(range(LINES))
    assert sorted(path.name for path in here.glob("*out.jsonl*")) == sorted([name, f"whole-{name}"])


_ADD = jobs.Digest.add


def test_a_killed_job_of_documents_in_doubt_resumes_without_loss(
    here: Path, kill_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("predict", "big.jsonl", "--on-error", "skip", "--below", "0.9999")
    whole = ie(*options, "-o", "whole.jsonl")
    assert whole.exit_code == 0, whole.stderr
    kill_after(30)
    killed(*options, "-o", "out.jsonl")
    monkeypatch.setattr(jobs.Digest, "add", _ADD)
    changed = ie(*options[:-1], "0.8", "-o", "out.jsonl", "--resume")
    assert (changed.exit_code, "--below was 0.9999 and is now 0.8" in changed.stderr) == (1, True)
    resumed = ie(*options, "-o", "out.jsonl", "--resume")
    assert checksum("out.jsonl") == checksum("whole.jsonl")
    written = len(Path("out.jsonl").read_text(encoding="utf-8").splitlines())
    assert 0 < written < LINES
    told = f"{written} records chosen; nothing is in doubt in {LINES - written} other record"
    assert told in " ".join(whole.stderr.split())
    assert told in " ".join(resumed.stderr.split())


@pytest.mark.parametrize("moment", [31, 90])
def test_a_killed_job_of_several_files_resumes_without_loss(
    moment: int, here: Path, kill_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("more").mkdir()
    shutil.copy("good.jsonl", "more/d.jsonl")
    options = ("predict", "big.jsonl", "more", "--on-error", "skip")
    assert ie(*options, "-o", "whole.jsonl").exit_code == 0
    kill_after(moment)
    killed(*options, "-o", "out.jsonl")
    monkeypatch.setattr(jobs.Digest, "add", _ADD)
    for changed in (("big.jsonl",), ("more", "big.jsonl"), ("big.jsonl", "good.jsonl")):
        refused = ie("predict", *changed, "--on-error", "skip", "-o", "out.jsonl", "--resume")
        assert (refused.exit_code, "the list of input files has changed" in refused.stderr) == (1, True)
    assert ie(*options, "-o", "out.jsonl", "--resume").exit_code == 0
    assert checksum("out.jsonl") == checksum("whole.jsonl")


def test_a_killed_job_resumes_with_the_columns_of_its_input(
    here: Path, kill_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = "-DOCSTART- O\n\n# s\n王伟 B-person\n在 O\n青川 B-place\n\n"
    Path("in.conll").write_text(sentence * 20, encoding="utf-8")
    assert ie("predict", "in.conll", "-o", "whole.conll").exit_code == 0
    kill_after(16)
    killed("predict", "in.conll", "-o", "out.conll")
    monkeypatch.setattr(jobs.Digest, "add", _ADD)
    assert ie("predict", "in.conll", "-o", "out.conll", "--resume").exit_code == 0
    out = Path("out.conll").read_text(encoding="utf-8")
    assert out == Path("whole.conll").read_text(encoding="utf-8")
    given = [line.split(" ")[:2] for line in Path("in.conll").read_text(encoding="utf-8").split("\n")]
    assert [line.split(" ")[:2] for line in out.split("\n")] == given


def test_bad_lines_are_in_the_rejects_with_their_positions(here: Path) -> None:
    assert ie("predict", "big.jsonl", "-o", "out.jsonl", "--rejects", "bad.jsonl").exit_code == 0
    rejected = as_json(Path("bad.jsonl").read_text(encoding="utf-8"))
    assert [(row["where"], row["line"]) for row in rejected] == [
        ("big.jsonl:11", "{bad"),
        ("big.jsonl:41", '{"text": 7}'),
    ]
    assert all("big.jsonl:" in str(row["error"]) for row in rejected)
    assert len(Path("out.jsonl").read_text(encoding="utf-8").splitlines()) == LINES


def test_what_was_predicted_before_a_bad_line_is_not_lost(here: Path) -> None:
    result = ie("predict", "big.jsonl", "-o", "out.jsonl")
    assert result.exit_code == 1
    assert "big.jsonl:11" in result.stderr
    assert "7 records done; fix the input and continue with --resume" in result.stderr.replace("\n", " ")
    assert not Path("out.jsonl").exists()
    lines = Path("big.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    Path("big.jsonl").write_text("".join(line for line in lines if "bad" not in line and "7}" not in line[-4:]))
    assert ie("predict", "big.jsonl", "-o", "out.jsonl", "--resume").exit_code == 0
    assert ie("predict", "good.jsonl", "-o", "good-out.jsonl").exit_code == 0
    assert checksum("out.jsonl") == checksum("good-out.jsonl")


def test_a_short_job_that_fails_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "COMMIT_SECONDS", 60.0)
    assert ie("predict", "big.jsonl", "-o", "out.jsonl").exit_code == 1
    assert sorted(path.name for path in here.iterdir()) == ["big.jsonl", "good.jsonl"]


@pytest.fixture
def cut(here: Path, kill_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of an interrupted job."""
    kill_after(30)
    killed("predict", "good.jsonl", "-o", "out.jsonl")
    monkeypatch.setattr(jobs.Digest, "add", _ADD)
    return here


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "an interrupted job with 28 records done"),
        (("--resume", "--threshold", "0.9"), "--threshold was not given and is now 0.9"),
        (("--resume", "--below", "0.9"), "--below was not given and is now 0.9"),
        (("--resume", "--split", "never"), "--split was not given and is now never"),
        (("--resume", "--to", "cluener"), "--to was jsonl and is now cluener"),
        (("--resume", "--on-error", "skip"), "--on-error was stop and is now skip"),
        (("--resume", "--rejects", "bad.jsonl", "--on-error", "skip"), "--rejects is given now, but was not before"),
    ],
)
def test_another_job_does_not_resume_it(arguments: tuple[str, ...], message: str, cut: Path) -> None:
    before = Path("out.jsonl.part").read_bytes()
    result = ie("predict", "good.jsonl", "-o", "out.jsonl", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "start again" in result.stderr
    assert Path("out.jsonl.part").read_bytes() == before


def test_another_input_is_reported(cut: Path) -> None:
    lines = Path("good.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    for changed in (lines[1:], lines[:20]):
        Path("good.jsonl").write_text("".join(changed), encoding="utf-8")
        result = ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume")
        assert result.exit_code == 1
        assert "the input has changed: its first 28 records" in result.stderr
    Path("good.jsonl").write_text("".join(lines), encoding="utf-8")
    assert ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume").exit_code == 0


def test_another_model_is_reported(cut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_jsonl(tmp_path / "train.jsonl", documents())
    list(train(recipe(data, training={"epochs": 1}), tmp_path / "other"))
    result = ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume", "-m", str(tmp_path / "other" / "model"))
    assert result.exit_code == 1
    assert "the model has changed" in result.stderr


def test_killed_before_the_journal_knew_of_a_record(
    here: Path, kill_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("out.jsonl").write_text("old\n", encoding="utf-8")
    monkeypatch.setattr(jobs, "COMMIT_SECONDS", 60.0)
    for options in ((), ("--resume",)):
        kill_after(20)
        killed("predict", "good.jsonl", "-o", "out.jsonl")
        monkeypatch.setattr(jobs.Digest, "add", _ADD)
        assert Path("out.jsonl.part").exists()
        assert Path("out.jsonl").read_text(encoding="utf-8") == "old\n"
        result = ie("predict", "good.jsonl", "-o", "out.jsonl", *options)  # neither refused nor taken for complete
        assert result.exit_code == 0, result.stderr
        assert len(Path("out.jsonl").read_text(encoding="utf-8").splitlines()) == LINES
        assert not list(here.glob("*.part*"))
        Path("out.jsonl").write_text("old\n", encoding="utf-8")


def test_an_input_that_breaks_off_does_not_shift_what_is_predicted_together(here: Path) -> None:
    lines = Path("good.jsonl").read_bytes().splitlines(keepends=True)
    Path("broken.jsonl").write_bytes(b"".join(lines[:24]) + b"\xff\xfe\n" + b"".join(lines[24:]))
    result = ie("predict", "broken.jsonl", "-o", "out.jsonl")
    assert result.exit_code == 1
    assert "broken.jsonl:25" in result.stderr
    assert "; 21 records done; fix the input and continue with --resume." in result.stderr.replace("\n", " ")
    assert json.loads(Path("out.jsonl.part.json").read_text(encoding="utf-8"))["records"] == 21  # three chunks of seven
    assert ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume").exit_code == 0
    assert ie("predict", "good.jsonl", "-o", "whole.jsonl").exit_code == 0
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def test_a_journal_that_cannot_be_written_promises_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = jobs.replace_text, []

    def full(path: Path, text: str) -> None:
        calls.append(path)
        if len(calls) > 1:
            raise StorageError(f"{path}: No space left on device", hint="free some space.")
        real(path, text)

    monkeypatch.setattr(jobs, "replace_text", full)
    result = ie("predict", "good.jsonl", "-o", "out.jsonl")
    assert result.exit_code == 1
    assert " done" not in result.stderr
    assert sorted(path.name for path in here.iterdir()) == ["big.jsonl", "good.jsonl"]


def test_files_of_others_are_not_taken_for_parts(here: Path) -> None:
    Path("x.part").write_bytes(Path("good.jsonl").read_bytes())
    before = Path("x.part").read_bytes()
    for arguments, message in [
        (("x.part", "-o", "x"), "x.part: this file is also the input"),
        (("good.jsonl", "-o", "x"), "x.part: this file exists, but there is no journal x.part.json"),
        (("good.jsonl", "-o", "o", "--rejects", "o.part"), "o.part: this file is also the output"),
        (("good.jsonl", "-o", "o", "--rejects", "o.part.json"), "o.part.json: this file is also the output"),
    ]:
        result = ie("predict", *arguments)
        assert result.exit_code == 1
        assert message in result.stderr.replace("\n", " ")
    assert Path("x.part").read_bytes() == before
    assert sorted(path.name for path in here.iterdir()) == ["big.jsonl", "good.jsonl", "x.part"]


def test_parts_of_a_job_that_kept_nothing_block_no_other(
    here: Path, kill_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "COMMIT_SECONDS", 60.0)
    kill_after(20)
    killed("predict", "big.jsonl", "-o", "out.jsonl", "--rejects", "bad.jsonl")
    monkeypatch.setattr(jobs.Digest, "add", _ADD)
    assert Path("bad.jsonl.part").exists()
    assert ie("predict", "big.jsonl", "-o", "out.jsonl", "--resume").exit_code == 1  # without the rejects: a bad line
    assert sorted(path.name for path in here.iterdir()) == ["big.jsonl", "good.jsonl"]


def test_a_part_that_the_journal_does_not_name_is_anothers(
    here: Path, kill_after: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "COMMIT_SECONDS", 60.0)
    kill_after(20)
    killed("predict", "good.jsonl", "-o", "out.jsonl")
    monkeypatch.setattr(jobs.Digest, "add", _ADD)
    Path("bad.jsonl.part").write_text("mine\n", encoding="utf-8")
    result = ie("predict", "good.jsonl", "-o", "out.jsonl", "--rejects", "bad.jsonl")
    assert result.exit_code == 1
    assert "bad.jsonl.part: this file exists, but there is no journal out.jsonl.part.json" in result.stderr
    assert Path("bad.jsonl.part").read_text(encoding="utf-8") == "mine\n"


def test_another_process_that_was_quicker_is_not_overtaken(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ie_cli.commands.inputs import ModelChoice

    real = ModelChoice.engine

    def slow(choice: ModelChoice) -> object:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ModelChoice, "engine", real)
            assert ie("predict", "good.jsonl", "-o", "out.jsonl").exit_code == 0
        Path("out.jsonl").write_text("of the other\n", encoding="utf-8")
        return real(choice)

    monkeypatch.setattr(ModelChoice, "engine", slow)
    result = ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume")
    assert result.exit_code == 0
    assert "another process has finished the job" in result.stderr
    assert Path("out.jsonl").read_text(encoding="utf-8") == "of the other\n"


def test_a_second_file_that_cannot_be_made_leaves_nothing_of_the_first(here: Path) -> None:
    result = ie("predict", "good.jsonl", "-o", "out.jsonl", "--rejects", "r" * 253)
    assert result.exit_code == 1
    assert "File name too long" in result.stderr
    assert sorted(path.name for path in here.iterdir()) == ["big.jsonl", "good.jsonl"]


def test_a_directory_is_not_a_complete_output(here: Path) -> None:
    Path("out").mkdir()
    result = ie("predict", "good.jsonl", "-o", "out", "--resume")
    assert result.exit_code == 1
    assert "out: is a directory" in result.stderr


def test_compressed_output_does_not_contain_the_time(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "COMMIT_SECONDS", 60.0)
    assert ie("predict", "good.jsonl", "-o", "a.jsonl.gz").exit_code == 0
    assert Path("a.jsonl.gz").read_bytes()[3:8] == bytes(5)  # neither a name nor a time
    assert ie("predict", "good.jsonl", "-o", "b.jsonl.gz").exit_code == 0
    assert Path("a.jsonl.gz").read_bytes() == Path("b.jsonl.gz").read_bytes()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"records": 3}', "null"])
def test_a_damaged_journal_is_reported(text: str, cut: Path) -> None:
    Path("out.jsonl.part.json").write_text(text, encoding="utf-8")
    result = ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume")
    assert result.exit_code == 1
    assert "out.jsonl.part.json: damaged" in result.stderr


def test_a_part_that_is_gone_is_reported(cut: Path) -> None:
    os.truncate("out.jsonl.part", 10)
    result = ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume")
    assert result.exit_code == 1
    assert "missing, or shorter than" in result.stderr


def test_a_complete_job_is_not_done_again(here: Path) -> None:
    assert ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume").exit_code == 0
    before = Path("out.jsonl").stat()
    result = ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume")
    assert result.exit_code == 0
    assert "out.jsonl is already complete" in result.stderr
    assert Path("out.jsonl").stat().st_mtime_ns == before.st_mtime_ns
    assert ie("predict", "good.jsonl", "-o", "out.jsonl").exit_code == 0
    assert Path("out.jsonl").stat().st_mtime_ns > before.st_mtime_ns


def test_killed_before_the_files_get_their_names(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("predict", "big.jsonl", "-o", "out.jsonl", "--rejects", "bad.jsonl")
    assert ie(*options).exit_code == 0
    expected = checksum("out.jsonl"), checksum("bad.jsonl")
    Path("out.jsonl").unlink()
    real, calls = os.replace, []

    def second(source: str, target: str) -> None:
        calls.append(target)
        if str(target).endswith("out.jsonl"):
            raise Killed
        real(source, target)

    monkeypatch.setattr(jobs.os, "replace", second)
    killed(*options)
    monkeypatch.setattr(jobs.os, "replace", real)
    assert Path("bad.jsonl").exists()
    assert not Path("out.jsonl").exists()
    result = ie(*options, "--resume")
    assert result.exit_code == 0
    assert "is complete now" in result.stderr
    assert (checksum("out.jsonl"), checksum("bad.jsonl")) == expected
    assert not list(here.glob("*.part*"))


def test_framed_formats_are_framed_once(
    cut: Path, monkeypatch: pytest.MonkeyPatch, kill_after: Callable[[int], None]
) -> None:
    kill_after(20)
    killed("predict", "good.jsonl", "-o", "out.json", "--to", "conll04")
    monkeypatch.setattr(jobs.Digest, "add", _ADD)
    assert ie("predict", "good.jsonl", "-o", "out.json", "--to", "conll04", "--resume").exit_code == 0
    assert ie("predict", "good.jsonl", "-o", "whole.json", "--to", "conll04").exit_code == 0
    assert Path("out.json").read_bytes() == Path("whole.json").read_bytes()
    assert len(json.loads(Path("out.json").read_text(encoding="utf-8"))) > LINES // 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--resume",), 1, "--resume requires local output files"),
        (("--resume", "-o", "/dev/null"), 1, "--resume requires local output files"),
        (("-o", "x", "--rejects", "x"), 1, "x: this file is also the output"),
        (("-o", "x", "--rejects", "good.jsonl"), 1, "good.jsonl: this file is also the input"),
        (("-o", "x", "--rejects", "no/such/directory/y"), 1, "no directory"),
        (("--rejects", "y", "--on-error", "stop"), 2, "contradict each other"),
    ],
)
def test_contradictory_options_are_reported(arguments: tuple[str, ...], code: int, message: str, here: Path) -> None:
    result = ie("predict", "good.jsonl", *arguments)
    assert result.exit_code == code
    assert message in result.stderr.replace("\n", " ")
    assert Path("good.jsonl").stat().st_size > 0


def test_two_processes_do_not_write_one_file(here: Path) -> None:
    Path("out.jsonl.part.json").write_text("{", encoding="utf-8")  # the message does not ask to remove it
    with claimed("out.jsonl"):
        result = ie("predict", "good.jsonl", "-o", "out.jsonl")
    assert result.exit_code == 1
    assert "another process is writing it" in result.stderr


@pytest.mark.parametrize("size", [0, 2])
@pytest.mark.parametrize("there", [True, False])
def test_a_part_that_is_a_link_is_not_followed(tmp_path: Path, size: int, there: bool) -> None:
    victim, part = tmp_path / "victim", tmp_path / "out.jsonl.part"
    if there:
        victim.write_text("mine")
    part.symlink_to(victim)
    with pytest.raises(StorageError, match=r"out\.jsonl\.part: is a symbolic link"):
        jobs.Part(str(tmp_path / "out.jsonl"), size)
    assert victim.exists() == there
    assert not there or victim.read_text() == "mine"


def test_a_full_disk_keeps_what_the_journal_knows(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = jobs.Part.commit, []

    def full(part: jobs.Part) -> int:
        calls.append(1)
        if len(calls) == 4:
            raise OSError(28, "No space left on device", str(part.path))
        return real(part)

    monkeypatch.setattr(jobs.Part, "commit", full)
    result = ie("predict", "good.jsonl", "-o", "out.jsonl")
    assert result.exit_code == 1
    assert "out.jsonl.part: No space left on device" in result.stderr
    assert "Traceback" not in result.output
    monkeypatch.setattr(jobs.Part, "commit", real)
    assert ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume").exit_code == 0
    assert ie("predict", "good.jsonl", "-o", "whole.jsonl").exit_code == 0
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def test_a_store_gets_nothing_of_a_job_that_failed(here: Path) -> None:
    import fsspec

    assert ie("predict", "big.jsonl", "-o", "memory://jobs/out.jsonl").exit_code == 1
    assert not fsspec.filesystem("memory").exists("/jobs/out.jsonl")
    assert ie("predict", "good.jsonl", "-o", "memory://jobs/out.jsonl.gz").exit_code == 0
    compressed = fsspec.filesystem("memory").cat("/jobs/out.jsonl.gz")
    assert len(gzip.decompress(compressed).splitlines()) == LINES


# Damage


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files of a job that was killed after its second entry, and of another one."""
    directory = tmp_path_factory.mktemp("jobs")
    for name in ("out", "other"):
        job = jobs.Job(targets(directory, name), {"model": name}, {})
        for count in (1, 2):
            for part in job.parts.values():
                part.write(f"{name} {count}\n" * 200)
            job.commit(count, jobs.Digest(), {"written": count})
        job.parts["output"].write("what no entry knows of\n")
        job.close()
    return directory


def targets(directory: Path, name: str = "out") -> dict[str, str]:
    return {"output": str(directory / f"{name}.jsonl"), "rejects": str(directory / f"{name}-bad.jsonl")}


def resumed(directory: Path) -> tuple[int, list[str]]:
    """Resume a job: return the number of finished records, and the contents of its files."""
    with jobs.open_job(targets(directory), {"model": "out"}, resume=True) as job:
        assert job is not None
        done = job.records
        job.commit(done, jobs.Digest(), job.done.get("tally", {}), complete=True)
    return done, [Path(target).read_text(encoding="utf-8") for target in targets(directory).values()]


@settings(max_examples=100, phases=[Phase.generate])  # a seed has no smaller one
@given(seed=st.integers(0, 2**32))
def test_no_damage_of_a_job_goes_unseen(seed: int, interrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = Path(shutil.copytree(interrupted, tmp_path_factory.mktemp("damaged") / "jobs"))
    moved = json.dumps(str(directory))[1:-1].encode()
    for journal in directory.glob("*.part.json"):  # which has the full names of its files
        entry = json.loads(journal.read_bytes().replace(json.dumps(str(interrupted))[1:-1].encode(), moved))
        entry.pop("checksum")
        journal.write_text(json.dumps(with_checksum(entry)), encoding="utf-8")
    changed = damage(random.Random(seed), directory, "*.part", "*.part.json")
    error, found = None, None
    try:
        found = resumed(directory)
    except DataError as raised:
        error = raised.message
    shutil.rmtree(directory)
    if error is not None:
        assert any(path.name in error for path in changed), (changed, error)
    else:  # whitespace, what no entry mentions, or data of another job
        assert found == (2, ["out 1\n" * 200 + "out 2\n" * 200] * 2)


@pytest.mark.parametrize("change", ["flip", "append", "remove"])
@pytest.mark.parametrize("named", [False, True])
def test_a_complete_part_that_was_changed_does_not_get_its_name(change: str, named: bool, here: Path) -> None:
    job = jobs.Job(targets(here), {}, {})
    job.parts["output"].write("one\n")
    job.commit(1, jobs.Digest(), {}, complete=True)
    job.close()
    file = here / "out.jsonl.part"
    if named:
        file = file.replace(here / "out.jsonl")
    if change == "remove":
        file.unlink()
    else:
        file.write_bytes({"flip": b"ona\n", "append": b"one\ntwo\n"}[change])
    with (
        pytest.raises(DataError, match=r"out\.jsonl(\.part)?: (damaged|missing)"),
        jobs.open_job(targets(here), {}, resume=True),
    ):
        raise AssertionError("it was opened")
    assert (here / "out.jsonl.part.json").exists()


def test_a_job_of_an_earlier_version_is_resumed(here: Path) -> None:
    job = jobs.Job(targets(here), {"model": "out"}, {})
    job.parts["output"].write("one\n")
    job.commit(1, jobs.Digest(), {})
    job.close()
    journal = here / "out.jsonl.part.json"
    entry = json.loads(journal.read_text(encoding="utf-8"))
    del entry["checksum"], entry["checksums"]
    journal.write_text(json.dumps(entry), encoding="utf-8")
    assert resumed(here) == (1, ["one\n", ""])


def test_where_memory_ends_what_was_predicted_is_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ie("predict", "good.jsonl", "-o", "whole.jsonl").exit_code == 0
    monkeypatch.setattr(jobs, "COMMIT_SECONDS", 1000.0)  # nothing is due: what is kept is kept because of the error
    with monkeypatch.context() as patch:
        annotate, chunks = predict._annotate, 0

        def short(*arguments: Any) -> Any:
            nonlocal chunks
            chunks += 1
            if chunks == 4:
                raise RuntimeError("could not create a primitive")
            return annotate(*arguments)

        patch.setattr(predict, "_annotate", short)
        failed = ie("predict", "good.jsonl", "-o", "out.jsonl")
    assert failed.exit_code == 1
    said = " ".join(failed.stderr.split())
    assert "error: out of memory" in said
    assert "use a smaller --batch-size" in said
    assert "21 records done: continue with --resume" in said
    assert json.loads(Path("out.jsonl.part.json").read_text(encoding="utf-8"))["records"] == 21
    assert ie("predict", "good.jsonl", "-o", "out.jsonl", "--resume").exit_code == 0
    assert Path("out.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def test_a_digest_of_pairs_depends_on_both_texts() -> None:
    def digest(*documents: Document, pairs: bool) -> str:
        made = jobs.Digest(pairs=pairs)
        for document in documents:
            made.add(document)
        return str(made)

    one, other, alone = Document("a", text_pair="b"), Document("a", text_pair="c"), Document("a")
    assert len({digest(document, pairs=True) for document in (one, other, alone)}) == 3
    assert digest(alone, pairs=True) == digest(alone, pairs=False) == digest(one, pairs=False), "as in earlier journals"
