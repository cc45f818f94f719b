"""Measure the peak memory and the time of a training step by number of labels: 16 windows of 256 tokens.

    python benchmarks/memory.py

Every measurement is a separate process; the peak is what the step adds to the memory before it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

BATCH, LENGTH = 16, 256
ENCODER = {"hidden_size": 384, "num_hidden_layers": 2, "num_attention_heads": 12, "intermediate_size": 1536}


def peak() -> float:
    """Largest resident set of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def step(head: str, labels: int) -> dict[str, float]:
    """Train three steps and report the median time and the memory they took."""
    import torch
    from transformers import BertConfig, BertModel

    from ie_cli.modeling.batch import Batch
    from ie_cli.modeling.model import ExtractionModel
    from ie_cli.recipe.heads import HEADS

    torch.manual_seed(0)
    encoder = BertModel(BertConfig(vocab_size=1000, **ENCODER), add_pooling_layer=False)
    model = ExtractionModel(encoder, {"ner": HEADS[head].builder()(384, {"entities": labels})})
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(1000, (BATCH, LENGTH))
    mask = torch.ones(BATCH, LENGTH, dtype=torch.bool)
    first = torch.randint(LENGTH - 8, (8 * BATCH,))
    entries = [torch.arange(BATCH).repeat(8), torch.randint(labels, (8 * BATCH,)), first, first + 4]
    gold = {"entities": torch.stack(entries, dim=1)}
    batch = Batch.build("ner", ids, mask, mask, gold, collate=model.head("ner").collate, documents=[])
    before = peak()
    times = []
    for _ in range(4):
        began = time.perf_counter()
        torch.stack(list(model(batch).values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - began)
    parameters = sum(p.numel() for p in model.heads.parameters()) * 4 / 2**20
    return {"memory": peak() - before, "seconds": sorted(times[1:])[1], "parameters": parameters}


def main() -> None:
    """Print one Markdown table, or measure one row in a child process."""
    if len(sys.argv) > 1:
        print(json.dumps(step(sys.argv[1], int(sys.argv[2]))))
        return
    dense = "{:,.0f}".format
    print(f"{BATCH} x {LENGTH} tokens, encoder of 2 layers x 384, AdamW, float32\n")
    print(
        "| head | labels | memory of a step, MB | its parameters, MB | one dense score tensor, MB | seconds per step |"
    )
    print("|---|--:|--:|--:|--:|--:|", flush=True)
    for head in ("efficient_global_pointer", "global_pointer"):
        for labels in (10, 50, 200, 500):
            run = subprocess.run([sys.executable, __file__, head, str(labels)], capture_output=True, check=True)
            row = json.loads(run.stdout)
            tensor = BATCH * labels * LENGTH * LENGTH * 4 / 2**20
            cells = [head, str(labels), dense(row["memory"]), f"{row['parameters']:.1f}", dense(tensor)]
            print(f"| {' | '.join(cells)} | {row['seconds']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
