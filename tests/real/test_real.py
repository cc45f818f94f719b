"""Whole corpora against counts that share no code with the readers, and offsets of real tokenizers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest
from seqeval.metrics.sequence_labeling import get_entities
from support.real import DATA, ENCODERS, real

from ie_cli.document import Document, Entity
from ie_cli.encoding.alignment import TOO_LONG, align
from ie_cli.encoding.tokenizer import recipe_tokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.formats import FORMATS, read_documents
from ie_cli.formats.common.tag_schemes import bio_tags
from ie_cli.metrics.entities import EntityScorer
from ie_cli.modeling.encoder import load_encoder
from ie_cli.recipe.schema import EncoderSection

pytestmark = pytest.mark.real


def cluener_by_hand(path: Path) -> tuple[int, Counter[tuple[str, str]]]:
    """Examples, and (label, mention) of every span, cut out of the text by the inclusive offsets."""
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found: Counter[tuple[str, str]] = Counter()
    for record in records:
        for label, mentions in record.get("label", {}).items():
            for spans in mentions.values():
                found.update((label, record["text"][start : end + 1]) for start, end in spans)
    return len(records), found


def columns_by_hand(path: Path, token: int, tags: Iterable[int], gap: str | None) -> tuple[int, Counter[str]]:
    """Sentences, and labels of the entities as seqeval finds them, per tag column."""
    sentences, rows = [], list[list[str]]()
    for line in [*path.read_text("utf-8").split("\n"), ""]:
        if line.strip():
            rows.append(line.split(gap))
        elif rows:
            sentences.append(rows)
            rows = []
    if gap == "\t":  # comment lines have other fields in the columns of the tags
        sentences = [[row for row in rows if row[0] != "#" or row[1] in ("O",)] for rows in sentences]
    found: Counter[str] = Counter()
    for rows in sentences:
        spans = {span for column in tags for span in get_entities([row[column] for row in rows])}
        found.update(label for label, _, _ in spans)
    return len(sentences), found


@pytest.mark.parametrize(
    ("split", "documents", "entities"), [("train", 10748, 23971), ("dev", 1343, 3072), ("test", 1345, 0)]
)
def test_cluener_counts(split: str, documents: int, entities: int) -> None:
    path = real(DATA, f"cluener/{split}.json")
    mine = list(read_documents(str(path)))
    count, by_hand = cluener_by_hand(path)
    assert Counter((e.label, x.text[e.start : e.end]) for x in mine for e in x.entities) == by_hand
    assert (len(mine), by_hand.total()) == (count, entities) == (documents, entities)


@pytest.mark.parametrize("split", ["train", "dev"])
def test_cluener_is_written_as_it_was(split: str) -> None:
    path = real(DATA, f"cluener/{split}.json")
    write = FORMATS["cluener"].write
    assert write is not None
    for line, document in zip(path.read_text("utf-8").splitlines(), read_documents(str(path)), strict=True):
        back, original = json.loads(write(document)), json.loads(line)
        for mentions in [*back["label"].values(), *original["label"].values()]:
            for spans in mentions.values():
                spans.sort()
        assert back == original


@pytest.mark.parametrize(
    ("name", "token", "tags", "gap", "documents", "entities"),
    [
        ("crossner_ai/train.txt", 0, [1], None, 100, 532),
        ("crossner_ai/dev.txt", 0, [1], None, 350, 1549),
        ("wnut17/wnut17train.conll", 0, [1], None, 3394, 1975),
        ("wnut17/emerging.dev.conll", 0, [1], None, 1009, 836),
        ("wnut17/emerging.test.annotated", 0, [1], None, 1287, 1079),
        ("germeval2014/dev.tsv", 0, [1, 2], "\t", 2200, 2886),
    ],
)
def test_column_counts(name: str, token: int, tags: list[int], gap: str | None, documents: int, entities: int) -> None:
    path = real(DATA, name)
    mine = list(read_documents(str(path)))
    count, by_hand = columns_by_hand(path, token, tags, gap)
    assert Counter(e.label for x in mine for e in x.entities) == by_hand
    assert (len(mine), by_hand.total()) == (count, entities) == (documents, entities)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_conll04_as_columns(split: str, tmp_path: Path) -> None:
    sentences = json.loads(real(DATA, f"conll04/conll04_{split}.json").read_text("utf-8"))
    lines = ["".join(f"{a}\t{b}\n" for a, b in zip(s["tokens"], s["tags"], strict=True)) + "\n" for s in sentences]
    (tmp_path / "x.conll").write_text("".join(lines), encoding="utf-8")
    mine = list(read_documents(str(tmp_path / "x.conll")))
    ends = sum(tag[0] in "LU" for s in sentences for tag in s["tags"])
    assert (len(mine), sum(len(x.entities) for x in mine)) == (len(sentences), ends)


ALL = ("cluener/dev.json", "crossner_ai/dev.txt", "wnut17/emerging.test.annotated", "germeval2014/dev.tsv")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("encoder", ["zh-e5-char", "en-minilm"])
@pytest.mark.parametrize("tokenization", ["subword", "char"])
def test_every_token_and_every_reachable_entity_slices_the_text(name: str, encoder: str, tokenization: str) -> None:
    path = real(DATA, name)
    section = EncoderSection(name=str(real(ENCODERS, encoder)), max_length=64, stride=16, tokenization=tokenization)  # type: ignore[arg-type]
    tokenizer = recipe_tokenizer(load_encoder(section)[1], section)
    plan = WindowPlan.build(max_length=64, stride=16, special_tokens=tokenizer.special_tokens)
    lost, total = Counter[str](), 0
    for document in islice(read_documents(str(path)), 400):
        [tokens] = tokenizer.encode([document.text])
        spans = sorted(set(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)))
        pieces = [document.text[a:b] for a, b in spans]
        if tokenization == "char":  # spaces, too: a boundary may be there
            assert pieces == list(document.text)
        else:
            assert all(piece.strip() == piece != "" for piece in pieces)
        found = align(document.text, set(document.entities), tokens, plan)
        lost.update(reason for _, reason in found.unreachable)
        total += len(set(document.entities))
    if tokenization == "char":
        assert set(lost) <= {TOO_LONG}
    else:
        assert lost.total() <= 0.1 * total


@pytest.mark.parametrize("name", ["crossner_ai/dev.txt", "wnut17/emerging.dev.conll"])
def test_flat_scores_of_a_corpus_are_those_of_seqeval(name: str) -> None:
    from seqeval.metrics import f1_score

    gold = list(read_documents(str(real(DATA, name))))
    scorer = EntityScorer()
    tags: tuple[list[list[str]], list[list[str]]] = ([], [])
    for number, document in enumerate(gold):
        # A prediction that is sometimes right: every third entity is lost, every fourth gets another label.
        guess = [
            Entity(e.start, e.end, "other" if (number + n) % 4 == 0 else e.label)
            for n, e in enumerate(document.entities)
            if (number + n) % 3
        ]
        scorer.add(document, Document(document.text, guess))
        for row, entities in zip(tags, (document.entities, guess), strict=True):
            row.append(bio_tags(len(document.text), [(e.start, e.end - 1, e.label) for e in entities]))
    assert scorer.scores().f1 == pytest.approx(f1_score(*tags), abs=1e-12)
