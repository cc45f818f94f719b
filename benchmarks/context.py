"""Measure how much the neighbours of a sentence change what a model finds in it.

    python benchmarks/context.py MODEL DATA [--write]

Annotate every sentence of DATA alone, with the previous sentence of the file, with the next one, and with both, joined by a
space; the first sentence follows the last. What overlaps the sentence is compared with what is found in it alone: the same
position and label (and predicate), or not. A first row compares each sentence alone with itself in batches of another size,
which shows what arithmetic alone changes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from harness import machine, write_section

from ie_cli.document import Document
from ie_cli.evaluation.context import Agreement, cut_out, inside, surrounded
from ie_cli.formats import read_documents
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.pipeline import extract
from ie_cli.metrics.entities import Counts
from ie_cli.metrics.relations import RelationScores
from ie_cli.tasks import TASKS, ScoringOptions

RESULTS = Path(__file__).parent / "RESULTS.md"
OTHER_BATCH = 7
AROUND = {
    "one sentence before it": (1, 0),
    "one behind it": (0, 1),
    "one on each side": (1, 1),
}


def gold_f1(extractor: Extractor, gold: Sequence[Document], found: Sequence[Document]) -> dict[str, float]:
    """Return the F1 against gold for each kind of item that the model finds."""
    f1: dict[str, float] = {}
    for name, section in extractor.recipe.instances().items():
        task = TASKS[section.task]
        scorer = task.scorer(extractor.tasks[name].schema, ScoringOptions())
        for truth, guess in zip(gold, found, strict=True):
            scorer.add(truth, inside(guess))
        scores = scorer.scores()
        f1[task.words.items] = scores.primary
        if isinstance(scores, RelationScores) and scores.entities is not None:
            f1["entities"] = scores.entities.f1
    return dict(sorted(f1.items()))


def predictions(extractor: Extractor, texts: Sequence[str], joint: str) -> dict[str, list[Document]]:
    """Return what is found in each sentence, by its context."""

    def run(many: Iterable[tuple[str, int]], batch_size: int | None = None) -> list[Document]:
        placed = list(many)
        engine = extractor.engine(batch_size=batch_size, split="never")
        found = extract(engine, (Document(text) for text, _ in placed))
        return [
            cut_out(document, start, len(text)) for document, (_, start), text in zip(found, placed, texts, strict=True)
        ]

    alone = [(text, 0) for text in texts]
    made = {"nothing": run(alone), f"nothing, in batches of {OTHER_BATCH}": run(alone, OTHER_BATCH)}
    for name, sides in AROUND.items():
        print(f"with {name}", file=sys.stderr, flush=True)
        made[name] = run(surrounded(texts, *sides, joint))
    return made


def table(kind: str, made: dict[str, list[Document]], f1: dict[str, dict[str, float]]) -> str:
    """Return the Markdown table of one kind of item, each row compared with the first."""
    rows = [
        f"| around the sentence | sentences the same | of those with any | {kind}, of them across its boundary "
        "| F1 with it alone as gold | F1 against the gold |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    sets = {name: [set(getattr(document, kind)) for document in found] for name, found in made.items()}
    for name, found in made.items():
        result = Agreement.of(sets["nothing"], sets[name])
        share, filled = result.same / result.texts, result.same_filled / max(1, result.filled)
        correct = sum(len(one & other) for one, other in zip(sets["nothing"], sets[name], strict=True))
        counts = Counts(sum(map(len, sets["nothing"])), sum(map(len, sets[name])), correct)
        across = counts.predicted - sum(len(set(getattr(inside(document), kind))) for document in found)
        cells = [
            f"{share:.4f}",
            f"{filled:.4f} of {result.filled:,}",
            f"{counts.predicted:,}, {across:,}",
            f"{counts.f1:.4f}",
            f"{f1[name][kind]:.4f}" if kind in f1[name] else "–",
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def section(model: Path, data: Path, given: argparse.Namespace) -> tuple[str, str]:
    """Return the name of the run, and the section of the results."""
    extractor = Extractor.from_pretrained(model, precision=given.precision or "auto")
    gold = list(islice(read_documents(str(data)), given.sentences))
    made = predictions(extractor, [document.text for document in gold], given.joint)
    recipe = extractor.recipe
    f1 = {name: gold_f1(extractor, gold, found) for name, found in made.items()}
    kinds = list(f1["nothing"])
    options = [f"--{name} {value}" for name in ("sentences", "precision") if (value := getattr(given, name))]
    command = " ".join(["python benchmarks/context.py MODEL DATA", *options])
    precision = getattr(extractor.backend, "precision", "the precision it was exported in")
    counted = ", ".join(f"{sum(len(getattr(e, kind)) for e in made['nothing']):,} {kind}" for kind in kinds)
    facts = [
        f"Recipe `{recipe.name}`, data {data.parent.name}/{data.name}: {len(gold):,} sentences, {counted} found in them alone; "
        f"windows of {recipe.encoder.max_length} tokens.",
        f"{machine({})[0]}; {precision}.",
    ]
    tables = [f"{kind.capitalize()}:\n\n{table(kind, made, f1)}" for kind in kinds]
    return recipe.name, "\n\n".join([f"### {recipe.name}", f"    {command}", *facts, *tables])


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--sentences", type=int, help="the number of sentences; default: all")
    parser.add_argument("--precision", help="as in `ie predict`")
    parser.add_argument("--joint", default=" ", help="the separator of two sentences; default: a space")
    parser.add_argument("--write", action="store_true", help=f"write the tables to {RESULTS.name}")
    given = parser.parse_args()
    name, text = section(given.model, given.data, given)
    print(text)
    if given.write:
        write_section(RESULTS, f"context-{name}", text)


if __name__ == "__main__":
    main()
