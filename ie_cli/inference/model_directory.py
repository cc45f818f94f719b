"""The folder a model is stored in: names, facts, and how it is replaced in one step. No torch here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ie_cli.data.label_schema import LabelSchema, schema_facts, schema_of_facts
from ie_cli.errors import ModelError
from ie_cli.system.atomic import put_in_place, storing
from ie_cli.system.json_reading import loads
from ie_cli.system.temporary import sweep, workspace
from ie_cli.system.text import writable

FORMAT_VERSION = 3  # 2: relations; 3: tasks by name, the tensors of the encoder named as `transformers` has them
WEIGHTS, ONNX, FACTS, RECIPE, TOKENIZER, CONFIG = (
    "model.safetensors",
    "model.onnx",
    "ie.json",
    "recipe.yaml",
    "tokenizer.json",
    "config.json",
)
EXPORT, TOKENIZER_CONFIG, METRICS = "export.json", "tokenizer_config.json", "metrics.json"
CARD = "README.md"
MARKS, CHECKSUMS = "files", "checksums"
"""The fields of `ie.json` that say which files were written together, and what was in them."""
Form = Literal["torch", "onnx"]
NEEDED: dict[Form, tuple[str, ...]] = {
    "torch": (FACTS, RECIPE, CONFIG, TOKENIZER, WEIGHTS),
    "onnx": (FACTS, RECIPE, TOKENIZER, ONNX),
}


def choose_form(path: Path, wanted: Form | Literal["auto"]) -> Form:
    """What a folder is run by: torch where it holds its weights, ONNX Runtime where it is an exported one.

    Raises:
        ModelError: it is not of the form that is asked for.
    """
    weights, onnx = (path / WEIGHTS).is_file(), (path / ONNX).is_file()
    if wanted == "onnx" and not onnx and weights:
        raise ModelError(f"{path}: holds no {ONNX}", hint=f"write it with `ie export {path} FOLDER --onnx`.")
    if wanted == "torch" and not weights and onnx:
        raise ModelError(
            f"{path}: an exported model, without weights for torch", hint="leave --backend out, or name its origin."
        )
    if wanted != "auto":
        return wanted
    return "onnx" if onnx and not weights else "torch"


def must_be_named_in_utf8(path: Path) -> None:
    """Tell early, before hours of training, that a folder can hold no model.

    Raises:
        ModelError: its name is no UTF-8.
    """
    full = str(path.absolute())
    if writable(full) != full:
        raise ModelError(
            f"{path}: the name of the folder is no UTF-8, and the libraries that store and load models take no such name",
            hint="rename it, or choose another folder.",
        )


def must_be_replaceable(path: Path) -> Path:
    """The full path of a folder that a model may be written to.

    Raises:
        ModelError: it is something else than a model folder or an empty one, or its name is no UTF-8.
    """
    path = Path(os.path.expanduser(path)).resolve()
    must_be_named_in_utf8(path)
    if path.exists() and not (path / FACTS).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise ModelError(f"{path}: exists, and is no model folder", hint="choose a new folder; nothing was replaced.")
    return path


def must_be_exportable_to(path: Path) -> None:
    """Let an export replace an earlier one, and no more.

    Raises:
        ModelError: as `must_be_replaceable`; or a trained model is or would be around it.
    """
    target = must_be_replaceable(path)
    if (target / WEIGHTS).exists():
        raise ModelError(
            f"{target}: holds a trained model, which an export does not replace", hint="name another folder."
        )
    if any((parent / FACTS).is_file() for parent in target.parents):
        raise ModelError(f"{target}: lies in a model folder, which is replaced as a whole", hint="name another folder.")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, put in its place when all has been written; an older model folder goes.

    Raises:
        ModelError: as `must_be_replaceable`.
        StorageError: it cannot be written; an older folder is still there.
    """
    path = must_be_replaceable(path)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        with workspace(path.parent, path.name) as room:
            temporary = room / "new"
            temporary.mkdir()
            yield temporary
            put_in_place(temporary, path)


