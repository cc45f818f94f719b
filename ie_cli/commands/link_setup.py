"""What `ie link` needs before it reads predictions: the names with their vectors, and the models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ie_cli.commands.console import say, warn
from ie_cli.commands.embed import Embedder
from ie_cli.commands.inputs import ModelChoice
from ie_cli.commands.progress import counting
from ie_cli.errors import DataError, counted
from ie_cli.inference.canonical_names import NameIndex, describe_ambiguous, read_names
from ie_cli.inference.linking import Linker, LinkOptions, decided_threshold, reranking_engine
from ie_cli.inference.model_directory import fingerprint
from ie_cli.inference.model_paths import local_directory
from ie_cli.inference.vector_files import model_of, read_vectors, require_same_model
from ie_cli.metrics.best_cuts import LARGEST
from ie_cli.system.checksums import record_checksum

if TYPE_CHECKING:
    from ie_cli.inference.pipeline import Engine
    from ie_cli.inference.vector_files import Floats


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """What to link to, and how.

    Attributes:
        names: the file of names.
        vectors: a file of vectors of names, or None.
        task: the task whose head gives the vectors, or None if there is only one.
        rerank: a model that reads mention and name together, or None.
        options: how mentions are linked; a threshold of None means that of the model.
        context: how many characters around a mention the models read.
    """

    names: str
    _: KW_ONLY
    vectors: str | None = None
    task: str | None = None
    rerank: ModelChoice | None = None
    options: LinkOptions = field(default_factory=LinkOptions)
    context: int = 0


class LinkSetup:
    """The names and the models of a job; the models are loaded, and the names encoded, when it is created.

    Attributes:
        index: the names.
        linker: links mentions to them.
        facts: what must not change if the job is resumed.
    """

    def __init__(self, choice: ModelChoice, request: LinkRequest, *, quiet: bool) -> None:
        self._quiet = quiet
        self.index = _index(request.names, quiet=quiet)
        self._embedder = Embedder(choice, request.task, skip=False, quiet=quiet)
        self._reranker, rerank = None, None
        options, model = request.options, self._embedder.model
        if request.rerank is not None:
            rerank = fingerprint(local_directory(request.rerank.directory))
            self._reranker = reranking_engine(request.rerank.engine()[0])
        names = [[name.id, name.name, name.aliases, name.label] for name in self.index.names]
        self.facts: dict[str, Any] = {
            **choice.options(),
            "model": model,
            "rerank": rerank,
            "names": record_checksum(names),
            "top-k": options.top_k,
            "threshold": options.threshold,
            "exact": options.equal_first,
            "context": request.context,
        }
        if options.threshold is None:
            options = replace(options, threshold=_model_threshold(self._reranker or self._embedder.engine, quiet=quiet))
        vectors = self._name_vectors(request.vectors)
        self.linker = Linker(self.index, vectors, self._embedder.engine, reranker=self._reranker, options=options)

    def _name_vectors(self, path: str | None) -> Floats:
        """Return the vectors of all names and aliases: those of the file of vectors, and the others encoded."""
        from ie_cli.inference.embedding import embed

        left = dict.fromkeys(self.index.forms)

        def every() -> Iterator[tuple[str, Floats]]:
            if path is not None:
                total = len(left)
                for text, vector in _stored(path, self._embedder.model):
                    left.pop(text, None)
                    yield text, vector
                if not self._quiet:
                    say(f"{path}: vectors of {total - len(left):,} of {counted(total, 'name')}; the others are encoded")
            with counting("encoding the names", quiet=self._quiet) as progress:
                for text, vector in zip(list(left), embed(self._embedder.engine, left), strict=True):
                    yield text, vector
                    progress()

        return self.index.matrix(every())

    def warn(self) -> None:
        """Warn about texts that the models truncated."""
        self._embedder.warn()
        if self._reranker is not None and self._reranker.counts.shortened:
            warn(f"{counted(self._reranker.counts.shortened, 'text')} truncated by the model for --rerank")


def _index(path: str, *, quiet: bool) -> NameIndex:
    names, unused = read_names(path)
    index = NameIndex(names)
    if not quiet:
        aliases = len(index.forms) - len(names)
        say(f"{path}: {counted(len(names), 'name')}, {counted(aliases, 'alias', 'aliases')}")
        if unused:
            listed = ", ".join(f"{field} {count:,}" for field, count in unused.most_common(10))
            say(f"{path}: fields that are not used: {listed}")
    if ambiguous := index.ambiguous():
        warn(f"{path}: {describe_ambiguous(ambiguous)}")
    return index


def _stored(path: str, model: str) -> Iterator[tuple[str, Floats]]:
    """Yield the texts of a file of vectors with their vectors.

    Raises:
        DataError: it is no such file, or another model has written it.
    """
    if (stored := model_of(path)) is None:
        raise DataError(f"{path}: contains no vectors", hint="write the vectors of the names with `ie embed`.")
    require_same_model(path, stored, model)
    for block in read_vectors(path, model):
        for document, vector in zip(block.documents, block.vectors, strict=True):
            yield document.text, vector


def _model_threshold(engine: Engine, *, quiet: bool) -> float | None:
    """Return the model's own threshold, and say what it is."""
    threshold = decided_threshold(engine)
    if threshold is None or threshold <= -LARGEST:
        why = "does not decide between two classes" if threshold is None else "decides that all texts are the same"
        warn(f"the model {why}: each mention is linked to its best name (--threshold sets a score to exceed)")
    elif threshold >= LARGEST:
        warn("the model decides that no texts are the same: set a --threshold, or only equal names are linked")
    elif not quiet:
        say(f"a link needs a score above {threshold:.4f}, which the model decides by (--threshold changes it)")
    return threshold
