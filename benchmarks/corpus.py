"""The input that all systems share: a BERT with random weights, sentences with entities, sentences with relations.

The functions that create it run in the environment of this project; those that read it need only numpy, for all workers.
"""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

VOCABULARY = 21128  # of bert-base-chinese
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PREDICATES, TRIPLES = 49, 4
CHARACTERS = 126  # and two special tokens: 128
_POOL = [chr(code) for code in range(0x4E00, 0x4E00 + 2000)]

Span = tuple[int, int, str]
"""Start, end (exclusive) and label."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text and its entities."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """The paths of a working directory."""

    directory: Path

    @property
    def encoder(self) -> Path:
        """A directory with config.json, model.safetensors, vocab.txt and tokenizer.json."""
        return self.directory / "encoder"

    @property
    def entities(self) -> Path:
        """Sentences in CLUENER's format."""
        return self.directory / "entities.json"

    @property
    def texts(self) -> Path:
        """The same sentences without annotation."""
        return self.directory / "texts.jsonl"

    @property
    def relations(self) -> Path:
        """Sentences with relations, in the native JSON Lines."""
        return self.directory / "relations.jsonl"

    @property
    def arrays(self) -> Path:
        """The same sentences as ids ``[N, 128]`` and triples ``[N, 4, 5]`` of (predicate, subject's first, last, object's …)."""
        return self.directory / "relations.npz"

    @property
    def model(self) -> Path:
        """The model directory of this project, for prediction."""
        return self.directory / "model"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a BERT."""

    layers: int
    hidden: int

    @property
    def heads(self) -> int:
        """Of 64 each."""
        return max(1, self.hidden // 64)

    @property
    def intermediate(self) -> int:
        """Of the feed-forward layers."""
        return 4 * self.hidden

    def flops(self, tokens: int) -> int:
        """Of the products with weight matrices in a forward pass."""
        return 2 * tokens * self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)


def make(directory: Path, corpus: Path, sizes: Sizes, *, sentences: int, relation_sentences: int) -> Material:
    """Write the input: the first sentences of a corpus, and generated ones with relations.

    Raises:
        ValueError: the corpus is not in CLUENER's format, or has no sentences.
    """
    if relation_sentences * TRIPLES < PREDICATES:
        raise ValueError(f"{relation_sentences} sentences are too few for {PREDICATES} predicates; use at least 13")
    material = Material(directory)
    directory.mkdir(parents=True, exist_ok=True)
    chosen = list(islice(read_sentences(corpus), sentences))
    if not chosen:
        raise ValueError(f"{corpus}: no sentences")
    write_lines(material.entities, (_cluener(sentence) for sentence in chosen))
    write_lines(material.texts, ({"text": sentence.text} for sentence in chosen))
    texts = [sentence.text for sentence in read_sentences(corpus)]
    vocabulary = make_vocabulary([*texts, "".join(_POOL)])
    make_encoder(material.encoder, vocabulary, sizes)
    make_relations(material, {token: i for i, token in enumerate(vocabulary)}, relation_sentences)
    return material


def read_sentences(path: Path) -> Iterator[Sentence]:
    """Read a file in CLUENER's format: ``{"text": …, "label": {type: {mention: [[start, end inclusive], …]}}}``."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                fields = json.loads(line)
                labels = fields["label"].items()
                spans = [
                    (first, last + 1, label)
                    for label, mentions in labels
                    for places in mentions.values()
                    for first, last in places
                ]
                yield Sentence(fields["text"], tuple(sorted(spans)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}:{number}: not a line in CLUENER's format: {error!r}") from error


def _cluener(sentence: Sentence) -> dict[str, Any]:
    labels: dict[str, dict[str, list[list[int]]]] = {}
    for start, end, label in sentence.spans:
        labels.setdefault(label, {}).setdefault(sentence.text[start:end], []).append([start, end - 1])
    return {"text": sentence.text, "label": labels}


def labels_of(sentences: Iterable[Sentence]) -> list[str]:
    """All labels, sorted."""
    return sorted({label for sentence in sentences for _, _, label in sentence.spans})


def read_texts(path: Path, most: int | None = None) -> list[str]:
    """Return all or the first texts of a JSON Lines file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in islice(file, most)]


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write JSON Lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def count_entities(path: Path) -> int:
    """Count the entities in a file of predictions."""
    with path.open(encoding="utf-8") as file:
        return sum(len(json.loads(line)["entities"]) for line in file)


def score_of_rank(scores: npt.NDArray[np.float32], rank: int) -> float:
    """Return the score that `rank` scores reach: subtracting it lets a head with random weights find that many spans."""
    counted = np.sort(scores[scores > -1e6], axis=None)
    return float(counted[-max(1, rank)])


def make_vocabulary(texts: Iterable[str]) -> list[str]:
    """Return the special tokens, every character as BERT normalises it (also as a continuation if needed), and fillers."""
    folded = unicodedata.normalize("NFD", "".join(texts).lower())
    characters = sorted({c for c in folded if unicodedata.category(c)[0] not in "MCZ"})
    inside = [f"##{c}" for c in characters if c.isalnum() and not "\u4e00" <= c <= "\u9fff"]
    tokens = [*SPECIALS, *characters, *inside]
    if len(tokens) > VOCABULARY:
        raise ValueError(f"the corpus has {len(characters)} characters, too many for {VOCABULARY} tokens")
    return tokens + [f"[unused{n}]" for n in range(1, VOCABULARY - len(tokens) + 1)]


def make_encoder(directory: Path, vocabulary: Sequence[str], sizes: Sizes) -> None:
    """Write a BERT with random weights and its tokenizer, so that every system can load the directory."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=sizes.hidden,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.intermediate,
    )
    BertModel(config).save_pretrained(directory)
    ids = {token: i for i, token in enumerate(vocabulary)}
    BertTokenizerFast(vocab=ids, model_max_length=config.max_position_embeddings).save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")


def make_relations(material: Material, ids: dict[str, int], sentences: int) -> None:
    """Write sentences of 126 random characters with four triples each; every predicate occurs."""
    random_ = random.Random(0)
    records = []
    tokens = np.zeros((sentences, CHARACTERS + 2), dtype=np.int64)
    triples = np.zeros((sentences, TRIPLES, 5), dtype=np.int64)
    for row in range(sentences):
        text = "".join(random_.choices(_POOL, k=CHARACTERS))
        tokens[row] = [ids["[CLS]"], *(ids[c] for c in text), ids["[SEP]"]]
        width = CHARACTERS // (2 * TRIPLES)
        starts = [width * n + random_.randrange(width - 4) for n in range(2 * TRIPLES)]
        random_.shuffle(starts)
        relations = []
        for n in range(TRIPLES):
            predicate = (row * TRIPLES + n) % PREDICATES
            spans = [(start, start + random_.randint(2, 4)) for start in starts[2 * n : 2 * n + 2]]
            subject, object_ = (
                {"start": start, "end": end, "label": role, "text": text[start:end]}
                for role, (start, end) in zip(("subject", "object"), spans, strict=True)
            )
            relations.append({"subject": subject, "predicate": f"predicate{predicate:02}", "object": object_})
            # In tokens, with [CLS] first and inclusive ends, starts move by one and ends do not move.
            triples[row, n] = [predicate, *(place for start, end in spans for place in (start + 1, end))]
        records.append({"text": text, "entities": [], "relations": relations})
    write_lines(material.relations, records)
    np.savez(material.arrays, ids=tokens, triples=triples)
