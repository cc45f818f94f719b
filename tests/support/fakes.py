"""Small tokenizers and a backend with given scores, for tests that need no training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from ie_cli.codecs.spans import Factors, LabelFactors, SharedFactors
from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.inference.pipeline import Engine
from ie_cli.modeling.batch import Batch
from ie_cli.training.encoded_dataset import encode_dataset

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
    """GPT-2's and RoBERTa's: the blank before a word belongs to its token, characters may be split into bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, special_tokens=SPECIALS, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return _finish(tokenizer)


def sentencepiece() -> Tokenizer:
    """XLM-RoBERTa's: NFKC, blanks become ▁ and belong to the token after them."""
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


class Oracle:
    """A backend that fires on given id sequences: gold[(ids of the span)] = row."""

    def __init__(self, spans: dict[tuple[int, ...], list[int]], labels: int) -> None:
        self.spans, self.labels = spans, labels

    def factors(
        self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]
    ) -> tuple[list[Factors], ...]:
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
        return ([SharedFactors(pair, start, end)],)


def engine(backend: Oracle, labels: tuple[str, ...], *, max_length: int = 12, stride: int = 4) -> Engine:
    """An engine over the character tokenizer."""
    tokenizer = TextTokenizer(characters())
    plan = WindowPlan.build(max_length=max_length, stride=stride, special_tokens=tokenizer.special_tokens)
    return Engine(backend, tokenizer, plan, LabelSchema(labels), (0.5,) * len(labels), batch_size=3, lookahead=5)


def ideal(batch: Batch, schema: LabelSchema) -> tuple[list[Factors], ...]:
    """Factors by which exactly the gold spans are found, and at least the gold links.

    A link table has one pair scorer for all predicates: of two predicates on crossing pairs it cannot tell the fourth corner.
    """
    count, length = batch.input_ids.shape
    spans = np.full((count, len(schema.labels), length, length), -1, dtype=np.float32)
    spans[tuple(batch.gold[0].cells.T.numpy())] = 1
    identity = np.broadcast_to(np.eye(length, dtype=np.float32), spans.shape)
    tables: list[list[Factors]] = [[LabelFactors(0, spans, identity)]]
    for gold in batch.gold[1:]:
        sample, row, first, last = gold.cells.T.numpy()
        pair = np.full((count, length, length), -50, dtype=np.float32)
        start = np.full((count, len(schema.predicates), length), -9, dtype=np.float32)
        end = start.copy()
        pair[sample, first, last], start[sample, row, first], end[sample, row, last] = 0, 6, 6
        tables.append([SharedFactors(pair, start, end)])
    return tuple(tables)


class Ideal:
    """A backend that knows the gold of some examples; texts of one tokenisation must have one annotation."""

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
        self.store = encode_dataset(documents, self.tokenizer, self.plan, schema, pad_id=0, key=None)
        self.rows = {tuple(self.store[row].input_ids[0].tolist()): row for row in range(len(self.store))}

    def factors(
        self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]
    ) -> tuple[list[Factors], ...]:
        lengths = attention_mask.sum(axis=1)
        windows = [self.rows[tuple(ids[:length].tolist())] for ids, length in zip(input_ids, lengths, strict=True)]
        return ideal(self.store.__getitems__(windows), self.schema)

    def engine(self) -> Engine:
        ones = (0.5,) * len(self.schema.labels), (0.5,) * len(self.schema.predicates)
        return Engine(self, self.tokenizer, self.plan, self.schema, *ones, batch_size=3, lookahead=5)
