"""Texts of a megabyte, and texts that hardly are any: right spans at right places, memory and time in proportion."""

from __future__ import annotations

import gc
import random
import threading
import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import TOKENIZERS, FakeOutputs, Oracle, engine, engine_of

from ie_cli.data.label_schema import LabelSchema
from ie_cli.document import Document, Entity
from ie_cli.encoding.tokenizer import TextTokenizer
from ie_cli.encoding.windows import WindowPlan
from ie_cli.inference.pipeline import Engine, extract

MEGABYTE = 10**6
BYTES_A_BYTE = 300
"""Memory that a text may take for each of its bytes: 150 to 180 were measured, nine tenths of it the tokenizer's."""
BUILT = {name: TextTokenizer(build()) for name, build in TOKENIZERS.items()}
PIECES = [
    "Anna ",
    "visited ",
    "the ",
    "Café ",
    "，然后去",
    "。",
    "👩\u200d🔬 ",
    "e\u0301le\u0300ve ",
    "naïve; ",
    "½ ",
    "\u3000",
    "\n\n",
]
NAMES = {"北京": ["place"], "北京大学": ["school"], "上海": ["place", "school"]}


def mixed_text(size: int) -> tuple[str, list[Entity]]:
    """A text of about so many bytes, with the entities in it."""
    drawn = random.Random(size)
    parts, entities, length, volume = [], [], 0, 0
    while volume < size:
        part = drawn.choice([*PIECES, *NAMES])
        for name, labels in NAMES.items():
            if part.startswith(name):
                entities += [Entity(length, length + len(name), label) for label in labels]
        parts.append(part)
        length, volume = length + len(part), volume + len(part.encode())
    return "".join(parts), sorted(entities)


def oracle(tokenizer: TextTokenizer, max_length: int, stride: int) -> Engine:
    """An engine that finds the names."""
    labels = ("place", "school")
    spans = {
        tuple(tokenizer.encode([name])[0].ids.tolist()): [labels.index(label) for label in found]
        for name, found in NAMES.items()
    }
    plan = WindowPlan.build(max_length=max_length, stride=stride, special_tokens=tokenizer.special_tokens)
    return engine_of(
        Oracle(spans, 2), LabelSchema(labels), tokenizer=tokenizer, plan=plan, batch_size=32, lookahead=1024
    )


class Peak:
    """The largest resident memory of this process while the block runs, in bytes above that before it."""

    def __enter__(self) -> Peak:
        gc.collect()
        self.process, self.ended = psutil.Process(), threading.Event()
        self.before = self.most = self.process.memory_info().rss
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.ended.wait(0.002):
            self.most = max(self.most, self.process.memory_info().rss)

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        self.thread.join()
        self.grown = self.most - self.before


