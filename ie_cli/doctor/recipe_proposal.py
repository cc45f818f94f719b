"""Data in, a recipe that fits them out: one streaming pass, then a proposal in YAML with comments that say why."""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from ie_cli.document import Document, Entity
from ie_cli.encoding.tokenizer_loading import read_tokenizer
from ie_cli.errors import DataError, ModelError
from ie_cli.formats import Reading, read_documents
from ie_cli.recipe.yaml import flow
from ie_cli.system.streams import is_url

CountTokens = Callable[[str], int]

_LONGEST_COUNTED = 4096
_SPECIAL_TOKENS = 2
_MOST_POSITIONS = 512
_WIDTH = 110
_COMMENT_COLUMN = 38
_SCRIPT_SAMPLE = 10_000
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
    """What one pass finds; its size does not depend on that of the data.

    Attributes:
        lengths: tokens of a text -> how many texts.
        mentions: tokens of an entity -> how many entities.
        predicates: of relations.
        reaches: tokens from the beginning of a relation's first argument to the end of its last -> how many relations.
        guessed: relations have no offsets of their own.
        overlapping: examples in which two entities share a character.
        scripts: letters by script.
    """

    documents: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    mentions: Counter[int] = field(default_factory=Counter)
    predicates: Counter[str] = field(default_factory=Counter)
    reaches: Counter[int] = field(default_factory=Counter)
    guessed: bool = False
    overlapping: int = 0
    scripts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, documents: Iterable[Document], count_tokens: CountTokens) -> Survey:
        """Look at a stream of examples."""
        survey = cls()
        for document in documents:
            survey.documents += 1
            survey.lengths[min(count_tokens(document.text), _LONGEST_COUNTED)] += 1
            for entity in document.entities:
                survey.labels[entity.label] += 1
                survey.mentions[min(count_tokens(document.text[entity.start : entity.end]), _LONGEST_COUNTED)] += 1
            for relation in document.relations:
                sides = (relation.subject, relation.object)
                reach = document.text[min(side.start for side in sides) : max(side.end for side in sides)]
                survey.predicates[relation.predicate] += 1
                survey.reaches[min(count_tokens(reach), _LONGEST_COUNTED)] += 1
            survey.guessed |= document.spos is not None
            survey.overlapping += overlap(document.entities)
            if survey.documents <= _SCRIPT_SAMPLE:
                for script, pattern in _SCRIPTS.items():
                    survey.scripts[script] += len(pattern.findall(document.text))
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
    data: str,
    *,
    format: str | None = None,
    encoder: str | None = None,
    reading: Reading | None = None,
) -> str:
    """Look at training data and write a recipe that fits them.

    Args:
        data: a file, ``-``, a URL or ``hub:…``; relative to the current directory, as the recipe is taken to be.
        format: detected where not given.
        encoder: hub id, folder or ``tiny``; chosen by the script of the text where not given.
        reading: options of reading, which the recipe then holds.

    Raises:
        DataError: the data cannot be read, or hold no entity.
    """
    count_tokens, limit = token_counter(encoder)
    formats: list[str] = []
    reading = reading or Reading()
    documents = read_documents(data, format=format, reading=reading, detected=formats.append)
    survey = Survey.of(documents, count_tokens)
    if not survey.labels and not survey.predicates:
        raise DataError(
            f"{'stdin' if data == '-' else data}: {survey.documents:,} examples, no entity in them: there is nothing to "
            "train on",
            hint="annotate some, or say how to read them: --input-format jsonl | duie | cluener | conll | …",
        )
    return "".join(
        f"{line}\n" for line in _lines(survey, data, formats[0] if formats else None, reading, encoder, limit)
    )


def token_counter(encoder: str | None) -> tuple[CountTokens, int]:
    """How to count the tokens of an encoder, and how many it takes: by its own tokenizer where it is a folder here."""
    if encoder == "tiny":
        return count_characters, _MOST_POSITIONS
    folder = os.path.expanduser(encoder) if encoder else ""
    if folder.startswith((".", "~", os.sep)) and not os.path.isdir(folder):
        raise ModelError(
            f"--encoder {encoder}: no such folder", hint="give a hub id, a folder with a config.json, or `tiny`."
        )
    file = os.path.join(folder, "tokenizer.json")
    if not folder or not os.path.isfile(file):
        return estimate_tokens, _MOST_POSITIONS
    tokenizer = read_tokenizer(Path(file), "take the encoder's folder from its source again.")
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(text: str) -> int:
        text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8 form
        return len(tokenizer.encode(text, add_special_tokens=False))

    return count, _positions(Path(folder))


