"""Corpora cut to sizes at which a training takes minutes, the same for all systems, and encoders cut to their first layers."""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers.common import Sentence, sentence_line
from trials import write_lines

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity, Relation
from ie_cli.formats import read_documents
from ie_cli.metrics.duie import OfficialScorer
from ie_cli.tasks import TASKS, ScoringOptions
from ie_cli.triples import ROLES, triples_of

SPLITS = ("train", "dev", "test")
HELD = 500
"""The number of the last training examples that are dev where a corpus has only two files with annotation."""
SHARES = (0.6, 0.2, 0.2)
"""Shares of training, dev and test where it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A corpus, and how it is trained on.

    Attributes:
        train: files of training examples.
        dev: the file that chooses rates and epochs; `HELD` training examples if None.
        test: the file that is scored; if None, the only file is split by `SHARES`, after shuffling.
        length: the number of tokens in a window; longer texts are cut into windows, or cut off by peers that cannot do that.
        epochs: the number of epochs.
        lines: the format of files whose lines are the examples; others are written in the native format.
        characters: whether words are characters.
        nested: whether entities may contain others.
        settings: fields of the recipe.
    """

    task: str
    train: tuple[str, ...]
    test: str | None
    dev: str | None = None
    encoder: str
    length: int
    epochs: int
    lines: str | None = None
    characters: bool = False
    nested: bool = False
    settings: tuple[str, ...] = ()

    def words(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield the spans of the words of a text: its characters, or what is between two spaces."""
        if self.characters:
            yield from ((place, place + 1) for place, character in enumerate(text) if not character.isspace())
            return
        start = 0
        for word in text.split(" "):
            if word:
                yield start, start + len(word)
            start += len(word) + 1


CORPORA = {
    "cluener": Corpus(
        task="ner",
        train=("cluener/train.json",),
        test="cluener/dev.json",
        encoder="zh-e5-char",
        length=64,
        epochs=6,
        lines="cluener",
        characters=True,
        settings=("encoder.normalization=nfkc", "encoder.stride=16", "head.flat=true"),
    ),
    "conll04": Corpus(
        task="ner",
        train=("conll04/conll04_train.json",),
        dev="conll04/conll04_dev.json",
        test="conll04/conll04_test.json",
        encoder="en-minilm",
        length=192,
        epochs=10,
        settings=("encoder.stride=48", "head.flat=true"),
    ),
    "conll04-relations": Corpus(
        task="relation",
        train=("conll04/conll04_train.json",),
        dev="conll04/conll04_dev.json",
        test="conll04/conll04_test.json",
        encoder="en-minilm",
        length=192,
        epochs=15,
        settings=("encoder.stride=96",),
    ),
    "crossner": Corpus(
        task="ner",
        train=("crossner_ai/train.txt",),
        dev="crossner_ai/dev.txt",
        test="crossner_ai/test.txt",
        encoder="en-minilm",
        length=192,
        epochs=40,
        settings=("encoder.stride=48", "head.flat=true"),
    ),
    "germeval": Corpus(
        task="ner",
        train=("germeval2014/dev.tsv",),
        test=None,
        encoder="en-minilm",
        length=256,
        epochs=8,
        nested=True,
        settings=("encoder.stride=64",),
    ),
    "duie2": Corpus(
        task="relation",
        train=("duie2/train_a.json", "duie2/train_b.json"),
        test="duie2/dev.json",
        encoder="zh-e5-char",
        length=256,
        epochs=8,
        lines="duie",
        characters=True,
        settings=("encoder.normalization=nfkc", "encoder.stride=64", "data.schema_file={data}/duie2/schema.json"),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which corpus is cut to which size, and how long a training is."""
    parser.add_argument("corpus", choices=list(CORPORA))
    for name in ("data", "encoders", "work"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="by default, a number for each corpus")
    parser.add_argument("--count", type=int, default=2000, help="the number of training sentences")
    parser.add_argument("--dev-count", type=int, default=500, help="the number of dev sentences")
    parser.add_argument("--test-count", type=int, help="the number of test sentences; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])


@dataclass(frozen=True, slots=True)
class Cut:
    """A corpus cut to so many examples.

    Attributes:
        directory: the directory of the original corpora.
        work: the directory for the files that are written.
        count: the number of training examples, drawn once; all if there are fewer.
        dev, test: the numbers of dev and of test examples, from the first one; all if None.
    """

    name: str
    directory: Path
    work: Path
    count: int
    dev: int | None = None
    test: int | None = None

    @classmethod
    def of(cls, given: argparse.Namespace) -> Cut:
        """Return what the command line asks for."""
        directory, work = given.data.resolve(), given.work.resolve()
        return cls(given.corpus, directory, work, given.count, given.dev_count, given.test_count)

    @property
    def corpus(self) -> Corpus:
        """The corpus."""
        return CORPORA[self.name]

    @property
    def key(self) -> str:
        """The part of the names of files and of trainings that says what the data are."""
        parts = [self.name, str(self.count), *(str(size) for size in (self.dev, self.test) if size is not None)]
        return "-".join(parts)

    def path(self, split: str) -> Path:
        """Return the file of a split for `ie`."""
        return self.work / "data" / f"{self.key}-{split}.{'json' if self.corpus.lines else 'jsonl'}"

    def peer_path(self, split: str) -> Path:
        """Return the file of a split for the peers."""
        return self.work / "data" / f"{self.key}-{split}.peers"

    def write(self) -> None:
        """Write all files that do not exist yet."""
        if all(path.exists() for split in SPLITS for path in (self.path(split), self.peer_path(split))):
            return
        for split, examples in zip(SPLITS, self._split(), strict=True):
            write_lines(self.path(split), (line for line, _ in examples))
            write_lines(self.peer_path(split), (sentence_line(self.sentence(document)) for _, document in examples))

    def _split(self) -> list[list[tuple[str, Document]]]:
        corpus = self.corpus
        train = [example for name in corpus.train for example in self._read(name)]
        if corpus.test is None:
            random.Random(0).shuffle(train)
            ends = [round(sum(SHARES[: number + 1]) * len(train)) for number in range(len(SHARES))]
            parts = [train[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        elif corpus.dev is None:
            parts = [train[:-HELD], train[-HELD:], self._read(corpus.test)]
        else:
            parts = [train, self._read(corpus.dev), self._read(corpus.test)]
        if self.count < len(parts[0]):
            parts[0] = random.Random(0).sample(parts[0], self.count)
        return [parts[0], parts[1][: self.dev], parts[2][: self.test]]

    def _read(self, name: str) -> list[tuple[str, Document]]:
        """Read a file: each example as a line for `ie`, and as a document."""
        path = self.directory / name
        documents = list(read_documents(str(path), format=self.corpus.lines))
        if self.corpus.lines:
            lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines(keepends=True)
        else:
            lines = (json.dumps(document.to_dict(), ensure_ascii=False) + "\n" for document in documents)
        return list(zip(lines, documents, strict=True))

    def sentence(self, document: Document) -> Sentence:
        """Return a document for the peers; guessed offsets of relations are left out."""
        relations = () if document.spos is not None else document.relations
        return Sentence(
            document.text,
            tuple(self.corpus.words(document.text)),
            tuple((entity.start, entity.end, entity.label) for entity in document.entities),
            tuple(
                ((each.subject.start, each.subject.end), each.predicate, (each.object.start, each.object.end))
                for each in relations
            ),
            tuple(sorted(triples_of(document))),
        )

    def documents(self, split: str) -> list[Document]:
        """Read a split again."""
        return list(read_documents(str(self.path(split)), format=self.corpus.lines))

    def recipe(self, encoder: Path) -> list[str]:
        """Return the fields of the recipe that have to do with the data."""
        corpus = self.corpus
        made = [text.format(data=self.directory) for text in corpus.settings]
        made += [f"task={corpus.task}", *(f"data.{split}={self.path(split)}" for split in SPLITS)]
        made += [f"encoder.name={encoder}", f"encoder.max_length={corpus.length}"]
        return [*made, f"data.format={corpus.lines}"] if corpus.lines else made

    def score(self, found: Sequence[Document], split: str = "test") -> dict[str, float]:
        """Score predictions: entities strictly, relations strictly if their data have offsets, else by DuIE's rules."""
        gold = self.documents(split)
        labels = sorted({entity.label for document in gold for entity in document.entities}) or ROLES
        predicates = sorted({relation.predicate for document in gold for relation in document.relations})
        official = OfficialScorer() if self.corpus.lines == "duie" else None
        options = ScoringOptions(official=official)
        scorer = TASKS[self.corpus.task].scorer(LabelSchema(tuple(labels), tuple(predicates)), options)
        for one, other in zip(gold, found, strict=True):
            scorer.add(one, other)
        scores = scorer.scores().to_dict()
        scores = scores.get("official") or scores
        return {name: scores[name] for name in ("precision", "recall", "f1")}


def cut_encoder(source: Path, layers: int, work: Path) -> Path:
    """Return a copy of an encoder with its first layers in float32, and with a vocabulary file; all systems load it."""
    target = work / "encoders" / f"{source.name}-{layers}"
    if target.exists():
        return target
    from safetensors.numpy import load_file, save_file

    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=target.parent))
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    if not 1 <= layers <= config["num_hidden_layers"]:
        raise SystemExit(f"--layers: got {layers}, but {source} has {config['num_hidden_layers']}")
    config = {key: value for key, value in config.items() if key not in {"dtype", "torch_dtype"}}
    (part / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}), encoding="utf-8")
    tokenizer = (source / "tokenizer.json").read_text(encoding="utf-8")
    (part / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    (part / "tokenizer_config.json").write_bytes((source / "tokenizer_config.json").read_bytes())
    ids: dict[str, int] = json.loads(tokenizer)["model"]["vocab"]
    (part / "vocab.txt").write_text("".join(f"{token}\n" for token in sorted(ids, key=ids.__getitem__)), "utf-8")
    weights = load_file(source / "model.safetensors")
    kept = {name: weight.astype("float32") for name, weight in weights.items() if layer_of(name) < layers}
    save_file(kept, part / "model.safetensors", metadata={"format": "pt"})
    try:
        part.rename(target)
    except OSError:  # another process was faster
        if not target.exists():
            raise
    return target


def layer_of(name: str) -> int:
    """Return the number of the layer that a weight belongs to; -1 if it belongs to none."""
    _, found, rest = name.partition("layer.")
    number = rest.partition(".")[0]
    return int(number) if found and number.isdecimal() else -1


def predicted(document: Document, items: Iterable[Any], types: dict[str, tuple[str, str]]) -> Document:
    """Return what a peer found in a document.

    Args:
        document: the document.
        items: entities as start, end and label, or relations as subject, predicate and object.
        types: the types of subject and object for each predicate, which peers do not predict.
    """
    entities, relations = [], []
    for first, second, third in items:
        if isinstance(third, str):
            entities.append(Entity(first, second, third))
        else:
            subject, object_ = types[second]
            relations.append(Relation(Entity(*first, subject), second, Entity(*third, object_)))
    return Document(document.text, sorted(set(entities)), sorted(set(relations)))
