"""Measure the encoder options `attention_scale` and `activation` with encoders built from scratch.

    python benchmarks/encoder_options.py lengths [--data FILE --dev FILE] [--seeds 1 2 3] [--steps N] [--device cuda] [--work DIR]
    python benchmarks/encoder_options.py speed

`lengths` trains encoders with rotary positions to restore masked characters in windows of 64 characters, and reads windows of
64 to 512, with the usual attention and with `log_n`. The windows are cut from all sentences of a file, joined. It is the
experiment of article 8823 on a small scale. Finished models are skipped if it is run again with the same --work.

`speed` compares SquarePlus with GELU: the activation alone, and a training step of an encoder of 6 layers of 384.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from ie_cli.formats import read_documents
from ie_cli.modeling.cpu.training import prepare_for_training
from ie_cli.modeling.encoder import apply_options, build_encoder
from ie_cli.modeling.squareplus import squareplus
from ie_cli.recipe.schema import EncoderSection

DATA = Path(__file__).parent.parent / "data" / "quickstart"
TRAINED, LENGTHS = 64, (64, 128, 256, 512)
VARIANTS: dict[str, dict[str, Any]] = {"usual": {}, "log_n": {"attention_scale": "log_n"}}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "GELU": nn.functional.gelu,
    "SquarePlus": partial(squareplus, b=0.3927),
}
MASK, UNKNOWN, SHARE = 0, 1, 0.15
BATCH, EVALUATED = 32, 2**15  # windows of a step; characters that are read for each length
RATE, WARMUP = 2e-3, 0.1


def characters(files: Sequence[str]) -> str:
    """Return the texts of all sentences, joined."""
    return "".join(document.text for file in files for document in read_documents(file))


def encoder_of(variant: str, vocabulary: int) -> nn.Module:
    """Build an encoder with rotary positions: learned positions would end at the length of the training windows."""
    ids = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), UNKNOWN)
    config = transformers.ModernBertConfig(
        vocab_size=vocabulary,
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        global_attn_every_n_layers=1,
        **ids,
    )
    section = {"name": "x", "max_length": max(LENGTHS), **VARIANTS[variant]}
    apply_options(config, EncoderSection.model_validate(section))
    return build_encoder(config)


class Restorer(nn.Module):
    """An encoder that predicts masked characters with its embeddings."""

    def __init__(self, encoder: nn.Module, vocabulary: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, ids: Tensor, hidden: Tensor) -> Tensor:
        """Return the scores ``[masked, vocabulary]`` of the places of `hidden` (bool ``[batch, L]``)."""
        given = ids.masked_fill(hidden, MASK)
        states = self.encoder(input_ids=given, attention_mask=torch.ones_like(given)).last_hidden_state[hidden]
        weight = self.encoder.get_input_embeddings().weight  # type: ignore[operator]
        scores: Tensor = states @ weight.t() + self.bias
        return scores


def windows(text: Tensor, length: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return ids and masked places ``[count, length]`` of random windows."""
    starts = torch.randint(0, len(text) - length + 1, (count, 1), generator=generator)
    hidden = torch.rand(count, length, generator=generator) < SHARE
    hidden[:, 0] |= ~hidden.any(1)
    return text[starts + torch.arange(length)], hidden


