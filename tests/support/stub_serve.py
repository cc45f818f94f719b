"""A service around a model that knows one name, so that it starts without torch: ``python stub_serve.py serve --port 0``."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

from ie_cli.codecs.base import Decoding, build_codec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.inference.pipeline import Engine, Extraction
from ie_cli.recipe.heads import EfficientGlobalPointerSection
from ie_cli.recipe.schema import Recipe

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"王伟慢坏"]
SLOW, BAD = TOKENS.index("慢"), TOKENS.index("坏")
SECONDS = 1.0


@dataclass(frozen=True)
class Outputs:
    block: dict[str, npt.NDArray[np.float32]]

    def matrix(self, name: str) -> list[dict[str, npt.NDArray[np.float32]]]:
        return [self.block]

    def query(self, name: str, arguments: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        raise NotImplementedError


class Backend:
    """Finds 王伟, is slow at a 慢, and fails at a 坏.

    Attributes:
        begun: set when it reaches a 慢; it continues when `go` is set, or after `seconds`.
        batches: the ids of the batches it was given.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self.begun, self.go = threading.Event(), threading.Event()
        self.batches: list[list[list[int]]] = []

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> dict[str, Outputs]:
        self.batches.append(input_ids.tolist())
        if (input_ids == BAD).any():
            raise RuntimeError("broken by /home/user/secret")
        if (input_ids == SLOW).any():
            self.begun.set()
            sys.stderr.write("slow\n")
            sys.stderr.flush()
            self.go.wait(self.seconds)
        batch, length = input_ids.shape
        pair = np.full((batch, length, length), -30, dtype=np.float32)
        start, end = np.zeros((2, batch, 1, length), dtype=np.float32)
        sample, first = np.nonzero((input_ids[:, :-1] == TOKENS.index("王")) & (input_ids[:, 1:] == TOKENS.index("伟")))
        pair[sample, first, first + 1] = 5
        return {"ner": Outputs({"pair": pair, "start": start, "end": end})}

    def write(self, directory: Path) -> None:
        raise NotImplementedError


def engine(backend: Backend) -> Engine:
    """An engine around it, two windows a batch."""
    tokenizer = Tokenizer(models.WordLevel({token: n for n, token in enumerate(TOKENS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    ids = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    text = TextTokenizer(tokenizer)
    plan = WindowPlan.build(max_length=12, stride=4, special_tokens=text.special_tokens)
    codec = build_codec(EfficientGlobalPointerSection(), SCHEMA)
    return Engine(backend, text, plan, (Extraction.build("ner", codec, Decoding()),), batch_size=2)


SCHEMA = LabelSchema((os.environ.get("STUB_LABEL", "person"),))


RECIPE = Recipe.model_validate({"name": "stub", "data": {"train": "/home/user/x"}, "encoder": {"name": "/home/user/e"}})

if __name__ == "__main__":
    from ie_cli.cli import main
    from ie_cli.commands.inputs import ModelChoice

    model = SimpleNamespace(recipe=RECIPE, tasks={"ner": TrainedTask(SCHEMA)})
    ModelChoice.engine = lambda self: (engine(Backend()), model)  # type: ignore[method-assign]
    main()
