"""Propose a recipe for some data: one streaming pass, then YAML with comments that explain the choices."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ie_cli.data.statistics import DatasetStatistics
from ie_cli.data.token_lengths import LONGEST_COUNTED, TokenLengths
from ie_cli.doctor.overlaps import Overlaps
from ie_cli.doctor.scripts import Scripts, choose_encoder
from ie_cli.doctor.siblings import find_siblings, name_note, run_name
from ie_cli.doctor.token_counting import token_counter
from ie_cli.doctor.windows_proposal import quantile, window
from ie_cli.errors import DataError, counted
from ie_cli.formats import Reading, read_documents
from ie_cli.formats.common.base import TokenFile
from ie_cli.recipe.yaml import flow
from ie_cli.tasks import TASKS, Proposal, Task

_WIDTH = 110
_COMMENT_COLUMN = 38


@dataclass(frozen=True, slots=True)
class _Request:
    """The user's options, and the detected format.

    Attributes:
        limit: maximum number of tokens for the encoder.
    """

    data: str
    format: str | None
    reading: Reading
    encoder: str | None
    limit: int


def propose_recipe(
    data: str,
    *,
    format: str | None = None,
    encoder: str | None = None,
    reading: Reading | None = None,
) -> str:
    """Inspect training data and return a recipe that fits them, as YAML.

    Args:
        data: a file, ``-``, a URL or ``hub:…``; a relative path assumes that the recipe is in the current directory.
        format: format of the data; detected if omitted.
        encoder: hub id, directory or ``tiny``; chosen by the scripts of the texts if omitted.
        reading: reading options, which are written into the recipe.

    Raises:
        DataError: the data cannot be read, or contain nothing to train on.
    """
    count_tokens, limit = token_counter(encoder)
    lengths, scripts, overlaps = TokenLengths(count_tokens), Scripts(), Overlaps()
    formats: list[str] = []
    reading, files = reading or Reading(), list[TokenFile]()
    deciding = replace(reading, decided=files.append)
    documents = read_documents(data, format=format, reading=deciding, detected=formats.append)
    statistics = DatasetStatistics.of(documents, parts=(lengths, scripts, overlaps))
    for task in reversed(TASKS.values()):
        proposal = task.propose(statistics, overlapping=overlaps.documents)
        if proposal is not None:
            break
    else:
        raise DataError(
            f"{'stdin' if data == '-' else data}: {counted(statistics.documents, 'example')} without any entities: "
            "there is nothing to train on",
            hint='annotate some texts as {"text": "Ann slept", "entities": [{"start": 0, "end": 3, "label": "name"}]}, or '
            "set the format of the data: --from jsonl | duie | cluener | conll | …",
        )
    if any(file.tokens == "characters" for file in files):
        reading = replace(reading, joiner="")
    request = _Request(data, formats[0] if formats else None, reading, encoder, limit)
    parts = (
        _head_comment(statistics, task, proposal),
        _task_and_data(statistics, task, request),
        _encoder(lengths, scripts, task, request),
        ("head:", *(_commented(f"  {line}", comment) for line, comment in proposal.head)),
        _training(lengths, request),
    )
    return "".join(f"{line}\n" for part in parts for line in part)


def _head_comment(statistics: DatasetStatistics, task: Task, proposal: Proposal) -> Iterator[str]:
    counts = {kind.items: proposal.names[kind.items].total() for kind in task.kinds}
    annotated = ", ".join(f"{count:,} {items}" for items, count in counts.items() if count)
    yield f"# {counted(statistics.documents, 'example')}, {annotated}. Next: `ie check` and `ie train` with this file."
    for kind in task.kinds:
        yield from _names(kind.name, proposal.names[kind.items])


def _names(what: str, labels: Counter[str]) -> Iterator[str]:
    """Yield the labels or predicates with their counts, as a few lines of comment."""
    if not labels:
        return
    shown = [f"{flow(label)} {count:,}" for label, count in labels.most_common(30)]
    if len(labels) > len(shown):
        shown.append(f"and {len(labels) - len(shown):,} more")
    text = f"{counted(len(labels), what)}: {', '.join(shown)}"
    lines = textwrap.wrap(text, _WIDTH, max_lines=6, placeholder=" …", break_on_hyphens=False)
    yield from (f"# {line}" for line in lines)


def _commented(line: str, comment: str) -> str:
    return f"{line.ljust(_COMMENT_COLUMN - 2)}  # {comment}"


def _task_and_data(statistics: DatasetStatistics, task: Task, request: _Request) -> Iterator[str]:
    data, reading = request.data, request.reading
    siblings = find_siblings(data, request.format, reading)
    name = run_name(data)
    note = name_note(data, name)
    yield f"name: {flow(name)}" if note is None else _commented(f"name: {flow(name)}", note)
    yield f"task: {task.name}"
    yield "data:"
    if data == "-":
        yield _commented("  train: train.jsonl", "the data came from stdin: save them, and name the file here")
    else:
        yield f"  train: {flow(data)}"
    if "dev" in siblings:
        yield f"  dev: {flow(siblings['dev'])}"
    else:
        yield _commented("  dev: 0.1", "a tenth of train, selected by a hash of the text; a separate file is better")
    if "test" in siblings:
        yield f"  test: {flow(siblings['test'])}"
    if request.format:
        yield f"  format: {request.format}"
    if reading.text_column:
        yield f"  text_column: {reading.text_column}"
    if reading.joiner is not None:
        yield f"  joiner: {flow(reading.joiner)}"
    if reading.label_columns is not None:
        yield f"  label_columns: {list(reading.label_columns)}"
    if statistics.guessed:
        yield _commented(
            f"  mentions: {reading.mentions}",
            "triples have no offsets: use the nearest pair of mentions; or first, all",
        )


def _encoder(lengths: TokenLengths, scripts: Scripts, task: Task, request: _Request) -> Iterator[str]:
    spans = lengths.mentions + lengths.reaches  # a relation must fit into one window, too
    max_length, stride, uncovered = window(lengths.texts, spans, request.limit)
    yield "encoder:"
    if request.encoder:
        yield f"  name: {flow(request.encoder)}"
    else:
        yield _commented(f"  name: {choose_encoder(scripts.letters)}", "hub id or directory; `tiny` needs no download")
    longest, longest_span = max(lengths.texts), max(spans)
    of_texts = f"the longest text has {_about(longest)} tokens; overlong texts are split into windows"
    yield _commented(f"  max_length: {max_length}", of_texts)
    of_spans = f"the longest {task.words.item} has {_about(longest_span)} tokens"
    if uncovered:
        of_spans += f"; {uncovered:,} longer than the stride may be cut by windows"
    yield _commented(f"  stride: {stride}", of_spans)


def _about(tokens: int) -> str:
    return f"over {tokens:,}" if tokens == LONGEST_COUNTED else f"about {tokens:,}"


def _training(lengths: TokenLengths, request: _Request) -> Iterator[str]:
    """Yield the training section, with more epochs for smaller corpora."""
    documents = lengths.texts.total()
    sizes = ((1_000, 20), (20_000, 10), (100_000, 5), (1_000_000, 3))
    epochs = next((epochs for most, epochs in sizes if documents < most), 1)
    long = quantile(lengths.texts, 0.9) > 256
    yield "training:"
    yield _commented(f"  epochs: {epochs}", "the best model on dev is kept")
    yield f"  batch_size: {8 if long or documents < 500 else 16}"
    if request.encoder == "tiny":
        yield _commented(
            "  learning_rate: 1.0e-3", "`tiny` is trained from scratch; use 2.0e-5 for pretrained encoders"
        )
    else:
        yield _commented("  learning_rate: 2.0e-5", "for base-size encoders; small ones need up to 1.0e-4")
    yield "  head_learning_rate: 1.0e-3"
