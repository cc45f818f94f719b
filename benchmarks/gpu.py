"""Measure training steps and prediction on one GPU, beside loops of transformers and bert4torch, in less than eight minutes.

    python benchmarks/gpu.py                 # prints a Markdown table
    python benchmarks/gpu.py --cpu-smoke     # tiny encoders on a CPU: shows only that everything runs

Encoders have random weights of the sizes of BERT-base and BERT-large, and texts are random characters: nothing is downloaded.
The share of the peak is that of the operations of the encoder (`scale.flops_per_token`, times three in training) on all tokens
with padding, against a product of large matrices on the same card. bert4torch is measured if it is installed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scale import flops_per_token, table
from torch import Tensor, nn

CHARACTERS = [chr(code) for code in range(0x4E00, 0x4E00 + 400)]
SIZES = {
    "BERT-base": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072},
    "BERT-large": {"num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096},
}
SMOKE = {"tiny": {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}}
LABELS, PREDICATES = 10, 49
SYSTEMS = {1: "ie", 0: "ie, the GPU waits for decoding"}
"""Our prediction, by the number of batches that are launched before the oldest of them is decoded; by default 1 on a GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured: batches of `batch` texts of up to `longest` characters, in `steps` steps after `warm` ones."""

    device: torch.device
    dtype: torch.dtype
    batch: int
    longest: int
    warm: int
    steps: int
    peak: float

    @property
    def texts(self) -> int:
        """The number of texts that the steps need."""
        return self.batch * (self.warm + self.steps)

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which other systems run, in the same precision."""
        return torch.autocast(self.device.type, dtype=self.dtype) if self.dtype != torch.float32 else nullcontext()


@dataclass(frozen=True, slots=True)
class Timing:
    """The seconds of some steps, and their tokens with and without padding."""

    seconds: float
    tokens: int
    padded: int


def synchronise(device: torch.device) -> None:
    """Wait for all work of a device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gemm_peak(device: torch.device, dtype: torch.dtype, size: int, rounds: int = 10) -> float:
    """Return the operations per second of a product of two square matrices; the median of some rounds."""
    one, other = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = []
    for number in range(rounds + 2):
        synchronise(device)
        began = time.perf_counter()
        one @ other
        synchronise(device)
        if number > 1:
            seconds.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(seconds)


# --- material


def documents(count: int, longest: int) -> list[dict[str, Any]]:
    """Return random texts of a quarter of `longest` characters to all of them, each with two entities and a relation."""
    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        length = int(random.integers(longest // 4, longest + 1))
        text = "".join(random.choice(CHARACTERS, length))
        spans = [(0, 2, f"label {number % LABELS}"), (length // 2, length // 2 + 2, f"label {(number + 1) % LABELS}")]
        subject, object_ = ({"start": a, "end": b, "label": label} for a, b, label in spans)
        relation = {"subject": subject, "predicate": f"predicate {number % PREDICATES}", "object": object_}
        made.append({"text": text, "entities": [subject, object_], "relations": [relation]})
    return made


def write_encoder(directory: Path, sizes: dict[str, int]) -> None:
    """Write an encoder with random weights, and a tokenizer with a token for each character."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from ie_cli.modeling.encoder import tiny_tokenizer

    tokenizer = tiny_tokenizer(Counter(CHARACTERS * 2))
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(directory)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), pad_token_id=0, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained(directory)


# --- our own steps


def our_recipe(encoder: Path, data: Path, task: str, plan: Plan, *, compiled: bool = False) -> Any:
    """Return a recipe for a number of steps without evaluation."""
    from ie_cli.recipe.schema import Recipe

    head = {"ner": {"name": "efficient_global_pointer"}, "relation": {"name": "gplinker"}}[task]
    training: dict[str, Any] = {"epochs": 1, "batch_size": plan.batch, "trackers": []}
    training["device"] = "cpu" if plan.device.type == "cpu" else "auto"
    if compiled:
        training["compile"] = True
    fields = {"name": "gpu", "task": task, "data": {"train": str(data)}, "encoder": {"name": str(encoder)}}
    return Recipe.model_validate({**fields, "head": head, "training": training})


