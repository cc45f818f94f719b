"""Joining encoded texts gives what encoding the joined text gives: the same ids and the same gold values."""

from __future__ import annotations

from functools import cache
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import TOKENIZERS
from support.heads import HIDDEN, SCHEMA, WINDOW_HEADS, built, codec_of_head
from support.toy_head import ToyCodec, ToySection
from tokenizers import Regex
from tokenizers.pre_tokenizers import ByteLevel, Split

from ie_cli.codecs.base import Codec
from ie_cli.document import Document, Entity, Relation, Spo
from ie_cli.encoding.joined_texts import join_texts
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.encoding.word_boundaries import no_boundaries, with_whole_words
from ie_cli.errors import RecipeError
from ie_cli.modeling.batch import single_numbers
from ie_cli.recipe.context import ContextSection
from ie_cli.training.batching import TaskWindows
from ie_cli.training.encoded_dataset import EncodedDataset, Rows, StoredText, encode_dataset
from ie_cli.training.text_joining import TextJoiner
from ie_cli.training.window_encoding import Encoding

PLAN = WindowPlan(200, 20)
GPT2 = "byte_level without a space before the text"
MODES = [(GPT2, "subword"), *((name, mode) for name in TOKENIZERS for mode in ("subword", "char"))]


@cache
def tokenizer(name: str, mode: str = "subword") -> TextTokenizer:
    made = TOKENIZERS["byte_level" if name == GPT2 else name]()
    if name == GPT2:  # the first word of a text has other tokens than the same word within a text
        made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    return TextTokenizer(made, mode=mode)  # type: ignore[arg-type]


def joined_document(documents: list[Document], joiner: str | None) -> Document:
    """The text that a reader of the joined texts has, with the annotation of each of them."""
    text, starts = join_texts([document.text for document in documents], joiner)
    entities: list[Entity] = []
    relations: list[Relation] = []
    for document, by in zip(documents, starts, strict=True):
        moved = {e: Entity(e.start + by, e.end + by, e.label) for e in document.entities}
        entities += moved.values()
        relations += [Relation(moved[r.subject], r.predicate, moved[r.object]) for r in document.relations]
    return Document(text, sorted(entities), sorted(relations))


def encoded(
    documents: list[Document], codec: Codec, tokens: TextTokenizer, **options: object
) -> tuple[Encoding, EncodedDataset]:
    plan = options.pop("plan", PLAN)
    encoding = Encoding(tokenizer=tokens, plan=plan, codec=codec, pad_id=0, texts=True, **options)  # type: ignore[arg-type]
    return encoding, encode_dataset(documents, encoding, key=None)


def joiner_of(encoding: Encoding, joiner: str | None = None) -> TextJoiner:
    made = TextJoiner.of(ContextSection(joiner=joiner), encoding, head="toy")
    assert made is not None
    return made


class Held:
    """In the place of a dataset: the rows of documents in memory."""

    def __init__(self, documents: list[Document], encoding: Encoding) -> None:
        codec, plan, tokens = encoding.codec, encoding.plan, encoding.tokenizer
        self.samples, self.stored = [], []
        for document, alone in zip(documents, tokens.encode([document.text for document in documents]), strict=True):
            own = with_whole_words(document.text, alone) if encoding.whole_words else alone
            gold = codec.encode(document, own, plan)
            columns = codec.window(gold, 0, plan.capacity, len(tokens.prefix))
            limits = no_boundaries(own, 0, plan.capacity, len(tokens.prefix))
            self.samples.append((tokens.surround(own.ids), columns, limits))
            self.stored.append(StoredText(document.text, complete=not any(gold.unreachable.values())))

    def rows(self, rows: list[int]) -> Rows:
        ids, columns, limits = zip(*(self.samples[row] for row in rows), strict=True)
        return Rows(ids, {name: [one[name] for one in columns] for name in columns[0]}, rows, list(limits))

    def texts(self, rows: list[int]) -> list[StoredText]:
        return [self.stored[row] for row in rows]


