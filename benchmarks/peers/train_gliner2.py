"""Train GLiNER2 with its trainer on the shared encoder, and keep the best epoch on dev.

Its published weights, which have seen much more data, are not used: like those of all others, its head begins at random. Its data
format has the texts of entities without offsets. Its words are those of the data instead of those of its splitter. Its trainer
leaves out the last sentences of an epoch if they do not fill a batch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import common
from common import Best, Options, Predict, Sentence
from gliner2 import GLiNER2
from gliner2.configuration import ExtractorConfig
from gliner2.training.data import InputExample
from gliner2.training.trainer import GLiNER2Trainer, TrainingConfig

WORDS, CHARACTERS = 8, 16


def splitter(characters: bool) -> Any:
    """Return the splitter into characters, or at spaces."""
    pattern = re.compile(r"\S" if characters else r"\S+")

    def split(text: str, lower: bool = True) -> Iterator[tuple[str, int, int]]:
        for found in pattern.finditer(text):
            yield found.group().lower() if lower else found.group(), *found.span()

    return split


class Evaluated(GLiNER2Trainer):
    """Its trainer, which offers the weights after each epoch instead of computing the loss on dev and saving them."""

    def keep(self, best: Best, dev: Sequence[Sentence], predict: Predict) -> None:
        """Say where to offer the weights."""
        self.best, self.dev, self.predict = best, dev, predict

    def _evaluate(self, eval_dataset: Any) -> dict[str, float]:
        score = common.dev_f1(self.dev, self.predict(self.dev), relations=False)
        self.best.offer(self.model, score)
        return {"eval_loss": -score}

    def _save_checkpoint(self, name: str) -> None:
        pass


def train(options: Options) -> tuple[Predict, list[float]]:
    """Train a model."""
    sentences, dev = common.read_sentences(options.train), common.read_sentences(options.dev)
    labels = common.labels_of(sentences)
    width = CHARACTERS if options.characters else WORDS
    config = ExtractorConfig(model_name=options.encoder, max_width=width)
    model = GLiNER2(config, word_splitter=splitter(options.characters))
    model.to(common.device())

    def predict(some: Sequence[Sentence]) -> list[list[common.Item]]:
        model.eval()
        model.processor.change_mode(is_training=False)
        texts = [sentence.text for sentence in some]
        policy = "nested" if options.nested else "flat"
        results = model.batch_extract_entities(
            texts, labels, batch_size=common.BATCH, include_spans=True, overlap_policy=policy
        )
        return [
            [(each["start"], each["end"], label) for label, found in result["entities"].items() for each in found]
            for result in results
        ]

    def example(sentence: Sentence) -> InputExample:
        entities: dict[str, list[str]] = {label: [] for label in labels}
        for start, end, label in sentence.entities:
            if (mention := sentence.text[start:end]) not in entities[label]:
                entities[label].append(mention)
        return InputExample(text=sentence.text, entities=entities)

    best = Best()
    examples = [example(sentence) for sentence in sentences]
    settings = TrainingConfig(
        output_dir=options.work,
        num_epochs=options.epochs,
        batch_size=options.batch_size,
        encoder_lr=options.rate,
        task_lr=options.rate_head,
        fp16=False,
        eval_strategy="epoch",
        num_workers=0,
        seed=options.seed,
    )
    trainer = Evaluated(model, settings)
    trainer.keep(best, dev, predict)
    trainer.train(train_data=examples, eval_data=examples[:1])
    best.restore(model)
    return predict, best.curve


if __name__ == "__main__":
    common.run(train)
