"""What is fuzzed: each target takes bytes, and anything but an `IEError` that comes out of it is a finding.

A target that holds a promise more (a round trip, a reference) breaks it with `Broken`.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from support import fakes
from support.mutate import PIECES, RECIPES, SAMPLES, mutate
from support.references import pair_counts, ratios
from support.untrained import write_model

from ie_cli.data.label_schema import LabelSchema, read_schema, schema_facts, schema_of_facts
from ie_cli.doctor.offset_units import UnitsGuess
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.alignment import align, to_entities
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import IEError
from ie_cli.formats import FORMATS, BadLine, Reading, read_records
from ie_cli.inference.canonical_names import NameIndex, read_names
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.pipeline import extract
from ie_cli.metrics.duie import read_aliases
from ie_cli.metrics.entities import EntityScorer
from ie_cli.metrics.relations import RelationScorer
from ie_cli.recipe.loader import dump_recipe, load_recipe
from ie_cli.triples import typed_entities_of

SCHEMAS = [
    b'{"predicate": "p", "subject_type": "a", "object_type": "b"}\n',
    '{"subject_type": "人", "predicate": "获奖", "object_type": {"@value": "奖", "onDate": "Date"}}\n# end\n'.encode(),
]
NAMES = [
    b'{"id": "Q1", "name": "Ann", "aliases": ["A.", "Ann"], "label": "person"}\n{"id": 2, "name": "Ann", "x": null}\n',
    '[{"id": "1", "name": "青川", "label": null},\n {"name": "Wien", "id": 1, "aliases": null}]'.encode(),
]
PARTS = ("ie.json", "config.json", "tokenizer.json", "recipe.yaml", "metrics.json")


class Broken(Exception):
    """A promise that does not hold."""


@dataclass(frozen=True, slots=True)
class Target:
    """A name, the function, what its inputs are made from, and how often it is chosen."""

    name: str
    run: Callable[[bytes], None]
    samples: Callable[[], Sequence[bytes]]
    weight: float = 1.0

    def draw(self, source: random.Random) -> bytes:
        """An input."""
        samples = self.samples()
        if not samples:
            return source.randbytes(16)
        return mutate(source, source.choice(samples), samples)


@cache
def directory() -> Path:
    """A directory for files, in memory where there is such a place."""
    memory = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="ie-fuzz-", dir=memory if os.access(memory, os.W_OK) else None))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def file_of(data: bytes, name: str) -> Path:
    """A file with this content."""
    path = directory() / name
    path.write_bytes(data)
    return path


def need(holds: bool, what: str) -> None:
    """Raise if a condition does not hold."""
    if not holds:
        raise Broken(what)


def require_slices(document: Document) -> None:
    """Every entity must lie in the text; a line of a CLUENER submission has none."""
    arguments = [side for relation in document.relations for side in (relation.subject, relation.object)]
    parts = [entity for event in document.events for entity in event.entities]
    for entity in [*document.entities, *arguments, *parts]:
        need(type(entity.start) is int and type(entity.end) is int, f"offsets of {entity}")
        need(0 <= entity.start < entity.end, f"boundaries of {entity}")
        need(
            entity.end <= len(document.text) or (not document.text and document.id is not None),
            f"{entity} of {document!r}",
        )
        need(isinstance(entity.label, str) and bool(entity.label), f"label of {entity}")
    need(isinstance(document.text, str) and document.where is not None, "text and place")


def read(data: bytes, name: str | None) -> None:
    """Read bytes by a format (detected for None), and read what is written of them."""
    path = str(file_of(data, "data"))
    for annotation in (True, False):
        reading = Reading(annotation=annotation)
        for record in read_records(path, format=name, reading=reading):
            if isinstance(record, BadLine):
                need(record.error.message.startswith(path), f"no place in {record.error.message!r}")
                need(bool(record.error.hint) and len(record.error.message) < 2000, f"no hint: {record.error.message!r}")
                continue
            require_slices(record)
            guess = UnitsGuess()
            guess.add(record.text, [(entity.start, entity.end) for entity in record.entities], "x")
            guess.verdict()
            if annotation:
                for format in FORMATS if record.entities or record.relations or record.text else ():
                    again(record, format)


def again(document: Document, name: str) -> None:
    """Write an example and read it back: what the format does not say to lose must be there."""
    format = FORMATS[name]
    if format.write is None or (not document.text and document.entities):
        return
    lost = sum(format.count_losses(document).values())
    before, _, after = format.frame
    text = before + format.write(document) + after
    if name == "html":
        return
    reading = Reading(label_columns=(1,)) if name == "conll" else Reading()
    lines = text.removesuffix("\n").split("\n")
    back = list(format.read(enumerate(lines, 1), "x", reading))
    if lost or (name == "cluener" and document.id is not None):
        return
    need(len(back) == 1 and isinstance(back[0], Document), f"{name}: {text!r} is read as {back!r}")
    [found] = back
    assert isinstance(found, Document)
    if name in ("jsonl", "cluener", "triples", "pairs"):
        need(found.text == document.text, f"{name}: text {found.text!r}, was {document.text!r}")
        need(set(found.entities) == set(document.entities), f"{name}: entities of {text!r}")
    if name == "jsonl":
        need(set(found.relations) == set(document.relations), f"{name}: relations of {text!r}")
        need(not document.events or set(found.events) == set(document.events), f"{name}: events of {text!r}")
        need(found.id == document.id, f"{name}: id of {text!r}")
        need((found.spos is None) == (document.spos is None), f"{name}: spos of {text!r}")
        need(set(found.spos or ()) == set(document.spos or ()), f"{name}: spos of {text!r}")
        need(format.write(found) == format.write(document), f"{name}: written twice: {text!r}")
    if name in ("conll", "conll04", "conll04-table", "multihead", "bio-json", "w2ner", "dygie", "oneie"):
        squeezed = "".join(document.text.split())
        need("".join(found.text.split()) == squeezed, f"{name}: text {found.text!r}, was {document.text!r}")
    if found.text == document.text and name in ("conll", "multihead"):
        wanted = set(document.entities) if name == "conll" else set(typed_entities_of(document))
        need(set(found.entities) == wanted, f"{name}: entities of {text!r}, was {wanted}")


def recipe(data: bytes) -> None:
    """A recipe that loads must be written as one that loads the same."""
    loaded = load_recipe(file_of(data, "recipe.yaml"))
    stored = load_recipe(file_of(data, "recipe.yaml"), stored=True)
    back = load_recipe(file_of(dump_recipe(stored).encode(), "again.yaml"), stored=True)
    need(back == stored, f"{back} was {stored}")
    need(loaded.name == stored.name, "name")


def override(data: bytes) -> None:
    """Overrides of a good recipe."""
    text = data.decode("utf-8", "replace")
    load_recipe(file_of(RECIPES[0], "recipe.yaml"), text.split("\n")[:5])


def schema(data: bytes) -> None:
    """A schema file, and the facts of the schema that is built of it."""
    known = read_schema(str(file_of(data, "schema.json")))
    pairs = {(types[0][0], predicate, types[0][1]): 1 for predicate, types in known.items()}
    for labels in (None, ["x"]):
        built = LabelSchema.of_relations(labels, pairs, known=known)
        back = schema_of_facts(json.loads(json.dumps(schema_facts(built))))
        need(back == built, f"{back} was {built}")


def aliases(data: bytes) -> None:
    read_aliases(str(file_of(data, "aliases.txt")))


def names(data: bytes) -> None:
    """Canonical names: each has an id of its own, and is among the candidates of its label."""
    found, _ = read_names(str(file_of(data, "names.jsonl")))
    index = NameIndex(found)
    need(len({name.id for name in found}) == len(found), "ids")
    for name in found:
        owners = [found[owner] for owner in index.owners[index.rows(index.group(name.label))]]
        need(name in owners, f"{name} has no candidates")


@cache
def model_directory() -> Path:
    """A model directory without marks, by which most changes would be refused before they are used."""
    path = write_model(directory() / "model")
    facts = json.loads((path / "ie.json").read_text(encoding="utf-8"))
    del facts["files"], facts["checksums"]
    (path / "ie.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")
    return path


def model_parts() -> list[bytes]:
    """The small files of a model directory, each with its name in its first line."""
    return [name.encode() + b"\n" + (model_directory() / name).read_bytes() for name in PARTS]


def model(data: bytes) -> None:
    """A model directory with one file changed; its first line names it."""
    name, _, content = data.partition(b"\n")
    part = name.decode("ascii", "replace")
    if part not in PARTS:
        part, content = PARTS[len(data) % len(PARTS)], data
    whole = (model_directory() / part).read_bytes()
    try:
        (model_directory() / part).write_bytes(content)
        extractor = Extractor.from_pretrained(model_directory(), device="cpu", precision="float32")
        for document in extractor.extract(["王伟在青川大学读书", "", "e\u0301 👩\u200d🔬"]):
            require_slices(Document(document.text, document.entities, where="x"))
    finally:
        (model_directory() / part).write_bytes(whole)


@cache
def tokenizers() -> list[TextTokenizer]:
    made = [make() for make in fakes.TOKENIZERS.values()]
    return [TextTokenizer(one, mode=mode) for one in made for mode in ("subword", "char")]  # type: ignore[arg-type]


class Noise:
    """A backend whose scores are random, of the shape of the ids alone."""

    def __init__(self, schema: LabelSchema, seed: int) -> None:
        self.schema, self.seed = schema, seed

    def run(
        self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]
    ) -> dict[str, fakes.FakeOutputs]:
        source = np.random.default_rng(self.seed)
        batch, length = input_ids.shape
        matrices = {}
        for matrix, labels in fakes.codec_of(self.schema).matrices.items():
            pair = source.normal(-2, 3, (batch, length, length)).astype(np.float32)
            start, end = source.normal(-2, 3, (2, batch, len(labels), length)).astype(np.float32)
            matrices[matrix] = [{"pair": pair, "start": start, "end": end}]
        return {fakes.task_of(self.schema): fakes.FakeOutputs(matrices)}


def random_text(source: random.Random) -> str:
    """A text of words, signs, marks and half characters."""
    pieces = [
        *PIECES,
        *"ab .,中文北京",
        "word",
        "\ud83d",
        "é",
        "Müller",
        "naïve",
        "在青川大学",
        "5",
        "\u0301",
        "\u20dd",
    ]
    return "".join(source.choices(pieces, k=source.choice([0, 1, 5, 20, 80])))


def windows(data: bytes) -> None:
    """Random entities through tokens and windows and back; random scores give entities that slice the text."""
    source = random.Random(data)
    text, tokenizer = random_text(source), source.choice(tokenizers())
    capacity = source.randint(1, 30)
    plan = WindowPlan(capacity, source.randint(0, capacity - 1))
    [tokens] = tokenizer.encode([text])
    need(bool((tokens.starts >= 0).all() and (tokens.ends <= len(text)).all()), "tokens lie in the text")
    boundaries = [source.randint(0, len(text)) for _ in range(12)]
    entities = {
        Entity(min(p), max(p), "ab"[n % 2]) for n, p in enumerate(zip(boundaries, boundaries[1:], strict=False))
    }
    entities = {entity for entity in entities if entity.start < entity.end}
    aligned = align(text, entities, tokens, plan, {"a": 0, "b": 1})
    back = set(to_entities(tokens, aligned.spans, np.ones(len(aligned.spans)), "ab"))
    lost = {entity for entity, _ in aligned.unreachable}
    need(back | lost == entities and not back & lost, f"{back} and {lost} of {entities}")
    special = tokenizer.special_tokens
    schema = LabelSchema(("a", "b"), source.choice([(), ("p", "q", "r")]))
    engine = fakes.engine_of(
        Noise(schema, source.randrange(2**31)),
        schema,
        tokenizer=tokenizer,
        plan=WindowPlan(max(8 - special, 4), 2),
        lookahead=4,
    )
    for text_in, document in zip(
        [text, "", text[:7]], extract(engine, map(Document, [text, "", text[:7]])), strict=True
    ):
        need(document.text == text_in, "the text is untouched")
        require_slices(Document(document.text, document.entities, where="x"))
        joined = {side for relation in document.relations for side in (relation.subject, relation.object)}
        need(joined <= set(document.entities), f"{joined} are among {document.entities}")


def metrics(data: bytes) -> None:
    """Scores of random annotation against counting pair by pair."""
    source = random.Random(data)
    scorer, relations = EntityScorer(), RelationScorer(match="strict", entities=False)
    totals, triples = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
    for _ in range(source.randint(0, 4)):
        text = random_text(source)
        sides = [_annotation(source, text) for _ in "gp"]
        scorer.add(*sides)
        relations.add(*sides)
        totals += pair_counts(sides[0].entities, sides[1].entities, lambda a, b: a == b)
        triples += pair_counts(sides[0].relations, sides[1].relations, lambda a, b: a == b)
    for scores, counts in ((scorer.scores(), totals), (relations.scores(), triples)):
        mine = (scores.micro.gold, scores.micro.predicted, scores.micro.correct)
        need(mine == tuple(counts.tolist()), f"{mine} is {counts.tolist()}")
        plain = ratios(*counts.tolist())
        close = [math.isclose(a, b) for a, b in zip((scores.precision, scores.recall, scores.f1), plain, strict=True)]
        need(all(close), f"{scores.precision, scores.recall, scores.f1} is {plain}")


def _annotation(source: random.Random, text: str) -> Document:
    def entity() -> Entity:
        start = source.randrange(min(len(text), 4))
        return Entity(start, source.randint(start + 1, min(len(text), 6)), source.choice(["a", "b/c", "\u202e"]))

    if not text:
        return Document(text)
    some = [entity() for _ in range(source.randint(0, 4))]
    pairs = [Relation(entity(), source.choice(["p", "p.q"]), entity()) for _ in range(source.randint(0, 3))]
    return Document(text, some, pairs)


def _nothing() -> list[bytes]:
    return []


def _readers() -> Iterable[Target]:
    yield Target("read", lambda data: read(data, None), lambda: SAMPLES, 3)
    for name in FORMATS:
        yield Target(f"read-{name}", lambda data, name=name: read(data, name), lambda: SAMPLES)  # type: ignore[misc]


def tolerant(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The same, with errors of ours as its rightful end."""

    def wrapped(data: bytes) -> None:
        with suppress(IEError):
            run(data)

    return wrapped


def targets() -> dict[str, Target]:
    """All of them by their names."""
    made = [
        *_readers(),
        Target("recipe", recipe, lambda: RECIPES, 2),
        Target("override", override, lambda: [b"training.epochs=3\ndata.labels=[a, b]\nhead=global_pointer"]),
        Target("schema", schema, lambda: SCHEMAS),
        Target("aliases", aliases, lambda: [b"a\tb\tc\nd\te\n"], 0.3),
        Target("names", names, lambda: NAMES, 0.3),
        Target("model", model, model_parts, 1),
        Target("windows", windows, _nothing, 1.5),
        Target("metrics", metrics, _nothing),
    ]
    return {target.name: target for target in made}
