"""Small tokenizers and a backend with given scores, for tests that need no training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from ie_cli.codecs.base import Codec, Decoding, build_codec
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.evaluation.evaluate import score
from ie_cli.inference.pipeline import Engine, Extraction
from ie_cli.modeling.batch import Batch
from ie_cli.modeling.heads.base import Head, build_head
from ie_cli.recipe.heads import EfficientGlobalPointerSection, GPLinkerSection
from ie_cli.tasks import TASKS, ScoringOptions
from ie_cli.training.batching import TaskWindows
from ie_cli.training.encoded_dataset import encode_dataset
from ie_cli.training.window_encoding import Encoding
from ie_cli.triples import Mentions

SENTENCES = [
    "Anna Müller visited the Café Zentral in Wien, then 北京大学 and 上海.",
    "The quick brown fox jumps over the lazy dog; ½ of it, naïve!",
    "浙商银行企业信贷部 opened in 2008 – e\u0301le\u0300ve 👩\u200d🔬 テスト",
]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def _finish(tokenizer: Tokenizer) -> Tokenizer:
    ids = {token: tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=list(ids.items()))
    return tokenizer


def characters() -> Tokenizer:
    """A token for every character."""
    vocabulary = {token: i for i, token in enumerate(SPECIALS)}
    for char in "".join(SENTENCES):
        vocabulary.setdefault(char, len(vocabulary))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return _finish(tokenizer)


def wordpiece() -> Tokenizer:
    """BERT's: lower case, accents stripped, Chinese by character."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIALS))
    return _finish(tokenizer)


def byte_level() -> Tokenizer:
    """GPT-2's and RoBERTa's: the space before a word belongs to its token, characters may be split into bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=SPECIALS, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return _finish(tokenizer)


def sentencepiece() -> Tokenizer:
    """XLM-RoBERTa's: NFKC, spaces become ▁ and belong to the token after them."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIALS, unk_token="[UNK]", show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return _finish(tokenizer)


TOKENIZERS = {
    "characters": characters,
    "wordpiece": wordpiece,
    "byte_level": byte_level,
    "sentencepiece": sentencepiece,
}


