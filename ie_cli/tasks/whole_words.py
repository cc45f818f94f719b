"""Whether a model finds only spans of whole words, and what that means for the training data."""

from __future__ import annotations

from ie_cli.data.findings import Finding
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.recipe.heads import HeadSection

ALLOW_INSIDE_WORDS = "head.whole_words: false allows boundaries inside words"


def decide_whole_words(head: HeadSection, statistics: DatasetStatistics) -> bool:
    """Return whether a new model finds only spans of whole words.

    Args:
        head: the section of the head.
        statistics: the counts of the training data.
    """
    if head.reads != "windows":
        return False
    return statistics.has_whole_words if head.whole_words == "auto" else head.whole_words


def describe_whole_words(
    head: HeadSection, statistics: DatasetStatistics, *, decided: bool | None = None
) -> Finding | None:
    """Return how many spans of the training data start or end inside a word, and what follows; None if there are no spans.

    Args:
        head: the section of the head.
        statistics: the counts of the training data.
        decided: whether the model finds only spans of whole words; None for a new model.
    """
    decided = decide_whole_words(head, statistics) if decided is None else decided
    count, total = statistics.split_words, statistics.spans
    if head.reads != "windows" or not total:
        return None
    how = f"head.whole_words: {str(head.whole_words).lower()}"
    if not count:
        effect = "no prediction will" if decided else "predictions may"
        return Finding("note", f"no entity starts or ends inside a word, and {effect} ({how})")
    found = f"{count:,} of {total:,} spans ({count / total:.2%}) start or end inside a word"
    if not decided:
        return Finding("note", f"{found}, and predictions may ({how})")
    effect = f"and can be neither learned nor predicted ({how}; false allows them)"
    return Finding("note" if statistics.has_whole_words else "warning", f"{found}, {effect}")
