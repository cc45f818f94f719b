"""The job scripts of docs/guide/many-files.md, run by bash without a scheduler: together they write what one command writes."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from docs.test_commands import require_known
from support.pages import ROOT, Block, blocks
from support.runner import ie
from support.shard_jobs import outputs

PAGE = "docs/guide/many-files.md"
EXPORTED = ROOT / "tests" / "fixtures" / "format_v2" / "ner" / "onnx"
PARALLEL = """#!/bin/bash
# What GNU parallel does with `-q --jobs N COMMAND … ::: ARGUMENT …`, one after the other.
[ "$1" = -q ] && [ "$2" = --jobs ] || exit 9
shift 3
command=()
while [ "$1" != ::: ]; do command+=("$1"); shift; done
shift
for argument; do "${command[@]//'{}'/$argument}" || exit; done
"""


def block(word: str) -> Block:
    (found,) = [one for one in blocks(PAGE) if one.reason is not None and one.text.lstrip().startswith(word)]
    return found


def program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory like that of the page, in which `ie` and `parallel` are programs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    for n in range(5):
        (tmp_path / "texts" / f"{n}.jsonl").write_text('{"text": "王伟在青川大学读书。"}\n' * (n + 1), encoding="utf-8")
    shutil.copytree(EXPORTED, tmp_path / "runs" / "quickstart" / "model")
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "ie", f'#!/bin/bash\nexec {shlex.quote(sys.executable)} -m ie_cli "$@"\n')
    program(tmp_path / "bin" / "parallel", PARALLEL)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
    return tmp_path


def bash(script: str, **environment: str) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def require_complete(here: Path) -> None:
    finished = ie("predict", "texts/*", "--model", "runs/quickstart/model", "-o", "annotated/")
    assert "5 of 5 shards finished before" in finished.stderr
    assert ie("predict", "texts/*", "--model", "runs/quickstart/model", "-o", "alone/").exit_code == 0
    assert outputs(here / "annotated") == outputs(here / "alone")


def test_the_array_of_slurm(here: Path) -> None:
    script = block("#!/bin/bash").text
    assert "#SBATCH --array=1-8\n" in script
    for number in (1, 2):
        bash(script, SLURM_CPUS_PER_TASK="1", SLURM_ARRAY_TASK_ID=str(number), SLURM_ARRAY_TASK_COUNT="2")
    require_complete(here)


def test_gnu_parallel(here: Path) -> None:
    bash(block("parallel").text)
    require_complete(here)


def test_the_job_of_ray() -> None:
    words = shlex.split(block("ray job submit").text)
    command = words[words.index("--") + 1 :]
    assert command[0] == "ie"
    require_known(command[1:])