def _positions(folder: Path) -> int:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        positions = int(config["max_position_embeddings"])
        # RoBERTa and its children start counting positions after the padding id.
        positions -= int(config["pad_token_id"]) + 1 if "roberta" in str(config.get("model_type")) else 0
    except (OSError, ValueError, TypeError, KeyError):
        return _MOST_POSITIONS  # the loader of models says what is wrong with the folder
    return max(32, min(_MOST_POSITIONS, positions))


def find_siblings(data: str, format: str | None = None, reading: Reading | None = None) -> dict[str, str]:
    """``dev`` and ``test`` files beside a ``train`` file, by their names: train.jsonl.gz, news_train.txt, …

    A test file without annotation, as shared tasks publish them, is no test data.
    """
    file = Path(data)
    match = re.search(r"(?<![^\W\d_])train(?![^\W\d_])", file.name)
    if not match or is_url(data) or not file.is_file():
        return {}
    found: dict[str, str] = {}
    for split, names in (("dev", _DEV_NAMES), ("test", ("test",))):
        for name in names:
            sibling = file.name[: match.start()] + name + file.name[match.end() :]
            if file.with_name(sibling).is_file() and _annotated(str(file.with_name(sibling)), format, reading):
                found[split] = data.removesuffix(file.name) + sibling
                break
    return found


def _annotated(path: str, format: str | None, reading: Reading | None) -> bool:
    quiet = replace(reading, report=lambda text: None) if reading else None
    try:
        head = islice(read_documents(path, format=format, reading=quiet), 100)
        return any(document.entities or document.relations for document in head)
    except DataError:
        return False


def _lines(
    survey: Survey, data: str, format: str | None, reading: Reading, encoder: str | None, limit: int
) -> Iterator[str]:
    counts = {"entities": survey.labels.total(), "relations": survey.predicates.total()}
    held = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    yield f"# {survey.documents:,} examples, {held}. Next: `ie check` and `ie train` with this file."
    yield from _names("label", survey.labels)
    yield from _names("predicate", survey.predicates)
    yield f"name: {flow(run_name(data))}"
    yield f"task: {'relation' if survey.predicates else 'ner'}"
    yield from _data(data, format, reading)
    if survey.guessed:
        yield _commented(
            f"  mentions: {reading.mentions}", "triples have no offsets: the pair that stands nearest; or first, all"
        )
    yield from _encoder(survey, encoder, limit)
    yield "head:"
    if survey.predicates:
        yield _commented("  name: gplinker", _rows(survey))
    # A slip in a thousand examples is no reason to allow overlaps everywhere.
    flat = survey.overlapping * 1000 <= survey.documents and bool(survey.labels)
    why = "no two entities overlap in these data; false allows nesting"
    if survey.overlapping:
        why = f"entities overlap in {survey.overlapping:,} of the {survey.documents:,} examples"
    if survey.labels:
        yield _commented(f"  flat: {flow(flat)}", why)
    yield from _training(survey, encoder)


def _commented(line: str, comment: str) -> str:
    return f"{line.ljust(_COMMENT_COLUMN - 2)}  # {comment}"


def _rows(survey: Survey) -> str:
    return (
        "a row for each entity type" if survey.labels else "no entities annotated: a row for subjects, one for objects"
    )


def _names(what: str, labels: Counter[str]) -> Iterator[str]:
    """The labels or predicates with their counts, as a few lines of comment."""
    if not labels:
        return
    shown = [f"{flow(label)} {count:,}" for label, count in labels.most_common(30)]
    if len(labels) > len(shown):
        shown.append(f"and {len(labels) - len(shown):,} more")
    text = f"{len(labels):,} {what}{'s' if len(labels) > 1 else ''}: {', '.join(shown)}"
    lines = textwrap.wrap(text, _WIDTH, max_lines=6, placeholder=" …", break_on_hyphens=False)
    yield from (f"# {line}" for line in lines)


def run_name(data: str) -> str:
    """A name for the run: of the file, or of its folder where the file is only ``train``."""
    if data == "-":
        return "ner"
    file = Path(re.sub(r"^(hub|\w+):(//)?", "", data))
    stem = file.name.split(".")[0]
    for candidate in (
        re.sub(r"[_-]*(train|training|dev|test|all)$", "", stem),
        *(folder.name for folder in list(file.absolute().parents)[:2]),
    ):
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", candidate).strip("._-")
        if name and name != "data":
            return name
    return "ner"


