"""The worker of spaCy: its default pipeline for entities, trained and used as its documentation says.

    PYTHON benchmarks/worker_spacy.py efficiency|accuracy DATA WORK

DATA holds train.jsonl, dev.jsonl and test.jsonl with `text` and `entities`. WORK receives the model, and for
dev and test one JSON list of entities per line.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import spacy
from spacy.tokens import Doc, DocBin


def read(path: Path) -> list[dict]:
    """The records of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def document(nlp: spacy.language.Language, record: dict) -> Doc:
    """A sentence with the words of the data, so that all systems see the same words."""
    doc = Doc(nlp.vocab, words=record["text"].split(" "))
    spans = [doc.char_span(e["start"], e["end"], label=e["label"]) for e in record["entities"]]
    doc.ents = [span for span in spans if span is not None]
    return doc


def main() -> None:
    """Train on train, choose on dev, write the predictions for dev and test."""
    optimize, data, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    blank = spacy.blank("en")
    for split in ("train", "dev"):
        DocBin(docs=[document(blank, record) for record in read(data / f"{split}.jsonl")]).to_disk(
            work / f"{split}.spacy"
        )
    config = work / "config.cfg"
    run = [sys.executable, "-m", "spacy"]
    subprocess.run(
        [*run, "init", "config", config, "--lang", "en", "--pipeline", "ner", "--optimize", optimize, "--force"],
        check=True,
    )
    paths = ["--paths.train", work / "train.spacy", "--paths.dev", work / "dev.spacy"]
    if optimize == "accuracy":
        paths += ["--paths.vectors", "null", "--initialize.vectors", "null"]  # no vectors: they would be a download
    subprocess.run([*run, "train", config, "--output", work / "model", *paths], check=True)
    nlp = spacy.load(work / "model" / "model-best")
    for split in ("dev", "test"):
        lines = []
        for record in read(data / f"{split}.jsonl"):
            doc = nlp(Doc(nlp.vocab, words=record["text"].split(" ")))
            lines.append(json.dumps([{"start": e.start_char, "end": e.end_char, "label": e.label_} for e in doc.ents]))
        (work / f"{split}.found.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
