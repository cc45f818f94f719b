"""The Python API: a trained model with everything that prediction needs, and the folder it is stored in."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import init_empty_weights
from tokenizers import Tokenizer

from ie_cli.backends.torch import TorchBackend
from ie_cli.devices import Precision, choose_device, choose_precision, torch_dtype
from ie_cli.encoder import build_encoder, check_vocabulary, quiet_transformers
from ie_cli.errors import ModelError
from ie_cli.example import Example
from ie_cli.model import SpanModel, build_head
from ie_cli.model_card import model_card
from ie_cli.predict import Engine, extract
from ie_cli.recipe import Recipe
from ie_cli.recipe_file import dump_recipe, load_recipe
from ie_cli.schema import Schema, schema_facts, schema_of_facts
from ie_cli.tokenization import TextTokenizer, recipe_tokenizer
from ie_cli.windows import Plan

FORMAT_VERSION = 2  # 2: relations
WEIGHTS, FACTS, RECIPE, TOKENIZER, CONFIG = (
    "model.safetensors",
    "ie.json",
    "recipe.yaml",
    "tokenizer.json",
    "config.json",
)
RECIPE_HEAD = (
    "# What this model was trained by, in full; its paths are as seen from the folder that `ie train` ran in.\n"
)


@dataclass
class Extractor:
    """A model, its schema, its tokenizer and the recipe it was trained by.

    Attributes:
        temperature: T of the probability σ(s/T).
        scores: as measured at the end of training, by split.
    """

    model: SpanModel
    schema: Schema
    tokenizer: Tokenizer
    recipe: Recipe
    pad_id: int
    precision: Precision = "float32"
    temperature: float = 1.0
    scores: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str],
        *,
        device: Literal["auto", "cpu"] = "auto",
        precision: Precision | Literal["auto"] = "auto",
    ) -> Extractor:
        """Load a model folder, or one from the hub by its id; a folder needs no network.

        Raises:
            ModelError: a file is missing or does not fit, or the folder was written by a newer version.
        """
        return load_extractor(_local_folder(path), device=device, precision=precision)

    def save_pretrained(self, path: str | os.PathLike[str]) -> None:
        """Write the model folder; an older one in its place is replaced at the end, in one step.

        Raises:
            ModelError: `path` is something else than a model folder or an empty one.
        """
        save_extractor(self, Path(path))

    def write_scores(self, path: str | os.PathLike[str], scores: dict[str, Any]) -> None:
        """Store scores in a model folder: `metrics.json` and its README."""
        self.scores = scores
        _write_scores(self, Path(path))

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the model folder to the hub and return its address."""
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "model"
            self.save_pretrained(folder)
            url = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo_id, folder_path=folder)
        return str(url)

    def text_tokenizer(self) -> TextTokenizer:
        return recipe_tokenizer(self.tokenizer, self.recipe.encoder)

    def engine(
        self, *, batch_size: int | None = None, threshold: float | None = None, flat: bool | None = None
    ) -> Engine:
        """What `predict.extract` runs on; what is not given is as the recipe says.

        Args:
            threshold: least score of an item, for all labels.
            flat: no overlaps in the output.

        Raises:
            ValueError: a threshold outside [0, 1] or a batch size below 1.
        """
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be between 0 and 1, got {threshold}")
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        tokenizer = self.text_tokenizer()
        plan = Plan.build(
            max_length=self.recipe.encoder.max_length,
            stride=self.recipe.encoder.stride,
            special_tokens=tokenizer.special_tokens,
        )
        self.model.eval()
        return Engine(
            backend=TorchBackend(self.model, self.precision),
            tokenizer=tokenizer,
            plan=plan,
            schema=self.schema,
            thresholds=self._thresholds(self.schema.labels, threshold),
            link_thresholds=self._thresholds(self.schema.predicates, threshold),
            temperature=self.temperature,
            flat=self.recipe.head.flat if flat is None else flat,
            pad_id=self.pad_id,
            batch_size=batch_size or self.recipe.training.eval_batch_size,
        )

    def _thresholds(self, names: tuple[str, ...], threshold: float | None) -> tuple[float, ...]:
        head = self.recipe.head
        return tuple(
            threshold if threshold is not None else head.thresholds.get(name, head.threshold) for name in names
        )

    def extract(
        self,
        texts: Iterable[str | Example],
        *,
        batch_size: int | None = None,
        threshold: float | None = None,
        flat: bool | None = None,
    ) -> Iterator[Example]:
        """Annotate texts (or examples, whose id and meta are kept) in a stream, in order.

        A thread of its own reads `texts` ahead.

        Raises:
            TypeError: `texts` is one string, or one of them is neither a string nor an example.
            ValueError: as `engine`.
        """
        if isinstance(texts, str):
            raise TypeError("extract takes many texts: extract([text])")
        engine = self.engine(batch_size=batch_size, threshold=threshold, flat=flat)
        return extract(engine, map(_example, texts))


def _example(text: str | Example) -> Example:
    if isinstance(text, str):
        return Example(text)
    if isinstance(text, Example):
        return text
    raise TypeError(f"expected a string or an Example, got {text!r:.60}")


