"""DuIE 2 through tokens, windows, targets and the decoder with ideal scores: what a perfect model could return.

pytest tests/test_real_ideal.py -rP    # prints what is lost, by cause, and what is made too much
"""

from __future__ import annotations

import sys
from collections import Counter

import pytest
from support.fakes import Ideal, score_engine
from support.real import DATA, ENCODERS, real
from tokenizers import Tokenizer

from ie_cli.data.label_schema import LabelSchema, read_schema
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.formats import read_documents
from ie_cli.metrics.duie import OfficialScorer
from ie_cli.metrics.relations import RelationScores
from ie_cli.triples import ROLES, to_spos


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["train_a", "train_b", "dev"])
def test_ideal_scores_give_every_triple_that_is_in_reach(name: str) -> None:
    types = read_schema(str(real(DATA, "duie2/schema.json")))
    schema = LabelSchema(ROLES, tuple(types), types)
    tokenizer = Tokenizer.from_file(str(real(ENCODERS, "zh-e5-char/tokenizer.json")))
    documents = list(read_documents(str(real(DATA, f"duie2/{name}.json"))))
    times = Counter(document.text for document in documents)
    documents = [document for document in documents if times[document.text] == 1]  # one annotation for one text
    text_tokenizer = TextTokenizer(tokenizer, normalization="nfkc")
    ideal = Ideal(documents, schema, max_length=256, stride=64, tokenizer=text_tokenizer)
    lost: list[str] = []
    extra: list[str] = []

    def each(gold: Document, predicted: Document) -> None:
        truth, found = set(gold.spos or ()), set(to_spos(predicted.text, predicted.relations))
        lost.extend(f"{gold.where}: {spo}" for spo in sorted(truth - found))
        extra.extend(f"{gold.where}: {spo}" for spo in sorted(found - truth))

    scores = score_engine(ideal.engine(), documents, each=each, official=OfficialScorer())
    assert isinstance(scores, RelationScores)
    assert scores.ceiling is not None
    assert scores.official is not None
    out = sys.stdout.write
    out(f"{name}: {len(documents)} texts, {scores.text.gold} triples; ceiling {scores.ceiling}\n")
    out(f"official: {scores.official} F1 {scores.official.f1:.4f}; lost {len(lost)}, too many {len(extra)}\n")
    out("\n".join([*lost, *extra]))
    assert scores.text.correct == scores.ceiling.reachable
    assert scores.ceiling.recall > 0.998
    assert scores.text.precision > 0.998
    assert scores.official.f1 > 0.998
