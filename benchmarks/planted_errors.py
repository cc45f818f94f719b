"""How many of the first places that `ie check --deep` lists are errors: some are planted, and the list is compared with them.

    python benchmarks/planted_errors.py DATA [--from FORMAT] [--examples 2000] [--share 0.05] [--epochs 12] [--folds 5]
        [--seed 1] [--model-seed 42]

A share of the entities gets another label, another share another boundary, and another share is removed. The precision counts
only planted errors: errors that the data had before count as wrong, so that it is a lower bound. With --share 0, nothing is
planted, and the number of parts of annotated names among the first places is what remains to be seen.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ie_cli.doctor.cross_folds import collect_suspects, small_recipe
from ie_cli.doctor.suspects import Suspect
from ie_cli.document import Document, Entity
from ie_cli.formats import FORMATS, read_documents
from ie_cli.recipe.schema import DataSection

FIRST = (50, 100, 200)
LOOKED_AT = 20
"""The number of places among which parts of names are counted."""


@dataclass
class Planted:
    """The planted errors, by the number of the document: the wrong entity, or the removed one."""

    wrong: set[tuple[int, Entity]] = field(default_factory=set)
    removed: set[tuple[int, Entity]] = field(default_factory=set)

    def explains(self, suspect: Suspect) -> bool:
        """Return whether a suspect is a planted error."""
        number = int(suspect.where.rpartition(":")[2])
        if suspect.gold is not None:
            return (number, suspect.gold.entity) in self.wrong
        if suspect.predicted is None:
            return False
        other = suspect.predicted.entity
        return any(n == number and one.start < other.end and other.start < one.end for n, one in self.removed)


def plant(documents: list[Document], share: float, randomly: random.Random) -> Planted:
    """Change the entities of the documents, and return what was changed."""
    planted = Planted()
    labels = sorted({entity.label for document in documents for entity in document.entities})
    for number, document in enumerate(documents, 1):
        kept = []
        for entity in document.entities:
            choice = randomly.random() / share if share else 3
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


def is_part(suspect: Suspect) -> bool:
    """Return whether the model's entity is inside the annotated one, and leaves out a letter or digit."""
    if suspect.gold is None or suspect.predicted is None:
        return False
    whole, part = suspect.gold, suspect.predicted
    if not (whole.entity.start <= part.entity.start and part.entity.end <= whole.entity.end):
        return False
    return sum(map(str.isalnum, part.mention)) < sum(map(str.isalnum, whole.mention))


def precisions(ranked: Sequence[Suspect], planted: Planted) -> str:
    """Return the shares of planted errors among the first places; a dash if there are fewer places."""
    right = [planted.explains(suspect) for suspect in ranked[: max(FIRST)]]
    return " | ".join(f"{sum(right[:first]) / first:.2f}" if len(right) >= first else "–" for first in FIRST)


def main() -> None:
    """Print the precision among the first places of the list, and of each kind."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data")
    parser.add_argument("--from", dest="format")
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1, help="seed of the errors")
    parser.add_argument("--model-seed", dest="model_seed", type=int, default=42)
    options = parser.parse_args()
    documents = list(islice(read_documents(options.data, format=options.format), options.examples))
    planted = plant(documents, options.share, random.Random(options.seed))
    write = FORMATS["jsonl"].write
    if write is None:
        raise TypeError("JSON Lines cannot be written")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "planted.jsonl")
        file.write_text("".join(map(write, documents)), encoding="utf-8")
        recipe = small_recipe(DataSection(train=str(file)))
        fields = {"seed": options.model_seed, "epochs": options.epochs or recipe.training.epochs}
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=fields)})
        suspects = collect_suspects(
            recipe, folds=options.folds, report=lambda text: print(text, file=sys.stderr), kept=max(FIRST)
        )
    ranked = suspects.ranked()
    print(
        f"{len(documents)} examples, planted {len(planted.wrong)} wrong and {len(planted.removed)} missing; F1 {suspects.f1:.3f}"
    )
    print(f"first {FIRST[1]}: {dict(Counter(one.kind for one in ranked[: FIRST[1]]))}")
    print(f"first {LOOKED_AT}: {sum(map(is_part, ranked[:LOOKED_AT]))} with a part of the annotated entity")
    print(f"| kind | places | {' | '.join(f'first {first}' for first in FIRST)} |\n|---|--:|{'--:|' * len(FIRST)}")
    counts = suspects.counts()
    print(f"| all | {counts.total():,} | {precisions(ranked, planted)} |")
    for kind, count in sorted(counts.items()):
        print(f"| {kind} | {count:,} | {precisions([one for one in ranked if one.kind == kind], planted)} |")


if __name__ == "__main__":
    main()
