"""Train spaCy's `ner` from nothing, and print its F1 on test: worker_spacy.py TRAIN DEV TEST LANGUAGE EPOCHS SEED."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spacy
from spacy.tokens import Span
from spacy.training import Example
from spacy.training.batchers import minibatch_by_words
from spacy.util import compounding, filter_spans, fix_random_seed

EVALUATIONS = 4


def read(path: str) -> list[dict[str, Any]]:
    """Read examples."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def examples(nlp: Any, data: list[dict[str, Any]]) -> Iterator[Any]:
    """Yield training examples; entities that end inside a token are extended to its end."""
    for fields in data:
        document = nlp.make_doc(fields["text"])
        spans = [
            document.char_span(entity["start"], entity["end"], entity["label"], alignment_mode="expand")
            for entity in fields["entities"]
        ]
        reference = document.copy()
        reference.ents = [
            Span(reference, span.start, span.end, span.label_) for span in filter_spans([one for one in spans if one])
        ]
        yield Example(document, reference)


def f1(nlp: Any, data: list[dict[str, Any]]) -> float:
    """Return the strict micro F1 of the entities."""
    correct = predicted = gold = 0
    for fields, document in zip(data, nlp.pipe([fields["text"] for fields in data]), strict=True):
        right = {(entity["start"], entity["end"], entity["label"]) for entity in fields["entities"]}
        found = {(span.start_char, span.end_char, span.label_) for span in document.ents}
        correct, predicted, gold = correct + len(right & found), predicted + len(found), gold + len(right)
    return 2 * correct / max(1, predicted + gold)


def main() -> None:
    """Train and score."""
    train, dev, test = map(read, sys.argv[1:4])
    language, epochs, seed = sys.argv[4], int(sys.argv[5]), int(sys.argv[6])
    fix_random_seed(seed)
    random.seed(seed)
    nlp = spacy.blank(language)
    nlp.add_pipe("ner")
    made = list(examples(nlp, train))
    optimizer = nlp.initialize(lambda: made)
    sizes, best, stored = compounding(100.0, 1000.0, 1.001), -1.0, b""
    moments = {round(epochs * part / EVALUATIONS) for part in range(1, EVALUATIONS + 1)}
    for epoch in range(1, epochs + 1):
        random.shuffle(made)
        for batch in minibatch_by_words(made, sizes):
            nlp.update(batch, drop=0.1, sgd=optimizer)
        if epoch in moments:
            with nlp.use_params(optimizer.averages):
                score = f1(nlp, dev)
                if score > best:
                    best, stored = score, nlp.to_bytes()
    nlp.from_bytes(stored)
    began = time.perf_counter()
    score = f1(nlp, test)
    words = sum(len(fields["text"].split()) for fields in test)
    print(json.dumps({"f1": score, "words_per_second": words / (time.perf_counter() - began)}))


if __name__ == "__main__":
    main()
