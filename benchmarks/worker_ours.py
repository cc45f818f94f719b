"""The worker of this project: the loop of `ie train` and the pipeline of `ie predict`.

torch is imported inside the functions: like `ie`, this worker first sets how the threads of torch wait.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from corpus import Material, count_entities, labels_of, read_sentences, score_of_rank
from harness import Reply

from ie_cli.commands.inputs import Input, ModelChoice
from ie_cli.commands.predict import Output, run_predict
from ie_cli.recipe.schema import Recipe
from ie_cli.system.cores import share_cores

Options = Mapping[str, Any]
Ready = tuple[Reply, Callable[[], Reply]]
SAMPLE = 64  # the number of sentences on which the bias of the head is set


def start(options: Options) -> Ready:
    """Run the job that `options` name: train, predict, forward, or make the model that the last two need."""
    share_cores()
    jobs = {"train": train, "predict": predict, "forward": forward, "model": make_model}
    return jobs[options["job"]](options)


def recipe_of(options: Options) -> Recipe:
    """The recipe of both training jobs."""
    material = Material(Path(options["directory"]))
    relations = options["task"] == "relation"
    head = {"name": "efficient_global_pointer"}
    if relations:
        head = {"name": "gplinker", "entity_scorer": "efficient_global_pointer", "entity_rows": "roles"}
    data = {"train": str(material.entities), "format": "cluener"}
    if relations:
        data = {"train": str(material.relations), "format": "jsonl"}
    training = {"epochs": 1, "batch_size": options["batch_size"], "precision": options.get("precision", "auto")}
    return Recipe.model_validate(
        {
            "name": "speed",
            "task": options["task"],
            "data": data,
            "encoder": {"name": str(material.encoder)},
            "head": head,
            "training": {**training, "trackers": []},
        }
    )


class Saving(Exception):
    """Raised when a run would save its model: what follows is not measured."""


@dataclass
class Watch:
    """The measurements of one run of the loop."""

    encoding: float = 0.0
    padded: int = 0
    ended: float = 0.0


def watch_training() -> Watch:
    """Time the encoding of the data, count the steps, and stop when the model would be saved."""
    from ie_cli.training import loop
    from ie_cli.training import setup as prepare

    watch = Watch()
    encode_dataset, step = prepare.encode_dataset, loop.Run._step

    def timed_store(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        store = encode_dataset(*arguments, **named)
        watch.encoding = time.perf_counter() - began
        return store

    def counted_step(run: Any, batch: Any) -> Any:
        watch.padded += batch.input_ids.numel()
        return step(run, batch)

    def save(run: Any) -> None:
        watch.ended = time.perf_counter()
        raise Saving

    prepare.encode_dataset, loop.Run._step, loop.Run._save = timed_store, counted_step, save
    return watch


def train(options: Options) -> Ready:
    """Run an epoch of the real loop, from the event `Started` until the model would be saved."""
    return train_epoch(recipe_of(options))


def train_epoch(recipe: Recipe) -> Ready:
    """Run an epoch of a recipe as in `train`."""
    from ie_cli.modeling.devices import choose_device, choose_precision
    from ie_cli.system.memory import keep_freed_memory
    from ie_cli.training import run as training

    keep_freed_memory()  # as `ie train` does
    watch = watch_training()

    def run() -> Reply:
        watch.padded = 0
        with tempfile.TemporaryDirectory() as directory:
            os.environ["IE_CACHE"] = directory  # nothing is reused from an earlier round
            events = training.train(recipe, Path(directory) / "run")
            started = next(events)
            began = time.perf_counter()
            with suppress(Saving):
                for _ in events:
                    pass
        [task] = started.tasks.values()
        return {
            "seconds": watch.ended - began,
            "items": len(task.dataset),
            "steps": started.steps,
            "tokens": int(task.dataset.lengths.sum()),
            "padded_tokens": watch.padded,
            "encode_seconds": watch.encoding,
        }

    return {"precision": choose_precision(recipe.training.precision, choose_device())}, run


def make_model(options: Options) -> Ready:
    """Write a model directory with fresh weights whose head finds about as many spans as the gold data have."""
    import torch

    from ie_cli.encoding.padding import pad, text_mask
    from ie_cli.export.onnx import export_onnx
    from ie_cli.formats import Reading, read_documents
    from ie_cli.inference.backends.torch import TorchBackend
    from ie_cli.inference.extractor import Extractor
    from ie_cli.training.setup import prepare

    material = Material(Path(options["directory"]))

    def run() -> Reply:
        began = time.perf_counter()
        torch.manual_seed(0)
        recipe = recipe_of(options)
        with tempfile.TemporaryDirectory() as cache:
            os.environ["IE_CACHE"] = cache
            setup = prepare(recipe)
        backend = TorchBackend(setup.model.eval(), "float32")
        extractor = Extractor(backend, setup.trained_tasks(), setup.tokenizer, recipe, setup.pad_id)
        sentences = list(read_sentences(material.entities))[:SAMPLE]
        tokenizer = extractor.text_tokenizer()
        tokens = tokenizer.encode([sentence.text for sentence in sentences])
        ids, mask = pad([tokenizer.surround(own.ids) for own in tokens], setup.pad_id)
        text = torch.from_numpy(text_mask(mask, len(tokenizer.prefix), len(tokenizer.suffix)))
        scorer = setup.model.heads[options["task"]].tables["entities"]
        with torch.inference_mode():
            hidden = setup.model.hidden(torch.from_numpy(ids), torch.from_numpy(mask))
            pair, first, last = scorer.scores(hidden)
        scores = pair[:, None] + first[..., None] + last[:, :, None]  # [batch, labels, L, L]
        counted = (text[:, :, None] & text[:, None]).triu()[:, None].expand_as(scores)
        gold = sum(len(sentence.spans) for sentence in sentences)
        scorer.bias.bias.data -= score_of_rank(scores[counted].numpy(), gold)
        extractor.save_pretrained(material.model)
        plain = Extractor.from_pretrained(material.model, device="cpu", precision="float32")
        gold = list(islice(read_documents(str(material.entities), format="cluener", reading=Reading()), SAMPLE))
        for name in ("onnx", "onnx-int8"):
            export_onnx(plain, material.directory / name, gold, int8=name == "onnx-int8", force=True)
        return {"seconds": time.perf_counter() - began, "items": 1}

    return {"labels": labels_of(read_sentences(material.entities))}, run


@dataclass(frozen=True)
class Loaded(ModelChoice):
    """A choice of a model that is already loaded."""

    ready: Any = None

    def engine(self) -> Any:
        """Engine and recipe."""
        return self.ready


class Recorder:
    """A backend that records the batches that another one runs."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.batches: list[tuple[Any, Any]] = []

    def run(self, ids: Any, mask: Any) -> Any:
        """As the other backend."""
        self.batches.append((ids, mask))
        return self.backend.run(ids, mask)

    def write(self, directory: Path) -> None:
        """As the other backend."""
        self.backend.write(directory)


