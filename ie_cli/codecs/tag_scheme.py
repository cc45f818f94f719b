"""The tags of a tagging scheme, and which sequences of tags are legal.

With R labels, a scheme has one block of R tags for each role of a token in an entity, and after them the tag O of tokens outside
of entities: tag ``block · R + label``, and O is the last of ``K = blocks · R + 1`` tags.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ie_cli.codecs.base import Index, Mask


@dataclass(frozen=True, slots=True)
class Scheme:
    """A tagging scheme; every legal sequence of tags is exactly one set of entities that do not overlap, and the reverse.

    Attributes:
        blocks: the roles of a token in an entity, in the order of their blocks of tags.
        opening: the roles of the first token of an entity.
        closing: the roles of the last token of an entity.
        inner: the pairs of roles that neighbouring tokens of one entity may have.
    """

    blocks: tuple[str, ...]
    opening: tuple[str, ...]
    closing: tuple[str, ...]
    inner: tuple[tuple[str, str], ...]

    def outside(self, labels: int) -> int:
        """Return the tag O, which is also the number of the other tags."""
        return len(self.blocks) * labels

    def block(self, role: str, labels: int) -> slice:
        """Return the tags of a role."""
        first = self.blocks.index(role) * labels
        return slice(first, first + labels)

    def tags(self, roles: tuple[str, ...], labels: int) -> Index:
        """Return the tags of some roles, and O."""
        every = np.arange(self.outside(labels) + 1)
        return np.concatenate([every[self.block(role, labels)] for role in roles] + [every[-1:]])

    def legal(self, labels: int) -> Mask:
        """Return which tags may follow which; ``[K + 1, K + 1]``, the last row being the start and the last column the end."""
        count = self.outside(labels) + 1
        allowed = np.zeros((count + 1, count + 1), dtype=bool)
        opening, closing = self.tags(self.opening, labels), self.tags(self.closing, labels)
        allowed[np.ix_(closing, opening)] = True
        allowed[count, opening] = allowed[closing, count] = True
        for before, after in self.inner:
            allowed[self.block(before, labels), self.block(after, labels)] |= np.eye(labels, dtype=bool)
        return allowed


SCHEMES: dict[str, Scheme] = {
    "bio": Scheme(
        blocks=("begin", "inside"),
        opening=("begin",),
        closing=("begin", "inside"),
        inner=(("begin", "inside"), ("inside", "inside")),
    ),
    "bioes": Scheme(
        blocks=("begin", "inside", "end", "single"),
        opening=("begin", "single"),
        closing=("end", "single"),
        inner=(("begin", "inside"), ("begin", "end"), ("inside", "inside"), ("inside", "end")),
    ),
}
"""BIO: B starts an entity and I continues it. BIOES: B and E are the first and last token of an entity, S is its only one."""