@contextmanager
def reading(file: Path, hint: str = "take the folder from a backup or train again.") -> Iterator[None]:
    """Turn whatever a library raises over a damaged file into an error that names it."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # tokenizers raises bare exceptions
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{file}: damaged: {first}", hint=hint) from error


@dataclass(frozen=True, slots=True)
class TrainedTask:
    """What a model has learned of one task.

    Attributes:
        temperature: T of the probability σ(s/T).
    """

    schema: LabelSchema
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The contents of `ie.json`.

    Attributes:
        tasks: by their names in the recipe; before version 3 there was one, without a name.
        stored: all that the file holds.
    """

    version: int
    pad_id: int
    tasks: Mapping[str | None, TrainedTask]
    stored: Mapping[str, Any]

    @property
    def marks(self) -> Any:
        """Of the files that were written together; None in directories of the first versions."""
        return self.stored.get(MARKS)

    @property
    def earlier_names(self) -> bool:
        """Whether the tensors have the names of version 0.1."""
        return self.version < 3


def facts_fields(tasks: Mapping[str, TrainedTask], pad_id: int, marks: Mapping[str, str]) -> dict[str, Any]:
    """What `ie.json` holds, as JSON values."""
    return {
        "format_version": FORMAT_VERSION,
        "pad_id": pad_id,
        "tasks": {name: {**schema_facts(task.schema), "temperature": task.temperature} for name, task in tasks.items()},
        MARKS: dict(marks),
    }


def read_facts(path: Path, form: Form) -> ModelFacts:
    """Check that a model directory is complete and of a version that can be read, and return its `ie.json`."""
    hint = "give the folder `model` that `ie train` wrote, e.g. runs/NAME/model."
    if not path.is_dir():
        raise ModelError(f"{path}: {'is a file' if path.exists() else 'no such folder'}", hint=hint)
    missing = [name for name in NEEDED[form] if not (path / name).is_file()]
    if missing:
        found = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
        raise ModelError(f"{path}: not a model folder: {', '.join(missing)} missing (found: {found})", hint=hint)
    with reading(path / FACTS):
        stored = loads((path / FACTS).read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            raise ValueError("it must be an object")
        if lacking := sorted({"format_version", "pad_id"} - stored.keys()):
            raise ValueError(f"it lacks {', '.join(lacking)}")
        version, pad_id = stored["format_version"], stored["pad_id"]
        if type(version) is not int or version < 1 or type(pad_id) is not int:
            raise ValueError("format_version and pad_id must be whole numbers, the former at least 1")
        if version > FORMAT_VERSION:
            raise _newer(path, version)
        if not 0 <= pad_id < 2**31:
            raise ValueError(f"pad_id is {pad_id}")
        parts = {None: stored} if version < 3 else stored.get("tasks")
        if not isinstance(parts, dict) or not parts or not all(isinstance(part, dict) for part in parts.values()):
            raise ValueError("tasks must map names to what is known of each task")
        tasks = {name: _trained_task(part) for name, part in parts.items()}
        return ModelFacts(version, pad_id, tasks, stored)


def _trained_task(facts: Mapping[str, Any]) -> TrainedTask:
    temperature = facts.get("temperature", 1.0)
    if type(temperature) not in (int, float) or not 1e-6 <= temperature <= 1e6:
        raise ValueError(f"temperature must be a number between 1e-6 and 1e6, got {temperature!r:.40}")
    return TrainedTask(schema_of_facts(facts), temperature)


def fingerprint(path: Path) -> str:
    """Hash of all that predictions depend on in a model folder: scores, and with them their checksum, may come later."""
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
    """What `ie.json` says besides checksums; None where it has none, or is damaged, which is told when it is loaded."""
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
        f"{path}: format version {version}, but this `ie` reads up to {FORMAT_VERSION}",
        hint="update: pip install -U ie-cli",
    )


_PATTERNS = ["*.json", "*.safetensors", "*.onnx", "*.onnx.data", "*.yaml", "README.md"]


def local_folder(path: str | os.PathLike[str]) -> Path:
    must_be_named_in_utf8(Path(path))
    folder = Path(os.path.expanduser(path))  # unlike Path.expanduser it takes an unknown user for a name
    if folder.exists() or str(path).count("/") != 1 or str(path).startswith((".", "/", "~")):
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                str(path), allow_patterns=["*.json", "*.safetensors", "*.onnx", "*.onnx.data", "*.yaml", "README.md"]
            )
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"{path}: no such folder, and not on the hub within reach", hint="check the path, or the network."
        ) from error
