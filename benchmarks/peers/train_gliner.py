"""Train GLiNER with its Trainer on the shared encoder, and keep the best epoch on dev.

Its published weights, which have seen much more data, are not used: like those of all others, its head begins at random. Its
words are those of the data instead of those of its splitter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import common
from common import Best, Options, Predict, Sentence
from gliner import GLiNER, GLiNERConfig
from gliner.training import Trainer
from train_transformers import Evaluation


def splitter(characters: bool) -> Any:
    """Return the splitter into characters, or at spaces."""
    pattern = re.compile(r"\S" if characters else r"\S+")

    def split(text: str) -> Iterator[tuple[str, int, int]]:
        return ((found.group(), *found.span()) for found in pattern.finditer(text))

    return split


def train(options: Options) -> tuple[Predict, list[float]]:
    """Train a model."""
    sentences, dev = common.read_sentences(options.train), common.read_sentences(options.dev)
    labels = common.labels_of(sentences)
    model = GLiNER.from_config(GLiNERConfig(model_name=options.encoder, max_types=max(25, len(labels))))
    model.to(common.device())
    model.data_processor.words_splitter = splitter(options.characters)

    def predict(some: Sequence[Sentence]) -> list[list[common.Item]]:
        texts = [sentence.text for sentence in some]
        found = model.inference(texts, labels, flat_ner=not options.nested, batch_size=common.BATCH)
        return [[(each["start"], each["end"], each["label"]) for each in entities] for entities in found]

    def example(sentence: Sentence) -> dict[str, Any]:
        entities = [[first, end - 1, label] for first, end, label in common.word_entities(sentence, nested=True)]
        return {"tokenized_text": common.words_of(sentence), "ner": entities}

    best = Best()
    arguments = model.create_training_args(
        output_dir=options.work,
        learning_rate=options.rate,
        others_lr=options.rate_head,
        num_train_epochs=options.epochs,
        max_steps=-1,
        per_device_train_batch_size=options.batch_size,
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        seed=options.seed,
        dataloader_num_workers=0,
        report_to="none",
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=[example(sentence) for sentence in sentences],
        data_collator=model._create_data_collator(),
        callbacks=[Evaluation(best, dev, predict)],
    )
    trainer.train()
    best.restore(model)
    return predict, best.curve


if __name__ == "__main__":
    common.run(train)
