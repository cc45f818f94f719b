"""The section `data.context`: examples that are joined to longer texts in training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ie_cli.recipe.base import Probability, Section

Texts = Annotated[int, Field(ge=2, le=100)]


class ContextSection(Section):
    order: Literal["neighbours", "random"] = "neighbours"
    """Which examples are joined: consecutive ones of the data, or random ones, if the order of the data means nothing."""
    share: Probability = 0.8
    """Fraction of the texts of an epoch that are part of a joined text; it is less if they do not fit into a window."""
    texts: Texts = 3
    """Maximum number of texts in a joined text; the number is drawn from 2 to this one."""
    joiner: str | None = None
    """The text between two of them. If omitted, an empty line after a text without a punctuation mark at its end, and otherwise
    a space, but nothing next to Chinese characters."""

    @property
    def short_form(self) -> str | None:
        """The number of texts, if all other options have their defaults."""
        return str(self.texts) if self == ContextSection(texts=self.texts) else None


CONTEXT: ContextSection | None = None
"""The default: texts are not joined."""


def _expanded(value: Any) -> Any:
    """Expand the short form, a number of texts alone."""
    return {"texts": value} if isinstance(value, int) and not isinstance(value, bool) else value


Context = Annotated[
    ContextSection | None, BeforeValidator(_expanded, json_schema_input_type=Texts | ContextSection | None)
]
