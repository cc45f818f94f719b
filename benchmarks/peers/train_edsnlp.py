"""Train `eds.ner_crf` of EDS-NLP as in its tutorial, and keep the best epoch on dev.

Each label has tags of its own, so that entities of other labels may be nested in an entity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
import edsnlp
import edsnlp.pipes as eds
import torch
from common import Best, Options, Predict, Sentence
from edsnlp.training.trainer import GenericScorer, TrainingData, default_optim
from edsnlp.training.trainer import train as train_pipeline
from spacy.tokens import Doc
from spacy.tokens import Span as SpacySpan

GOLD, FOUND = "gold", "found"


def document(sentence: Sentence, nlp: Any) -> Doc:
    """Return a document of the words with the entities as a group of spans."""
    follows = [start for start, _ in sentence.words[1:]] + [len(sentence.text)]
    spaces = [end < next_ for (_, end), next_ in zip(sentence.words, follows, strict=True)]
    made = Doc(nlp.vocab, words=common.words_of(sentence), spaces=spaces)
    entities = common.word_entities(sentence, nested=True)
    made.spans[GOLD] = [SpacySpan(made, first, end, label) for first, end, label in entities]
    return made


def train(options: Options) -> tuple[Predict, list[float]]:
    """Train a model."""
    sentences, dev = common.read_sentences(options.train), common.read_sentences(options.dev)
    nlp = edsnlp.blank("xx")
    nlp.add_pipe(
        eds.ner_crf(
            embedding=eds.transformer(model=options.encoder, window=128, stride=96),
            mode="joint",
            window=10,
            labels=common.labels_of(sentences),
            target_span_getter=GOLD,
            span_setter=FOUND,
        ),
        name="ner",
    )

    def predict(some: Sequence[Sentence]) -> list[list[common.Item]]:
        documents = [document(Sentence(each.text, each.words), nlp) for each in some]
        found: list[list[common.Item]] = []
        with torch.no_grad():
            results = list(nlp.pipe(documents).set_processing(batch_size=common.BATCH))
        for sentence, made in zip(some, results, strict=True):
            spans = made.spans.get(FOUND, [])
            words = sentence.words
            found.append([(words[each.start][0], words[each.end - 1][1], each.label_) for each in spans])
        return found

    best = Best()

    class Offer(GenericScorer):
        """Offers the weights instead of scoring the documents."""

        def __call__(self, nlp: Any, docs: Any) -> dict[str, float]:
            score = common.dev_f1(dev, predict(dev), relations=False)
            best.offer(nlp.get_pipe("ner"), score)
            nlp.train(True)
            return {"f1": score}

    steps = math.ceil(len(sentences) / options.batch_size)
    total = steps * options.epochs
    examples = edsnlp.data.from_iterable([document(sentence, nlp) for sentence in sentences])
    data = TrainingData(data=examples, batch_size=f"{options.batch_size} docs", shuffle="dataset")
    rates = {"transformer_lr": options.rate, "task_lr": options.rate_head}
    train_pipeline(
        nlp=nlp,
        train_data=data,
        val_data=edsnlp.data.from_iterable([document(dev[0], nlp)]),  # `Offer` predicts all of dev
        seed=options.seed,
        max_steps=total,
        optimizer=default_optim([nlp.get_pipe("ner")], max_steps=total, **rates),
        validation_interval=steps,
        scorer=Offer(),
        cpu=not torch.cuda.is_available(),
        output_dir=Path(options.work),
        save_model=False,
        logger=False,
    )
    best.restore(nlp.get_pipe("ner"))
    nlp.train(False)
    return predict, best.curve


if __name__ == "__main__":
    common.run(train)