@st.composite
def sentences(draw: st.DrawFn) -> Document:
    """A text with spaces, combining marks and several scripts, and spans of it, of which few are words."""
    text = draw(st.text(st.sampled_from("An a京大。, \u0301é北½👩\n上naïve"), min_size=1, max_size=12))
    spans = draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(1, len(text))), max_size=5))
    kept = {span for span in spans if span[0] < span[1]}
    entities = [Entity(*span, draw(st.sampled_from(SCHEMA.labels))) for span in sorted(kept)]
    relations = [
        Relation(subject, draw(st.sampled_from(SCHEMA.predicates)), object_)
        for subject, object_ in zip(entities[::2], entities[1::2], strict=False)
    ]
    return Document(text, entities, relations)


@given(
    documents=st.lists(sentences(), min_size=2, max_size=4),
    head=st.sampled_from(WINDOW_HEADS),
    mode=st.sampled_from(MODES),
    joiner=st.sampled_from([None, "", " ", "\n", " – "]),
    capacity=st.sampled_from([60, 200]),
    words=st.booleans(),
)
def test_joining_is_encoding_the_joined_text(
    documents: list[Document], head: str, mode: tuple[str, str], joiner: str | None, capacity: int, words: bool
) -> None:
    codec, tokens, plan = codec_of_head(head), tokenizer(*mode), WindowPlan(capacity, 4)
    encoding = Encoding(tokenizer=tokens, plan=plan, codec=codec, pad_id=0, texts=True, whole_words=words)
    rows = joiner_of(encoding, joiner).rows(
        cast(EncodedDataset, Held(documents, encoding)), [(*range(len(documents)),)]
    )
    assert single_numbers(rows.documents) == [*range(len(documents))]
    for at, number in enumerate(rows.documents):
        document = joined_document([documents[one] for one in single_numbers([number])], joiner)
        [whole] = tokens.encode([document.text])
        if words:
            whole = with_whole_words(document.text, whole)
            expected = no_boundaries(whole, 0, capacity, len(tokens.prefix))
            assert rows.no_boundaries is not None
            assert rows.no_boundaries[at].tolist() == expected.tolist()
        assert rows.input_ids[at].tolist() == tokens.surround(whole.ids).tolist()
        assert len(whole) <= capacity or isinstance(number, int)
        gold = codec.window(codec.encode(document, whole, plan), 0, capacity, len(tokens.prefix))
        for name, values in gold.items():
            assert sorted(rows.columns[name][at].tolist()) == sorted(values.tolist()), name


