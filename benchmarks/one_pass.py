"""Time a model of several tasks, which encodes each text once, against a model for each task.

    python benchmarks/one_pass.py SEVERAL ALONE ALONE ... --data FILE [--texts 500]

SEVERAL is the model of all tasks, and each ALONE that of one of them; all have the same encoder. FILE holds texts in any format.
The fastest of three rounds counts; a round runs all models in turn.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from pathlib import Path

from ie_cli import Document, Extractor, read_documents

ROUNDS = 3


def seconds(extractor: Extractor, documents: list[Document]) -> float:
    """Return the seconds of a prediction."""
    began = time.perf_counter()
    for _ in extractor.extract(documents):
        pass
    return time.perf_counter() - began


def main() -> None:
    """Print the times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("several", type=Path)
    parser.add_argument("alone", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=500)
    given = parser.parse_args()
    documents = [Document(document.text) for document in islice(read_documents(given.data), given.texts)]
    models = [Extractor.from_pretrained(path) for path in (given.several, *given.alone)]
    for model in models:
        seconds(model, documents[:50])  # the first batches are slower
    rounds = [[seconds(model, documents) for model in models] for _ in range(ROUNDS)]
    together, *alone = (min(times) for times in zip(*rounds, strict=True))
    print(
        f"{len(documents)} texts: several tasks {together:.2f} s; alone {' + '.join(f'{each:.2f}' for each in alone)} s"
    )
    print(f"ratio {together / sum(alone):.2f}")


if __name__ == "__main__":
    main()
