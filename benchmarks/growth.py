"""Measure how time and peak memory grow with the input, the labels, the length and the batch; write tables and `growth.svg`.

    python benchmarks/growth.py [input] [labels] [length] [batch] [--quick] [--write]
    python benchmarks/growth.py --draw
    python benchmarks/growth.py parts [--quick]

Every point is measured in a separate process, with a `tiny` encoder with fresh weights whose head finds about one span in 20
tokens. --quick measures the two smallest points of each curve; its numbers are meaningless. --draw measures nothing, and draws
the tables of the last results. `parts` prints how readers, metrics and analyses grow separately (growth_parts.py). The
picture needs matplotlib from the extra `bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from growth_curves import AXES, NOTES, VALUES, Curve, Point, Series, Task, draw, read_tables, table
from harness import machine, peak_rss, write_section

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE.parent / "data" / "quickstart" / "train.json"
RESULTS, IMAGE = HERE / "RESULTS.md", HERE / "growth.svg"
WARM_LINES, WARM_STEPS = 64, 2
SAMPLE = 16  # the number of sentences on which the bias of a head is set
TOKENS_A_SPAN = 20
MODEL_LINES = 256  # from which a model that is not trained has its characters
PLACES = 4  # entities of a training line; they make two relations


# What is measured, in a separate process: torch is imported inside the functions, because the main process does not need it.


def recipe_of(task: Task, directory: Path) -> Any:
    """The recipe of a task, whose training data are in `directory`."""
    from ie_cli.recipe.schema import Recipe

    data: dict[str, Any] = {"train": str(directory / "train.jsonl"), "format": "jsonl"}
    head = {"name": task.head}
    if task.relations:
        data["schema_file"] = str(directory / "schema.json")
        head["entity_scorer"] = "efficient_global_pointer"  # its bias can be set so that few spans are found
    else:
        data["labels"] = task.names
    return Recipe.model_validate(
        {
            "name": "growth",
            "task": "relation" if task.relations else "ner",
            "data": data,
            "encoder": {"name": "tiny", "max_length": task.max_length, "stride": min(64, task.max_length // 4)},
            "head": head,
            "training": {"epochs": 1, "batch_size": task.batch, "device": "cpu", "trackers": []},
        }
    )


def make_model(task: Task, directory: Path) -> dict[str, Any]:
    """Write a model with fresh weights that finds few spans."""
    import torch

    from ie_cli.inference.backends.torch import TorchBackend
    from ie_cli.inference.extractor import Extractor
    from ie_cli.training.setup import prepare

    torch.manual_seed(0)
    recipe = recipe_of(task, directory)
    made = prepare(recipe)
    backend = TorchBackend(made.model, "float32")
    extractor = Extractor(backend, made.trained_tasks(), made.tokenizer, recipe, made.pad_id)
    # Where documents are predicted, on a full window: the entries of a window grow faster than its tokens.
    length = task.max_length - 2 if task.length else None
    texts = list(islice(documents(length), 1 if task.length else SAMPLE))
    wanted = max(1, sum(map(len, texts)) // TOKENS_A_SPAN)
    [head] = made.model.heads.values()
    entities, *links = head.tables.values()
    lower([entities], wanted, lambda: sum(len(document.entities) for document in extractor.extract(texts)))
    if links:
        lower(links, wanted, lambda: sum(len(document.relations) for document in extractor.extract(texts)))
    extractor.save_pretrained(directory / "model")
    return {}


def lower(scorers: Sequence[Any], wanted: int, found: Callable[[], int]) -> None:
    """Set the biases of scorers to the largest constant that finds at most the wanted number."""
    from torch.nn.init import constant_

    def fill(value: float) -> None:
        for scorer in scorers:
            constant_(scorer.bias.bias, value)

    low, high = -50.0, 50.0
    for _ in range(12):
        middle = (low + high) / 2
        fill(middle)
        low, high = (low, middle) if found() > wanted else (middle, high)
    fill(low)


def predict(task: Task, directory: Path) -> dict[str, Any]:
    """Predict a file several times, with everything that `ie predict` does after loading the model."""
    from worker_ours import Loaded

    from ie_cli.commands.inputs import Input, ModelChoice
    from ie_cli.commands.predict import Output, run_predict

    choice = ModelChoice(str(directory / "model"), batch_size=task.batch, device="cpu", quiet=True)
    engine, recipe = choice.engine()
    loaded = Loaded(choice.path, ready=(engine, recipe))
    before = rss()

    def run(name: str) -> float:
        began = time.perf_counter()
        source, output = Input(str(directory / name)), Output(str(directory / "output.jsonl"), on_error="stop")
        run_predict(loaded, source, output, output_format="jsonl", quiet=True)
        return time.perf_counter() - began

    run("warm.jsonl")
    seconds = statistics.median(run("input.jsonl") for _ in range(task.rounds))
    result = {"seconds": seconds, "loaded": before, "peak": peak_rss()}
    spans, links = count_in_order(directory / "output.jsonl", task.lines)
    note = f"lines out: {task.lines:,}, spans: {spans:,}" + (f", relations: {links:,}" if task.relations else "")
    return result | {
        "note": note + (f", windows truncated: {engine.counts.truncated:,}" if engine.counts.truncated else "")
    }


def count_in_order(path: Path, lines: int) -> tuple[int, int]:
    """Count the entities and relations of a file of predictions.

    Raises:
        ValueError: its ids are not 0, 1, … in order, or their number is not that of the input lines.
    """
    spans = links = count = 0
    with path.open(encoding="utf-8") as file:
        for count, line in enumerate(file, 1):
            fields = json.loads(line)
            if fields["id"] != count - 1:
                raise ValueError(f"line {count} of the output is line {fields['id'] + 1} of the input")
            spans += len(fields["entities"])
            links += len(fields.get("relations", ()))
    if count != lines:
        raise ValueError(f"{lines} lines in, {count} out")
    return spans, links


def encode(task: Task, directory: Path) -> dict[str, Any]:
    """Encode training data into a store, with known labels and characters."""
    import datasets  # noqa: F401  `encode_dataset` imports both
    import pyarrow  # noqa: F401

    from ie_cli.codecs.base import build_codec
    from ie_cli.data.dataset import Split
    from ie_cli.data.label_schema import LabelSchema
    from ie_cli.data.statistics import DatasetStatistics
    from ie_cli.encoding.tokenizer import recipe_tokenizer
    from ie_cli.encoding.windows import WindowPlan
    from ie_cli.modeling.encoder import tiny_tokenizer
    from ie_cli.recipe.heads import EfficientGlobalPointerSection
    from ie_cli.recipe.schema import DataSection, EncoderSection
    from ie_cli.system.cache import cache_directory
    from ie_cli.training.encoded_dataset import encode_dataset
    from ie_cli.training.window_encoding import Encoding

    section = DataSection(train=str(directory / "input.jsonl"))
    statistics = DatasetStatistics.of(Split((str(QUICKSTART),), section), characters=True)
    tokenizer = recipe_tokenizer(tiny_tokenizer(statistics.characters), EncoderSection(name="tiny"))
    plan = WindowPlan.build(max_length=task.max_length, stride=64, special_tokens=tokenizer.special_tokens)
    codec = build_codec(EfficientGlobalPointerSection(), LabelSchema.build(statistics.labels))
    encoding = Encoding(tokenizer=tokenizer, plan=plan, codec=codec, pad_id=0)
    split = Split((section.train,), section)
    before = rss()
    began = time.perf_counter()
    store = encode_dataset(split, encoding, key=split.fingerprint)
    result = {"seconds": time.perf_counter() - began, "loaded": before, "peak": peak_rss()}
    if store.counts.documents != task.lines:
        raise ValueError(f"{task.lines} lines in, {store.counts.documents} encoded")
    size = sum(path.stat().st_size for path in cache_directory().glob("*.arrow")) / 2**20
    return result | {"note": f"{len(store):,} windows, a store of {size:,.1f} MB"}


def train(task: Task, directory: Path) -> dict[str, Any]:
    """Train some steps, including loading the batches; return the median without the first steps."""
    from accelerate.utils import set_seed

    from ie_cli.system.memory import keep_freed_memory
    from ie_cli.system.signals import Stop
    from ie_cli.training.loop import Run
    from ie_cli.training.setup import prepare

    keep_freed_memory()  # as `ie train` does
    set_seed(0)
    recipe = recipe_of(task, directory)
    run = Run.start(recipe, prepare(recipe), directory / "run", stop=Stop())
    run.model.train()
    before = rss()
    times = []
    began = time.perf_counter()
    for batch in run.loader:
        loss = run._step(batch).item()
        times.append(time.perf_counter() - began)
        began = time.perf_counter()
    seconds = statistics.median(times[WARM_STEPS:])
    return {"seconds": seconds, "loaded": before, "peak": peak_rss(), "note": f"loss {loss:.3g}"}


JOBS = {"model": make_model, "predict": predict, "encode": encode, "train": train}


def rss() -> float:
    """Resident memory of this process, in MB."""
    import psutil

    return psutil.Process().memory_info().rss / 2**20


def work(job: str, task: Task, directory: Path) -> None:
    """Run a job in this process and print its result."""
    from ie_cli.system.cores import share_cores

    share_cores()
    print(json.dumps(JOBS[job](task, directory)))


# The input, and the processes one after the other.


def documents(length: int | None, seed: int = 0) -> Iterator[str]:
    """Draw sentences of the quickstart endlessly; with a length, join them to texts of that many characters."""
    with QUICKSTART.open(encoding="utf-8") as file:
        sentences = [json.loads(line)["text"] for line in file]
    drawn = random.Random(seed)
    while True:
        text = drawn.choice(sentences)
        while length is not None and len(text) < length:
            text += drawn.choice(sentences)
        yield text[:length]


def annotated(task: Task) -> Iterator[dict[str, Any]]:
    """Return training lines that fill a window, with entities, or relations between them, at arbitrary positions."""
    drawn = random.Random(0)
    for n, text in enumerate(documents(task.max_length - 2)):
        starts = drawn.sample(range(len(text) - 3), PLACES)
        names = [task.names[(PLACES * n + k) % task.rows] for k in range(PLACES)]
        spans = [{"start": at, "end": at + 3, "label": name} for at, name in zip(starts, names, strict=True)]
        if not task.relations:
            yield {"text": text, "entities": spans}
            continue
        pairs = zip(spans[::2], spans[1::2], names, strict=False)
        yield {"text": text, "relations": [{"subject": a, "predicate": p, "object": b} for a, b, p in pairs]}


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_material(task: Task, directory: Path) -> None:
    """Write the files that the processes of a task read."""
    if task.job == "encode":
        sentences = QUICKSTART.read_text(encoding="utf-8").splitlines(keepends=True)
        drawn = random.Random(0)
        with (directory / "input.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(drawn.choice(sentences) for _ in range(task.lines))
        return
    lines = task.batch * (task.rounds + WARM_STEPS) if task.job == "train" else MODEL_LINES
    write_lines(directory / "train.jsonl", islice(annotated(task), lines))
    schema = ({"subject_type": "a", "predicate": name, "object_type": "b"} for name in task.names)
    write_lines(directory / "schema.json", schema)
    if task.job == "predict":
        for name, count in (("input.jsonl", task.lines), ("warm.jsonl", min(task.lines, WARM_LINES))):
            texts = islice(documents(task.length, seed=1), count)
            write_lines(directory / name, ({"id": n, "text": text} for n, text in enumerate(texts)))


def process(job: str, task: Task, directory: Path) -> dict[str, Any]:
    """Run a job in a new process.

    Raises:
        RuntimeError: the job failed; the message is its last line on stderr.
    """
    command = [sys.executable, __file__, "--work", job, json.dumps(asdict(task)), str(directory)]
    environment = os.environ | {"IE_CACHE": str(directory / "cache"), "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"}
    run = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
    if run.returncode:
        told = run.stderr.strip().splitlines()[-1:] or ["nothing"]
        raise RuntimeError(f"{job} ended with code {run.returncode}: {told[0]}")
    return json.loads(run.stdout.splitlines()[-1])


def measure(series: Series, *, quick: bool, most_lines: int) -> Curve:
    """Measure the points of a curve; if one fails, its note says why."""
    points = []
    sizes = [size for size in series.sizes if series.varies != "lines" or size <= most_lines]
    for size in sizes[: 2 if quick else None]:
        task = replace(series.task, **{series.varies: size})
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            write_material(task, directory)
            try:
                if task.job == "predict":
                    process("model", task, directory)
                found = process(task.job, task, directory)
            except RuntimeError as error:
                points.append(Point(size, note=f"failed: {error}"))
            else:
                values = [VALUES[name](task, found["seconds"]) for name in (series.time, series.rate)]
                points.append(Point(size, *values, found["loaded"], found["peak"], found["note"]))
        print(f"{series.title}: {size:,} {series.size}: {points[-1].note}", file=sys.stderr, flush=True)
    return Curve(series.title, series.size, series.time, series.rate, points)


def written() -> list[Curve]:
    """Read the curves of the tables in the results."""
    _, _, text = RESULTS.read_text(encoding="utf-8").partition("<!-- growth:begin -->")
    return read_tables(text.partition("<!-- growth:end -->")[0])


def section(curves: Sequence[Curve], command: str) -> str:
    """Return the section of the results about the curves."""
    facts = "\n".join(f"- {line}" for line in machine({"ie": sys.executable}))
    image = f"![Time and peak memory on logarithmic axes]({IMAGE.name})"
    return "\n\n".join(["## Growth", f"    {command}", facts, *NOTES, image, *map(table, curves)])


def main() -> int:
    """Measure the selected curves; return 1 if a point failed."""
    if sys.argv[1:2] == ["--work"]:
        job, task, directory = sys.argv[2:]
        work(job, Task(**json.loads(task)), Path(directory))
        return 0
    if sys.argv[1:2] == ["parts"]:
        import growth_parts

        growth_parts.main(quick="--quick" in sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=f"{', '.join(AXES)}; default: all")
    parser.add_argument("--most-lines", type=int, default=1_000_000, help="omit longer inputs")
    parser.add_argument("--quick", action="store_true", help="the two smallest points of each curve")
    parser.add_argument("--write", action="store_true", help=f"replace the tables in {RESULTS.name}")
    parser.add_argument("--image", type=Path, default=IMAGE, help=f"the file of the picture; default: {IMAGE.name}")
    parser.add_argument("--draw", action="store_true", help=f"only draw the tables of {RESULTS.name} again")
    given = parser.parse_args()
    if given.draw:
        draw(written(), given.image)
        return 0
    if unknown := set(given.axes) - AXES.keys():
        parser.error(f"no axis {', '.join(sorted(unknown))}; there are {', '.join(AXES)}")
    if given.quick and given.write:
        parser.error("the results of --quick cannot be written")
    curves = [
        measure(series, quick=given.quick, most_lines=given.most_lines)
        for axis in given.axes or AXES
        for series in AXES[axis]
    ]
    text = section(curves, shlex.join(["python", "benchmarks/growth.py", *sys.argv[1:]]))
    print(text)
    if given.write:
        write_section(RESULTS, "growth", text)
    draw(curves, given.image)  # last, because the tables that took hours are written by now
    return int(any(point.failed for curve in curves for point in curve.points))


if __name__ == "__main__":
    sys.exit(main())
