"""The worker of bert4torch: its models, layers, losses and tokenizer, in loops like those of its published examples."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bert4torch.layers import EfficientGlobalPointer, GlobalPointer
from bert4torch.losses import MultilabelCategoricalCrossentropy, SparseMultilabelCategoricalCrossentropy
from bert4torch.models import build_transformer_model
from bert4torch.snippets import sequence_padding
from bert4torch.tokenizers import Tokenizer
from corpus import PREDICATES, Material, Sentence, count_entities, labels_of, read_sentences, read_texts, score_of_rank
from harness import Reply
from torch import Tensor, nn
from torch.utils.data import DataLoader

Options = Mapping[str, Any]
Ready = tuple[Reply, Callable[[], Reply]]
MAX_LENGTH = 256
SAMPLE = 64  # the number of sentences on which the bias of the head is set


class Model(nn.Module):
    """A BERT with one or more heads that give dense scores ``[batch, rows, L, L]``."""

    def __init__(self, encoder: Path, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        # Random weights of its own: it loads those of other projects only under the names of pretraining checkpoints.
        self.encoder = build_transformer_model(str(encoder / "config.json"), model="bert", segment_vocab_size=0)
        self.heads = nn.ModuleList(heads)

    def forward(self, ids: Tensor) -> list[Tensor]:
        """Compute the scores of ids ``[batch, L]``, one tensor per head."""
        hidden, mask = self.encoder([ids]), ids.gt(0).long()
        return [head(hidden, mask) for head in self.heads]


def start(options: Options) -> Ready:
    """Run the job that `options` name."""
    jobs = {("train", "relation"): train_relations, ("train", "ner"): train_entities, ("predict", "ner"): predict}
    return jobs[options["job"], options["task"]](options)


def autocast(options: Options) -> Any:
    """The precision of the steps: float32, or bfloat16 by autocast."""
    if options["precision"] == "bfloat16":
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


def hidden_size(material: Material) -> int:
    """Of the encoder."""
    return json.loads((material.encoder / "config.json").read_text(encoding="utf-8"))["hidden_size"]


def finite(loss: Tensor) -> None:
    """Raise an error if the loss is not finite: the speed would be meaningless."""
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss.item()}")


def train_relations(options: Options) -> Ready:
    """Steps of GPLinker on batches that are collated beforehand."""
    material = Material(Path(options["directory"]))
    arrays = np.load(material.arrays)
    batches = list(relation_batches(arrays["ids"], arrays["triples"], options["batch_size"]))
    size, scorer = hidden_size(material), {"efficient": EfficientGlobalPointer, "full": GlobalPointer}[options["head"]]
    loss_of = SparseMultilabelCategoricalCrossentropy(mask_zero=True)

    def run() -> Reply:
        torch.manual_seed(0)
        links = [scorer(size, PREDICATES, 64, RoPE=False, tril_mask=False) for _ in range(2)]
        model = Model(material.encoder, [scorer(size, 2, 64), *links]).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
        began = time.perf_counter()
        for ids, targets in batches:
            with autocast(options):
                losses = [
                    loss_of(scores.flatten(2), target).sum(dim=1).mean()
                    for scores, target in zip(model(ids), targets, strict=True)
                ]
                loss = sum(losses) / len(losses)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        elapsed = time.perf_counter() - began
        finite(loss)
        tokens = arrays["ids"].size  # all sentences have the same length
        counts = {"items": len(arrays["ids"]), "steps": len(batches), "tokens": tokens, "padded_tokens": tokens}
        return {"seconds": elapsed, **counts}

    return {"precision": options["precision"]}, run


def relation_batches(ids: Any, triples: Any, size: int) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """Ids ``[batch, L]`` and for each head the gold cells ``[batch, rows, k]``, numbered i·L + j and filled with 0."""
    for first in range(0, len(ids), size):
        part = triples[first : first + size]
        length = ids.shape[1]
        tables: list[list[tuple[int, int, int]]] = [[], [], []]  # (sample, row, cell)
        for sample, (predicate, s, s_last, o, o_last) in (
            (sample, triple) for sample, own in enumerate(part.tolist()) for triple in own
        ):
            tables[0] += [(sample, 0, s * length + s_last), (sample, 1, o * length + o_last)]
            tables[1].append((sample, predicate, s * length + o))
            tables[2].append((sample, predicate, s_last * length + o_last))
        rows = (2, PREDICATES, PREDICATES)
        targets = [filled(cells, len(part), count) for cells, count in zip(tables, rows, strict=True)]
        yield torch.from_numpy(ids[first : first + size]), targets


def filled(cells: Sequence[tuple[int, int, int]], samples: int, rows: int) -> Tensor:
    """Cells by sample and row, each row filled with 0 up to the longest."""
    lists: list[list[list[int]]] = [[[] for _ in range(rows)] for _ in range(samples)]
    for sample, row, cell in cells:
        lists[sample][row].append(cell)
    longest = max(len(row) for sample in lists for row in sample)
    return torch.tensor([[row + [0] * (longest - len(row)) for row in sample] for sample in lists])


def tokenize(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[list[int]]]:
    """Ids of a text, and the characters of each token."""
    tokens = tokenizer.tokenize(text, maxlen=MAX_LENGTH)
    return tokenizer.tokens_to_ids(tokens), tokenizer.rematch(text, tokens)


class Collator:
    """Tokenises a batch and builds its dense labels, in the loop."""

    def __init__(self, tokenizer: Tokenizer, labels: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.rows = {label: row for row, label in enumerate(labels)}

    def __call__(self, batch: Sequence[Sentence]) -> tuple[Tensor, Tensor]:
        all_ids, all_labels = [], []
        for sentence in batch:
            ids, places = tokenize(self.tokenizer, sentence.text)
            firsts = {place[0]: token for token, place in enumerate(places) if place}
            lasts = {place[-1]: token for token, place in enumerate(places) if place}
            labels = np.zeros((len(self.rows), MAX_LENGTH, MAX_LENGTH))
            for start_, end, label in sentence.spans:
                if start_ in firsts and end - 1 in lasts:
                    labels[self.rows[label], firsts[start_], lasts[end - 1]] = 1
            all_ids.append(ids)
            all_labels.append(labels[:, : len(ids), : len(ids)])
        ids_ = torch.tensor(sequence_padding(all_ids), dtype=torch.long)
        return ids_, torch.tensor(sequence_padding(all_labels, seq_dims=3), dtype=torch.long)


def train_entities(options: Options) -> Ready:
    """An epoch of Efficient GlobalPointer, tokenisation included as in the published example."""
    material = Material(Path(options["directory"]))
    sentences = list(read_sentences(material.entities))
    labels = labels_of(sentences)
    collator = Collator(Tokenizer(str(material.encoder / "vocab.txt"), do_lower_case=True), labels)
    loader = DataLoader(sentences, batch_size=options["batch_size"], shuffle=True, collate_fn=collator)
    size = hidden_size(material)
    loss_of = MultilabelCategoricalCrossentropy()

    def run() -> Reply:
        torch.manual_seed(0)
        model = Model(material.encoder, [EfficientGlobalPointer(size, len(labels), 64)]).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-5)
        tokens = padded = 0
        began = time.perf_counter()
        for ids, gold in loader:
            with autocast(options):
                (scores,) = model(ids)
                cells = scores.shape[0] * scores.shape[1]
                loss = loss_of(scores.reshape(cells, -1), gold.reshape(cells, -1))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            tokens += int(ids.gt(0).sum())
            padded += ids.numel()
        elapsed = time.perf_counter() - began
        finite(loss)
        counts = {"items": len(sentences), "steps": len(loader), "tokens": tokens, "padded_tokens": padded}
        return {"seconds": elapsed, **counts}

    return {"precision": options["precision"]}, run


def predict(options: Options) -> Ready:
    """A file of texts to a file of entities: batches in the file's order, dense scores above 0."""
    material = Material(Path(options["directory"]))
    sentences = list(read_sentences(material.entities))
    labels = labels_of(sentences)
    torch.manual_seed(0)
    began = time.perf_counter()
    tokenizer = Tokenizer(str(material.encoder / "vocab.txt"), do_lower_case=True)
    model = Model(material.encoder, [EfficientGlobalPointer(hidden_size(material), len(labels), 64)]).eval()
    model.to(getattr(torch, options["precision"]))
    loading = time.perf_counter() - began
    sample = sentences[:SAMPLE]
    ids = torch.tensor(sequence_padding([tokenize(tokenizer, sentence.text)[0] for sentence in sample]))
    with torch.no_grad():
        (scores,) = model(ids)
    gold = sum(len(sentence.spans) for sentence in sample)
    model.heads[0].q_dense.bias.data -= score_of_rank(scores.float().numpy(), gold)
    output = material.directory / f"bert4torch-{options['precision']}.jsonl"

    def run() -> Reply:
        tokens = padded = 0
        began = time.perf_counter()
        texts = read_texts(material.texts)
        with output.open("w", encoding="utf-8") as file, torch.no_grad():
            for first in range(0, len(texts), options["batch_size"]):
                batch = texts[first : first + options["batch_size"]]
                all_ids, places = zip(*(tokenize(tokenizer, text) for text in batch), strict=True)
                ids = torch.tensor(sequence_padding(list(all_ids)), dtype=torch.long)
                (scores,) = model(ids)
                for record in records(batch, places, scores, labels):
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
                tokens += sum(map(len, all_ids))
                padded += ids.numel()
        elapsed = time.perf_counter() - began
        counts = {"items": len(texts), "tokens": tokens, "padded_tokens": padded}
        return {"seconds": elapsed, "spans": count_entities(output), **counts}

    return {"precision": options["precision"], "load_seconds": loading}, run


def records(
    texts: Sequence[str], places: Sequence[list[list[int]]], scores: Tensor, labels: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Each text with its entities; `scores` ``[batch, labels, L, L]``."""
    found: list[list[dict[str, Any]]] = [[] for _ in texts]
    for sample, row, first, last in (scores > 0).nonzero().tolist():
        own = places[sample]
        if own[first] and own[last]:  # not a special token
            start_, end = own[first][0], own[last][-1] + 1
            text = texts[sample][start_:end]
            found[sample].append({"start": start_, "end": end, "label": labels[row], "text": text})
    for text, entities in zip(texts, found, strict=True):
        yield {"text": text, "entities": entities}