def test_a_record_of_a_megabyte_has_its_spans_in_memory_and_time_in_proportion() -> None:
    runner = oracle(BUILT["wordpiece"], 128, 32)
    list(extract(runner, [Document("Anna")]))
    seconds = {}
    for size in (MEGABYTE // 4, MEGABYTE):
        text, entities = mixed_text(size)
        began = time.process_time()
        with Peak() as memory:
            [found] = extract(runner, [Document(text, id=7)])
        seconds[size] = time.process_time() - began
        assert (found.text, found.id) == (text, 7)
        assert found.entities == entities
        assert all(text[e.start : e.end] in NAMES for e in found.entities)
        assert memory.grown < BYTES_A_BYTE * size
    assert len(entities) > 10_000
    assert seconds[MEGABYTE] < 2 * 4 * seconds[MEGABYTE // 4] + 0.5, "four times the text is four times the work"


def test_long_records_leave_no_memory_behind() -> None:
    runner = oracle(BUILT["wordpiece"], 128, 32)
    text, entities = mixed_text(MEGABYTE // 16)
    list(extract(runner, [Document(text)]))
    with Peak() as memory:
        for found in extract(runner, (Document(text, id=n) for n in range(8))):
            assert len(found.entities) == len(entities)
    # Two of them are in work at a time, and what is behind is forgotten.
    assert memory.grown < 4 * BYTES_A_BYTE * len(text.encode())


class Everywhere:
    """A backend that finds every token and every pair of neighbours, or those at every so many places of a window.

    Attributes:
        longest: the longest window it met.
    """

    def __init__(self, labels: int, every: int = 1) -> None:
        self.labels, self.every = labels, every
        self.longest = 0

    def run(self, input_ids: npt.NDArray[np.int64], attention_mask: npt.NDArray[np.bool_]) -> dict[str, FakeOutputs]:
        batch, length = input_ids.shape
        self.longest = max(self.longest, length)
        pair = np.full((batch, length, length), -9, np.float32)
        for step in (0, 1):
            first = np.arange(1, length - step, self.every)
            pair[:, first, first + step] = 5 - step
        zero = np.zeros((batch, self.labels, length), np.float32)
        matrix = [{"pair": pair, "start": zero, "end": zero}]
        outputs = FakeOutputs(dict.fromkeys(("entities", "start_links", "end_links"), matrix))
        return {"ner": outputs, "relation": outputs}


def everywhere(tokenizer: TextTokenizer, *, capacity: int = 60, linked: bool = False, every: int = 1) -> Engine:
    schema = LabelSchema(("X",), ("p",)) if linked else LabelSchema(("X",))
    plan = WindowPlan(capacity, capacity // 3)
    backend = Everywhere(1, every)
    return engine_of(backend, schema, tokenizer=tokenizer, plan=plan, batch_size=32, lookahead=1024)


@given(text=st.text("北京 ab", max_size=40), capacity=st.integers(1, 12), stride=st.integers(0, 11))
def test_no_window_is_longer_than_it_may_be(text: str, capacity: int, stride: int) -> None:
    runner = replace(everywhere(BUILT["characters"]), plan=WindowPlan(capacity, min(stride, capacity - 1)))
    [found] = extract(runner, [Document(text)])
    assert isinstance(runner.backend, Everywhere)
    most = min(len(text), capacity) + BUILT["characters"].special_tokens
    assert runner.backend.longest == (most if text else 0)
    # Every character once, however many windows found it; spaces are not tokens.
    assert [e for e in found.entities if e.end - e.start == 1] == [
        Entity(n, n + 1, "X") for n, char in enumerate(text) if char != " "
    ]


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_texts_of_about_a_window(extra: int) -> None:
    runner = everywhere(BUILT["characters"], capacity=10)
    [found] = extract(runner, [Document("a" * (10 + extra))])
    assert runner.counts.windows == (2 if extra == 1 else 1)
    assert len([e for e in found.entities if e.end - e.start == 1]) == 10 + extra
    assert {(e.start, e.end) for e in found.entities} >= {(n, n + 2) for n in range(9 + extra)}


HUGE = 100_000
ODD = {
    "nothing": "",
    "blanks": " \t\u3000\xa0\r\n" * 500,
    "unknown characters": "\U00012345鿿\U000e0100ꙮ" * 500,
    "one character": "好" * HUGE,
    "one blank": "\n" * HUGE,
    "one mark": "e" + "\u0301" * HUGE,
    "marks alone": "\u0301" * 3000,
    "controls": "\x00\u200b\u200d\x1f" * 500,
    "lone surrogates": "\ud800a\udfff北\udc00\ud83d" * 500,
    "halves of a pair": "\ud83d\ude00" * 500,
    "a word without end": "".join(random.Random(0).choices("abcdefgh", k=HUGE)),
    "emoji that are joined": "👩\u200d🔬" * 1000,
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_odd_texts_give_spans_that_slice_them(kind: str, name: str) -> None:
    text = ODD[name]
    runner = everywhere(BUILT[kind], every=16 if len(text) >= HUGE else 1)
    [found] = extract(runner, [Document(text, id=name)])
    assert (found.text, found.id) == (text, name)
    assert all(0 <= e.start < e.end <= len(text) for e in found.entities)
    assert found.entities == sorted(set(found.entities)), "each once, in order"
    assert not [e for e in found.entities if text[e.start].isspace() or text[e.end - 1].isspace()]
    if name in ("nothing", "blanks", "one blank"):
        assert not found.entities
    elif name not in ("controls", "marks alone", "halves of a pair"):  # of these some tokenizers make nothing
        assert found.entities[0].start <= 1
        assert found.entities[-1].end > len(text) - 16 or name == "one mark"


@pytest.mark.parametrize("name", ["blanks", "lone surrogates", "controls", "emoji that are joined"])
@pytest.mark.parametrize("mode", ["subword", "char"])
def test_odd_texts_give_links_between_their_spans(name: str, mode: str) -> None:
    tokenizer = TextTokenizer(TOKENIZERS["wordpiece"](), mode=mode)  # type: ignore[arg-type]
    [found] = extract(everywhere(tokenizer, linked=True), [Document(ODD[name])])
    entities = set(found.entities)
    assert all({r.subject, r.object} <= entities for r in found.relations)
    assert len(set(found.relations)) == len(found.relations)
    assert bool(found.relations) == (mode == "char" or name in ("lone surrogates", "emoji that are joined"))


def test_a_text_without_a_token_meets_no_model() -> None:
    runner = everywhere(BUILT["wordpiece"])
    found = list(extract(runner, map(Document, ["", " \n", "\x00\u200b", "北"])))
    assert [len(document.entities) for document in found] == [0, 0, 0, 1]
    assert (runner.counts.texts, runner.counts.windows) == (4, 1)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_hundred_thousand_spaces_inside_a_long_text_cost_next_to_nothing(kind: str) -> None:
    text = "Anna" + "\n" * HUGE + "visited Wien " * 8000
    began = time.process_time()
    [tokens] = BUILT[kind].encode([text])
    assert time.process_time() - began < 5
    filled = [(s, e) for s, e in zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True) if s < e]
    assert filled[0][0] == 0
    assert filled[-1][1] == len(text) - 1
    assert not any(4 < end <= HUGE + 4 or 4 <= start < HUGE + 4 for start, end in filled if end - start <= 4)


def test_an_unknown_word_of_any_length_is_one_token_with_its_boundaries() -> None:
    runner = engine(Oracle({}, 1), ("X",))
    runner = replace(runner, tokenizer=BUILT["wordpiece"], backend=Everywhere(1))  # type: ignore[arg-type]
    word = ODD["a word without end"]
    [found] = extract(runner, [Document(f"Anna {word} Wien")])
    assert Entity(5, 5 + len(word), "X") in found.entities
    assert Entity(0, 5 + len(word), "X") in found.entities
