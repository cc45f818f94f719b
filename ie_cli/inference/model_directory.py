"""The model directory: its files, its metadata, and how it is replaced in one step. No torch here."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ie_cli.data.label_schema import LabelSchema, schema_facts, schema_of_facts
from ie_cli.errors import ModelError
from ie_cli.formats.common.base import Tokens
from ie_cli.recipe.heads import HeadSection
from ie_cli.recipe.threshold import DEFAULT_THRESHOLD
from ie_cli.system.atomic import replace_directory, storing
from ie_cli.system.distribution import upgrade_hint
from ie_cli.system.json_reading import loads, read_json
from ie_cli.system.temporary import sweep, workspace
from ie_cli.system.text import escape_surrogates

# 2: relations; 3: tasks by name, and the encoder's tensors named as in `transformers`; 4: pairs of types, what the tokens were,
# and fields of the recipe that earlier versions refuse; 5: pairs of texts, with grades and decisions
FORMAT_VERSION = 5
WEIGHTS, ONNX, FACTS, RECIPE, TOKENIZER, CONFIG = (
    "model.safetensors",
    "model.onnx",
    "ie.json",
    "recipe.yaml",
    "tokenizer.json",
    "config.json",
)
QUERIES = "model-queries.onnx"
"""The graph of an export for the second pass of heads that have one."""
EXPORT, TOKENIZER_CONFIG, METRICS = "export.json", "tokenizer_config.json", "metrics.json"
CARD = "README.md"
TOKENS, DECISION, SEEN, WHOLE_WORDS, THRESHOLD = "tokens", "decision", "seen", "whole_words", "threshold"
FINGERPRINTS, CHECKSUMS = "files", "checksums"
"""The fields of `ie.json` for the fingerprints of files that belong together, and for the checksums of their contents."""
Form = Literal["torch", "onnx"]
NEEDED: dict[Form, tuple[str, ...]] = {
    "torch": (FACTS, RECIPE, CONFIG, TOKENIZER, WEIGHTS),
    "onnx": (FACTS, RECIPE, TOKENIZER, ONNX),
}


def choose_form(path: Path, wanted: Form | Literal["auto"]) -> Form:
    """Return what runs a directory: torch if it contains its weights, ONNX Runtime if it is an exported model.

    Raises:
        ModelError: the directory does not have the requested form.
    """
    weights, onnx = (path / WEIGHTS).is_file(), (path / ONNX).is_file()
    if wanted == "onnx" and not onnx and weights:
        raise ModelError(f"{path}: contains no {ONNX}", hint=f"export the model: `ie export {path} DIRECTORY --onnx`.")
    if wanted == "torch" and not weights and onnx:
        raise ModelError(
            f"{path}: this is an exported model without weights for torch",
            hint="omit --backend, or use the original model.",
        )
    if wanted != "auto":
        return wanted
    return "onnx" if onnx and not weights else "torch"


def require_utf8_name(path: Path) -> None:
    """Check that a model can be stored under a path, before training.

    Raises:
        ModelError: the path is not valid UTF-8.
    """
    full = str(path.absolute())
    if escape_surrogates(full) != full:
        raise ModelError(
            f"{path}: the path is not valid UTF-8, which the libraries that store and load models require",
            hint="rename the directory, or choose another one.",
        )


def require_replaceable(path: Path) -> Path:
    """Return the full path of a directory that a model may be written to.

    Raises:
        ModelError: it is neither a model directory nor empty, or its path is not valid UTF-8.
    """
    path = Path(os.path.expanduser(path)).resolve()
    require_utf8_name(path)
    if path.exists() and not (path / FACTS).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise ModelError(
            f"{path}: already exists and is not a model directory", hint="choose a new directory; nothing was replaced."
        )
    return path


def require_exportable_to(path: Path) -> None:
    """Check that an export would replace at most an earlier export.

    Raises:
        ModelError: see `require_replaceable`; or the directory is a trained model or inside a model directory.
    """
    target = require_replaceable(path)
    if (target / WEIGHTS).exists():
        raise ModelError(
            f"{target}: contains a trained model, which an export does not replace", hint="choose another directory."
        )
    if any((parent / FACTS).is_file() for parent in target.parents):
        raise ModelError(
            f"{target}: is inside a model directory, which would be replaced as a unit",
            hint="choose another directory.",
        )


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory that replaces `path`, and an older model there, when everything has been written.

    Raises:
        ModelError: see `require_replaceable`.
        StorageError: the directory cannot be written; an older one is kept.
    """
    path = require_replaceable(path)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        with workspace(path.parent, path.name) as room:
            temporary = room / "new"
            temporary.mkdir()
            yield temporary
            replace_directory(temporary, path)