def our_steps(recipe: Any, plan: Plan, directory: Path) -> tuple[Timing, Path]:
    """Time the steps of the loop of `ie train`, and store the model."""
    from ie_cli.system.signals import Stop
    from ie_cli.training.loop import Run
    from ie_cli.training.setup import prepare

    run = Run.start(recipe, prepare(recipe), directory, stop=Stop())
    run.model.train()
    masks: list[Tensor] = []
    began = 0.0
    for number, batches in enumerate(run._batches()):
        if number == plan.warm:
            synchronise(plan.device)
            masks, began = [], time.perf_counter()
        for batch, loss in zip(batches, run._step(batches), strict=True):
            run.tracker.add(loss, run.step + 1, batch, sentences=float(len(batch)))
            masks.append(batch.attention_mask)
        run.seen += 1
        run._finish_step()
        if run.tracker.due():
            run.tracker.read()
    synchronise(plan.device)
    seconds = time.perf_counter() - began
    run.evaluator.save_model(directory / "model")
    return Timing(
        seconds, sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)
    ), directory / "model"


def our_prediction(model: Path, texts: Sequence[str], plan: Plan, ahead: int) -> Timing:
    """Time prediction from texts to annotation, with everything that `ie predict` does between reading and writing.

    Args:
        model: the model directory.
        texts: the texts.
        plan: the size of the batches, and the device.
        ahead: the number of batches that are launched before the oldest of them is decoded.
    """
    from ie_cli.document import Document
    from ie_cli.inference.extractor import Extractor
    from ie_cli.inference.pipeline import extract

    extractor = Extractor.from_pretrained(model, device="cpu" if plan.device.type == "cpu" else "auto")
    engine = replace(extractor.engine(batch_size=plan.batch, split="never"), ahead=ahead)
    list(extract(engine, map(Document, texts[: 2 * plan.batch])))
    synchronise(plan.device)
    began = time.perf_counter()
    list(extract(engine, map(Document, texts)))
    seconds = time.perf_counter() - began
    lengths = sorted((len(text) + 2 for text in texts), reverse=True)
    padded = sum(lengths[at] * len(lengths[at : at + plan.batch]) for at in range(0, len(lengths), plan.batch))
    return Timing(seconds, sum(lengths), padded)


# --- loops of others


def plain_batches(texts: Sequence[str], encoder: Path, plan: Plan) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield ids and masks ``[batch, L]`` in the order of the texts, padded to the longest of a batch, as tutorials do."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(encoder)
    for at in range(0, len(texts), plan.batch):
        found = tokenizer(list(texts[at : at + plan.batch]), padding=True, return_tensors="pt")
        yield found["input_ids"].to(plan.device), found["attention_mask"].to(plan.device)


def timed_loop(step: Callable[[Tensor, Tensor], None], batches: Iterable[tuple[Tensor, Tensor]], plan: Plan) -> Timing:
    """Time a step over batches; those to warm up are not counted."""
    seen: list[Tensor] = []
    began = 0.0
    for number, (ids, mask) in enumerate(batches):
        if number == plan.warm:
            synchronise(plan.device)
            seen, began = [], time.perf_counter()
        step(ids, mask)
        seen.append(mask)
    synchronise(plan.device)
    seconds = time.perf_counter() - began
    return Timing(seconds, sum(int(mask.sum()) for mask in seen), sum(mask.numel() for mask in seen))


def transformers_steps(encoder: Path, texts: Sequence[str], plan: Plan) -> Timing:
    """Time steps of a token classifier: forward, loss, backward, clipping and AdamW."""
    from transformers import AutoModelForTokenClassification

    model = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=2 * LABELS + 1).to(plan.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)

    def step(ids: Tensor, mask: Tensor) -> None:
        with plan.autocast():
            loss = model(input_ids=ids, attention_mask=mask, labels=torch.where(mask > 0, 0, -100)).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return timed_loop(step, plain_batches(texts, encoder, plan), plan)


