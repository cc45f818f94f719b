"""Train SpanMarker with its Trainer and the settings of its documentation, and keep the best epoch on dev.

Of nested entities, it can learn only the outermost ones. Words are characters where the language has no spaces; entities may then
have `CHARACTERS` of them instead of the 8 words of its default.
"""

from __future__ import annotations

from collections.abc import Sequence

import common
from common import Best, Options, Predict, Sentence
from datasets import Dataset
from span_marker import SpanMarkerModel, Trainer
from train_transformers import Evaluation
from transformers import TrainingArguments

WORDS, CHARACTERS = 8, 16


def train(options: Options) -> tuple[Predict, list[float]]:
    """Train a model."""
    sentences, dev = common.read_sentences(options.train), common.read_sentences(options.dev)
    labels = ["O", *(f"{kind}-{label}" for label in common.labels_of(sentences) for kind in "BI")]
    model = SpanMarkerModel.from_pretrained(
        options.encoder,
        labels=labels,
        model_max_length=options.max_length,
        marker_max_length=128,
        entity_max_length=CHARACTERS if options.characters else WORDS,
    )

    def predict(some: Sequence[Sentence]) -> list[list[common.Item]]:
        found: list[list[common.Item]] = []
        results = model.predict([common.words_of(sentence) for sentence in some], batch_size=common.BATCH)
        for sentence, entities in zip(some, results, strict=True):
            ends = [
                (sentence.words[entity["word_start_index"]][0], sentence.words[entity["word_end_index"] - 1][1])
                for entity in entities
            ]
            found.append([(*end, entity["label"]) for end, entity in zip(ends, entities, strict=True)])
        return found

    best = Best()
    arguments = TrainingArguments(
        output_dir=options.work,
        learning_rate=options.rate,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        weight_decay=0.01,
        warmup_ratio=0.1,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=options.seed,
    )
    examples = Dataset.from_dict(
        {
            "tokens": [common.words_of(sentence) for sentence in sentences],
            "ner_tags": [[labels.index(tag) for tag in common.bio_tags(sentence)] for sentence in sentences],
        }
    )
    callbacks = [Evaluation(best, dev, predict)]
    Trainer(model=model, args=arguments, train_dataset=examples, callbacks=callbacks).train()
    best.restore(model)
    return predict, best.curve


if __name__ == "__main__":
    common.run(train)
