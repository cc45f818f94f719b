"""Find a model by a path: a model directory, a run directory, the newest run, or a name on the Hub."""

from __future__ import annotations

import os
from pathlib import Path

from ie_cli.errors import ModelError, nearest
from ie_cli.inference.model_directory import FACTS, require_utf8_name
from ie_cli.system.hub import hub_access

RUNS, RUN_MODEL = "runs", "model"
"""The directory of all runs, and the model directory in each of them."""
_MARKS = (FACTS, os.path.join(RUN_MODEL, FACTS))
_SHOWN_MODELS = 5
_PATTERNS = ["*.json", "*.safetensors", "*.onnx", "*.onnx.data", "*.yaml", "README.md"]


def local_directory(path: str | os.PathLike[str]) -> Path:
    """Return a model directory, downloading it if the path is a hub id.

    Raises:
        ModelError: there is no such directory, and the hub has no such model or cannot be reached.
    """
    require_utf8_name(Path(path))
    if (directory := existing_directory(path)) is not None:
        return directory
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    with hub_access(str(path), ModelError, files="a model"):
        try:
            return Path(snapshot_download(str(path), allow_patterns=_PATTERNS))
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise ModelError(
                f"{path}: no such directory, and it cannot be downloaded from the hub",
                hint="check the path and the network connection.",
            ) from error


def existing_directory(path: str | os.PathLike[str]) -> Path | None:
    """Return the local model directory that a path leads to, or None if it can only be a hub id.

    A run directory leads to the model in it.

    Raises:
        ModelError: there is no such directory, and the path cannot be a hub id.
    """
    directory = Path(os.path.expanduser(path))  # unlike Path.expanduser, it treats `~` of an unknown user as a name
    if directory.exists():
        inside = directory / RUN_MODEL
        return inside if not (directory / FACTS).is_file() and (inside / FACTS).is_file() else directory
    local = str(path).count("/") != 1 or str(path).startswith((".", "/", "~"))
    # Anybody can register a name on the Hub: a mistyped run must not be replaced by a model from there.
    if local or str(directory.parent) == RUNS or _models_in(directory.parent):
        raise no_such_directory(directory)
    return None


def no_such_directory(path: Path) -> ModelError:
    """Return the error for a missing directory; it names a model of a similar name, and the newest models."""
    missing = path
    while missing.parent != missing and not missing.parent.exists():
        missing = missing.parent
    near = nearest(missing.name, (model.name for model in _models_in(missing.parent)))
    meant = f"; did you mean '{missing.with_name(near)}'?" if near is not None else ""
    found = _models_in(Path(RUNS))
    shown = ", ".join(map(str, found[:_SHOWN_MODELS])) + (", …" if len(found) > _SHOWN_MODELS else "")
    hint = "name the directory that `ie train` has written, e.g. runs/NAME"
    return ModelError(f"{path}: no such directory{meant}", hint=f"{hint}; found: {shown}." if found else f"{hint}.")


def newest_model(runs: Path = Path(RUNS)) -> Path:
    """Return the most recently written model directory of all runs.

    Raises:
        ModelError: there is no model.
    """
    found = [path for path in _models_in(runs) if (path / RUN_MODEL / FACTS).is_file()]
    if not found:
        raise ModelError(
            f"no model found under {runs.absolute()}",
            hint="train one (`ie train quickstart`), or name a model directory on the command line or in IE_MODEL.",
        )
    return found[0] / RUN_MODEL


def _models_in(directory: Path) -> list[Path]:
    """Return the model directories, and the run directories with a model, in a directory; the newest first."""
    try:
        found = [(path / mark, path) for path in directory.iterdir() for mark in _MARKS if (path / mark).is_file()]
        found.sort(key=lambda item: item[0].stat().st_mtime, reverse=True)
    except OSError:  # missing or not readable
        return []
    return list(dict.fromkeys(path for _, path in found))
