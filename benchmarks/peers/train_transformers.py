"""Train a token classifier with the Trainer of transformers, as its example `run_ner.py` does, and keep the best epoch on dev.

The first token of each word has its BIO tag. Of nested entities, it can learn only the outermost ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import common
import torch
from common import Best, Options, Predict, Sentence
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

IGNORED = -100


class Evaluation(TrainerCallback):
    """Offers the weights after each epoch."""

    def __init__(self, best: Best, dev: Sequence[Sentence], predict: Predict) -> None:
        self.best, self.dev, self.predict = best, dev, predict

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **other: Any) -> None:
        self.best.offer(model, common.dev_f1(self.dev, self.predict(self.dev), relations=False))


def train(options: Options) -> tuple[Predict, list[float]]:
    """Train a model."""
    sentences, dev = common.read_sentences(options.train), common.read_sentences(options.dev)
    tags = ["O", *(f"{kind}-{label}" for label in common.labels_of(sentences) for kind in "BI")]
    tokenizer = AutoTokenizer.from_pretrained(options.encoder)
    model = AutoModelForTokenClassification.from_pretrained(options.encoder, num_labels=len(tags))

    def encode(some: Sequence[Sentence], **more: Any) -> Any:
        words = [common.words_of(sentence) for sentence in some]
        return tokenizer(words, is_split_into_words=True, truncation=True, max_length=options.max_length, **more)

    def example(sentence: Sentence) -> dict[str, Any]:
        encoded = encode([sentence])
        numbers, own = encoded.word_ids(0), common.bio_tags(sentence)
        firsts = [number is not None and (i == 0 or numbers[i - 1] != number) for i, number in enumerate(numbers)]
        labels = [tags.index(own[number]) if first else IGNORED for number, first in zip(numbers, firsts, strict=True)]
        return {"input_ids": encoded["input_ids"][0], "labels": labels}

    def predict(some: Sequence[Sentence]) -> list[list[common.Item]]:
        model.eval()
        found: list[list[common.Item]] = []
        for batch in common.batches(some):
            encoded = encode(batch, padding=True, return_tensors="pt")
            with torch.no_grad():
                best_tags = model(**encoded.to(model.device)).logits.argmax(dim=-1).tolist()
            for row, sentence in enumerate(batch):
                own: dict[int, str] = {}
                for number, tag in zip(encoded.word_ids(row), best_tags[row], strict=True):
                    if number is not None:
                        own.setdefault(number, tags[tag])
                words = range(len(sentence.words))
                found.append(list(common.bio_entities(sentence, [own.get(number, "O") for number in words])))
        return found

    best = Best()
    arguments = TrainingArguments(
        output_dir=options.work,
        learning_rate=options.rate,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=options.seed,
    )
    trainer = Trainer(
        model,
        arguments,
        DataCollatorForTokenClassification(tokenizer),
        train_dataset=[example(sentence) for sentence in sentences],
        callbacks=[Evaluation(best, dev, predict)],
    )
    trainer.train()
    best.restore(model)
    return predict, best.curve


if __name__ == "__main__":
    common.run(train)