def transformers_prediction(encoder: Path, texts: Sequence[str], plan: Plan) -> Timing:
    """Time the forward pass and the argmax of a token classifier, brought to the CPU."""
    from transformers import AutoModelForTokenClassification

    model = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=2 * LABELS + 1)
    model = model.to(plan.device, plan.dtype).eval()

    def step(ids: Tensor, mask: Tensor) -> None:
        with torch.inference_mode():
            model(input_ids=ids, attention_mask=mask).logits.argmax(-1).cpu()

    batches = list(plain_batches(texts, encoder, plan))
    return timed_loop(step, chain(islice(cycle(batches), plan.warm), batches), plan)


def bert4torch_steps(encoder: Path, texts: Sequence[str], plan: Plan) -> Timing | None:
    """Time steps of bert4torch's Efficient GlobalPointer with dense labels; None if it is not installed."""
    try:
        from bert4torch.layers import EfficientGlobalPointer
        from bert4torch.losses import MultilabelCategoricalCrossentropy
        from bert4torch.models import build_transformer_model
    except ImportError:
        return None
    size = json.loads((encoder / "config.json").read_text(encoding="utf-8"))["hidden_size"]
    body = build_transformer_model(str(encoder / "config.json"), model="bert", segment_vocab_size=0)
    parts = nn.ModuleList([body, EfficientGlobalPointer(size, LABELS, 64)]).to(plan.device).train()
    loss_of = MultilabelCategoricalCrossentropy()
    optimizer = torch.optim.AdamW(parts.parameters(), lr=2e-5)

    def step(ids: Tensor, mask: Tensor) -> None:
        with plan.autocast():
            scores = parts[1](parts[0]([ids]), mask)
        gold, flat = torch.zeros_like(scores), len(scores) * LABELS
        loss_of(scores.float().reshape(flat, -1), gold.float().reshape(flat, -1)).mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return timed_loop(step, plain_batches(texts, encoder, plan), plan)


# --- the report


class Report:
    """The rows of the table, which are printed as soon as they are known."""

    def __init__(self, plan: Plan, deadline: float) -> None:
        self.plan, self._deadline, self.rows = plan, deadline, list[list[str]]()

    def measure(self, what: str, size: str, system: str, work: Callable[[], Timing | None], flops: int) -> None:
        """Measure a row, unless the time is over or the system is missing.

        Args:
            what: the work, for the table.
            size: the encoder, for the table.
            system: who does it.
            work: what is timed.
            flops: the operations of the encoder for one token.
        """
        if time.monotonic() > self._deadline:
            self.rows.append([what, size, system, *["–"] * 4, "omitted: the time is over"])
            return
        gc.collect()  # the models of earlier rows
        if self.plan.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        timing = work()
        if timing is None:
            self.rows.append([what, size, system, *["–"] * 4, "not installed"])
            return
        memory = f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if self.plan.device.type == "cuda" else "–"
        rate = timing.padded * flops / timing.seconds
        padding = f"{1 - timing.tokens / timing.padded:.0%}"
        self.rows.append(
            [what, size, system, f"{timing.seconds:.4f}", f"{timing.tokens / timing.seconds:,.0f}", padding]
            + [f"{rate / 1e12:.2f}, {rate / self.plan.peak:.0%}", memory]
        )
        print(" ".join(self.rows[-1]), file=sys.stderr, flush=True)

    def table(self) -> str:
        """Return the table."""
        heads = ["work", "encoder", "system", "seconds", "tokens/s", "padding", "TFLOP/s, share of the GEMM peak"]
        return table([*heads, "memory"], self.rows)


