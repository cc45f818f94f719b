"""The worker of plain transformers: what users write themselves, a token classifier to train and a span head to predict."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from corpus import Material, Sentence, count_entities, labels_of, read_sentences, read_texts, score_of_rank
from harness import Reply
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import AutoModel, AutoTokenizer, BertForTokenClassification, DataCollatorForTokenClassification

Options = Mapping[str, Any]
Ready = tuple[Reply, Callable[[], Reply]]
MAX_LENGTH = 256
SAMPLE = 64  # the number of sentences on which the bias of the head is set


def start(options: Options) -> Ready:
    """Run the job that `options` name."""
    return {"train": train, "predict": predict}[options["job"]](options)


def train(options: Options) -> Ready:
    """An epoch of BIO tagging; the texts are tokenised beforehand, which is timed separately."""
    material = Material(Path(options["directory"]))
    sentences = list(read_sentences(material.entities))
    names = ["O", *(f"{prefix}-{label}" for label in labels_of(sentences) for prefix in "BI")]
    tokenizer = AutoTokenizer.from_pretrained(material.encoder)
    began = time.perf_counter()
    rows = tagged(tokenizer, sentences, {name: n for n, name in enumerate(names)})
    encoding = time.perf_counter() - began
    collator = DataCollatorForTokenClassification(tokenizer)
    loader = DataLoader(rows, batch_size=options["batch_size"], shuffle=True, collate_fn=collator)
    tokens = sum(len(row["input_ids"]) for row in rows)

    def run() -> Reply:
        torch.manual_seed(0)
        model = BertForTokenClassification.from_pretrained(material.encoder, num_labels=len(names)).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
        padded = 0
        began = time.perf_counter()
        for batch in loader:
            low = options["precision"] == "bfloat16"
            with torch.autocast("cpu", dtype=torch.bfloat16) if low else nullcontext():
                loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            padded += batch["input_ids"].numel()
        elapsed = time.perf_counter() - began
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()}")
        counts = {"items": len(rows), "steps": len(loader), "tokens": tokens, "padded_tokens": padded}
        return {"seconds": elapsed, "encode_seconds": encoding, **counts}

    return {"precision": options["precision"]}, run


def tagged(tokenizer: Any, sentences: Sequence[Sentence], ids: Mapping[str, int]) -> list[dict[str, list[int]]]:
    """Token ids of the sentences, and a BIO tag for every token."""
    texts = [sentence.text for sentence in sentences]
    encoded = tokenizer(texts, truncation=True, max_length=MAX_LENGTH, return_offsets_mapping=True)
    rows = []
    for n, sentence in enumerate(sentences):
        names = ["O"] * len(sentence.text)
        for start_, end, label in sentence.spans:
            names[start_:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start_ - 1)
        tags = [ids[names[first]] if first < last else -100 for first, last in encoded["offset_mapping"][n]]
        row = {"input_ids": encoded["input_ids"][n], "attention_mask": encoded["attention_mask"][n], "labels": tags}
        rows.append(row)
    return rows


class ExtractionModel(nn.Module):
    """A BERT with a dense span head: a pair of positions scores as query times key, and a bias for each label."""

    def __init__(self, encoder: nn.Module, labels: int, size: int = 64) -> None:
        super().__init__()
        self.encoder = encoder
        self.projection = nn.Linear(encoder.config.hidden_size, 2 * size)
        self.bias = nn.Linear(2 * size, 2 * labels)
        frequency = 10000.0 ** (-torch.arange(0, size, 2) / size)
        angles = torch.arange(encoder.config.max_position_embeddings)[:, None] * frequency
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **other: Tensor) -> Tensor:
        """Scores ``[batch, labels, L, L]``, very low for entries that do not count."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **other).last_hidden_state
        x = self.projection(hidden)
        query, key = (self.rotated(part) for part in x.chunk(2, dim=-1))
        start_, end = (self.bias(x) / 2).transpose(1, 2).chunk(2, dim=1)
        pair = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
        counted = (attention_mask[:, :, None] & attention_mask[:, None]).triu().bool()
        scores = pair[:, None] + start_[..., None] + end[:, :, None]
        return scores.masked_fill(~counted[:, None], -1e12)

    def rotated(self, x: Tensor) -> Tensor:
        """With rotary positions."""
        even, odd = x[..., 0::2], x[..., 1::2]
        cos, sin = self.cos[: x.shape[1]], self.sin[: x.shape[1]]
        return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def predict(options: Options) -> Ready:
    """A file of texts to a file of entities: batches in the file's order, padded to their longest."""
    material = Material(Path(options["directory"]))
    sentences = list(read_sentences(material.entities))
    labels = labels_of(sentences)
    torch.manual_seed(0)
    began = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(material.encoder)
    model = ExtractionModel(AutoModel.from_pretrained(material.encoder), len(labels)).eval()
    model.to(getattr(torch, options["precision"]))
    loading = time.perf_counter() - began
    sample = sentences[:SAMPLE]
    with torch.no_grad():
        scores = model(**tokenizer([sentence.text for sentence in sample], padding=True, return_tensors="pt"))
    gold = sum(len(sentence.spans) for sentence in sample)
    model.bias.bias.data -= score_of_rank(scores.float().numpy(), gold)
    output = material.directory / f"transformers-{options['precision']}.jsonl"

    def run() -> Reply:
        tokens = padded = 0
        began = time.perf_counter()
        texts = read_texts(material.texts)
        with output.open("w", encoding="utf-8") as file, torch.no_grad():
            for first in range(0, len(texts), options["batch_size"]):
                batch = texts[first : first + options["batch_size"]]
                encoded = tokenizer(
                    batch,
                    padding=True,
                    truncation=True,
                    max_length=MAX_LENGTH,
                    return_offsets_mapping=True,
                    return_tensors="pt",
                )
                offsets = encoded.pop("offset_mapping").tolist()
                for record in records(batch, offsets, model(**encoded), labels):
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
                tokens += int(encoded["attention_mask"].sum())
                padded += encoded["input_ids"].numel()
        elapsed = time.perf_counter() - began
        counts = {"items": len(texts), "tokens": tokens, "padded_tokens": padded}
        return {"seconds": elapsed, "spans": count_entities(output), **counts}

    return {"precision": options["precision"], "load_seconds": loading}, run


def records(
    texts: Sequence[str], offsets: Sequence[list[list[int]]], scores: Tensor, labels: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Each text with its entities; `scores` ``[batch, labels, L, L]``."""
    found: list[list[dict[str, Any]]] = [[] for _ in texts]
    for sample, row, first, last in (scores > 0).nonzero().tolist():
        start_, end = offsets[sample][first][0], offsets[sample][last][1]
        if start_ < end:  # special tokens have no characters
            text = texts[sample][start_:end]
            found[sample].append({"start": start_, "end": end, "label": labels[row], "text": text})
    for text, entities in zip(texts, found, strict=True):
        yield {"text": text, "entities": entities}
