"""Measure a model of sentences on documents: DATA joined to documents of 1, 5 and 20 sentences, with each way of cutting texts.

    python benchmarks/documents.py MODEL DATA [--sentences 1 5 20]

Sentences that follow each other in DATA are joined as `ie eval --context` joins them. The gold moves with them, and nothing is
related across a boundary. The score is that of `ie eval` on the whole documents.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from trials import ie

from ie_cli.document import Document, Entity
from ie_cli.encoding.joined_texts import join_texts
from ie_cli.formats import read_documents

SPLITS = ("never", "auto", "sentences")


def joined(sentences: Sequence[Document]) -> Document:
    """Return one document with the text and the gold of several."""
    text, starts = join_texts([sentence.text for sentence in sentences], None)
    entities, relations = [], []
    for sentence, start in zip(sentences, starts, strict=True):

        def moved(entity: Entity, by: int = start) -> Entity:
            return replace(entity, start=entity.start + by, end=entity.end + by, document_text=None)

        entities += [moved(entity) for entity in sentence.entities]
        relations += [
            replace(relation, subject=moved(relation.subject), object=moved(relation.object))
            for relation in sentence.relations
        ]
    return Document(text, entities, relations, related=any(sentence.related for sentence in sentences))


def documents_of(sentences: Sequence[Document], count: int) -> list[Document]:
    """Return documents of `count` sentences that follow each other; the last one may have fewer."""
    return [joined(sentences[start : start + count]) for start in range(0, len(sentences), count)]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sentences", type=int, nargs="+", default=[1, 5, 20], help="sentences in a document")
    parser.add_argument("--first", type=int, help="use only the first sentences of DATA; default: all")
    given = parser.parse_args()
    sentences = list(islice(read_documents(str(given.data)), given.first))
    print("| sentences in a document | documents | " + " | ".join(f"`--split {split}`" for split in SPLITS) + " |")
    print("|--:|--:|" + "--:|" * len(SPLITS), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for count in given.sentences:
            documents = documents_of(sentences, count)
            path = Path(folder) / f"{count}.jsonl"
            path.write_text("".join(json.dumps(document.to_dict()) + "\n" for document in documents), encoding="utf-8")
            f1 = [
                json.loads(ie("eval", given.model, path, "--from", "jsonl", "--split", split, "--json"))["f1"]
                for split in SPLITS
            ]
            print(f"| {count} | {len(documents):,} | {' | '.join(f'{score:.4f}' for score in f1)} |", flush=True)


if __name__ == "__main__":
    main()
