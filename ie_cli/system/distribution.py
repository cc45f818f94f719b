"""The distribution that `ie` is installed from: it decides what a hint about a missing package says."""

from __future__ import annotations

from collections.abc import Sequence

FULL, PREDICT = "ie-cli", "ie-cli-predict"
"""The names of the two distributions of this package. Both contain the same files; the second does not require torch."""
PREDICT_EXTRAS = frozenset({"ray", "s3", "serve", "zstd"})
_ALWAYS_IN_PREDICT = frozenset({"onnx"})


def installed_distribution() -> str:
    """Return the name of the installed distribution."""
    from importlib.metadata import PackageNotFoundError, distribution

    for name in (FULL, PREDICT):
        try:
            distribution(name)
        except PackageNotFoundError:
            continue
        return name
    return FULL  # a checkout that is not installed


def install_hint(*extras: str) -> str:
    """Return the command that installs what is missing: the packages of some extras, or those that training needs.

    The two distributions share their files, so one is not installed on top of the other.
    """
    if installed_distribution() == FULL:
        return f"pip install {_with_extras(FULL, extras)}"
    if extras and set(extras) <= PREDICT_EXTRAS | _ALWAYS_IN_PREDICT:
        return f"pip install {_with_extras(PREDICT, [name for name in extras if name in PREDICT_EXTRAS])}"
    return (
        f"{PREDICT} only runs exported models, {FULL} does the rest: "
        f"pip uninstall {PREDICT} && pip install {_with_extras(FULL, extras)}"
    )


def package_hint(package: str) -> str:
    """Return the command that installs a package of others that no extra contains."""
    return f"pip install {package}"


def upgrade_hint() -> str:
    """Return the command that installs the latest version."""
    return f"pip install -U {installed_distribution()}"


def _with_extras(name: str, extras: Sequence[str]) -> str:
    return f"'{name}[{','.join(extras)}]'" if extras else name
