"""Packages that only some installations have."""

from __future__ import annotations

from types import ModuleType


def with_code(package: ModuleType) -> ModuleType:
    """Return an imported package, which must not be a mere directory.

    When Python was started with ``-m``, it imports any directory of this name in the current directory as an empty package.

    Raises:
        ImportError: it is such a directory, so that the package is not installed.
    """
    spec = package.__spec__ if hasattr(package, "__spec__") else None
    if spec is not None and spec.origin is None and spec.submodule_search_locations is not None:
        raise ImportError(f"'{spec.name}' is a directory without code, not a package", name=spec.name)
    return package
