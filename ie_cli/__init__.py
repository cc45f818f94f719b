"""Train, evaluate and run information-extraction models.

    from ie_cli import Extractor

    extractor = Extractor.from_pretrained("runs/quickstart/model")
    for entity in extractor.predict("Ann met Bob in Rome.").entities:
        print(entity.label, entity.text)

The public API is what `__all__` lists:

- `Document`, `Entity`, `Relation`, `Event`: the types of gold annotations and of predictions.
- `read_documents`: reads the documents of a file, a pipe, a remote store or ``hub:…`` in any supported format.
- `Extractor`: a trained model; `predict` annotates one or several texts, `extract` a stream of them.
- `load_recipe`: reads a recipe from a YAML file.
- `train`: trains a model from a recipe and yields the events of the run.
- `train_seeds`, `train_folds`: train several models from a recipe and keep the best one.
- `evaluate`: scores a model on gold documents.
- `IEError`: the base of all errors about input and environment; `hint` says what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ie_cli.document import Document, Entity, Event, Relation
    from ie_cli.errors import IEError
    from ie_cli.evaluation.evaluate import evaluate
    from ie_cli.formats import read_documents
    from ie_cli.inference.extractor import Extractor
    from ie_cli.recipe.loader import load_recipe
    from ie_cli.training.run import train
    from ie_cli.training.series import train_folds, train_seeds

__version__ = "0.1.0"
__all__ = [
    "Document",
    "Entity",
    "Event",
    "Extractor",
    "IEError",
    "Relation",
    "__version__",
    "evaluate",
    "load_recipe",
    "read_documents",
    "train",
    "train_folds",
    "train_seeds",
]


_DATA_MODEL = ("Document", "Entity", "Event", "Relation")


def __getattr__(name: str) -> object:
    # Commands must start quickly, and importing torch takes seconds, so each name is imported on first use.
    if name in _DATA_MODEL:
        from ie_cli import document

        return getattr(document, name)
    if name == "Extractor":
        from ie_cli.inference.extractor import Extractor

        return Extractor
    if name == "IEError":
        from ie_cli.errors import IEError

        return IEError
    if name == "evaluate":
        from ie_cli.evaluation.evaluate import evaluate

        return evaluate
    if name == "load_recipe":
        from ie_cli.recipe.loader import load_recipe

        return load_recipe
    if name == "read_documents":
        from ie_cli.formats import read_documents

        return read_documents
    if name == "train":
        from ie_cli.training.run import train

        return train
    if name in ("train_folds", "train_seeds"):
        from ie_cli.training import series

        return getattr(series, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