def _data(data: str, format: str | None, reading: Reading) -> Iterator[str]:
    siblings = find_siblings(data, format, reading)
    yield "data:"
    if data == "-":
        yield _commented("  train: train.jsonl", "it came in on stdin: save it, and name the file here")
    else:
        yield f"  train: {flow(data)}"
    if "dev" in siblings:
        yield f"  dev: {flow(siblings['dev'])}"
    else:
        yield _commented("  dev: 0.1", "a tenth of train, chosen by a hash of the text; a file of its own is better")
    if "test" in siblings:
        yield f"  test: {flow(siblings['test'])}"
    if format:
        yield f"  format: {format}"
    if reading.text_column:
        yield f"  text_column: {reading.text_column}"
    if reading.joiner is not None:
        yield f"  joiner: {flow(reading.joiner)}"
    if reading.label_columns is not None:
        yield f"  label_columns: {list(reading.label_columns)}"


def _encoder(survey: Survey, encoder: str | None, limit: int) -> Iterator[str]:
    spans = survey.mentions + survey.reaches  # a relation must lie in one window too
    max_length, stride, uncovered = window(survey.lengths, spans, limit)
    yield "encoder:"
    if encoder:
        yield f"  name: {flow(encoder)}"
    else:
        yield _commented(f"  name: {choose_encoder(survey.scripts)}", "hub id or folder; `tiny` needs no download")
    longest, longest_span = max(survey.lengths), max(spans)
    of_texts = f"the longest text has {_about(longest)} tokens; longer ones are cut into windows"
    yield _commented(f"  max_length: {max_length}", of_texts)
    of_spans = f"the longest {'relation' if survey.predicates else 'entity'} has {_about(longest_span)} tokens"
    if uncovered:
        of_spans += f"; windows may cut those longer than this: {uncovered:,}"
    yield _commented(f"  stride: {stride}", of_spans)


def _about(tokens: int) -> str:
    return f"over {tokens:,}" if tokens == _LONGEST_COUNTED else f"about {tokens:,}"


def choose_encoder(scripts: Counter[str]) -> str:
    """A well-known encoder for the script of the text."""
    if scripts["han"] > 0.5 * scripts["letters"] and scripts["kana_hangul"] < 0.1 * scripts["han"]:
        return "bert-base-chinese"
    # English hardly has a letter with an accent.
    return "bert-base-cased" if scripts["ascii"] > 0.995 * scripts["letters"] else "xlm-roberta-base"


def window(lengths: Counter[int], mentions: Counter[int], limit: int) -> tuple[int, int, int]:
    """``max_length``, a stride that covers the longest entity, and how many entities it cannot cover.

    A batch is only as long as its longest text, so a generous `max_length` costs little: it holds every text up to 256
    tokens, and else 99 % of them.
    """
    longest, longest_mention = max(lengths), max(mentions)
    usual = longest if longest + _SPECIAL_TOKENS <= 256 else _quantile(lengths, 0.99)
    needed = max(usual + _SPECIAL_TOKENS, 128, 2 * longest_mention + _SPECIAL_TOKENS if longest > usual else 0)
    max_length = min(_round_up(needed, 16), limit)
    room = max_length - _SPECIAL_TOKENS
    # Windows that share more than half of their tokens would cost more than twice the time.
    stride = min(max(_round_up(longest_mention, 8), max_length // 4), room // 2)
    if longest <= room:  # no text of these needs a second window
        return max_length, stride, 0
    return max_length, stride, sum(count for length, count in mentions.items() if length > stride + 1)


def _quantile(counts: Counter[int], share: float) -> int:
    left = share * sum(counts.values())
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            return value
    return max(counts)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def _training(survey: Survey, encoder: str | None) -> Iterator[str]:
    """Steps enough for a small corpus, hours not wasted on a large one."""
    sizes = ((1_000, 20), (20_000, 10), (100_000, 5), (1_000_000, 3))
    epochs = next((epochs for most, epochs in sizes if survey.documents < most), 1)
    long = _quantile(survey.lengths, 0.9) > 256
    yield "training:"
    yield _commented(f"  epochs: {epochs}", "the best model on dev is kept")
    yield f"  batch_size: {8 if long or survey.documents < 500 else 16}"
    if encoder == "tiny":
        yield _commented("  learning_rate: 1.0e-3", "`tiny` starts from nothing; pretrained encoders want 2.0e-5")
    else:
        yield _commented("  learning_rate: 2.0e-5", "for base-size encoders; small ones want up to 1.0e-4")
    yield "  head_learning_rate: 1.0e-3"