WORDS = [
    Document("Anna visited Wien", [Entity(0, 4, "A"), Entity(13, 17, "B")]),
    Document("Café Zentral", [Entity(0, 12, "C")]),
    Document("北京大学", [Entity(0, 2, "B"), Entity(0, 4, "C")]),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("joiner", [None, " ", "\n"])
def test_every_tokenizer_joins_sentences(mode: tuple[str, str], joiner: str | None) -> None:
    """The space before a word belongs to its token, or the first word alone has another token: neither prevents it."""
    encoding, dataset = encoded(WORDS, codec_of_head("efficient_global_pointer"), tokenizer(*mode))
    assert joiner_of(encoding, joiner).rows(dataset, [(0, 1, 2)]).documents == [(0, 1, 2)]


def test_a_token_of_two_texts_keeps_them_separate() -> None:
    """Joined with nothing, the words become one, in which no entity ends."""
    documents = [Document("Wien", [Entity(0, 4, "B")]), Document("ж"), Document("上海", [Entity(0, 2, "B")])]
    encoding, dataset = encoded(documents, codec_of_head("crf"), tokenizer("wordpiece"))
    found = joiner_of(encoding, "").rows(dataset, [(0, 1, 2), 2])
    assert found.documents == [0, (1, 2), 2]
    assert found.columns["spans"][0].tolist() == [[1, 1, 1]]
    assert [len(ids) for ids in found.input_ids] == [3, 5, 4]


@pytest.mark.parametrize(("end", "expected"), [(2, [(0, 1)]), (1, [0, 1])])
def test_an_item_that_only_the_joined_text_can_express_keeps_texts_separate(end: int, expected: list[object]) -> None:
    """Alone, the second text is a single token, in which an entity ends; it would become a negative example."""
    made = TOKENIZERS["characters"]()
    made.pre_tokenizer = Split(Regex(r"^An|[\s\S]"), "isolated")
    documents = [Document("W"), Document("An", [Entity(0, end, "A")])]
    encoding, dataset = encoded(documents, codec_of_head("biaffine"), TextTokenizer(made))
    assert joiner_of(encoding, " ").rows(dataset, [(0, 1)]).documents == expected


def test_texts_that_do_not_fit_stay_separate() -> None:
    documents = [Document("北京" * 3, [Entity(0, 2, "B")]) for _ in range(5)]
    encoding, dataset = encoded(documents, codec_of_head("crf"), tokenizer("characters"), plan=WindowPlan(20, 4))
    assert joiner_of(encoding, "").rows(dataset, [(0, 1, 2, 3, 4)]).documents == [(0, 1), (2, 3, 4)]


def test_only_whole_texts_have_a_text() -> None:
    documents = [Document("北京"), Document(""), Document(" "), Document("北京" * 9), Document("\ud800\x00")]
    _, dataset = encoded(documents, codec_of_head("crf"), tokenizer("characters"), plan=WindowPlan(6, 2))
    assert dataset.with_text.tolist() == [True, False, True, *[False] * 4, True]
    assert dataset.documents.tolist() == [0, 1, 2, 3, 3, 3, 3, 4]
    assert [one.text for one in dataset.texts([0, 2, 7])] == ["北京", " ", "\ud800\x00"]


def test_triples_without_offsets_are_located_in_their_own_sentence() -> None:
    """The closest pair of the joined text would take the subject of the next sentence."""
    alone = [Document("京。。。。大", spos=[Spo("京", "p", "大")]), Document("京。。。。", spos=[])]
    encoding, dataset = encoded(alone, codec_of_head("casrel"), tokenizer("characters"))
    found = joiner_of(encoding).rows(dataset, [(1, 0), (0, 1)])
    links = [links.tolist() for links in found.columns["links"]]
    assert [link[0][1:] for link in links] == [[6, 6, 11, 11], [1, 1, 6, 6]]
    assert list(map(len, links)) == [1, 1]


def test_a_batch_numbers_the_gold_of_joined_samples() -> None:
    codec = codec_of_head("efficient_global_pointer")
    encoding, dataset = encoded(WORDS, codec, tokenizer("characters"))
    head = built("efficient_global_pointer", hidden_size=HIDDEN)
    windows = TaskWindows("ner", dataset, codec, head.collate, joiner=joiner_of(encoding))  # type: ignore[arg-type]
    batch = windows.batch([2, (0, 1)])
    assert batch.documents == [2, (0, 1)]
    assert batch.entries["entities"].tolist() == [
        [0, 1, 1, 2],
        [0, 2, 1, 4],
        [1, 0, 1, 4],
        [1, 1, 14, 17],
        [1, 2, 20, 31],
    ]
    assert batch.part(1, 2).documents == [(0, 1)]
    assert batch.text_mask.sum(1).tolist() == [4, 31]


def test_texts_are_stored_only_for_joining() -> None:
    plain = Encoding(tokenizer=tokenizer("characters"), plan=PLAN, codec=codec_of_head("crf"), pad_id=0)
    other = Encoding(tokenizer=tokenizer("characters"), plan=PLAN, codec=codec_of_head("crf"), pad_id=0, texts=True)
    assert [*plain.identity(), "texts"] == other.identity()
    assert encode_dataset(WORDS, plain, key="same").with_text.tolist() == []
    assert encode_dataset(WORDS, other, key="same").with_text.all()
    assert encode_dataset(WORDS, other, key="same").texts([1])[0].text == "Café Zentral"


def test_a_codec_that_does_not_name_its_tokens_is_refused() -> None:
    codec = ToyCodec(SCHEMA, ToySection(name="toy"))
    encoding = Encoding(tokenizer=tokenizer("characters"), plan=PLAN, codec=codec, pad_id=0, texts=True)
    assert TextJoiner.of(None, encoding, head="toy") is None
    with pytest.raises(
        RecipeError, match=r"data\.context: the codec of the head toy does not say which of its columns"
    ):
        joiner_of(encoding)
