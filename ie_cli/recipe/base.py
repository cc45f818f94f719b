"""The base class of all sections of a recipe, and types of their fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0, le=1_000_000_000)]
"""A number of things, or of steps: within what the libraries store in 64 bits, also after a multiplication."""
Million = Annotated[int, Field(gt=0, le=1_000_000)]
"""A number that is multiplied by the size of the data: more than any run needs, and no overflow."""
Text = Annotated[str, Field(min_length=1)]

Precision = Literal["float32", "bfloat16", "float16"]


class Section(BaseModel):
    """Base class of all sections: unknown keys are errors, and docstrings below fields are their help."""

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, frozen=True, strict=True, allow_inf_nan=False
    )

    @property
    def short_form(self) -> str | None:
        """The text that is short for the section, or None if it has no such form."""
        return None
