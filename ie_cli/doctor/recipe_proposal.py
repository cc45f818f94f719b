"""Propose a recipe for some data: one streaming pass, then YAML with comments that explain the choices."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from ie_cli.data.statistics import DatasetStatistics, Part
from ie_cli.data.token_lengths import LONGEST_COUNTED, TokenLengths
from ie_cli.doctor.dev_share import DevShares
from ie_cli.doctor.overlaps import Overlaps
from ie_cli.doctor.scripts import Scripts, choose_encoder
from ie_cli.doctor.siblings import find_siblings, free_name, name_note, run_name
from ie_cli.doctor.split_files import SplitFiles
from ie_cli.doctor.token_counting import local_tokenizer, token_counter
from ie_cli.doctor.unknown_characters import UnknownCharacters
from ie_cli.doctor.windows_proposal import SPECIAL_TOKENS, count_windows, pair_length, quantile, window
from ie_cli.document.relabelling import NO_RELATION, Relabelling
from ie_cli.encoding.encoder_size import EncoderSize, in_hub_cache
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.errors import DataError, counted
from ie_cli.formats import Reading, read_documents
from ie_cli.formats.common.base import TokenFile
from ie_cli.formats.registry import READING_OPTIONS
from ie_cli.recipe.heads import HEADS, Reads, heads_of
from ie_cli.recipe.schema import HASH_CNN, SCRATCH_RATE
from ie_cli.recipe.yaml import flow
from ie_cli.tasks import TASKS, Proposal, Task
from ie_cli.tasks.kinds import GRADED
from ie_cli.tasks.proposal import Line

_WIDTH = 110
_COMMENT_COLUMN = 38
_UNKNOWN_SHARE = 0.001
_JOINED = 3
_FEWEST_STEPS, _FEWEST_STEPS_FROM_SCRATCH, _MOST_EPOCHS = 200, 600, 100
"""A model needs some steps, however few examples there are; one without pretrained weights needs more."""
_FEW = 500
"""Fewer sequences are trained in smaller batches, and `hash_cnn` adversarially; benchmarks/RESULTS.md, "From scratch"."""
_VERY_FEW = 40
"""With fewer, a CRF is better on a pretrained encoder; benchmarks/RESULTS.md, "Few examples with a pretrained encoder"."""
_MANY = 20_000
"""So many sequences take enough steps with batches of 16 on a pretrained encoder; benchmarks/RESULTS.md, "Batch size"."""


@dataclass(frozen=True, slots=True)
class _Request:
    """The user's options, and the detected format.

    Attributes:
        data: what the name of the run comes from: the file, or the directory.
        files: the files by split.
        format: the format of all files; None if they have several.
        limit: maximum number of tokens for the encoder.
        offline: propose no encoder that would have to be downloaded.
    """

    data: str
    files: SplitFiles
    format: str | None
    reading: Reading
    encoder: str | None
    limit: int
    offline: bool


@dataclass(frozen=True, slots=True)
class _Lengths:
    """The lengths of the texts, and what is proposed for them.

    Attributes:
        reads: what a sequence of the proposed head holds.
        lost: number of entities longer than the stride, or of texts of pairs longer than a sequence.
        sequences: number of sequences, or of pairs, in an epoch.
    """

    reads: Reads
    texts: Counter[int]
    spans: Counter[int]
    max_length: int
    stride: int
    lost: int
    sequences: int

    @classmethod
    def of(cls, lengths: TokenLengths, task: Task, limit: int) -> _Lengths:
        reads = HEADS[heads_of(task.name)[0]].section.reads
        if reads == "windows":
            spans = lengths.mentions + lengths.reaches  # a relation must fit into one window, too
            max_length, stride, lost = window(lengths.texts, spans, limit)
            count = count_windows(lengths.texts, max_length, stride)
            return cls(reads, lengths.texts, spans, max_length, stride, lost, count)
        texts = lengths.texts + lengths.seconds
        max_length = pair_length(texts, limit, together=reads == "pair")
        lost = sum(count for length, count in texts.items() if length > max_length - SPECIAL_TOKENS)
        return cls(reads, texts, Counter(), max_length, 0, lost, lengths.seconds.total())


def propose_recipe(
    data: str,
    *,
    files: SplitFiles | None = None,
    format: str | None = None,
    encoder: str | None = None,
    reading: Reading | None = None,
    offline: bool = False,
) -> str:
    """Inspect training data and return a recipe that fits them, as YAML.

    Args:
        data: a file, ``-``, a URL or ``hub:…``; a relative path assumes that the recipe is in the current directory.
        files: several files by split, which `data` is then only the name of; by default, the file and its siblings.
        format: format of the data; detected if omitted.
        encoder: hub id, directory, ``hash_cnn`` or ``tiny``; chosen by the scripts of the texts if omitted.
        reading: reading options, which are written into the recipe.
        offline: propose `hash_cnn` instead of an encoder that would have to be downloaded.

    Raises:
        DataError: the data cannot be read, or contain nothing to train on.
    """
    count_tokens, limit = token_counter(encoder)
    lengths, scripts = TokenLengths(count_tokens), Scripts()
    overlaps, shares = Overlaps(list(TASKS.values())), DevShares(list(TASKS.values()))
    formats: list[str] = []
    # The default of recipes.
    reading = replace(reading or Reading(), relabelling=Relabelling(no_relation=NO_RELATION))
    decided: list[TokenFile] = []
    deciding = replace(reading, decided=decided.append)
    documents = chain.from_iterable(
        read_documents(path, format=format, reading=deciding, detected=formats.append)
        for path in (files.train if files is not None else (data,))
    )
    tokenizer = local_tokenizer(encoder)
    unknown = UnknownCharacters(TextTokenizer(tokenizer)) if tokenizer is not None else None
    parts: list[Part] = [lengths, scripts, overlaps, shares, *([] if unknown is None else [unknown])]
    statistics = DatasetStatistics.of(documents, parts=parts)
    task, proposal = _choose_task(statistics, overlaps, data)
    if any(file.tokens == "characters" for file in decided):
        reading = replace(reading, joiner="")
    files = _with_siblings(files or SplitFiles((data,)), formats[0] if formats else None, reading)
    files = replace(files, formats=files.formats.union(formats))
    only = next(iter(files.formats)) if len(files.formats) == 1 else None
    request = _Request(data, files, only, reading, encoder, limit, offline)
    proposed = _Lengths.of(lengths, task, limit)
    share = shares.choose(task)
    sections = (
        _head_comment(statistics, task, proposal),
        (
            *_task_and_data(statistics, task, request, share),
            *_context(proposed, scripts, request),
            *_section_lines(proposal.data),
        ),
        (*_encoder(proposed, scripts, task, request), *_normalization(unknown)),
        ("head:", *_section_lines(_head(proposal, proposed, scripts, request))),
        _training(proposed, scripts, request, evaluated=bool(files.dev) or share is not None),
    )
    return "".join(f"{line}\n" for section in sections for line in section)


def _choose_task(statistics: DatasetStatistics, overlaps: Overlaps, data: str) -> tuple[Task, Proposal]:
    """Return the last task that the data are annotated for, and its proposal.

    Raises:
        DataError: there is none.
    """
    for task in reversed(TASKS.values()):
        proposal = task.propose(statistics, overlapping=overlaps.documents[task.name])
        if proposal is not None:
            return task, proposal
    raise DataError(
        f"{'stdin' if data == '-' else data}: {counted(statistics.documents, 'example')} without any entities: "
        "there is nothing to train on",
        hint='annotate some texts as {"text": "Ann slept", "entities": [{"start": 0, "end": 3, "label": "name"}]} or '
        '{"text": "Ann slept", "text_pair": "Ann was awake", "label": "0"}, or set the format of the data: '
        "--from jsonl | duie | cluener | conll | pairs | …",
    )


def _with_siblings(files: SplitFiles, format: str | None, reading: Reading) -> SplitFiles:
    """Return files with the dev and test files that the name of a single training file leads to."""
    if len(files.train) > 1 or files.dev:
        return files
    siblings = find_siblings(files.train[0], format, reading)
    dev, test = ((siblings[split],) if split in siblings else () for split in ("dev", "test"))
    return replace(files, dev=dev, test=files.test or test)


def _head_comment(statistics: DatasetStatistics, task: Task, proposal: Proposal) -> Iterator[str]:
    counts = {kind: proposal.names[kind.items].total() for kind in task.kinds}
    annotated = ", ".join(f"{count:,} {kind.noun(count)}" for kind, count in counts.items() if count)
    yield f"# {counted(statistics.documents, 'example')}, {annotated}. Next: `ie check` and `ie train` with this file."
    for kind in task.kinds:
        names = proposal.names[kind.items]
        if names.keys() == {GRADED} and statistics.pair_scores is not None:
            low, high = statistics.pair_scores
            yield f"# scores from {low:g} to {high:g}"
        else:
            yield from _names(kind.name, names)


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


def _section_lines(lines: Sequence[Line]) -> Iterator[str]:
    return (_commented(f"  {line}", comment) for line, comment in lines)


def _commented(line: str, comment: str) -> str:
    return f"{line.ljust(_COMMENT_COLUMN - 2)}  # {comment}"


def _task_and_data(
    statistics: DatasetStatistics,
    task: Task,
    request: _Request,
    share: tuple[float, int] | None,
) -> Iterator[str]:
    data, files, reading = request.data, request.files, request.reading
    name = run_name(data, task.name)
    free = free_name(name)
    note = name_note(data) if free == name else f"runs/{name} exists already"
    yield f"name: {flow(free)}" if note is None else _commented(f"name: {flow(free)}", note)
    yield f"task: {task.name}"
    yield "data:"
    if data == "-":
        yield _commented("  train: train.jsonl", "the data came from stdin: save them, and name the file here")
    else:
        yield f"  train: {_paths(files.train)}"
    if files.dev:
        yield f"  dev: {_paths(files.dev)}"
    elif share is not None:
        yield _commented(
            f"  dev: {share[0]}",
            f"{share[1]:,} of {counted(statistics.documents, 'example')}, selected by a hash of the text; a separate file is "
            "better",
        )
    else:
        yield _commented(
            "  dev: null",
            "too few examples to split some off: name another file, or see `ie train --folds`",
        )
    if files.test:
        yield f"  test: {_paths(files.test)}"
    if request.format:
        yield f"  format: {request.format}"
    elif len(files.formats) > 1:
        yield f"  # the files have several formats, which are detected: {', '.join(sorted(files.formats))}"
    if reading.text_column:
        yield f"  text_column: {reading.text_column}"
    if reading.joiner is not None:
        yield f"  joiner: {flow(reading.joiner)}"
    if reading.label_columns is not None:
        yield f"  label_columns: {list(reading.label_columns)}"
    if reading.columns:
        yield f"  columns: {{{', '.join(f'{part}: {flow(name)}' for part, name in reading.columns.items())}}}"
    if (
        request.format in READING_OPTIONS["grades"]
        and statistics.pair_scores is not None
        and not statistics.pair_labels
    ):
        yield _commented("  grades: true", "all numbers are grades, also in a file where none has a decimal point")
    if statistics.guessed:
        yield _commented(
            f"  mentions: {reading.mentions}",
            "triples have no offsets: use the nearest pair of mentions; or first, all",
        )


def _paths(files: Sequence[str]) -> str:
    return flow(files[0]) if len(files) == 1 else flow(list(files))


def _context(lengths: _Lengths, scripts: Scripts, request: _Request) -> Iterator[str]:
    """Propose to join examples if a window has room for several; `hash_cnn` sees too few tokens around each to need it."""
    room = _JOINED * quantile(lengths.texts, 0.5) + SPECIAL_TOKENS <= lengths.max_length
    if lengths.reads == "windows" and room and _proposed_encoder(scripts, request) != HASH_CNN:
        reason = "joins neighbouring texts in training, so that the model knows texts of several sentences"
        yield _commented(f"  context: {_JOINED}", reason)


def _encoder(lengths: _Lengths, scripts: Scripts, task: Task, request: _Request) -> Iterator[str]:
    yield "encoder:"
    if request.encoder:
        yield f"  name: {flow(request.encoder)}"
    else:
        best, name = choose_encoder(scripts.letters), _proposed_encoder(scripts, request)
        comment = "hub id or directory; `hash_cnn` needs no download"
        if name != best:
            comment = f"built from scratch, as HF_HUB_OFFLINE is set; else {best}"
        yield _commented(f"  name: {name}", comment)
    of_texts = f"the longest text has {_about(max(lengths.texts))}; "
    if lengths.reads != "windows":
        ends = "longer ones would lose their ends"
        if lengths.lost:
            ends = (
                "1 longer one loses its end" if lengths.lost == 1 else f"{lengths.lost:,} longer ones lose their ends"
            )
        yield _commented(f"  max_length: {lengths.max_length}", of_texts + ends)
        return
    yield _commented(f"  max_length: {lengths.max_length}", f"{of_texts}overlong texts are split into windows")
    of_spans = f"the longest {task.words.item} has {_about(max(lengths.spans))}"
    if lengths.lost:
        of_spans += f"; {lengths.lost:,} longer than the stride may be cut by windows"
    yield _commented(f"  stride: {lengths.stride}", of_spans)


def _proposed_encoder(scripts: Scripts, request: _Request) -> str:
    """Return the encoder that the user names, or one that fits the scripts and can be loaded."""
    best = choose_encoder(scripts.letters)
    if request.encoder or not request.offline or in_hub_cache(best):
        return request.encoder or best
    return HASH_CNN


def _normalization(unknown: UnknownCharacters | None) -> Iterator[str]:
    if unknown is not None and unknown.share >= _UNKNOWN_SHARE and unknown.helped_by_nfkc():
        comment = f"the encoder does not know {unknown.share:.1%} of the characters without it"
        yield _commented("  normalization: nfkc", comment)


def _about(tokens: int) -> str:
    return f"{'over' if tokens == LONGEST_COUNTED else 'about'} {counted(tokens, 'token')}"


def _head(proposal: Proposal, lengths: _Lengths, scripts: Scripts, request: _Request) -> tuple[Line, ...]:
    """Return the lines of the section `head`."""
    pretrained = EncoderSize.read(_proposed_encoder(scripts, request)).pretrained
    return proposal.few if proposal.few and pretrained and lengths.sequences < _VERY_FEW else proposal.head


def _batch_size(lengths: _Lengths, encoder: str) -> tuple[int, str]:
    """Return the number of sequences in a batch, and the reason."""
    few, long = lengths.sequences < _FEW, min(quantile(lengths.texts, 0.9), lengths.max_length) > 256
    if lengths.reads != "windows":
        return 16 if few or long else 32, "pairs, which a loss compares with each other"
    if few and encoder == HASH_CNN:
        return 2, "few examples and no pretrained weights: many small steps"
    if long or few:
        return 8, "long texts" if long else "few examples"
    if lengths.sequences < _MANY and encoder != HASH_CNN:
        return 8, "more steps than with 16, from which a new head learns earlier and better"
    return 16, "usual for short texts"


def _training(lengths: _Lengths, scripts: Scripts, request: _Request, *, evaluated: bool) -> Iterator[str]:
    """Yield the training section: more epochs for fewer sequences, and the learning rate that the encoder's size needs."""
    count = lengths.sequences
    name = _proposed_encoder(scripts, request)
    batch_size, reason = _batch_size(lengths, name)
    sizes = ((1_000, 20), (20_000, 10), (100_000, 5), (1_000_000, 3))
    epochs = next((epochs for most, epochs in sizes if count < most), 1)
    fewest = _FEWEST_STEPS_FROM_SCRATCH if name == HASH_CNN else _FEWEST_STEPS
    epochs = min(_MOST_EPOCHS, max(epochs, -(-fewest // -(-count // batch_size))))
    yield "training:"
    kept = "the best model on dev is kept" if evaluated else "without dev data, the last model is kept"
    yield _commented(f"  epochs: {epochs}", f"about {epochs * -(-count // batch_size):,} steps; {kept}")
    yield _commented(f"  batch_size: {batch_size}", reason)
    size = EncoderSize.read(name)
    if size.pretrained:
        comment = f"for an encoder of {size.describe()}"
        if size.hidden is None:
            comment = "for base-size encoders; small ones need up to 1.0e-4"
    else:
        comment = f"`{name}` is trained from scratch; use 2.0e-5 for pretrained encoders"
    rate = SCRATCH_RATE if name == HASH_CNN else size.rate
    yield _commented(f"  learning_rate: {rate:.1e}".replace("e-0", "e-"), comment)
    if lengths.reads == "windows":
        yield _commented("  head_learning_rate: 1.0e-3", "the layers on the encoder begin untrained")
        if name == HASH_CNN and count < _FEW:
            yield _commented("  adversarial: fgm", "better with few examples; two passes in each step")
