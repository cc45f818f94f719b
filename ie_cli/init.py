"""Look at data and propose a recipe: `ie init DATA > recipe.yaml`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ie_cli.errors import DataError
from ie_cli.example import Example
from ie_cli.formats import Reading, read_examples
from ie_cli.formats.conll import is_cjk
from ie_cli.yaml_nodes import flow

_DEV_NAMES = ("dev", "valid", "validation", "val", "eval")
# A subword tokenizer makes about this many tokens of a Latin letter; the proposal errs on the long side.
_TOKENS_PER_LETTER = 0.35


@dataclass(slots=True)
class Survey:
    """What one pass over the data finds; lengths are estimated tokens."""

    examples: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    longest_entity: int = 0
    nested: bool = False
    letters: int = 0
    cjk: int = 0

    def add(self, example: Example) -> None:
        """Count one example."""
        self.examples += 1
        self.labels.update(entity.label for entity in example.entities)
        wide = sum(map(is_cjk, example.text))
        self.cjk += wide
        self.letters += len(example.text)
        self.lengths[estimated_tokens(example.text, wide)] += 1
        end = -1
        for entity in sorted(example.entities):
            mention = example.text[entity.start : entity.end]
            self.longest_entity = max(self.longest_entity, estimated_tokens(mention, sum(map(is_cjk, mention))))
            self.nested |= entity.start < end
            end = max(end, entity.end)

    @property
    def chinese(self) -> bool:
        return self.cjk * 2 > self.letters

    def quantile(self, share: float) -> int:
        """The length that so large a share of the texts does not exceed."""
        left = share * self.examples
        for length in sorted(self.lengths):
            left -= self.lengths[length]
            if left <= 0:
                return length
        return max(self.lengths, default=0)


def estimated_tokens(text: str, wide: int) -> int:
    """One token for a Chinese character, `_TOKENS_PER_LETTER` for any other, and never less than the words."""
    words = len(re.findall(r"\w+|[^\w\s]", text)) if wide < len(text) else 0
    return wide + max(words if not wide else 0, round((len(text) - wide) * _TOKENS_PER_LETTER))


def survey(examples: Iterable[Example]) -> Survey:
    """Count a stream of examples in one pass."""
    found = Survey()
    for example in examples:
        found.add(example)
    return found


def propose_recipe(
    data: str,
    *,
    format: str | None = None,
    encoder: str | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> str:
    """The text of a recipe that fits the data.

    Raises:
        DataError: the data cannot be read, or hold no entity.
    """
    formats: list[str] = []
    found = survey(read_examples(data, format=format, reading=Reading(report=report), detected=formats.append))
    if not found.labels:
        raise DataError(
            f"{data}: {found.examples} examples, no entity in them: there is nothing to train on",
            hint="annotate some, or say how to read them: --input-format jsonl | cluener | conll.",
        )
    longest = found.quantile(1.0) + 2
    max_length = _window(longest, found.quantile(0.99) + 2)
    stride = min(max_length // 2, max(16, _round_up(found.longest_entity, 8)))
    epochs = 20 if found.examples < 1000 else 10 if found.examples < 20_000 else 5
    dev, test = _siblings(data)
    labels = ", ".join(f"{label} {count}" for label, count in found.labels.most_common(30))
    lines = [
        f"# {found.examples} examples, {found.labels.total()} entities: {labels}",
        f"name: {_run_name(data)}",
        "data:",
        *([f"  format: {formats[0]}"] if formats else []),
        f"  train: {flow(data)}",
        f"  dev: {flow(dev)}" if dev else "  dev: 0.1  # a tenth of train, chosen by a hash of the text",
        *([f"  test: {flow(test)}"] if test else []),
        "encoder:",
        *_encoder(found, encoder),
        f"  max_length: {max_length}  # the longest text has about {longest} tokens; longer ones are cut into windows",
        f"  stride: {stride}  # the longest entity has about {found.longest_entity} tokens",
        "head:",
        "  name: efficient_global_pointer",
        f"  flat: {'false  # entities overlap in the data' if found.nested else 'true  # no entities overlap in the data'}",
        "training:",
        f"  epochs: {epochs}",
        "  batch_size: 16",
        *(["  learning_rate: 1.0e-3"] if encoder == "tiny" else ["  learning_rate: 2.0e-5"]),
        "  head_learning_rate: 1.0e-3",
    ]
    return "\n".join(lines) + "\n"


def _encoder(found: Survey, encoder: str | None) -> list[str]:
    if encoder is not None:
        return [f"  name: {flow(encoder)}"]
    name = "bert-base-chinese" if found.chinese else "bert-base-cased" if found.cjk == 0 else "xlm-roberta-base"
    return [f"  name: {name}  # a hub id or a folder; `tiny` is built from scratch and needs no download"]


def _window(longest: int, usual: int) -> int:
    """Room for nearly all texts, at most what a BERT has positions for."""
    return min(512, max(32, _round_up(longest if longest <= 1.5 * usual else usual, 16)))


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _run_name(data: str) -> str:
    stem = Path(data.split("?", maxsplit=1)[0]).name.split(".")[0]
    folder = Path(data).parent.name
    name = folder if stem in {"train", "data", "all"} and folder else stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "run"


def _siblings(data: str) -> tuple[str | None, str | None]:
    """Development and test files beside ``train.*``, in the same form."""
    path = Path(data)
    if not path.is_file() or "train" not in path.name:
        return None, None

    def beside(names: Iterable[str]) -> str | None:
        candidates = (path.with_name(path.name.replace("train", name)) for name in names)
        return next((str(candidate) for candidate in candidates if candidate.is_file()), None)

    test = beside(["test"])
    # Test files are often published without their labels.
    labelled = test is not None and any(example.entities for example in _first(test))
    return beside(_DEV_NAMES), test if labelled else None


def _first(path: str) -> list[Example]:
    try:
        return list(islice(read_examples(path), 100))
    except DataError:
        return []