@dataclass(frozen=True)
class FakeOutputs:
    """Tables as blocks of arrays, as a backend gives them."""

    matrices: dict[str, list[dict[str, npt.NDArray[Any]]]]

    def matrix(self, name: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
        yield from self.matrices[name]

    def query(self, name: str, arguments: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        raise AssertionError(name)


class Oracle:
    """A backend that fires on given id sequences: gold[(ids of the span)] = row."""

    def __init__(self, spans: dict[tuple[int, ...], list[int]], labels: int) -> None:
        self.spans, self.labels = spans, labels

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> dict[str, FakeOutputs]:
        batch, length = input_ids.shape
        pair = np.full((batch, length, length), -30, dtype=np.float32)
        start = np.full((batch, self.labels, length), -10, dtype=np.float32)
        end = np.full((batch, self.labels, length), -10, dtype=np.float32)
        for b in range(batch):
            row_ids = input_ids[b].tolist()
            for span, rows in self.spans.items():
                for i in range(length - len(span) + 1):
                    if tuple(row_ids[i : i + len(span)]) == span:
                        pair[b, i, i + len(span) - 1] = 5
                        start[b, rows, i] = end[b, rows, i + len(span) - 1] = 0
        return {"ner": FakeOutputs({"entities": [{"pair": pair, "start": start, "end": end}]})}


def codec_of(schema: LabelSchema) -> Codec:
    """The codec of the default head that learns a schema."""
    section = GPLinkerSection(name="gplinker") if schema.predicates else EfficientGlobalPointerSection()
    return build_codec(section, schema)


def task_of(schema: LabelSchema) -> str:
    return "relation" if schema.predicates else "ner"


def engine_of(
    backend: Any,
    schema: LabelSchema,
    *,
    tokenizer: TextTokenizer,
    plan: WindowPlan,
    decoding: Decoding | None = None,
    **options: Any,
) -> Engine:
    """An engine for one task."""
    part = Extraction.build(task_of(schema), codec_of(schema), decoding or Decoding())
    return Engine(backend, tokenizer, plan, (part,), **{"batch_size": 3, "lookahead": 5, **options})


def engine(
    backend: Oracle,
    labels: tuple[str, ...],
    *,
    max_length: int = 12,
    stride: int = 4,
    decoding: Decoding | None = None,
) -> Engine:
    """An engine over the character tokenizer."""
    tokenizer = TextTokenizer(characters())
    plan = WindowPlan.build(max_length=max_length, stride=stride, special_tokens=tokenizer.special_tokens)
    return engine_of(backend, LabelSchema(labels), tokenizer=tokenizer, plan=plan, decoding=decoding)


def score_engine(
    engine: Engine,
    gold: Iterable[Document],
    *,
    each: Callable[[Document, Document], None] | None = None,
    **options: Any,
) -> Any:
    """The scores of an engine for one task."""
    [part] = engine.tasks
    schema = part.codec.schema
    task = TASKS[task_of(schema)]
    return score(engine, gold, task=task, schema=schema, options=ScoringOptions(**options), each=each)


def windows_of(
    documents: list[Document],
    schema: LabelSchema,
    tokenizer: TextTokenizer,
    plan: WindowPlan,
    *,
    mentions: Mentions = "nearest",
    key: str | None = None,
) -> TaskWindows:
    """Encoded documents as batches."""
    codec = codec_of(schema)
    encoding = Encoding(tokenizer=tokenizer, plan=plan, codec=codec, pad_id=0, mentions=mentions)
    section = GPLinkerSection(name="gplinker") if schema.predicates else EfficientGlobalPointerSection()
    head = cast(Head, build_head(section, hidden_size=8, codec=codec))
    return TaskWindows(task_of(schema), encode_dataset(documents, encoding, key=key), codec, head.collate)


def ideal(batch: Batch, schema: LabelSchema) -> FakeOutputs:
    """Factors by which exactly the gold spans are found, and at least the gold links.

    A link table has one pair scorer for all predicates: of two predicates on crossing pairs it cannot tell the fourth corner.
    """
    count, length = batch.input_ids.shape
    spans = np.full((count, len(schema.labels), length, length), -1, dtype=np.float32)
    spans[tuple(batch.targets["entities"].entries.T.numpy())] = 1
    identity = np.broadcast_to(np.eye(length, dtype=np.float32), spans.shape)
    matrices: dict[str, list[dict[str, npt.NDArray[Any]]]] = {"entities": [{"query": spans, "key": identity}]}
    for name in ("start_links", "end_links") if schema.predicates else ():
        sample, row, first, last = batch.targets[name].entries.T.numpy()
        pair = np.full((count, length, length), -50, dtype=np.float32)
        start = np.full((count, len(schema.links), length), -9, dtype=np.float32)
        end = start.copy()
        pair[sample, first, last], start[sample, row, first], end[sample, row, last] = 0, 6, 6
        matrices[name] = [{"pair": pair, "start": start, "end": end}]
    return FakeOutputs(matrices)


class Ideal:
    """A backend that knows the gold of some documents; texts of one tokenisation must have one annotation."""

    def __init__(
        self,
        documents: list[Document],
        schema: LabelSchema,
        *,
        max_length: int = 40,
        stride: int = 16,
        tokenizer: TextTokenizer | None = None,
    ) -> None:
        self.schema, self.tokenizer = schema, tokenizer or TextTokenizer(characters())
        self.plan = WindowPlan.build(max_length=max_length, stride=stride, special_tokens=self.tokenizer.special_tokens)
        self.windows = windows_of(documents, schema, self.tokenizer, self.plan)
        ids = self.windows.dataset.rows(range(len(self.windows))).input_ids if len(self.windows) else []
        self.rows = {tuple(row.tolist()): number for number, row in enumerate(ids)}

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> dict[str, FakeOutputs]:
        lengths = attention_mask.sum(axis=1)
        windows = [self.rows[tuple(ids[:length].tolist())] for ids, length in zip(input_ids, lengths, strict=True)]
        return {task_of(self.schema): ideal(self.windows.batch(windows), self.schema)}

    def engine(self, decoding: Decoding | None = None) -> Engine:
        return engine_of(self, self.schema, tokenizer=self.tokenizer, plan=self.plan, decoding=decoding)