@dataclass
class Pipeline:
    """A loaded model, and its batches for the file of texts."""

    engine: Any
    run: Callable[[Any], None]
    output: Path
    facts: Reply
    work: Reply
    batches: list[tuple[Any, Any]]

    @classmethod
    def load(cls, options: Options) -> Pipeline:
        """Load the model as `ie predict` does (`options["model"]`: fields of `ModelChoice`); record the batches of one run."""
        material = Material(Path(options["directory"]))
        form = options.get("form", "model")  # a directory that `make_model` wrote
        output = material.directory / f"ours-{'-'.join([options['job'], form, *options['model'].values()])}.jsonl"
        choice = ModelChoice(str(material.directory / form), quiet=True, **options["model"])
        began = time.perf_counter()
        engine, recipe = choice.engine()
        loading = time.perf_counter() - began

        def run(engine: Any) -> None:
            source = Input(str(material.texts))
            loaded = Loaded(choice.path, ready=(engine, recipe))
            run_predict(loaded, source, Output(str(output), on_error="stop"), output_format="jsonl", quiet=True)

        recorder = Recorder(engine.backend)
        run(replace(engine, backend=recorder))
        masks = [mask for _, mask in recorder.batches]
        work = {
            "items": engine.counts.texts,
            "tokens": int(sum(mask.sum() for mask in masks)),
            "padded_tokens": sum(mask.size for mask in masks),
        }
        precision = getattr(engine.backend, "precision", "int8" if form == "onnx-int8" else "float32")
        facts = {"precision": precision, "load_seconds": loading}
        return cls(engine, run, output, facts, work, recorder.batches)


def predict(options: Options) -> Ready:
    """Predict from a file of texts to a file of entities, with everything that `ie predict` does after loading the model."""
    pipeline = Pipeline.load(options)

    def run() -> Reply:
        began = time.perf_counter()
        pipeline.run(pipeline.engine)
        elapsed = time.perf_counter() - began
        return {"seconds": elapsed, "spans": count_entities(pipeline.output), **pipeline.work}

    return pipeline.facts, run


def forward(options: Options) -> Ready:
    """The encoder alone, on the batches of the whole pipeline; torch only."""
    import torch

    from ie_cli.inference.backends.torch import TorchBackend
    from ie_cli.modeling.devices import torch_dtype

    pipeline = Pipeline.load(options)
    backend = pipeline.engine.backend
    if not isinstance(backend, TorchBackend):
        raise TypeError(f"the encoder alone is measured with torch, got {type(backend).__name__}")
    parameter, dtype = next(backend.model.encoder.parameters()), torch_dtype(backend.precision)
    autocast = {"dtype": dtype, "enabled": dtype not in (parameter.dtype, torch.float32)}
    batches = [(torch.from_numpy(ids), torch.from_numpy(mask)) for ids, mask in pipeline.batches]

    def run() -> Reply:
        began = time.perf_counter()
        with torch.inference_mode(), torch.autocast(parameter.device.type, **autocast):
            for ids, mask in batches:
                backend.model.hidden(ids.to(parameter.device), mask.to(parameter.device))
        return {"seconds": time.perf_counter() - began, **pipeline.work}

    return pipeline.facts, run
