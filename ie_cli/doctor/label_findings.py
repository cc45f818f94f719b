"""Findings about names of labels and predicates: names that look alike, and labels that are listed but do not occur."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping

from ie_cli.data.findings import Finding
from ie_cli.doctor.survey import Survey
from ie_cli.document.trimming import is_invisible
from ie_cli.formats.common.base import quoted
from ie_cli.recipe.schema import TaskSection


def label_findings(surveys: Mapping[str, Survey], section: TaskSection) -> Iterator[Finding]:
    """Yield the findings about the names in all splits and in the recipe."""
    task = surveys["train"].task
    listed = section.data.labels or ()
    for kind in task.kinds:
        names: Counter[str] = Counter()
        for survey in surveys.values():
            names.update(survey.names[kind.items])
        if kind.names == "labels":
            names.update(dict.fromkeys(listed, 0))
        for group in _alike(names):
            shown = ", ".join(f"{quoted(name)} {names[name]}" for name in group)
            yield Finding(
                "warning",
                f"{kind.names} that differ only in case, form, spaces or invisible characters, and so are learned "
                f"separately: {shown}",
            )
    present = {name for kind in task.kinds if kind.names == "labels" for name in surveys["train"].names[kind.items]}
    if present and (absent := [name for name in listed if name not in present]):
        yield Finding(
            "warning", f"labels that data.labels lists and no example of train has: {', '.join(map(quoted, absent))}"
        )


def _alike(names: Counter[str]) -> list[list[str]]:
    """Return the groups of names that look alike, the most frequent name first."""
    groups: dict[str, list[str]] = {}
    for name, _ in sorted(names.items(), key=lambda item: (-item[1], item[0])):
        groups.setdefault(_skeleton(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _skeleton(name: str) -> str:
    """Return what is left of a name without case, compatibility forms, spaces and invisible characters."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(char for char in folded if not is_invisible(char)) or name
