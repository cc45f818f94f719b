"""Train spaCy's `ner` on a transformer with the config that its quickstart proposes, which keeps the best epoch on dev.

Two settings are fitted to the length of the training: batches are so many sentences, because its batches of 6,000 tokens would
make few steps, and the rate rises for a tenth of the steps and falls to 0 at the last one. `ner` knows no nested entities: it
learns the outermost ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import common
import spacy
import torch
from common import Options, Predict, Sentence
from spacy.tokens import Doc, DocBin
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_loop
from spacy.util import load_config_from_str
from spacy.vocab import Vocab

# With `gold_preproc`, words are those of the data instead of those of its tokenizer.
CONFIG = """
[nlp]
lang = "xx"
pipeline = ["transformer", "ner"]

[components]

[components.transformer]
factory = "transformer"

[components.transformer.model]
@architectures = "spacy-transformers.TransformerModel.v3"
name = ""
tokenizer_config = {"use_fast": true}

[components.transformer.model.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 128
stride = 96

[components.ner]
factory = "ner"

[components.ner.model]
@architectures = "spacy.TransitionBasedParser.v2"
state_type = "ner"
extra_state_tokens = false
hidden_width = 64
maxout_pieces = 2
use_upper = false

[components.ner.model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0

[components.ner.model.tok2vec.pooling]
@layers = "reduce_mean.v1"

[corpora]

[corpora.train]
@readers = "spacy.Corpus.v1"
path = ""
gold_preproc = true

[corpora.dev]
@readers = "spacy.Corpus.v1"
path = ""
gold_preproc = true

[training]
max_steps = 0
patience = 0

[training.batcher]
@batchers = "spacy.batch_by_sequence.v1"
size = 1

[training.optimizer]
@optimizers = "Adam.v1"

[training.optimizer.learn_rate]
@schedules = "warmup_linear.v1"
warmup_steps = 1
total_steps = 1
initial_rate = 0.00005

[training.score_weights]
ents_f = 1.0
"""


def document(sentence: Sentence, vocabulary: Vocab) -> Doc:
    """Return a document of the words, with the outermost entities."""
    follows = [start for start, _ in sentence.words[1:]] + [len(sentence.text)]
    spaces = [end < next_ for (_, end), next_ in zip(sentence.words, follows, strict=True)]
    made = Doc(vocabulary, words=common.words_of(sentence), spaces=spaces)
    made.ents = [spacy.tokens.Span(made, first, end, label) for first, end, label in common.word_entities(sentence)]
    return made


def write(path: Path, sentences: Sequence[Sentence]) -> None:
    """Write a corpus."""
    vocabulary = Vocab()
    DocBin(docs=[document(sentence, vocabulary) for sentence in sentences]).to_disk(path)


def train(options: Options) -> tuple[Predict, list[float]]:
    """Train a model."""
    sentences, dev = common.read_sentences(options.train), common.read_sentences(options.dev)
    work = Path(options.work)
    (work / "model").mkdir()
    write(work / "train.spacy", sentences)
    write(work / "dev.spacy", dev)
    steps = math.ceil(len(sentences) / options.batch_size)
    total = steps * options.epochs
    overrides = {
        "components.transformer.model.name": options.encoder,
        "corpora.train.path": str(work / "train.spacy"),
        "corpora.dev.path": str(work / "dev.spacy"),
        "training.max_epochs": 0,  # ends after max_steps, the last of which is evaluated
        "training.max_steps": total,
        "training.eval_frequency": steps,
        "training.seed": options.seed,
        "training.gpu_allocator": "pytorch" if torch.cuda.is_available() else None,
        "training.batcher.size": options.batch_size,
        "training.optimizer.learn_rate.initial_rate": options.rate,
        "training.optimizer.learn_rate.warmup_steps": max(1, total // 10),
        "training.optimizer.learn_rate.total_steps": total,
    }
    gpu = 0 if spacy.prefer_gpu() else -1
    nlp = init_nlp(load_config_from_str(CONFIG, overrides=overrides), use_gpu=gpu)
    train_loop(nlp, work / "model", use_gpu=gpu)
    best = spacy.load(work / "model" / "model-best")

    def predict(some: Sequence[Sentence]) -> list[list[common.Item]]:
        documents = (document(Sentence(each.text, each.words), best.vocab) for each in some)
        found: list[list[common.Item]] = []
        for sentence, made in zip(some, best.pipe(documents, batch_size=common.BATCH), strict=True):
            ends = [(sentence.words[each.start][0], sentence.words[each.end - 1][1], each.label_) for each in made.ents]
            found.append(list(ends))
        return found

    return predict, [float(best.meta["performance"]["ents_f"])]


if __name__ == "__main__":
    common.run(train)
