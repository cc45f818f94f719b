"""The ``annotation.conf`` of a brat directory: the types of its annotations, so that brat shows and edits them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ie_cli.formats.common.brat_lines import Annotation

NAME = "annotation.conf"
_SECTION = re.compile(r"\s*\[(.*)\]\s*")
_NO_TYPE = re.compile(r"\s*(#|-+\s*$|<|!|$)")
"""A comment, a separator, a macro or the permission to overlap, or a type that only groups others."""
_SYMMETRIC = "symmetric-transitive"
"""The mark of an equivalence, which is stored in other lines than a relation."""
_OVERLAPS = "<OVERLAP>\tArg1:<ENTITY>, Arg2:<ENTITY>, <OVL-TYPE>:<ANY>"
"""Allows annotations that overlap, which brat otherwise marks as errors."""


@dataclass(slots=True)
class Configuration:
    """The types that occur in a directory, in the order of their names.

    Attributes:
        entities: the labels.
        relations: the types of the first and second arguments, by predicate.
        events: the types of the arguments, by event type and role.
        attributes: the values of each attribute; a flag has none.
    """

    entities: set[str] = field(default_factory=set)
    relations: dict[str, tuple[set[str], set[str]]] = field(default_factory=dict)
    events: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    attributes: dict[str, set[str]] = field(default_factory=dict)

    def add(self, found: Annotation, lines: Iterable[str]) -> None:
        """Add the types of a document's annotations."""
        self.entities |= {
            span.label for key, span in found.spans.items() if span is not None and key not in found.triggers
        }
        for line in lines:
            key, _, rest = line.partition("\t")
            words = rest.partition("\t")[0].split(" ")
            if key[:1] in ("A", "M"):
                self.attributes.setdefault(words[0], set()).update(words[2:])
            elif key[:1] == "T" and key not in found.triggers:
                self.entities.add(words[0])
        for relation in found.relations.values():
            ends = self.relations.setdefault(relation.predicate, (set(), set()))
            ends[0].add(relation.subject.label)
            ends[1].add(relation.object.label)
        for event in found.events.values():
            roles = self.events.setdefault(event.type, {})
            for argument in event.arguments:
                roles.setdefault(argument.role, set()).add(argument.entity.label)

    def text(self) -> str:
        """Return the content of the file."""
        relations = [
            f"{name}\tArg1:{_any_of(first)}, Arg2:{_any_of(second)}"
            for name, (first, second) in sorted(self.relations.items())
        ]
        events = [
            f"{name}\t{', '.join(f'{role}*:{_any_of(types)}' for role, types in sorted(roles.items()))}"
            for name, roles in sorted(self.events.items())
        ]
        attributes = [
            f"{name}\tArg:<ANY>{f', Value:{_any_of(values)}' if values else ''}"
            for name, values in sorted(self.attributes.items())
        ]
        sections: dict[str, Sequence[str]] = {
            "entities": sorted(self.entities),
            "relations": [_OVERLAPS, *relations],
            "events": events,
            "attributes": attributes,
        }
        return "\n".join("".join(f"{line}\n" for line in (f"[{name}]", *lines)) for name, lines in sections.items())


def _any_of(types: Iterable[str]) -> str:
    return "|".join(sorted(types))


def declares_relations(directory: Path) -> bool:
    """Return whether the configuration of a directory has a type of relations, so that a text without a relation has none.

    The configuration is the nearest one: that of the directory, or else of a parent, as brat itself looks for it.
    """
    directory = directory.absolute()
    for parent in (directory, *directory.parents):
        try:
            lines = (parent / NAME).read_text(encoding="utf-8-sig", errors="replace").splitlines()
        except OSError:
            continue
        section = ""
        for line in lines:
            if header := _SECTION.fullmatch(line):
                section = header[1]
            elif section == "relations" and not _NO_TYPE.match(line) and _SYMMETRIC not in line:
                return True
        return False
    return False
