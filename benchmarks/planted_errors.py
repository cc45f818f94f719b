"""How many of the first places that `ie check --deep` lists are errors: some are planted, and the list is compared with them.

    python benchmarks/planted_errors.py DATA [--examples 2000] [--share 0.05] [--epochs 12] [--seed 1]

A share of the entities gets another label, another share another boundary, and another share is removed. The precision counts
only planted errors: errors that the data had before count as wrong, so that it is a lower bound.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ie_cli.doctor.cross_folds import collect_suspects, small_recipe
from ie_cli.doctor.suspects import Suspect
from ie_cli.document import Document, Entity
from ie_cli.formats import FORMATS, read_documents
from ie_cli.recipe.schema import DataSection


@dataclass
class Planted:
    """The planted errors, by the number of the document: the wrong entity, or the removed one."""

    wrong: set[tuple[int, Entity]] = field(default_factory=set)
    removed: set[tuple[int, Entity]] = field(default_factory=set)

    def explains(self, suspect: Suspect) -> bool:
        """Return whether a suspect is a planted error."""
        number = int(suspect.where.rpartition(":")[2])
        if suspect.gold is not None:
            return (number, suspect.gold) in self.wrong
        other = suspect.predicted
        return other is not None and any(
            n == number and one.start < other.end and other.start < one.end for n, one in self.removed
        )


def plant(documents: list[Document], share: float, randomly: random.Random) -> Planted:
    """Change the entities of the documents, and return what was changed."""
    planted = Planted()
    labels = sorted({entity.label for document in documents for entity in document.entities})
    for number, document in enumerate(documents, 1):
        kept = []
        for entity in document.entities:
            choice = randomly.random() / share
            if choice < 1:
                changed = Entity(
                    entity.start, entity.end, randomly.choice([one for one in labels if one != entity.label])
                )
            elif choice < 2:
                changed = other_boundary(entity, len(document.text), randomly)
            elif choice < 3:
                planted.removed.add((number, entity))
                continue
            else:
                kept.append(entity)
                continue
            planted.wrong.add((number, changed))
            kept.append(changed)
        document.entities = kept
        document.relations, document.spos, document.events = [], None, []
    return planted


def other_boundary(entity: Entity, length: int, randomly: random.Random) -> Entity:
    """Move one boundary by one or two characters, into the entity or out of it."""
    moves = [(start, end) for start in (-2, -1, 1, 2) for end in (0,)] + [(0, end) for end in (-2, -1, 1, 2)]
    randomly.shuffle(moves)
    for start, end in moves:
        moved = Entity(entity.start + start, entity.end + end, entity.label)
        if 0 <= moved.start < moved.end <= length:
            return moved
    return entity


def main() -> None:
    """Print the precision among the first 20, 50 and 100 places."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    documents = list(islice(read_documents(options.data), options.examples))
    planted = plant(documents, options.share, random.Random(options.seed))
    write = FORMATS["jsonl"].write
    if write is None:
        raise TypeError("JSON Lines cannot be written")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "planted.jsonl")
        file.write_text("".join(map(write, documents)), encoding="utf-8")
        recipe = small_recipe(DataSection(train=str(file)))
        if options.epochs is not None:
            recipe = recipe.model_copy(
                update={"training": recipe.training.model_copy(update={"epochs": options.epochs})}
            )
        suspects = collect_suspects(recipe, folds=options.folds, report=lambda text: print(text, file=sys.stderr))
    ranked = suspects.ranked()
    print(
        f"{len(documents)} examples, planted {len(planted.wrong)} wrong and {len(planted.removed)} missing; F1 {suspects.f1:.3f}"
    )
    for first in (20, 50, 100):
        right = sum(map(planted.explains, ranked[:first]))
        kinds = Counter(one.kind for one in ranked[:first])
        print(f"precision at {first}: {right / max(1, len(ranked[:first])):.2f} {dict(kinds)}")


if __name__ == "__main__":
    main()
