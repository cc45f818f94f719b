"""Say which texts are unlike those that a model was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ie_cli.commands.console import say
from ie_cli.errors import counted
from ie_cli.inference.splitting import MUCH_LONGER, Splitter

if TYPE_CHECKING:
    from ie_cli.inference.pipeline import Counts


def report_long_texts(splitter: Splitter | None, counts: Counts, *, quiet: bool = False) -> None:
    """Print how many texts were much longer than the trained ones, and what was done with them."""
    if quiet or splitter is None or splitter.seen is None:
        return
    seen, texts = splitter.seen, counted(counts.texts, "text")
    if counts.cut and splitter.mode == "auto":
        say(
            f"{counts.cut} of {texts} had more than {counted(seen.sentences, 'sentence')}, unlike 99 % of the training texts: "
            f"cut into groups of up to {counted(seen.usual_sentences, 'sentence')} (--split never annotates them whole)"
        )
    if counts.whole:
        remedy = (
            "--split auto cuts them at sentence ends" if splitter.mode == "never" else "they have too few sentence ends"
        )
        say(
            f"{counts.whole} of {texts} had more than {counted(MUCH_LONGER * seen.tokens, 'token')}, but 99 % of the training "
            f"texts at most {seen.tokens:,}, and were annotated whole: the model may miss things in them; {remedy}"
        )