def save_extractor(extractor: Extractor, path: Path) -> None:
    """Write the folder under a temporary name, then put it in place."""
    from safetensors.torch import save_file

    path = path.expanduser().resolve()
    if path.exists() and not (path / FACTS).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise ModelError(f"{path}: exists, and is no model folder", hint="choose a new folder; nothing was replaced.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        weights = {name: tensor.detach().cpu().float().contiguous() for name, tensor in _tensors(extractor.model)}
        save_file(weights, temporary / WEIGHTS, metadata={"format": "pt"})
        os.chmod(temporary / WEIGHTS, 0o644)  # safetensors creates it for the owner alone
        extractor.tokenizer.save(str(temporary / TOKENIZER))
        extractor.model.encoder.config.save_pretrained(temporary)  # type: ignore[operator,union-attr]
        _write(temporary / RECIPE, RECIPE_HEAD + dump_recipe(extractor.recipe))
        facts = {
            "format_version": FORMAT_VERSION,
            **schema_facts(extractor.schema),
            "pad_id": extractor.pad_id,
            "temperature": extractor.temperature,
        }
        _write(temporary / FACTS, json.dumps(facts, ensure_ascii=False, indent=2) + "\n")
        _write_scores(extractor, temporary)
        _put_in_place(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_scores(extractor: Extractor, path: Path) -> None:
    _write(path / "metrics.json", json.dumps(extractor.scores, ensure_ascii=False, indent=2) + "\n")
    _write(path / "README.md", model_card(extractor.recipe, extractor.schema, extractor.scores))


def _tensors(model: SpanModel) -> Iterator[tuple[str, torch.Tensor]]:
    seen: set[int] = set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:  # safetensors refuses tied weights; loading ties them again
            seen.add(tensor.data_ptr())
            yield name, tensor


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _put_in_place(temporary: Path, path: Path) -> None:
    os.chmod(temporary, 0o755)
    if not path.exists():
        os.replace(temporary, path)
        return
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-old-")) / "model"
    os.replace(path, old)
    try:
        os.replace(temporary, path)
    except BaseException:
        os.replace(old, path)
        raise
    shutil.rmtree(old.parent, ignore_errors=True)


def load_extractor(path: Path, *, device: Literal["auto", "cpu"], precision: Precision | Literal["auto"]) -> Extractor:
    """Read a model folder, every fault of it a `ModelError`."""
    from transformers import AutoConfig

    quiet_transformers()
    facts = read_facts(path)
    recipe = load_recipe(path / RECIPE, stored=True)
    schema: Schema = facts["schema"]
    with _reading(path / CONFIG):
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    with _reading(path / TOKENIZER):
        tokenizer = Tokenizer.from_file(str(path / TOKENIZER))
    with init_empty_weights(include_buffers=False):  # buffers (rotary frequencies, …) are in no file
        encoder = build_encoder(config)
        head = build_head(recipe.head, hidden_size=config.hidden_size, schema=schema)
    model = SpanModel(encoder, head)
    check_vocabulary(tokenizer, encoder, str(path))
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    _load_weights(model, path / WEIGHTS)
    model.encoder.to(where, torch_dtype(chosen))
    model.head.to(where)
    model.eval()
    scores: dict[str, Any] = {}
    if (path / "metrics.json").exists():
        with _reading(path / "metrics.json"):
            scores = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    return Extractor(model, schema, tokenizer, recipe, facts["pad_id"], chosen, facts["temperature"], scores)


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turn whatever a library raises over a damaged file into an error that names it."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # tokenizers raises bare exceptions
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{file}: damaged: {first}", hint="take the folder from a backup or train again.") from error


def read_facts(path: Path) -> dict[str, Any]:
    """Check that a model folder is complete and of a version that can be read, and return its `ie.json`."""
    missing = [name for name in (FACTS, RECIPE, CONFIG, TOKENIZER, WEIGHTS) if not (path / name).is_file()]
    if missing:
        found = ", ".join(sorted(p.name for p in path.iterdir())[:8]) if path.is_dir() else "no such folder"
        raise ModelError(
            f"{path}: not a model folder: {', '.join(missing)} missing (found: {found})",
            hint="give the folder `model` that `ie train` wrote, e.g. runs/NAME/model.",
        )
    with _reading(path / FACTS):
        facts: dict[str, Any] = {"temperature": 1.0} | json.loads((path / FACTS).read_text(encoding="utf-8"))
        version, temperature = facts["format_version"], facts["temperature"]
        if type(version) is not int or type(facts["pad_id"]) is not int:
            raise ValueError("format_version and pad_id must be whole numbers")
        if version > FORMAT_VERSION:
            raise _newer(path, version)
        facts["schema"] = schema_of_facts(facts)
        if not isinstance(temperature, (int, float)) or not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be a number above 0, got {temperature!r}")
    return facts


def _newer(path: Path, version: int) -> ModelError:
    return ModelError(
        f"{path}: format version {version}, but this `ie` reads up to {FORMAT_VERSION}",
        hint="update: pip install -U ie-cli",
    )


def _load_weights(model: SpanModel, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged: {error}", hint="take the file from a backup or train again.") from error
    buffers = {name for name, _ in model.named_buffers()}
    expected = dict(model.state_dict())
    wrong = [
        name
        for name, tensor in expected.items()
        if name not in buffers and name in weights and tensor.shape != weights[name].shape
    ]
    lacking = sorted(set(expected) - set(weights) - buffers)
    if wrong or lacking:
        first = wrong[0] if wrong else lacking[0]
        raise ModelError(
            f"{path}: the weights do not fit config.json, ie.json and recipe.yaml beside it: {first} "
            + (f"is {list(weights[first].shape)}, expected {list(expected[first].shape)}" if wrong else "is missing"),
            hint="the files of a model folder belong together; copy the whole folder.",
        )
    model.load_state_dict(weights, strict=False, assign=True)


def _local_folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(path).expanduser()
    if folder.exists() or str(path).count("/") != 1 or str(path).startswith((".", "/", "~")):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(path), allow_patterns=["*.json", "*.safetensors", "*.yaml"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"{path}: no such folder, and not on the hub within reach", hint="check the path, or the network."
        ) from error