def measure_size(
    size: str, sizes: dict[str, int], plan: Plan, report: Report, directory: Path, *, compiled: bool = False
) -> None:
    """Measure all systems with one encoder; `compiled` adds our own with torch.compile, whose warm-up takes minutes."""
    data, encoder = directory / "train.jsonl", directory / "encoder"
    made = documents(plan.texts, plan.longest)
    data.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in made), encoding="utf-8")
    write_encoder(encoder, sizes)
    texts = [one["text"] for one in made]
    names = {"layers": "num_hidden_layers", "hidden": "hidden_size", "feed_forward": "intermediate_size"}
    shape = {short: sizes[name] for short, name in names.items()}
    forward = int(flops_per_token(shape, plan.longest * 5 / 8))
    models: dict[str, Path] = {}

    def ours(task: str) -> Timing:
        timing, models[task] = our_steps(our_recipe(encoder, data, task, plan), plan, directory / f"run-{task}")
        return timing

    for task, head in (("ner", "Efficient GlobalPointer"), ("relation", "GPLinker")):
        report.measure(f"training, {head}", size, "ie", partial(ours, task), 3 * forward)
    if compiled:
        recipe = our_recipe(encoder, data, "ner", plan, compiled=True)
        what = "training, Efficient GlobalPointer"
        report.measure(
            what, size, "ie --compile", lambda: our_steps(recipe, plan, directory / "compiled")[0], 3 * forward
        )
    theirs = partial(transformers_steps, encoder, texts, plan)
    report.measure("training, BIO tags", size, "transformers", theirs, 3 * forward)
    theirs = partial(bert4torch_steps, encoder, texts, plan)
    report.measure("training, Efficient GlobalPointer", size, "bert4torch", theirs, 3 * forward)
    for task, model in models.items():
        for ahead, system in SYSTEMS.items():
            predict = partial(our_prediction, model, texts, plan, ahead)
            report.measure(f"prediction, {task}", size, system, predict, forward)
    what = "forward pass and argmax"
    report.measure(what, size, "transformers", partial(transformers_prediction, encoder, texts, plan), forward)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="Speed on one GPU.")
    parser.add_argument(
        "--cpu-smoke", action="store_true", help="tiny encoders on the CPU, to see that the script works"
    )
    parser.add_argument("--compile", action="store_true", help="also measure training.compile, which takes longer")
    parser.add_argument("--minutes", type=float, default=7.0, help="after this time, no further row is begun")
    options = parser.parse_args(arguments)
    if not options.cpu_smoke and not torch.cuda.is_available():
        print("gpu.py: skipped, because torch finds no GPU here; nothing was measured")
        return
    from ie_cli.modeling.devices import choose_device, choose_precision, torch_dtype

    device = choose_device("cpu" if options.cpu_smoke else "auto")
    dtype = torch_dtype(choose_precision("auto", device))
    peak = gemm_peak(device, dtype, 256 if options.cpu_smoke else 8192)
    plan = Plan(device=device, dtype=dtype, batch=64, longest=126, warm=10, steps=40, peak=peak)
    if options.cpu_smoke:
        plan = Plan(device=device, dtype=dtype, batch=4, longest=24, warm=1, steps=2, peak=peak)
    report = Report(plan, time.monotonic() + 60 * options.minutes)
    for size, sizes in (SMOKE if options.cpu_smoke else SIZES).items():
        with tempfile.TemporaryDirectory() as directory:
            os.environ["IE_CACHE"] = directory
            measure_size(size, sizes, plan, report, Path(directory), compiled=options.compile)
    name = "a CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)
    kind = str(dtype).removeprefix("torch.")
    print(f"{name}, torch {torch.__version__}, {kind}; a product of matrices: {peak / 1e12:.1f} TFLOP/s")
    texts = f"{plan.batch} texts of {plan.longest // 4} to {plan.longest} characters"
    print(f"Batches of {texts}, {plan.steps} steps.\n\n{report.table()}")


if __name__ == "__main__":
    main()
