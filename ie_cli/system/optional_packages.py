"""Packages that only some installations have."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def import_package(name: str) -> ModuleType:
    """Import a package.

    Args:
        name: its name.

    Raises:
        ImportError: it is not installed. A directory of this name in the current directory, which Python imports as an empty
            package when it was started with ``-m``, is none.
    """
    package = import_module(name)
    spec = getattr(package, "__spec__", None)
    if spec is not None and spec.origin is None and spec.submodule_search_locations is not None:
        raise ImportError(f"'{name}' is a directory without code, not a package", name=name)
    return package
