"""Train CoSENTLoss of sentence-transformers on pairs, for `pairs.py`: options as JSON in, a line of JSON with the scores out.

With 0 epochs, the line has the pairs per second in prediction.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr
from sentence_transformers import SentenceTransformer
from sentence_transformers import losses as st_losses
from sentence_transformers.models import Pooling, Transformer
from transformers import get_linear_schedule_with_warmup

Pair = tuple[str, str, float]


def read(path: str) -> list[Pair]:
    """Read first text, second text and score, separated by tabs or as CSV."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file) if path.endswith(".csv") else csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [(a, b, float(score)) for a, b, score in rows]


def scores(model: SentenceTransformer, pairs: list[Pair]) -> dict[str, float]:
    """Return correlations of the cosine."""
    first, second, gold = zip(*pairs, strict=True)
    vectors = [
        model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False) for texts in (first, second)
    ]
    cosines = np.sum(vectors[0] * vectors[1], axis=1)
    return {"spearman": float(spearmanr(cosines, gold)[0]), "pearson": float(pearsonr(cosines, gold)[0])}


def speed(model: SentenceTransformer, pairs: list[Pair]) -> float:
    """Return the pairs per second, best of three; like the others, each distinct text is encoded once."""
    texts = list(dict.fromkeys(text for first, second, _ in pairs for text in (first, second)))
    model.eval()
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        vectors = dict(zip(texts, model.encode(texts, normalize_embeddings=True, show_progress_bar=False), strict=True))
        _ = [float(vectors[first] @ vectors[second]) for first, second, _ in pairs]
        seconds.append(time.perf_counter() - began)
    return len(pairs) / min(seconds)


def main() -> None:
    """Train, keep the epoch with the best Spearman on dev, and score it on test."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    began = time.perf_counter()
    random.seed(given["seed"])
    torch.manual_seed(given["seed"])
    transformer = Transformer(given["encoder"], max_seq_length=given["length"])
    encoder = transformer.auto_model.encoder
    encoder.layer = encoder.layer[: given["layers"]]
    model = SentenceTransformer(
        modules=[transformer, Pooling(transformer.get_word_embedding_dimension(), "mean")]
    ).float()
    if not given["epochs"]:
        print(json.dumps({"pairs_per_second": speed(model, read(given["test"]))}))
        return
    loss = st_losses.CoSENTLoss(model)
    train, dev = read(given["train"]), read(given["dev"])
    size = given["batch_size"]
    steps = -(-len(train) // size) * given["epochs"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=given["rate"], weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimizer, int(0.1 * steps), steps)
    best, kept = -1.0, {}
    for _ in range(given["epochs"]):
        random.shuffle(train)
        model.train()
        for start in range(0, len(train), size):
            first, second, gold = zip(*train[start : start + size], strict=True)
            features = [model.tokenize(list(texts)) for texts in (first, second)]
            loss(features, torch.tensor(gold)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        model.eval()
        if (score := scores(model, dev)["spearman"]) > best:
            best, kept = score, {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seconds = time.perf_counter() - began
    model.load_state_dict(kept)
    print(json.dumps({"seconds": seconds, "metrics": {"test": scores(model, read(given["test"]))}}))


if __name__ == "__main__":
    main()
