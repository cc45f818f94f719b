"""Gold documents that one model is scored on repeatedly: read once, tokenised once, with recall ceilings counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from ie_cli.codecs.base import Codec, Targets, find_reachable
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import with_whole_words
from ie_cli.evaluation.context import cut_out, inside
from ie_cli.inference.pipeline import Engine
from ie_cli.inference.splitting import Splitter
from ie_cli.metrics.scores import Ceiling

ACROSS = "across sentences that are annotated separately"


class CeilingCounter:
    """Counts the gold items that the output of a model can contain, with its tokens, windows, schema, `flat` and words."""

    def __init__(
        self,
        codec: Codec,
        tokenizer: TextTokenizer,
        plan: WindowPlan,
        *,
        flat: bool,
        splitter: Splitter | None = None,
        whole_words: bool = False,
    ) -> None:
        self._codec, self._tokenizer, self._plan = codec, tokenizer, plan
        self._flat, self._splitter, self._whole_words = flat, splitter, whole_words
        self._totals: Counter[str] = Counter()
        self._reasons: dict[str, Counter[str]] = {}

    @classmethod
    def of(cls, engine: Engine) -> CeilingCounter:
        """Return a counter for the only task of an engine."""
        [part] = engine.tasks
        return cls(
            part.codec,
            engine.tokenizer,
            engine.plan,
            flat=part.flat,
            splitter=engine.splitter,
            whole_words=part.whole_words,
        )

    def add(self, document: Document) -> None:
        """Count one gold document; a triple without offsets is reachable if any of its occurrences is.

        If the text is cut, an item that is not inside a piece is unreachable; where in a cut text the occurrences of a triple
        without offsets are is not considered.
        """
        tokens = self._tokens(document.text)
        found: Targets = find_reachable(self._codec, document, tokens, self._plan, flat=self._flat)
        self._totals.update(found.counts)
        located = document.spos is None and document.text_pair is None
        spans = self._splitter.cut(document.text, tokens) if self._splitter is not None and located else []
        if not spans:
            self._add_unreachable(found)
            return
        lost = Counter(found.counts)
        for start, end in spans:
            piece = inside(cut_out(document, start, end - start))
            found = find_reachable(self._codec, piece, self._tokens(piece.text), self._plan, flat=self._flat)
            self._add_unreachable(found)
            lost.subtract(found.counts)
        for kind, count in (+lost).items():
            self._reasons.setdefault(kind, Counter())[ACROSS] += count

    def _tokens(self, text: str) -> Tokens:
        """Return the tokens of a text, with the limits of words if the model has these."""
        [tokens] = self._tokenizer.encode([text])
        return with_whole_words(text, tokens) if self._whole_words else tokens

    def _add_unreachable(self, found: Targets) -> None:
        for kind, items in found.unreachable.items():
            self._reasons.setdefault(kind, Counter()).update(reason for _, reason in items)

    def ceilings(self) -> dict[str, Ceiling]:
        """Return the reachable and total counts by kind, with the reasons for unreachable items."""
        ceilings = {}
        for kind, total in self._totals.items():
            reasons = self._reasons.get(kind, Counter[str]())
            ceilings[kind] = Ceiling(total - reasons.total(), total, dict(reasons))
        return ceilings


class GoldSet:
    """The gold documents of one task.

    Args:
        documents: an iterable that can be iterated over several times.
        engine: an engine with this task only; its tokenizer should have a cache.
    """

    def __init__(self, documents: Iterable[Document], engine: Engine) -> None:
        self._documents, self._engine = documents, engine

    def __iter__(self) -> Iterator[Document]:
        return iter(self._documents)

    @cached_property
    def ceilings(self) -> Mapping[str, Ceiling]:
        """The recall ceilings of the model; training does not change them."""
        counter = CeilingCounter.of(self._engine)
        for document in self._documents:
            counter.add(document)
        return counter.ceilings()
