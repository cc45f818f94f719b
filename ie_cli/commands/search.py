"""`ie search`: find the most similar texts of a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np

from ie_cli.commands.console import say
from ie_cli.commands.embed import Embedder
from ie_cli.commands.input_options import DATA_OPTIONS, require_options_to_apply
from ie_cli.commands.inputs import Input, ModelChoice
from ie_cli.commands.progress import counting
from ie_cli.commands.records import Output
from ie_cli.commands.sources import Sources
from ie_cli.document import Document
from ie_cli.errors import DataError, counted
from ie_cli.formats import FORMATS
from ie_cli.formats.jsonl import dump
from ie_cli.inference.search import TopHits
from ie_cli.inference.vector_files import BLOCK, Block, model_of, read_vectors, require_same_model
from ie_cli.system.streams import open_output

_FORMAT = "data.format in the recipe"
"""How hints name the option of a format; commands replace it by their own option."""


def run_search(
    choice: ModelChoice, queries: Input, corpus: Input, output: str, *, top_k: int, task: str | None, quiet: bool
) -> None:
    """Write the hits of each query, in the order of the queries; the corpus is read once, in blocks."""
    if queries.path == corpus.path == "-":
        raise DataError("QUERIES and CORPUS are both stdin", hint="name a file for one of them.")
    sides = {what: Sources.find([side], quiet=quiet) for what, side in (("queries", queries), ("corpus", corpus))}
    for sources in sides.values():
        Output(output, on_error="stop").validate_target(FORMATS["jsonl"], sources)
        sources.require_exist()
    embedder = Embedder(choice, task, skip=None, quiet=quiet)
    read = Sides(embedder, sides)
    asked = list(read.blocks("queries"))
    documents = [document for block in asked for document in block.documents]
    hits, found = _search(asked, read.blocks("corpus"), top_k)
    with open_output(output) as out:
        for document, rows, scores in zip(documents, hits.rows.tolist(), hits.scores.tolist(), strict=True):
            listed = [
                {"row": row, **_fields(found[row]), "score": round(score, 6)}
                for row, score in zip(rows, scores, strict=True)
                if row >= 0
            ]
            out.write(dump({**_fields(document), "hits": listed}))
    if not quiet:
        say(f"{counted(len(documents), 'query', 'queries')}, {counted(hits.size, 'text')} searched")
    embedder.warn()


def _fields(document: Document) -> dict[str, object]:
    known: dict[str, object] = {} if document.id is None else {"id": document.id}
    return {**known, "text": document.text}


def sides_of(queries: Input, corpus: Input) -> tuple[Input, Input]:
    """Return the queries and the corpus, whose options of reading must apply to at least one of them.

    Raises:
        DataError: an option applies to neither; none applies to files of vectors.
    """
    given = (queries, corpus)
    if not queries.given_options():
        return given
    texts = [one for one in given if one.format is not None or model_of(one.path) is None]
    if not texts:
        shown = DATA_OPTIONS[queries.given_options()[0]]
        raise DataError(
            f"{queries.path}: {shown} applies to data, but the queries and the corpus are files of vectors",
            hint=f"omit {shown}.",
        )
    checked = iter(require_options_to_apply(texts))
    first, second = (next(checked) if one in texts else one for one in given)
    return first, second


class Sides:
    """The queries and the corpus, as blocks of texts with their vectors.

    Raises:
        DataError: vectors come from another model than those of the other side, or than the model that computes them.
    """

    def __init__(self, embedder: Embedder, sides: dict[str, Sources]) -> None:
        self._embedder, self._sides = embedder, sides
        self._stored = {
            what: [model_of(file.path) if file.format is None else None for file in sources.files]
            for what, sources in sides.items()
        }
        every = [model for models in self._stored.values() for model in models]
        self._model = embedder.model if None in every else str(every[0])
        for what, sources in sides.items():
            for file, model in zip(sources.files, self._stored[what], strict=True):
                if model is not None:
                    require_same_model(file.path, model, self._model)

    def blocks(self, what: str) -> Iterator[Block]:
        """Yield the blocks of one side; files of vectors are read, texts are encoded."""
        sources = self._sides[what]
        for file, stored in zip(sources.files, self._stored[what], strict=True):
            if stored is not None:
                yield from read_vectors(file.path, self._model)
            else:
                yield from self._encoded(what, Sources((file,), searched=sources.are_several))

    def _encoded(self, what: str, sources: Sources) -> Iterator[Block]:
        size = sources.size()
        with counting(f"encoding the {what}", quiet=self._embedder.quiet, size=size) as progress, _naming(what):
            encoded = self._embedder.documents(sources, progress)
            while part := list(islice(encoded, BLOCK)):
                for _ in part:
                    progress()
                yield Block([document for document, _ in part], np.stack([vector for _, vector in part]))


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Name the option of the corpus in the hint of an error, not that of the queries."""
    try:
        yield
    except DataError as error:
        if what != "corpus" or error.hint is None:
            raise
        raise DataError(error.message, hint=error.hint.replace(_FORMAT, "--corpus-from")) from error


def _search(asked: list[Block], corpus: Iterator[Block], top_k: int) -> tuple[TopHits, dict[int, Document]]:
    """Return the hits of all queries, and their documents by their rows."""
    queries = np.concatenate([block.vectors for block in asked]) if asked else np.zeros((0, 0), dtype=np.float32)
    hits, found = TopHits(queries, top_k), dict[int, Document]()
    for block in corpus:
        if not len(queries):
            break
        if block.vectors.shape[1] != queries.shape[1]:
            raise DataError(
                f"the queries have vectors of {queries.shape[1]} numbers, the corpus of {block.vectors.shape[1]}",
                hint="run `ie embed` again on both, with the same model.",
            )
        start = hits.size
        hits.add(block.vectors)
        kept = set(np.unique(hits.rows).tolist())
        found = {row: document for row, document in found.items() if row in kept}
        found |= {row: block.documents[row - start] for row in kept if row >= start}
    return hits, found