@contextmanager
def reading(file: Path, hint: str = "restore the directory from a backup, or train again.") -> Iterator[None]:
    """Turn any error that a library raises for a damaged file into a ModelError that names the file."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # tokenizers raises bare exceptions
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{file}: damaged: {first}", hint=hint) from error


@dataclass(frozen=True, slots=True)
class SeenTexts:
    """The size of the texts that a model was trained on; sentences are counted as `encoding.sentences` finds them.

    Attributes:
        tokens: the number of tokens, without special tokens, that 99 % of the texts do not exceed.
        sentences: the number of sentences that 99 % of the texts do not exceed, before `data.context` joins any.
        usual_sentences: the number of sentences that 90 % of the texts do not exceed, likewise.
    """

    tokens: int
    sentences: int
    usual_sentences: int


@dataclass(frozen=True, slots=True)
class TrainedTask:
    """What a model has learned for one task.

    Attributes:
        temperature: T in the probability σ(s/T).
        tokens: what the tokens of the training data were, so that tokens to predict are joined in the same way; None if these
            were no tokens, or the recipe has `data.joiner`.
        decision: the ascending cuts on the score between the ordered classes of pairs, chosen on the development data; empty if
            there are no classes, or were no such data.
        seen: the size of the training texts; None for pairs of texts, and for models of earlier versions.
        whole_words: whether no span starts or ends inside a word; models of earlier versions do not know this.
        threshold: the threshold chosen on the development data, which applies if the recipe has `head.threshold: auto`; None if
            none was chosen.
    """

    schema: LabelSchema
    temperature: float = 1.0
    tokens: Tokens | None = None
    decision: tuple[float, ...] = ()
    seen: SeenTexts | None = None
    whole_words: bool = False
    threshold: float | None = None

    def threshold_in_use(self, head: HeadSection) -> float:
        """Return the threshold that the model predicts with: that of its recipe, or else the chosen one, or else the default."""
        if head.threshold != "auto":
            return head.threshold
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The contents of `ie.json`.

    Attributes:
        tasks: the tasks by their names in the recipe; before version 3, one task without a name.
        stored: all fields of the file.
    """

    version: int
    pad_id: int
    tasks: Mapping[str | None, TrainedTask]
    stored: Mapping[str, Any]

    @property
    def fingerprints(self) -> Any:
        """Fingerprints of the files that belong together; None in directories of the first versions."""
        return self.stored.get(FINGERPRINTS)

    @property
    def earlier_names(self) -> bool:
        """Whether the tensors are named as in version 0.1."""
        return self.version < 3


