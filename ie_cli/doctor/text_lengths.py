"""Compare the lengths of the texts of two splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ie_cli.data.findings import Finding
from ie_cli.data.token_lengths import LONGEST_COUNTED
from ie_cli.doctor.windows_proposal import quantile
from ie_cli.errors import counted
from ie_cli.inference.splitting import MUCH_LONGER

_SHARE = 0.05  # of the texts: a few long ones change no score by much


def much_longer(split: str, trained: Counter[int], other: Counter[int]) -> Iterator[Finding]:
    """Yield a finding if a split has texts that are much longer than those of train.

    Args:
        split: the name of the other split.
        trained: number of texts of train by length in tokens, of which lengths above `LONGEST_COUNTED` are counted as this one.
        other: those of the other split.
    """
    if not trained or not other:
        return
    usual = quantile(trained, 0.99)
    limit = min(MUCH_LONGER * usual, LONGEST_COUNTED)
    count = sum(number for length, number in other.items() if length > limit)
    if count >= max(1, _SHARE * other.total()):
        yield Finding(
            "warning",
            f"{count} of {counted(other.total(), 'text')} of {split} have more than {limit:,} tokens, but 99 % of the texts of "
            f"train have at most {usual:,}: a model finds less in texts that are much longer than those it was trained on; train "
            "on such texts too, or cut them into sentences: `ie predict --split`",
        )