def train(variant: str, seed: int, text: Tensor, vocabulary: int, options: argparse.Namespace) -> Restorer:
    """Train an encoder; both variants of a seed see the same windows and start from the same weights."""
    torch.manual_seed(seed)
    model = Restorer(encoder_of(variant, vocabulary), vocabulary).train().to(options.device)
    if options.device == "cpu":
        prepare_for_training(model.encoder)
    steps, generator = options.steps, torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    warmup = max(1, int(steps * WARMUP))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / (steps - warmup))
    )
    for _ in range(steps):
        ids, hidden = (part.to(options.device) for part in windows(text, TRAINED, BATCH, generator))
        loss = nn.functional.cross_entropy(model(ids, hidden), ids[hidden])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def accuracy(model: Restorer, text: Tensor, length: int) -> float:
    """Return the share of masked characters that are restored in windows of a length; the windows are always the same."""
    generator, right, total = torch.Generator().manual_seed(0), 0, 0
    for _ in range(max(1, EVALUATED // (length * 8))):
        ids, hidden = (part.to(model.bias.device) for part in windows(text, length, 8, generator))
        with torch.inference_mode():
            right += int((model(ids, hidden).argmax(-1) == ids[hidden]).sum())
        total += int(hidden.sum())
    return right / total


def measure_lengths(options: argparse.Namespace) -> None:
    """Train what is missing in the working directory, and print a table."""
    train_text, dev_text = characters(options.data), characters(options.dev)
    known = [char for char, count in sorted(Counter(train_text).items()) if count > 1]
    numbers = {char: number for number, char in enumerate(known, start=UNKNOWN + 1)}
    train_ids, dev_ids = (
        torch.tensor([numbers.get(char, UNKNOWN) for char in text]) for text in (train_text, dev_text)
    )
    options.work.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[list[float]]] = {}
    for variant in VARIANTS:
        for seed in options.seeds:
            file = options.work / f"{variant}-{seed}-{options.steps}-{len(train_text)}.json"
            if not file.is_file():
                model = train(variant, seed, train_ids, len(numbers) + 2, options)
                file.write_text(json.dumps([accuracy(model, dev_ids, length) for length in LENGTHS]))
            found.setdefault(variant, []).append(json.loads(file.read_text()))
    print(
        f"{len(train_text)} characters, {len(numbers)} different, {options.steps} steps of {BATCH} windows, seeds "
        f"{', '.join(map(str, options.seeds))}\n\n| attention | {' | '.join(map(str, LENGTHS))} |\n|---|{'--:|' * len(LENGTHS)}"
    )
    for variant, runs in found.items():
        cells = [
            f"{100 * statistics.mean(one):.2f} ± {100 * (statistics.stdev(one) if len(one) > 1 else 0):.2f}"
            for one in zip(*runs, strict=True)
        ]
        print(f"| {variant} | {' | '.join(cells)} |")


def medians(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each call; the calls take turns, in random order."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 2):
        for name in random.sample(list(calls), len(calls)):
            start = time.perf_counter()
            calls[name]()
            if number >= 2:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def measure_speed(rounds: int) -> None:
    """Print a table of the time of GELU and SquarePlus, alone and in an encoder."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians in ms\n")
    print("| what | GELU | SquarePlus |\n|---|--:|--:|")
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        for what, backward in (("forward", False), ("forward and backward", True)):
            calls = {key: alone(key, dtype, backward=backward) for key in FUNCTIONS}
            found = medians(calls, 10 * rounds)
            print(f"| 16 × 64 × 1536, {name}, {what} | {found['GELU']:.2f} | {found['SquarePlus']:.2f} |", flush=True)
        found = medians({key: training_step(key, dtype) for key in FUNCTIONS}, rounds)
        print(
            f"| encoder, 16 × 64 tokens, {name}, a step | {found['GELU']:.0f} | {found['SquarePlus']:.0f} |", flush=True
        )


def alone(activation: str, dtype: torch.dtype, *, backward: bool) -> Callable[[], object]:
    """Return the forward pass of an activation, or both passes."""
    function = FUNCTIONS[activation]
    x, gradient = (torch.randn(16, 64, 1536).to(dtype) for _ in range(2))
    if not backward:
        return lambda: function(x)
    x.requires_grad_()
    return lambda: torch.autograd.grad(function(x), x, gradient)


def training_step(activation: str, dtype: torch.dtype) -> Callable[[], None]:
    """Return the forward and backward pass of an encoder as in training on a CPU."""
    config = transformers.BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, vocab_size=1000
    )
    if activation == "SquarePlus":
        apply_options(config, EncoderSection(name="x", activation="squareplus"))
    encoder = build_encoder(config).train()
    prepare_for_training(encoder)
    ids = torch.randint(5, 1000, (16, 64))

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
            states = encoder(input_ids=ids).last_hidden_state
        states.float().square().mean().backward()
        encoder.zero_grad()

    return step


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("lengths", "speed"))
    parser.add_argument("--data", nargs="+", default=[str(DATA / "train.json")], help="files to train on")
    parser.add_argument("--dev", nargs="+", default=[str(DATA / "dev.json")], help="files to read")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=800, help="training steps of each model")
    parser.add_argument("--device", default="cpu", help="lengths: device, e.g. cuda")
    parser.add_argument("--rounds", type=int, default=15, help="speed: rounds of each measurement")
    parser.add_argument("--work", type=Path, default=Path("runs/encoder-options"), help="directory of finished results")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    torch.manual_seed(0)
    if options.what == "speed":
        measure_speed(options.rounds)
    else:
        measure_lengths(options)


if __name__ == "__main__":
    main()