def facts_fields(tasks: Mapping[str, TrainedTask], pad_id: int, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of `ie.json` as JSON values."""
    return {
        "format_version": FORMAT_VERSION,
        "pad_id": pad_id,
        "tasks": tasks_fields(tasks),
        FINGERPRINTS: dict(fingerprints),
    }


def tasks_fields(tasks: Mapping[str, TrainedTask]) -> dict[str, Any]:
    """Return the field `tasks` of `ie.json`; pairs of texts alone have a decision, other tasks a threshold, a size and words."""
    return {
        name: {**schema_facts(task.schema), "temperature": task.temperature, TOKENS: task.tokens}
        | ({DECISION: list(task.decision)} if task.decision else {})
        | ({SEEN: asdict(task.seen)} if task.seen is not None else {})
        | ({WHOLE_WORDS: True} if task.whole_words else {})
        | ({THRESHOLD: task.threshold} if task.threshold is not None else {})
        for name, task in tasks.items()
    }


def read_facts(path: Path, form: Form) -> ModelFacts:
    """Check that a model directory is complete and has a supported version, and return its `ie.json`."""
    hint = "name the directory `model` that `ie train` has written, e.g. runs/NAME/model."
    if not path.is_dir():
        raise ModelError(f"{path}: {'is a file' if path.exists() else 'no such directory'}", hint=hint)
    missing = [name for name in NEEDED[form] if not (path / name).is_file()]
    if missing:
        found = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
        raise ModelError(f"{path}: not a model directory: {', '.join(missing)} missing (found: {found})", hint=hint)
    with reading(path / FACTS):
        stored = loads((path / FACTS).read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            raise ValueError("it must be an object")
        if lacking := sorted({"format_version", "pad_id"} - stored.keys()):
            raise ValueError(f"it lacks {', '.join(lacking)}")
        version, pad_id = stored["format_version"], stored["pad_id"]
        if type(version) is not int or version < 1 or type(pad_id) is not int:
            raise ValueError("format_version and pad_id must be integers, and format_version at least 1")
        if version > FORMAT_VERSION:
            raise _newer(path, version)
        if not 0 <= pad_id < 2**31:
            raise ValueError(f"pad_id is {pad_id}")
        parts = {None: stored} if version < 3 else stored.get("tasks")
        if not isinstance(parts, dict) or not parts or not all(isinstance(part, dict) for part in parts.values()):
            raise ValueError("tasks must map names to objects")
        tasks = {name: _trained_task(part) for name, part in parts.items()}
        return ModelFacts(version, pad_id, tasks, stored)


def _trained_task(facts: Mapping[str, Any]) -> TrainedTask:
    temperature = facts.get("temperature", 1.0)
    if type(temperature) not in (int, float) or not 1e-6 <= temperature <= 1e6:
        raise ValueError(f"temperature must be a number between 1e-6 and 1e6, got {temperature!r:.40}")
    tokens = facts.get(TOKENS, "words")  # version 0.1 joined all tokens like words
    if tokens not in ("characters", "words", None):
        raise ValueError(f"{TOKENS} must be characters, words or null, got {tokens!r:.40}")
    schema = schema_of_facts(facts)
    whole_words, threshold = facts.get(WHOLE_WORDS, False), facts.get(THRESHOLD)
    if not isinstance(whole_words, bool):
        raise ValueError(f"{WHOLE_WORDS} must be true or false, got {whole_words!r:.40}")
    if threshold is not None and (type(threshold) is not float or not 0 < threshold < 1):
        raise ValueError(f"{THRESHOLD} must be a number above 0 and below 1, got {threshold!r:.40}")
    decision, seen = _decision(facts.get(DECISION, []), schema), _seen(facts.get(SEEN))
    return TrainedTask(schema, temperature, tokens, decision, seen=seen, whole_words=whole_words, threshold=threshold)


def _seen(sizes: Any) -> SeenTexts | None:
    if sizes is None:
        return None
    names = [field.name for field in fields(SeenTexts)]
    counts: list[Any] = [sizes.get(name) for name in names] if isinstance(sizes, dict) else [None]
    if not all(type(count) is int and count > 0 for count in counts):
        raise ValueError(f"{SEEN} must have the positive integers {', '.join(names)}, got {sizes!r:.60}")
    return SeenTexts(*counts)


def _decision(cuts: Any, schema: LabelSchema) -> tuple[float, ...]:
    if not isinstance(cuts, list) or not all(type(cut) in (int, float) and math.isfinite(cut) for cut in cuts):
        raise ValueError(f"{DECISION} must be a list of numbers, got {cuts!r:.40}")
    if cuts and (len(cuts) != len(schema.labels) - 1 or cuts != sorted(cuts)):
        raise ValueError(f"{DECISION} must have one ascending number between each two of {len(schema.labels)} classes")
    return tuple(map(float, cuts))


def fingerprint(path: Path) -> str:
    """Return a hash of everything in a model directory that predictions depend on.

    Scores and checksums are excluded, because scores may be stored later.
    """
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(path.iterdir()):
        if not file.is_file() or file.name.startswith(".") or file.name in (CARD, METRICS):
            continue
        name = file.name.encode("utf-8", "surrogatepass")
        if file.name == FACTS and (facts := _without_checksums(file)) is not None:
            digest.update(name + b"\0" + facts)
            continue
        digest.update(name + f"\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _without_checksums(file: Path) -> bytes | None:
    """Return `ie.json` without its checksums; None if it has none, or is damaged, which is reported when it is loaded."""
    try:
        facts = loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(facts, dict) or CHECKSUMS not in facts:
        return None
    del facts[CHECKSUMS]
    return json.dumps(facts).encode()


def _newer(path: Path, version: int) -> ModelError:
    return ModelError(
        f"{path}: has format version {version}, but this version of `ie` supports versions up to {FORMAT_VERSION}",
        hint=f"upgrade it: {upgrade_hint()}",
    )


def read_card(file: Path) -> str | None:
    """Return the text of a model card, or None if it is missing or unreadable; models run without it."""
    try:
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
    except OSError:
        return None


def read_scores(file: Path) -> dict[str, Any]:
    """Return the scores of a model by split; empty if there are none.

    Raises:
        ModelError: the file is damaged.
    """
    if not file.exists():
        return {}
    with reading(file):
        scores = read_json(file)
        if not isinstance(scores, dict):
            raise ValueError("it must be an object with the scores of each split")
        return scores
