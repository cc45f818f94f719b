"""What a head cannot express is reported before training, with counts and reasons, and lowers the recall ceiling."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
from support.corpora import recipe, write_jsonl
from support.fakes import characters
from support.heads import PLAN, TOKENIZER, codec_of_head
from support.perfect import Perfect

from ie_cli.codecs.base import Decoding, build_codec
from ie_cli.codecs.limits import (
    BOTH_DIRECTIONS,
    FLAT,
    FLAT_ENTITY,
    OBJECT_OVERLAPS,
    OTHER_LABEL,
    OVERLAP,
    REMEDIES,
    SUBJECT_OVERLAPS,
)
from ie_cli.data.label_schema import LabelSchema
from ie_cli.doctor import data_checks
from ie_cli.doctor.data_checks import check
from ie_cli.document import Document, Entity, Relation
from ie_cli.encoding.alignment import TOO_LONG
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import ModelError
from ie_cli.evaluation.evaluate import score
from ie_cli.inference.pipeline import Engine, Extraction
from ie_cli.recipe.heads import HEADS, heads_of
from ie_cli.tasks import TASKS, ScoringOptions
from ie_cli.tasks.diagnosis import remedy

every_ner_head = pytest.mark.parametrize("head", heads_of("ner"))
LABELS = ("A", "B", "C")


def sentences() -> list[Document]:
    """Return texts of different lengths with nested and crossing spans, spans with several labels, and a very long one."""
    text = "甲乙丙丁戊己庚辛壬癸"
    spans = [
        [(0, 4, "A"), (1, 3, "B"), (6, 9, "C")],
        [(0, 4, "A"), (2, 6, "B")],
        [(2, 4, "A"), (2, 4, "B"), (2, 4, "C"), (6, 8, "B"), (6, 8, "C")],
        [(0, 3, "B"), (4, 6, "C")],
    ]
    made = [Document(text + "。" * n, [Entity(*span) for span in found]) for n, found in enumerate(spans)]
    return [*made, Document(text * 8, [Entity(0, 75, "A"), Entity(0, 2, "C")])]


@every_ner_head
def test_check_reports_what_the_codec_cannot_express(head: str, tmp_path: Path) -> None:
    """Whatever the head: the same items, with their reasons, as training will skip."""
    train = write_jsonl(tmp_path / "train.jsonl", sentences())
    made = recipe(train, data={"dev": None}, head={"name": head})
    tokenizer = TextTokenizer(characters())
    plan = WindowPlan.build(max_length=64, stride=16, special_tokens=tokenizer.special_tokens)
    codec = build_codec(made.head, LabelSchema(LABELS))
    lost = [
        item
        for document, tokens in zip(sentences(), tokenizer.encode([d.text for d in sentences()]), strict=True)
        for item in codec.encode(document, tokens, plan).unreachable["entities"]
    ]
    reasons = Counter(reason for _, reason in lost)
    assert TOO_LONG in reasons
    [finding] = [found for found in check(made) if "can never be predicted" in found.text]
    assert finding.kind == "warning"
    total = sum(len(document.entities) for document in sentences())
    causes = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    share = f"{len(lost)} of {total} entities ({len(lost) / total:.2%})"
    assert finding.text.startswith(f"train: {share} can never be predicted: {causes}\n")
    for reason in reasons:
        assert f"\n  {reason}: " in finding.text


def test_a_second_label_of_a_span_is_reported_with_another_head_as_the_remedy(tmp_path: Path) -> None:
    train = write_jsonl(tmp_path / "train.jsonl", sentences())
    made = recipe(train, data={"dev": None}, head={"name": "biaffine"})
    [text] = [found.text for found in check(made) if "can never be predicted" in found.text]
    assert text.startswith(
        "train: 4 of 14 entities (28.57%) can never be predicted: 3 second label of the same span, 1 longer than"
    )
    assert f"  {OTHER_LABEL}: head.name: efficient_global_pointer gives a span all its labels\n    {train}:3: " in text
    better = recipe(train, data={"dev": None}, head={"name": "global_pointer"})
    [text] = [found.text for found in check(better) if "can never be predicted" in found.text]
    assert text.startswith("train: 1 of 14 entities (7.14%) can never be predicted: 1 longer than")


@every_ner_head
def test_the_recall_ceiling_is_the_recall_of_perfect_scores(head: str) -> None:
    codec = codec_of_head(head, LabelSchema(LABELS))
    engine = Engine(
        cast(Any, Perfect(head, sentences())), TOKENIZER, PLAN, (Extraction.build("task", codec, Decoding()),)
    )
    scores = score(engine, sentences()[:4], task=TASKS["ner"], schema=codec.schema, options=ScoringOptions())
    [ceiling] = scores.ceilings.values()
    assert scores.primary > 0
    counts = cast(Any, scores).micro
    assert (counts.correct, counts.gold) == (ceiling.reachable, ceiling.total)
    assert counts.predicted == counts.correct
    if head == "biaffine":
        assert ceiling.to_dict() == {"recall": 9 / 12, "reachable": 9, "total": 12, "reasons": {OTHER_LABEL: 3}}


def test_the_recall_ceiling_of_flat_output_counts_overlapping_gold() -> None:
    codec, backend = codec_of_head("global_pointer", LabelSchema(LABELS)), Perfect("global_pointer", sentences())
    ceilings = {}
    for flat in (False, True):
        part = Extraction.build("task", codec, Decoding(flat=flat))
        engine = Engine(cast(Any, backend), TOKENIZER, PLAN, (part,))
        scores = score(engine, sentences()[:4], task=TASKS["ner"], schema=codec.schema, options=ScoringOptions())
        ceilings[flat] = scores.ceilings["entities"]
        assert 0 < cast(Any, scores).micro.correct <= ceilings[flat].reachable
    assert (ceilings[False].reachable, ceilings[False].reasons) == (12, {})
    assert (ceilings[True].reachable, ceilings[True].reasons) == (7, {FLAT_ENTITY: 5})


def test_check_counts_what_flat_output_cannot_contain_but_training_learns_it(tmp_path: Path) -> None:
    nested = Document(TEXT, [A, B], [relation(A, B)])
    train = write_jsonl(tmp_path / "train.jsonl", [nested])
    for head, flat in (("gplinker", True), ("gplinker", False), ("casrel", True)):
        made = recipe(train, data={"dev": None}, head={"name": head, "flat": flat})
        made = made.model_copy(update={"task": "relation"})
        found = list(check(made))
        texts = [finding.text for finding in found if "can never be predicted" in finding.text]
        relations = "train: 1 of 1 relations (100.00%) can never be predicted: 1 with an argument that overlaps another"
        assert any(text.startswith(relations) for text in texts) == flat
        assert any(text.startswith("train: 1 of 2 entities (50.00%)") for text in texts) == (
            flat and head == "gplinker"
        )
        assert all("head.flat: false keeps overlapping entities" in text for text in texts)
        assert not any(finding.kind == "error" for finding in found)


TEXT = "甲乙丙丁戊己庚辛壬癸"
A, B = Entity(0, 6, "A"), Entity(2, 4, "B")


def relation(subject: Entity, object_: Entity) -> Relation:
    return Relation(subject, "p", object_)


LIMITS = {
    OTHER_LABEL: ("biaffine", Document(TEXT, [A, Entity(0, 6, "B")])),
    OVERLAP: ("crf", Document(TEXT, [A, B])),
    SUBJECT_OVERLAPS: ("casrel", Document(TEXT, [], [relation(A, Entity(7, 8, "B")), relation(B, Entity(8, 9, "B"))])),
    OBJECT_OVERLAPS: ("casrel", Document(TEXT, [], [relation(Entity(8, 9, "A"), A), relation(Entity(8, 9, "A"), B)])),
    BOTH_DIRECTIONS: ("tplinker", Document(TEXT, [], [relation(A, Entity(7, 8, "B")), relation(Entity(7, 8, "B"), A)])),
}


def test_an_encoder_without_an_option_is_an_error_and_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise ModelError("encoder.activation: models of this type do not support this option")

    train = write_jsonl(tmp_path / "train.jsonl", sentences())
    encoder: dict[str, object] = {"name": "x", "activation": "squareplus"}
    made = recipe(train, data={"dev": None}, encoder=encoder)
    monkeypatch.setattr(data_checks, "_tokenizer", refuse)
    found = list(check(made))
    assert [finding.kind for finding in found if "encoder.activation" in finding.text] == ["error"]


@pytest.mark.parametrize("reason", [reason for reason in REMEDIES if reason not in FLAT])
def test_the_head_that_a_remedy_names_can_express_it(reason: str) -> None:
    head, document = LIMITS[reason]
    assert remedy({reason: 1}) == REMEDIES[reason]
    [other] = [name for name in HEADS if f" {name} " in REMEDIES[reason].replace(":", " ")]
    [tokens] = TOKENIZER.encode([document.text])
    for name, reasons in ((head, {reason}), (other, set[str]())):
        found = codec_of_head(name).encode(document, tokens, PLAN).unreachable
        assert {why for items in found.values() for _, why in items} == reasons
