"""Data in, a recipe out that fits them: one streaming pass, then a proposal in YAML with comments that say why."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from ie_cli.errors import DataError
from ie_cli.example import Entity, Example
from ie_cli.formats import BadLine, Reading, find_format, read_examples
from ie_cli.formats.detect import detect
from ie_cli.recipe_file import yaml_scalar
from ie_cli.textio import is_url, read_lines

CountTokens = Callable[[str], int]

_DETECTION_LINES = 100
_LONGEST_COUNTED = 4096
_SPECIAL_TOKENS = 2
_MOST_POSITIONS = 512
_WIDTH = 110
_DEV_NAMES = ("dev", "valid", "validation", "val", "eval")

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA_HANGUL = r"\u3040-\u30ff\u31f0-\u31ff\uac00-\ud7af"
_PIECES = re.compile(rf"[{_HAN}{_KANA_HANGUL}]|[^\W\d_{_HAN}{_KANA_HANGUL}]+|\S")
_SCRIPTS = {
    "han": re.compile(rf"[{_HAN}]"),
    "kana_hangul": re.compile(rf"[{_KANA_HANGUL}]"),
    "ascii": re.compile(r"[A-Za-z]"),
    "letters": re.compile(r"[^\W\d_]"),
}


@dataclass(slots=True)
class Survey:
    """What one pass finds; its size does not depend on that of the data."""

    examples: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    mentions: Counter[int] = field(default_factory=Counter)
    overlapping: int = 0
    scripts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, examples: Iterable[Example], count_tokens: CountTokens) -> Survey:
        """Count labels, lengths in tokens, overlaps and scripts."""
        survey = cls()
        for example in examples:
            survey.examples += 1
            survey.lengths[min(count_tokens(example.text), _LONGEST_COUNTED)] += 1
            for entity in example.entities:
                survey.labels[entity.label] += 1
                survey.mentions[min(count_tokens(example.text[entity.start : entity.end]), _LONGEST_COUNTED)] += 1
            survey.overlapping += overlap(example.entities)
            if survey.examples <= 10_000:  # enough to know the script
                for script, pattern in _SCRIPTS.items():
                    survey.scripts[script] += len(pattern.findall(example.text))
        return survey


def overlap(entities: Iterable[Entity]) -> bool:
    """Say whether two entities share a character."""
    end = 0
    for entity in sorted(set(entities)):
        if entity.start < end:
            return True
        end = max(end, entity.end)
    return False


def estimate_tokens(text: str) -> int:
    """Tokens that a subword tokenizer may make of a text, rather too many than too few.

    One for each Chinese, Japanese or Korean character, digit and sign, one for every four letters of a word.

    >>> estimate_tokens("浙商银行 opened in 2004.")
    12
    """
    return sum(-(-len(piece) // 4) for piece in _PIECES.findall(text))


def count_characters(text: str) -> int:
    """Tokens that a character vocabulary makes of a text."""
    return len(text) - sum(map(str.isspace, text))


def propose_recipe(
    path: str,
    *,
    format: str | None = None,
    encoder: str | None = None,
    report: Callable[[str], None] | None = None,
) -> str:
    """Look at training data and write a recipe that fits them.

    Args:
        path: a file, ``-``, a URL or ``hub:…``; relative to the current directory, as is the recipe.
        format: detected where not given.
        encoder: hub id, folder or ``tiny``; chosen by the script of the text where not given.
        report: called with what the reader detected.

    Raises:
        DataError: the data cannot be read, or hold no entity.
    """
    reading = Reading(report=report) if report else Reading()
    format, examples = _open(path, format, reading)
    count_tokens, limit = token_counter(encoder)
    survey = Survey.of(examples, count_tokens)
    where = "stdin" if path == "-" else path
    if not survey.examples:
        raise DataError(f"{where}: no example in it", hint="give annotated data.")
    if not survey.labels:
        raise DataError(
            f"{where}: none of its {survey.examples:,} examples holds an entity",
            hint="training needs annotated data; is the format right (--input-format)?",
        )
    siblings = find_siblings(path)
    if "test" in siblings and not _annotated(siblings["test"], format):
        del siblings["test"]
    return "".join(f"{line}\n" for line in _lines(survey, path, format, encoder, siblings, limit))


def _open(path: str, format: str | None, reading: Reading) -> tuple[str | None, Iterator[Example]]:
    """The format and the examples of a source that is read only once, as stdin must be."""
    if path.startswith("hub:"):
        return format, read_examples(path, format=format, reading=reading)
    stream = iter(read_lines(path))
    head = list(islice(stream, _DETECTION_LINES))
    format = format or detect(head, path)
    records = find_format(format).read(chain(head, stream), "stdin" if path == "-" else path, reading)

    def examples() -> Iterator[Example]:
        for record in records:
            if isinstance(record, BadLine):
                raise record.error
            yield record

    return format, examples()


def _annotated(path: str, format: str | None) -> bool:
    """Say whether a file can be read and has entities among its first examples; published test data often have none."""
    try:
        return any(example.entities for example in islice(read_examples(path, format=format), 100))
    except DataError:
        return False


def token_counter(encoder: str | None) -> tuple[CountTokens, int]:
    """How to count the tokens of an encoder, and the most it takes: its own tokenizer where it is a folder here."""
    if encoder == "tiny":
        return count_characters, _MOST_POSITIONS
    folder = Path(encoder).expanduser() if encoder else None
    if folder is None or not (folder / "tokenizer.json").is_file():
        return estimate_tokens, _MOST_POSITIONS
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(text: str) -> int:
        text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8 form
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count, _positions(folder)


def _positions(folder: Path) -> int:
    try:
        positions = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("max_position_embeddings")
    except (OSError, ValueError, AttributeError):
        return _MOST_POSITIONS
    return min(_MOST_POSITIONS, positions) if isinstance(positions, int) and positions > 0 else _MOST_POSITIONS


def find_siblings(path: str) -> dict[str, str]:
    """``dev`` and ``test`` files beside a ``train`` file, by their names: train.jsonl.gz, news_train.txt, …"""
    if path == "-" or path.startswith("hub:") or is_url(path):
        return {}
    file = Path(path)
    match = re.search(r"(?<![^\W_])train(?![^\W_])", file.name)
    if not match:
        return {}
    found: dict[str, str] = {}
    for split, names in (("dev", _DEV_NAMES), ("test", ("test",))):
        for name in names:
            sibling = file.with_name(file.name[: match.start()] + name + file.name[match.end() :])
            if sibling.is_file():
                found[split] = path[: len(path) - len(file.name)] + sibling.name
                break
    return found
