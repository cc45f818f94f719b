"""Find gold items that cannot be predicted with the tokens and windows of a recipe, with reasons and remedies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ie_cli.codecs.base import build_codec, find_reachable
from ie_cli.codecs.limits import FLAT, REMEDIES
from ie_cli.data.findings import Finding
from ie_cli.data.label_schema import LabelSchema
from ie_cli.data.token_lengths import LONGEST_COUNTED
from ie_cli.doctor.unknown_characters import UnknownCharacters
from ie_cli.document import Document
from ie_cli.encoding.alignment import APART, INSIDE_TOKEN, INSIDE_WORD, NO_TOKEN, TOO_LONG, WHITESPACE
from ie_cli.encoding.pairs import PairSequences
from ie_cli.encoding.tokenizer import TextTokenizer, Tokens
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import with_whole_words
from ie_cli.recipe.heads import HeadSection
from ie_cli.recipe.schema import EncoderSection
from ie_cli.tasks import Kind, Task, TrainingItems
from ie_cli.tasks.whole_words import ALLOW_INSIDE_WORDS

_SHOWN = 3


@dataclass(slots=True)
class _KindReach:
    """Counts of gold items of one kind, of unreachable ones by reason, and examples of the latter."""

    total: int = 0
    unreachable: Counter[str] = field(default_factory=Counter)
    shown: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class Reach:
    """Counts of reachable and unreachable gold items in a split.

    Attributes:
        head: the head whose codec defines what can be expressed.
        schema: the schema that may exclude gold items; None excludes none.
        unknown: counts the unknown characters; None for an encoder whose vocabulary is built from the training data.
        sequences: the sequences of the texts of pairs; None if the head reads windows of single texts.
        longest: number of tokens in the longest text.
        windowed: number of texts that do not fit into one window.
        texts: number of texts in pairs that the head reads.
        truncated: number of them that are too long and lose their ends.
        lengths: number of texts by length in tokens, if the head reads windows of single texts.
        whole_words: whether spans that start or end inside a word are unreachable.
    """

    task: Task
    head: HeadSection
    tokenizer: TextTokenizer
    plan: WindowPlan
    schema: LabelSchema | None = None
    unknown: UnknownCharacters | None = None
    sequences: PairSequences | None = None
    longest: int = 0
    windowed: int = 0
    texts: int = 0
    truncated: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    whole_words: bool = False
    _kinds: dict[str, _KindReach] = field(default_factory=dict)

    def add(self, document: Document) -> None:
        """Count a document."""
        [tokens] = self.tokenizer.encode([document.text])
        if self.whole_words:
            tokens = with_whole_words(document.text, tokens)
        if self.unknown is not None:
            self.unknown.add_tokens(document.text, tokens)
        self.longest = max(self.longest, len(tokens))
        if self.sequences is None:
            self.lengths[min(len(tokens), LONGEST_COUNTED)] += 1
            self.windowed += len(tokens) > self.plan.capacity
        elif document.text_pair is not None:
            self._add_second(tokens, document.text_pair, self.sequences)
        schema = self.schema or self.task.schema_of(document)
        totals, unreachable = self._find(document, tokens, schema)
        for kind in self.task.kinds:
            found = self._kinds.setdefault(kind.items, _KindReach())
            found.total += totals.get(kind.items, 0)
            for item, reason in unreachable.get(kind.items, ()):
                found.unreachable[reason] += 1
                shown = found.shown.setdefault(reason, [])
                if len(shown) < _SHOWN:
                    shown.append(f"{document.where}: {kind.show(document.text, item)}")

    def _add_second(self, first: Tokens, text: str, sequences: PairSequences) -> None:
        """Count the second text of a pair, and which of both are too long."""
        [second] = self.tokenizer.encode([text])
        if self.unknown is not None:
            self.unknown.add_tokens(text, second)
        self.longest = max(self.longest, len(second))
        self.texts += 2
        self.truncated += sequences.truncated(first.ids, second.ids)

    def describe_truncation(self) -> str:
        """Describe what happens to texts that are too long, and what to do."""
        together = ", in which both texts of a pair are encoded together," if self.head.reads == "pair" else ""
        return (
            f"exceed encoder.max_length{together} and lose their ends (the longest has {self.longest} tokens): raise "
            "encoder.max_length if the ends matter"
        )

    def _find(
        self, document: Document, tokens: Tokens, schema: LabelSchema
    ) -> tuple[Mapping[str, int], Mapping[str, Sequence[tuple[Any, str]]]]:
        """Return, by kind, the number of gold items in a document, and the unreachable ones with their reasons."""
        codec = build_codec(self.head, schema)
        found = find_reachable(codec, document, tokens, self.plan, flat=self.head.flat)
        return found.counts, found.unreachable

    def is_lost(self, reason: str) -> bool:
        """Return whether an item is unreachable for a reason."""
        return any(reason in found.unreachable for found in self._kinds.values())

    def items(self) -> TrainingItems:
        """Return the counts of gold items that the task learns; a model learns also what flat output removes."""
        found = self._kinds.get(self.task.words.items, _KindReach())
        lost = {reason: count for reason, count in found.unreachable.items() if reason not in FLAT}
        return TrainingItems(found.total, lost)

    def findings(self, split: str, encoder: EncoderSection, *, trim: bool, shifted: bool) -> Iterator[Finding]:
        """Yield a finding for each kind with unreachable items.

        Args:
            split: its name.
            encoder: the section of the encoder.
            trim: whether spans were trimmed.
            shifted: whether the offsets themselves seem to be wrong. Other remedies would then only hide that.
        """
        for kind in self.task.kinds:
            found = self._kinds.get(kind.items)
            if found is not None and found.unreachable:
                yield _report(split, kind, found, _remedies(encoder, trim=trim, shifted=shifted))


def _remedies(encoder: EncoderSection, *, trim: bool, shifted: bool) -> dict[str, str]:
    """Return what makes items reachable, by the reason why they are not."""
    windows = f"raise encoder.stride (now {encoder.stride}) or encoder.max_length (now {encoder.max_length})"
    remedies = {**REMEDIES, TOO_LONG: windows, APART: windows, INSIDE_WORD: ALLOW_INSIDE_WORDS}
    if shifted:
        wrong = (INSIDE_TOKEN, INSIDE_WORD, NO_TOKEN, WHITESPACE)
        return remedies | dict.fromkeys(wrong, "correct the offsets first, see above")
    if encoder.vocabulary == "words":
        remedies[INSIDE_TOKEN] = "encoder.vocabulary: characters makes every boundary reachable"
    elif encoder.tokenization != "char":
        remedies[INSIDE_TOKEN] = "encoder.tokenization: char makes every boundary reachable"
        remedies[NO_TOKEN] = "encoder.tokenization: char makes every character a token"
    if not trim:
        remedies[WHITESPACE] = "data.trim: true removes it from both ends of every span"
    return remedies


def _report(split: str, kind: Kind, found: _KindReach, remedies: Mapping[str, str]) -> Finding:
    unreachable = found.unreachable.total()
    causes = ", ".join(f"{count} {reason}" for reason, count in found.unreachable.most_common())
    share = f" ({unreachable / found.total:.2%})" if found.total else ""
    text = f"{split}: {unreachable} of {found.total} {kind.items}{share} can never be predicted: {causes}"
    for reason, shown in found.shown.items():
        text += f"\n  {reason}: {remedies.get(reason, 'fix the annotation')}"
        text += "".join(f"\n    {line}" for line in shown)
    return Finding("warning", text)
