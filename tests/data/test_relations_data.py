"""The relation corpus is what its generator writes, follows its schema, and is not trivial."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parent.parent.parent / "data"
SPLITS = ("train", "dev", "test")
Corpus = dict[str, list[dict[str, Any]]]


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / "relations" / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return {name: read(f"{name}.json") for name in SPLITS}


@pytest.fixture(scope="module")
def schema() -> dict[str, dict[str, Any]]:
    return {line["predicate"]: line for line in read("schema.json")}


@pytest.mark.parametrize("seed", ["0", "7"])
def test_the_generator_writes_the_same_bytes(tmp_path: Path, seed: str) -> None:
    command = [sys.executable, str(DATA / "generate_relations.py"), "--output", str(tmp_path)]
    subprocess.run(command, check=True, env={"PYTHONHASHSEED": seed})
    for name in (*SPLITS, "schema"):
        assert (tmp_path / f"{name}.json").read_bytes() == (DATA / "relations" / f"{name}.json").read_bytes()


def test_the_readme_shows_the_report() -> None:
    report = subprocess.run(
        [sys.executable, str(DATA / "generate_relations.py"), "--report"],
        check=True, capture_output=True, text=True, encoding="utf-8",
    ).stdout  # fmt: skip
    assert report in (DATA / "README.md").read_text(encoding="utf-8")


def test_sizes(corpus: Corpus) -> None:
    assert {name: len(documents) for name, documents in corpus.items()} == {"train": 900, "dev": 150, "test": 150}
    for documents in corpus.values():
        assert all(15 <= len(document["text"]) <= 70 for document in documents)
        assert 0.07 < sum(not document["spo_list"] for document in documents) / len(documents) < 0.13


def test_no_sentence_is_duplicated(corpus: Corpus) -> None:
    texts = [document["text"] for documents in corpus.values() for document in documents]
    assert len(set(texts)) == len(texts)


def test_every_value_occurs_in_its_text(corpus: Corpus) -> None:
    for documents in corpus.values():
        for document in documents:
            for spo in document["spo_list"]:
                assert all(value and value in document["text"] for value in (spo["subject"], *spo["object"].values()))


def test_no_triple_is_duplicated(corpus: Corpus) -> None:
    for documents in corpus.values():
        for document in documents:
            triples = [json.dumps(spo, sort_keys=True) for spo in document["spo_list"]]
            assert len(set(triples)) == len(triples), document


def test_triples_keep_to_the_schema(corpus: Corpus, schema: dict[str, dict[str, Any]]) -> None:
    for documents in corpus.values():
        spos = [spo for document in documents for spo in document["spo_list"]]
        assert {spo["predicate"] for spo in spos} == set(schema)
        for spo in spos:
            line = schema[spo["predicate"]]
            assert spo["subject_type"] == line["subject_type"]
            assert spo["object"].keys() == spo["object_type"].keys() >= {"@value"}
            assert spo["object_type"].items() <= line["object_type"].items()


@pytest.mark.parametrize("split", SPLITS)
def test_slots_are_there_or_not(corpus: Corpus, schema: dict[str, dict[str, Any]], split: str) -> None:
    spos = [spo for document in corpus[split] for spo in document["spo_list"]]
    for predicate, line in schema.items():
        for slot in line["object_type"].keys() - {"@value"}:
            assert {slot in spo["object"] for spo in spos if spo["predicate"] == predicate} == {True, False}


@pytest.mark.parametrize("split", SPLITS)
def test_triples_share_names(corpus: Corpus, split: str) -> None:
    subjects = chains = pairs = 0
    for document in corpus[split]:
        for a, b in combinations(document["spo_list"], 2):
            objects = a["object"]["@value"], b["object"]["@value"]
            subjects += a["subject"] == b["subject"] and objects[0] != objects[1]
            chains += a["subject"] == objects[1] or b["subject"] == objects[0]
            pairs += a["subject"] == b["subject"] and objects[0] == objects[1]
    assert min(subjects, chains, pairs) > 5


@pytest.mark.parametrize("split", SPLITS)
def test_an_object_may_be_part_of_a_longer_name(corpus: Corpus, split: str) -> None:
    names = [
        {value for spo in document["spo_list"] for value in (spo["subject"], *spo["object"].values())}
        for document in corpus[split]
    ]
    assert any(a != b and a in b for some in names for a in some for b in some)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_names_are_new(corpus: Corpus, split: str) -> None:
    known = {name for document in corpus["train"] for name in typed_names(document)}
    found = [name for document in corpus[split] for name in typed_names(document)]
    assert 0.2 < sum(name not in known for name in found) / len(found) < 0.5


def typed_names(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        pair
        for spo in document["spo_list"]
        for pair in [
            (spo["subject_type"], spo["subject"]),
            *((spo["object_type"][slot], value) for slot, value in spo["object"].items()),
        ]
    ]


def test_templates_are_new(corpus: Corpus) -> None:
    patterns = template_patterns()
    assert set(patterns) == set(SPLITS)

    def made_by(document: dict[str, Any], section: str) -> bool:
        return any(pattern.fullmatch(document["text"]) for pattern in patterns[section])

    assert all(made_by(document, "train") for document in corpus["train"])
    for split in ("dev", "test"):
        new = [document for document in corpus[split] if not made_by(document, "train")]
        assert all(made_by(document, split) for document in new)
        assert 0.2 < len(new) / len(corpus[split]) < 0.3


def template_patterns() -> dict[str, list[re.Pattern[str]]]:
    """Return the templates by split as regular expressions that match any names and any replacement of ~."""
    patterns: dict[str, list[re.Pattern[str]]] = {}
    for line in (DATA / "relations_templates.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = patterns.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            text = line.partition(" | ")[0]
            pieces = (re.escape(piece) for piece in re.split(r"\{[^}]*\}", text.strip("~")))
            front, back = "(?:.+，)?" if text.startswith("~") else "", ".+" if text.endswith("~") else ""
            section.append(re.compile(front + "[^，]+?".join(pieces) + back))
    return patterns
