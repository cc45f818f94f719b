"""The environment that scores were computed in: versions, machine, device, precision and date."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ie_cli import __version__
from ie_cli.inference.backends.onnx import OnnxBackend
from ie_cli.inference.model_directory import EXPORT
from ie_cli.system.json_reading import read_json

if TYPE_CHECKING:
    from ie_cli.inference.pipeline import Backend

LOADED_ONLY = ("torch", "onnxruntime")
"""Libraries whose version is only reported if they were used."""


def describe_environment(backend: Backend | None = None) -> dict[str, str]:
    """Return names and values of the environment, in the order in which they are shown.

    Args:
        backend: the backend that ran the model; None if a prediction file was scored.
    """
    found = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "ie": __version__,
        "python": platform.python_version(),
        "tokenizers": metadata.version("tokenizers"),
    }
    for name in LOADED_ONLY:
        if (version := getattr(sys.modules.get(name), "__version__", None)) is not None:
            found[name] = str(version)
    found |= {"platform": platform.platform(), "processor": processor()}
    return found if backend is None else found | dict(_describe_backend(backend))


def processor() -> str:
    """Return the name of the processor as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = (value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == "model name")
    return next(names, "") or platform.processor() or platform.machine()


def _describe_backend(backend: Backend) -> Iterator[tuple[str, str]]:
    """Yield names and values of the backend, as far as they are known."""
    if isinstance(backend, OnnxBackend):
        yield from (("backend", "onnxruntime"), ("device", "cpu"))
        if precision := _exported_precision(backend.file.parent / EXPORT):
            yield "precision", precision
        return
    model: Any = getattr(backend, "model", None)
    if model is None:
        yield "backend", type(backend).__name__
        return
    device = next(model.parameters()).device
    yield from (("backend", "torch"), ("device", str(device)))
    if device.type == "cuda":
        yield "accelerator", str(sys.modules["torch"].cuda.get_device_name(device))
    if (precision := getattr(backend, "precision", None)) is not None:
        yield "precision", str(precision)


def _exported_precision(file: Path) -> str | None:
    """Return the precision of an exported graph, or None if the file next to it does not record it."""
    try:
        facts = read_json(file)
    except (OSError, ValueError):
        return None
    return str(facts["precision"]) if isinstance(facts, dict) and "precision" in facts else None
