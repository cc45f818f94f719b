"""Train, measure and run information-extraction models.

from ie_cli import Extractor

extractor = Extractor.from_pretrained("runs/quickstart/model")
entities = [example.entities for example in extractor.extract(texts)]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ie_cli.document import Document, Entity, Relation

if TYPE_CHECKING:
    from ie_cli.inference.extractor import Extractor

__version__ = "0.1.0"
__all__ = ["Entity", "Document", "Extractor", "Relation", "__version__"]


def __getattr__(name: str) -> object:
    # torch takes seconds to import: only whoever asks for the model pays for it.
    if name == "Extractor":
        from ie_cli.inference.extractor import Extractor

        return Extractor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
