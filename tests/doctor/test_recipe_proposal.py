from __future__ import annotations

import doctest
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runner import ie
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from ie_cli.data.dataset import place_of, splits
from ie_cli.data.statistics import DatasetStatistics
from ie_cli.data.token_lengths import TokenLengths
from ie_cli.doctor import recipe_proposal, token_counting
from ie_cli.doctor.data_checks import check
from ie_cli.doctor.overlaps import overlap
from ie_cli.doctor.recipe_proposal import propose_recipe
from ie_cli.doctor.scripts import choose_encoder
from ie_cli.doctor.siblings import find_siblings, run_name
from ie_cli.doctor.windows_proposal import window
from ie_cli.document import Document, Entity
from ie_cli.encoding.windows import WindowPlan
from ie_cli.errors import DataError
from ie_cli.recipe.loader import load_recipe
from ie_cli.recipe.schema import SCRATCH_RATE, Recipe
from ie_cli.recipe.techniques import AdversarialSection
from ie_cli.recipe.yaml import flow

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write examples as JSON lines and name the file as the user would, from the directory that it is in."""
    monkeypatch.chdir(tmp_path)

    def written(name: str, *documents: tuple[str, list[tuple[int, int, str]]]) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        records = [
            {"text": text, "entities": [{"start": s, "end": e, "label": label} for s, e, label in entities]}
            for text, entities in documents
        ]
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return name

    return written


def proposed(data: str, encoder: str | None = None) -> tuple[str, Recipe]:
    text = propose_recipe(data, encoder=encoder)
    Path("proposed.yaml").write_text(text, encoding="utf-8")
    return text, load_recipe("proposed.yaml")


CHINESE = ("澜石银行信贷科的林阿木工程师却认为五道门槛里有三道多余。", [(0, 4, "company"), (8, 11, "name")])
ENGLISH = ("Grace Hopper worked in Arlington on COBOL.", [(0, 12, "PER"), (23, 32, "LOC")])
GERMAN = ("Jürgen wohnt in Köln, später zog er nach Düsseldorf.", [(0, 6, "PER"), (16, 20, "LOC")])


def test_examples_in_the_docstrings() -> None:
    assert doctest.testmod(token_counting) == (0, 1)


@pytest.mark.parametrize("count", range(1, 13))
def test_check_accepts_the_proposal_for_few_examples(count: int, write: Write) -> None:
    names = ["Ann", "Bob", "Cleo", "Dan"]
    data = [(f"{names[n % 4]} slept {n} times.", [(0, len(names[n % 4]), "PER")]) for n in range(count)]
    _, recipe = proposed(write("train.jsonl", *data, ("It rained.", [])), encoder="tiny")
    assert [finding.text for finding in check(recipe) if finding.kind == "error"] == []
    assert recipe.data is not None
    assert recipe.data.dev is None


def test_a_tenth_of_many_examples_is_dev(write: Write) -> None:
    text, recipe = proposed(write("train.jsonl", *((f"Ann slept {n} times.", [(0, 3, "PER")]) for n in range(60))))
    assert recipe.data is not None
    assert recipe.data.dev == 0.1
    count = sum(place_of(f"Ann slept {n} times.") < 0.1 for n in range(60))
    assert f"# {count} of 60 examples, selected by a hash of the text; a separate file is better" in text


def test_a_proposal_in_full(write: Write) -> None:
    documents = [(f"{ENGLISH[0]} {number}", ENGLISH[1]) for number in range(3)]
    text, recipe = proposed(write("train.jsonl", *documents))
    name = Path.cwd().name.strip("._-")
    assert text.splitlines() == [
        "# 3 examples, 6 entities. Next: `ie check` and `ie train` with this file.",
        "# 2 labels: PER 3, LOC 3",
        f"name: {flow(name)}",
        "task: ner",
        "data:",
        "  train: train.jsonl",
        "  dev: null                           # too few examples to split some off: name another file, or see "
        "`ie train --folds`",
        "  format: jsonl",
        "  context: 3                          # joins neighbouring texts in training, so that the model knows "
        "texts of several sentences",
        "encoder:",
        "  name: bert-base-cased               # hub id or directory; `hash_cnn` needs no download",
        "  max_length: 128                     # the longest text has about 15 tokens; overlong texts are split into windows",
        "  stride: 32                          # the longest entity has about 4 tokens",
        "head:",
        "  name: crf                           # better with few examples; it cannot nest. From about 50 on, use "
        "efficient_global_pointer",
        "training:",
        "  epochs: 100                         # about 100 steps; without dev data, the last model is kept",
        "  batch_size: 8                       # few examples",
        "  learning_rate: 2.0e-5               # for an encoder of 12 layers of 768",
        "  head_learning_rate: 1.0e-3          # the layers on the encoder begin untrained",
    ]
    assert recipe.data.train == "train.jsonl"
    assert recipe.data.dev is None


@pytest.mark.parametrize(
    ("document", "encoder"),
    [
        (CHINESE, "bert-base-chinese"),
        (ENGLISH, "bert-base-cased"),
        (GERMAN, "xlm-roberta-base"),
        (("東京に住んでいますがとても楽しいです", [(0, 2, "LOC")]), "xlm-roberta-base"),
        (("Москва", [(0, 6, "LOC")]), "xlm-roberta-base"),
    ],
)
def test_the_encoder_fits_the_script(
    write: Write, document: tuple[str, list[tuple[int, int, str]]], encoder: str
) -> None:
    assert proposed(write("a.jsonl", document))[1].encoder.name == encoder


def test_text_without_letters_has_an_encoder_too() -> None:
    assert choose_encoder(Counter()) == "xlm-roberta-base"


def test_siblings_are_used(write: Write) -> None:
    write("d/train.jsonl", ENGLISH)
    write("d/valid.jsonl", ENGLISH)
    write("d/test.jsonl", ENGLISH)
    recipe = proposed("d/train.jsonl")[1]
    assert (recipe.name, recipe.data.train) == ("d", str(Path("d/train.jsonl")))
    assert (recipe.data.dev, recipe.data.test) == (str(Path("d/valid.jsonl")), str(Path("d/test.jsonl")))


def test_test_data_without_annotation_are_no_test_data(write: Write) -> None:
    write("train.jsonl", ENGLISH)
    write("test.jsonl", ("Nothing here.", []))
    assert proposed("train.jsonl")[1].data.test is None


@pytest.mark.parametrize(
    ("train", "dev"),
    [
        ("train.json", "dev.json"),
        ("news_train.jsonl", "news_dev.jsonl"),
        ("wnut17train.jsonl", "wnut17dev.jsonl"),
        ("x.train.jsonl", "x.valid.jsonl"),
        ("train.jsonl", "dev.txt"),
        ("constraint.jsonl", "consdevt.jsonl"),
        ("training.jsonl", "deving.jsonl"),
        ("data.jsonl", "dev.jsonl"),
    ],
)
def test_which_files_belong_together(write: Write, train: str, dev: str) -> None:
    write(train, ENGLISH)
    write(dev, ENGLISH)
    pairs = {("train.json", "dev.json"), ("news_train.jsonl", "news_dev.jsonl")}
    pairs |= {("wnut17train.jsonl", "wnut17dev.jsonl"), ("x.train.jsonl", "x.valid.jsonl")}
    assert find_siblings(train) == ({"dev": dev} if (train, dev) in pairs else {})


def test_overlapping_entities_are_nested(write: Write) -> None:
    text, recipe = proposed(write("a.jsonl", ("University of Bonn", [(0, 18, "ORG"), (14, 18, "LOC")]), ENGLISH))
    assert not recipe.head.flat
    assert "# entities overlap in 1 of 2 examples" in text


@pytest.mark.parametrize("count", [1, 8, 49, 50, 57, 64, 71])
def test_the_share_for_dev_leaves_examples_on_both_sides(write: Write, count: int) -> None:
    documents = [(f"{ENGLISH[0]} {number}", ENGLISH[1] if number % 3 == 0 else []) for number in range(count)]
    text, recipe = proposed(write("a.jsonl", *documents), "tiny")
    assert recipe.data is not None
    train, dev, _ = splits(recipe.data)
    if dev is None:
        assert count < 50
        assert "  dev: null " in text
        assert "steps; without dev data, the last model is kept" in text
    else:
        for split in (train, dev):
            assert any(document.entities for document in split)
        assert "steps; the best model on dev is kept" in text
        selected = len(list(dev))
        assert f"# {selected} of {count} examples" in text
        assert abs(selected - count / 10) <= 2


def test_a_proposal_for_few_examples_passes_the_check(write: Write) -> None:
    for count in (1, 3, 4, 8, 12):
        proposed(write("a.jsonl", *[(f"{ENGLISH[0]} {number}", ENGLISH[1]) for number in range(count)]), "tiny")
        assert [finding for finding in check(load_recipe("proposed.yaml")) if finding.kind == "error"] == []


def test_large_data_keep_a_tenth(write: Write) -> None:
    text, recipe = proposed(write("a.jsonl", *[(f"{ENGLISH[0]} {number}", ENGLISH[1]) for number in range(500)]))
    assert recipe.data is not None
    assert recipe.data.dev == 0.1


def test_a_name_is_free(write: Write) -> None:
    Path("runs/news").mkdir(parents=True)
    text, recipe = proposed(write("news.jsonl", ENGLISH))
    assert recipe.name == "news-2"
    assert "# runs/news exists already" in text
    Path("runs/news-2").mkdir()
    assert proposed("news.jsonl")[1].name == "news-3"


@pytest.mark.parametrize(("hidden", "layers", "rate"), [(384, 6, 1e-4), (768, 12, 2e-5), (1024, 24, 1e-5)])
def test_the_rate_follows_from_the_size_of_the_encoder(write: Write, hidden: int, layers: int, rate: float) -> None:
    Path("enc").mkdir()
    config = {"model_type": "bert", "hidden_size": hidden, "num_hidden_layers": layers}
    Path("enc/config.json").write_text(json.dumps(config), encoding="utf-8")
    text, recipe = proposed(write("a.jsonl", ENGLISH), "./enc")
    assert recipe.training.learning_rate == rate
    assert f"# for an encoder of {layers} layers of {hidden}" in text


def test_an_encoder_of_unknown_size_is_assumed_to_be_a_base_one(write: Write) -> None:
    text, recipe = proposed(write("a.jsonl", ENGLISH), "nobody/has-this-encoder")
    assert recipe.training.learning_rate == 2e-5
    assert "# for base-size encoders; small ones need up to 1.0e-4" in text


def test_long_texts_get_windows_for_their_entities_not_for_the_texts(write: Write) -> None:
    contracts = [(f"{number:03}" + "字" * 3000, [(0, 3, "A")]) for number in range(70)]
    _, recipe = proposed(write("a.jsonl", *contracts), "tiny")
    assert (recipe.encoder.max_length, recipe.encoder.stride) == (192, 48)
    assert recipe.training.epochs == 10  # of 1,470 windows, whereas 70 examples would get more
    far = [(text, [(0, 3, "A"), (5, 155, "B")]) for text, _ in contracts]
    _, recipe = proposed(write("b.jsonl", *far), "tiny")
    assert recipe.encoder.max_length == 304
    assert recipe.encoder.stride == 151


def test_one_error_in_a_thousand_is_not_nesting(write: Write) -> None:
    case = ("University of Bonn", [(0, 18, "ORG"), (14, 18, "LOC")])
    text, recipe = proposed(write("a.jsonl", case, *[ENGLISH] * 999))
    assert recipe.head.flat
    assert "# entities overlap in 1 of 1,000 examples" in text


def test_overlap() -> None:
    assert not overlap([Entity(0, 2, "A"), Entity(2, 3, "B")])
    assert not overlap([Entity(0, 2, "A"), Entity(0, 2, "A")])
    assert overlap([Entity(0, 2, "A"), Entity(0, 2, "B")])
    assert overlap([Entity(5, 6, "A"), Entity(0, 9, "A"), Entity(1, 2, "A")])


@pytest.mark.parametrize("label", ["NO", "a: b", "x\ny: 1", "#", "\u2028name: evil", "1e3"])
def test_odd_labels_cannot_break_the_recipe(write: Write, label: str) -> None:
    assert proposed(write("a.jsonl", ("Bonn", [(0, 4, label)])))[1].head.flat


@pytest.mark.parametrize("name", ["a b: c.jsonl", "[x].jsonl", "数据.jsonl", "#1.jsonl", "null", "1e3"])
def test_odd_file_names_come_back(write: Write, name: str) -> None:
    assert proposed(write(name, CHINESE))[1].data.train == name


def test_many_labels_stay_few_lines(write: Write) -> None:
    documents = [("Bonn", [(0, 4, f"label-number-{number}")]) for number in range(600)]
    text = proposed(write("a.jsonl", *documents))[0]
    assert text.count("\n") <= 30
    assert "600 labels:" in text
    assert max(map(len, text.splitlines())) <= 130


def test_data_without_entities(write: Write) -> None:
    with pytest.raises(
        DataError, match=r"(?m)^a\.jsonl: 2 examples without any entities: there is nothing to train on$"
    ):
        propose_recipe(write("a.jsonl", ("x", []), ("y", [])))


def test_stdin_has_to_be_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record = json.dumps({"text": "Bonn", "entities": [{"start": 0, "end": 4, "label": "LOC"}]}).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(record)))
    monkeypatch.chdir(tmp_path)
    text, recipe = proposed("-")
    assert recipe.data.train == "train.jsonl"
    assert "# the data came from stdin: save them, and name the file here" in text


def test_tiny_counts_characters_and_learns_faster(write: Write) -> None:
    text, recipe = proposed(write("a.jsonl", ENGLISH), "tiny")
    assert recipe.encoder.name == "tiny"
    assert "# the longest text has about 36 tokens" in text
    assert recipe.training.learning_rate == 1e-3


def test_hash_cnn_counts_words_and_has_a_rate_of_its_own(write: Write) -> None:
    text, recipe = proposed(write("a.jsonl", ENGLISH), "hash_cnn")
    assert recipe.encoder.name == "hash_cnn"
    assert "# the longest text has about 8 tokens" in text
    assert recipe.training.learning_rate == SCRATCH_RATE
    assert recipe.data.context is None  # each token sees four around it
    assert (recipe.training.batch_size, recipe.training.adversarial) == (2, AdversarialSection())
    assert recipe.training.epochs == 100  # the most: one batch an epoch is far from the fewest steps
    assert "  batch_size: 2                       # few examples and no pretrained weights: many small steps" in text
    _, many = proposed(write("b.jsonl", *[ENGLISH] * 500), "hash_cnn")
    assert (many.training.batch_size, many.training.adversarial) == (16, None)


def test_a_pretrained_encoder_has_many_steps(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    text, some = proposed(write("a.jsonl", *[ENGLISH] * 500), "bert-base-cased")
    assert (some.training.batch_size, some.training.adversarial) == (8, None)
    assert "# more steps than with 16" in text
    monkeypatch.setattr(recipe_proposal, "_MANY", 500)
    text, many = proposed(write("b.jsonl", *[ENGLISH] * 500), "bert-base-cased")
    assert many.training.batch_size == 16
    assert "# usual for short texts" in text


def test_without_a_connection_an_encoder_that_needs_no_download_is_proposed(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.jsonl", ENGLISH)
    proposal = propose_recipe("a.jsonl", offline=True)
    assert (
        "  name: hash_cnn                      # built from scratch, as HF_HUB_OFFLINE is set; else bert-base-cased"
        in proposal
    )
    assert "# `hash_cnn` is trained from scratch" in proposal
    assert ie("init", "a.jsonl").stdout.endswith(proposal)  # the tests set HF_HUB_OFFLINE
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: f"/cache/{name}/{file}")
    assert "  name: bert-base-cased" in propose_recipe("a.jsonl", offline=True)


def test_a_directory_counts_with_its_tokenizer(write: Write, tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    (tmp_path / "enc").mkdir()
    tokenizer.save(str(tmp_path / "enc" / "tokenizer.json"))
    config = {"model_type": "bert", "max_position_embeddings": 64}
    (tmp_path / "enc" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    text, recipe = proposed(write("a.jsonl", ENGLISH), "enc")
    assert Path(recipe.encoder.name) == Path("enc")
    assert recipe.encoder.max_length == 64
    assert "# the longest text has about 8 tokens" in text
    assert "# the longest entity has about 2 tokens" in text


def test_entities_that_no_window_covers_are_counted(write: Write) -> None:
    text, _ = proposed(write("a.jsonl", ("字" * 900, [(0, 600, "A"), (700, 702, "B")]), CHINESE))
    assert "# the longest entity has about 600 tokens; 1 longer than the stride may be cut by windows" in text


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("cluener/train.json", "cluener"),
        ("news_train.jsonl.gz", "news"),
        ("my data.jsonl", "my-data"),
        ("hub:org/dataset", "dataset"),
        ("s3://bucket/people.jsonl", "people"),
        ("corpus/data/train.jsonl", "corpus"),
        ("-", "ner"),
    ],
)
def test_names_of_runs(data: str, name: str) -> None:
    assert run_name(data) == name


counts = st.dictionaries(st.integers(1, 4096), st.integers(1, 50), min_size=1, max_size=6).map(Counter)


@given(lengths=counts, mentions=counts, limit=st.integers(32, 512))
def test_windows_advance_and_cover_what_they_say(lengths: Counter[int], mentions: Counter[int], limit: int) -> None:
    longest = max(lengths)
    mentions = Counter({min(length, longest): count for length, count in mentions.items()})
    max_length, stride, uncovered = window(lengths, mentions, limit)
    assert 32 <= max_length <= limit
    plan = WindowPlan.build(max_length=max_length, stride=stride, special_tokens=2)
    assert uncovered <= sum(mentions.values())
    if uncovered == 0 and longest > plan.capacity:
        assert max(mentions) <= stride + 1


def test_the_counts_do_not_grow_with_the_data() -> None:
    documents = (Document("字" * length, [Entity(0, 1, "A")]) for length in range(1, 9000, 3))
    lengths = TokenLengths(len)
    statistics = DatasetStatistics.of(documents, parts=[lengths])
    assert len(lengths.texts) <= 4096
    assert statistics.documents == 3000
