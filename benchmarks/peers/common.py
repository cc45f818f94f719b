"""What the scripts of the peers share: options, sentences, the best epoch, and predictions. It needs no package.

A script is run as ``PYTHON train_NAME.py OPTIONS`` with a JSON object of the fields of `Options`. It trains, predicts the file
`predict`, writes the predictions to `output`, and prints a JSON object as its last line.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Span = tuple[int, int]
Entity = tuple[int, int, str]
Relation = tuple[Span, str, Span]
Item = Entity | Relation
BATCH = 32
"""Sentences per batch in prediction, for all peers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a script is asked to do.

    Attributes:
        method: the model, for peers that have several.
        train, dev, predict: files of sentences; dev chooses the epoch.
        output: the file for the predictions.
        encoder: the directory of the encoder.
        work: an empty directory for files of the training.
        rate: the learning rate of the encoder.
        rate_head: that of the other weights, for peers that distinguish them.
        nested: whether entities may contain others.
        characters: whether the words of the sentences are characters.
    """

    method: str
    train: str
    dev: str
    predict: str
    output: str
    encoder: str
    work: str
    rate: float
    rate_head: float
    seed: int
    epochs: int
    batch_size: int
    max_length: int
    nested: bool
    characters: bool


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text with its words and its gold annotation.

    Attributes:
        words: the spans of the words; every entity consists of whole words, except those that a corpus has inside one.
        relations: with spans if the data have offsets, else empty.
        triples: the relations as texts.
    """

    text: str
    words: tuple[Span, ...]
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    triples: tuple[tuple[str, str, str], ...] = ()


def read_sentences(path: str | Path) -> list[Sentence]:
    """Read a file that `write_sentences` wrote."""
    with open(path, encoding="utf-8") as file:
        return [_sentence(json.loads(line)) for line in file]


def _sentence(fields: dict[str, Any]) -> Sentence:
    return Sentence(
        fields["text"],
        tuple((start, end) for start, end in fields["words"]),
        tuple((start, end, label) for start, end, label in fields["entities"]),
        tuple((tuple(subject), predicate, tuple(object_)) for subject, predicate, object_ in fields["relations"]),
        tuple((subject, predicate, object_) for subject, predicate, object_ in fields["triples"]),
    )


def sentence_line(sentence: Sentence) -> str:
    """Return the line of a sentence in a file."""
    return json.dumps({name: getattr(sentence, name) for name in Sentence.__slots__}, ensure_ascii=False) + "\n"


def words_of(sentence: Sentence) -> list[str]:
    """Return the words of a sentence."""
    return [sentence.text[start:end] for start, end in sentence.words]


def labels_of(sentences: Iterable[Sentence]) -> list[str]:
    """Return the labels of the entities, sorted."""
    return sorted({label for sentence in sentences for _, _, label in sentence.entities})


def predicates_of(sentences: Iterable[Sentence]) -> list[str]:
    """Return the predicates, sorted."""
    return sorted({predicate for sentence in sentences for _, predicate, _ in sentence.triples})


def outermost(entities: Iterable[Entity]) -> list[Entity]:
    """Return the entities without those that overlap a longer one, in order, for peers that cannot learn both."""
    kept: list[Entity] = []
    for start, end, label in sorted(entities, key=lambda entity: (entity[0] - entity[1], entity)):
        if all(end <= other_start or other_end <= start for other_start, other_end, _ in kept):
            kept.append((start, end, label))
    return sorted(kept)


def word_entities(sentence: Sentence, *, nested: bool = False) -> list[tuple[int, int, str]]:
    """Return the entities by their first word and the one after their last, without those that are not whole words."""
    firsts = {start: number for number, (start, _) in enumerate(sentence.words)}
    ends = {end: number + 1 for number, (_, end) in enumerate(sentence.words)}
    entities = sorted(sentence.entities) if nested else outermost(sentence.entities)
    return [(firsts[start], ends[end], label) for start, end, label in entities if start in firsts and end in ends]


def bio_tags(sentence: Sentence) -> list[str]:
    """Return the tags of the words."""
    tags = ["O"] * len(sentence.words)
    for first, end, label in word_entities(sentence):
        tags[first:end] = [f"B-{label}"] + [f"I-{label}"] * (end - first - 1)
    return tags


def bio_entities(sentence: Sentence, tags: Sequence[str]) -> list[Entity]:
    """Return the entities of predicted tags; an I- after another label begins an entity."""
    found: list[Entity] = []
    before = "O"
    for (start, end), tag in zip(sentence.words, tags, strict=True):
        label = tag[2:]
        if tag.startswith("I-") and before[2:] == label:
            found[-1] = (found[-1][0], end, label)
        elif tag != "O":
            found.append((start, end, label))
        before = tag
    return found


def f1(gold: Iterable[Iterable[Any]], found: Iterable[Iterable[Any]]) -> float:
    """Return micro F1 of sets of items."""
    correct = total = 0
    for one, other in zip(gold, found, strict=True):
        first, second = set(one), set(other)
        correct += len(first & second)
        total += len(first) + len(second)
    return 2 * correct / total if total else 0.0


def text_triples(sentence: Sentence, relations: Iterable[Relation]) -> set[tuple[str, str, str]]:
    """Return relations as triples of texts."""
    return {(sentence.text[slice(*s)], predicate, sentence.text[slice(*o)]) for s, predicate, o in relations}


def dev_f1(sentences: Sequence[Sentence], found: Sequence[Sequence[Item]], *, relations: bool) -> float:
    """Return the F1 that chooses the epoch: of entities, or of triples of texts."""
    if not relations:
        return f1((sentence.entities for sentence in sentences), found)
    triples = (text_triples(sentence, items) for sentence, items in zip(sentences, found, strict=True))
    return f1((sentence.triples for sentence in sentences), triples)


@dataclass(slots=True)
class Best:
    """The weights of the best epoch."""

    f1: float = -1.0
    state: dict[str, Any] = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)

    def offer(self, model: Any, score: float) -> None:
        """Keep the weights if the score is better than all before it."""
        self.curve.append(score)
        if score > self.f1:
            self.f1, self.state = score, copy.deepcopy(model.state_dict())

    def restore(self, model: Any) -> None:
        """Give the model its best weights."""
        model.load_state_dict(self.state)


Predict = Callable[[Sequence[Sentence]], list[list[Item]]]
"""Returns the items of each sentence, whose gold annotation it must not use."""


def batches(sentences: Sequence[Sentence], size: int = BATCH) -> Iterator[Sequence[Sentence]]:
    """Yield the sentences in batches, in their order."""
    for first in range(0, len(sentences), size):
        yield sentences[first : first + size]


def seed_everything(seed: int) -> None:
    """Seed all generators of random numbers that a peer may use."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def device() -> str:
    """The device of the training."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def run(train: Callable[[Options], tuple[Predict, list[float]]]) -> None:
    """Run a script: train, predict, and report.

    Args:
        train: returns a function that predicts with the best model, and F1 on dev after each epoch.
    """
    options = Options(**json.loads(sys.argv[1]))
    with contextlib.redirect_stdout(sys.stderr):  # what libraries print is no reply
        seed_everything(options.seed)
        predict, curve = train(options)
        sentences = [Sentence(sentence.text, sentence.words) for sentence in read_sentences(options.predict)]
        began = time.perf_counter()
        found = predict(sentences)
        seconds = time.perf_counter() - began
    with open(options.output, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(items, ensure_ascii=False) + "\n" for items in found)
    print(json.dumps({"prediction_seconds": seconds, "sentences": len(sentences), "curve": curve}))
