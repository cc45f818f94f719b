from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.corpora import documents, recipe, relation_recipe, write_jsonl
from support.fakes import wordpiece
from transformers import BertConfig, BertModel

from ie_cli.doctor.data_checks import check
from ie_cli.document import Document, Entity, Relation
from ie_cli.recipe.schema import Recipe

DecodedSpans = Callable[..., list[tuple[str, str]]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, list[Document]], str]:
    def write_one(name: str, data: list[Document]) -> str:
        return str(write_jsonl(tmp_path / name, data))

    return write_one


def found(made: Recipe) -> list[tuple[str, str]]:
    return [(finding.kind, finding.text) for finding in check(made)]


def person(text: str, start: int, end: int) -> Document:
    return Document(text, [Entity(start, end, "person")])


def test_good_data_give_notes_alone(write: Callable[[str, list[Document]], str]) -> None:
    data = [Document(f"{n}号王伟", [Entity(-2 + len(f"{n}号王伟"), len(f"{n}号王伟"), "person")]) for n in range(70)]
    train, dev = write("train.jsonl", data[:20]), write("dev.jsonl", data[20:])
    assert found(recipe(Path(train), data={"dev": dev})) == [
        ("note", "train: 20 examples (0 without an entity), 20 entities: person 20"),
        ("note", "dev: 50 examples (0 without an entity), 50 entities: person 50"),
    ]


def test_few_dev_data_are_a_warning(write: Callable[[str, list[Document]], str]) -> None:
    data = [person(f"王伟来了{n}", 0, 2) for n in range(40)]
    train, dev = write("train.jsonl", data[:22]), write("dev.jsonl", data[22:])
    assert (
        "warning",
        "dev: 18 examples with 18 entities are few: a single entity changes the recall by 5.6%, so that the best epoch and the "
        "thresholds are chosen largely by chance",
    ) in found(recipe(Path(train), data={"dev": dev}))
    assert not any("by chance" in text for _, text in found(recipe(Path(dev), data={"dev": None})))


def test_bad_lines_are_all_listed_with_their_places(
    write: Callable[[str, list[Document]], str], tmp_path: Path
) -> None:
    train = Path(write("train.jsonl", documents()))
    with train.open("a") as file:
        file.write('nonsense\n{"text": "a", "entities": [{"start": 0, "end": 9, "label": "x"}]}\n')
    [error] = [text for kind, text in found(recipe(train, data={"dev": None})) if kind == "error"]
    assert error.startswith("train: 2 records cannot be read:\n")
    assert f"{train}:21: not valid JSON" in error
    assert f"{train}:22: entity 'x' covers characters 0-9, but the text has 1" in error
    with train.open("a") as file:
        file.write("nonsense\n" * 100)
    [error] = [text for kind, text in found(recipe(train, data={"dev": None})) if kind == "error"]
    assert error.endswith("… and 82 more")


def test_overlap_duplicates_contradictions_and_labels(write: Callable[[str, list[Document]], str]) -> None:
    train = write(
        "train.jsonl",
        [
            person("王伟在", 0, 2),
            person("王伟在", 0, 2),
            person("李娜在", 0, 2),
            Document("李娜在"),
            Document("李娜在"),
            Document("云州", [Entity(0, 2, "place"), Entity(0, 2, "place")]),
            Document(" "),
        ],
    )
    dev = write("dev.jsonl", [person("王伟在", 0, 2), Document("东湖", [Entity(0, 2, "river")])])
    findings = found(recipe(Path(train), data={"dev": dev}))
    text = "\n".join(f"{kind}: {text}" for kind, text in findings)
    assert "note: train: 7 examples (3 without an entity), 4 entities: person 3, place 1" in text
    assert "warning: train: 1 text occurs again with different annotations:\n" in text  # in two records
    assert f"{train}:4: '李娜在'" in text
    assert "warning: train: 3 of 7 texts are duplicates" in text
    assert "note: train: 1 duplicate entity within a text" in text
    assert "note: train: 1 empty text" in text
    assert "warning: train contains 1 of 2 texts of dev" in text
    assert "warning: labels of dev that train does not contain and no model can predict: river" in text
    assert "warning: labels with fewer than 5 examples in train: person, place" in text


def test_duplicate_relations_are_counted(write: Callable[[str, list[Document]], str]) -> None:
    ann, bob = Entity(0, 3, "person"), Entity(8, 11, "person")
    some = [Relation(ann, "met", bob), Relation(ann, "met", bob), Relation(bob, "met", ann)]
    train = write("train.jsonl", [Document("Ann met Bob", [ann, bob], some)])
    texts = [text for _, text in found(relation_recipe(Path(train)))]
    assert "train: 1 duplicate relation within a text; each relation counts once" in texts


def test_dev_that_is_train_is_an_error(write: Callable[[str, list[Document]], str]) -> None:
    train = Path(write("train.jsonl", [person("王伟在", 0, 2)]))
    text = (
        "train contains 1 of 1 text of dev: scores on dev will be too high; set data.dev: 0.1 to split texts off train"
    )
    assert ("error", text) in found(recipe(train))


@pytest.mark.parametrize("head", ["crf", "softmax"])
def test_nested_data_for_tags_are_reported_as_unreachable(
    head: str, write: Callable[[str, list[Document]], str]
) -> None:
    train = Path(write("train.jsonl", documents()))
    findings = found(recipe(train, data={"dev": None}, head={"name": head}))
    text = "\n".join(text for _, text in findings)
    assert (
        "train: 18 of 54 entities (33.33%) can never be predicted: 18 overlap with another entity, which tags" in text
    )
    assert "head.name: efficient_global_pointer expresses overlaps" in text
    assert "head.flat" not in text  # no value of it would help


def test_flat_output_of_nested_data_and_unlisted_labels(write: Callable[[str, list[Document]], str]) -> None:
    train = Path(write("train.jsonl", documents()))
    findings = found(recipe(train, data={"dev": None, "labels": ["person", "place"]}, head={"flat": True}))
    assert any("entities overlap in 18 texts, but head.flat" in text for _, text in findings)
    assert ("error", "labels of train that data.labels does not list: school") in findings
    assert findings[-1][1].startswith("no dev data: nothing is evaluated")


def test_inclusive_ends_are_suspected(write: Callable[[str, list[Document]], str]) -> None:
    data = [person(f"Anna met Bob {n}", 0, 3) for n in range(5)] + [person("Anna came", 0, 4)]
    findings = found(recipe(Path(write("train.jsonl", data)), data={"dev": None}))
    assert any(
        text.startswith("train: 5 of 6 entities end inside a word: check that end offsets are exclusive")
        for _, text in findings
    )
    codes = [person(f"code E104{n}, please", 5, 9) for n in range(5)] + [person("Anna came", 0, 4)]
    findings = found(recipe(Path(write("codes.jsonl", codes)), data={"dev": None}))
    assert any(text.startswith("train: 5 of 6 entities end inside a word") for _, text in findings)
    amounts = [person(f"{n}5mg a day", 0, 2) for n in range(1, 6)]
    findings = found(recipe(Path(write("amounts.jsonl", amounts)), data={"dev": None}))
    assert not any("inside a word" in text for _, text in findings)
    chinese = [person(f"王伟来了{n}", 0, 1) for n in range(5)]
    findings = found(recipe(Path(write("zh.jsonl", chinese)), data={"dev": None}))
    assert not any("inside a word" in text for _, text in findings)


@pytest.mark.parametrize("trim", [False, True])
def test_no_remedy_hides_shifted_offsets(write: Callable[[str, list[Document]], str], trim: bool) -> None:
    """Trimming makes spans such as 'nna ' reachable, and the model would learn 'nna'."""
    data = [person(f"Anna came {n}", 1, 5) for n in range(20)]
    train = Path(write("train.jsonl", data))
    findings = found(recipe(train, data={"dev": None, "trim": trim}))
    [shifted] = [text for kind, text in findings if kind == "warning" and "check that offsets count from 0" in text]
    assert ("data.trim has moved some of them already" in shifted) == trim
    lost = [text for _, text in findings if "can never be predicted" in text]
    if not trim:
        assert "whitespace or control character at the boundary: correct the offsets first, see above" in lost[0]
    assert "data.trim: true" not in "\n".join(text for _, text in findings)


def test_what_a_shared_file_reports_is_reported_once(write: Callable[[str, list[Document]], str]) -> None:
    train = Path(write("train.jsonl", [person(f"Anna came {n}", 0, 4) for n in range(40)]))
    texts = [text for _, text in found(recipe(train, data={"dev": 0.3, "rename": {"person": "name"}}))]
    assert any(text.startswith("dev: ") for text in texts)
    assert [text for text in texts if "renamed labels" in text] == [
        f"{train}: renamed labels and predicates: person to name 40"
    ]


def test_a_share_that_selects_nothing_is_reported(write: Callable[[str, list[Document]], str]) -> None:
    train = Path(write("train.jsonl", [person("王伟在", 0, 2)]))
    findings = found(recipe(train, data={"dev": 0.001}))
    assert ("error", "dev: no examples (data.dev is a share that selected none)") in findings


def test_no_entity_at_all_is_an_error(write: Callable[[str, list[Document]], str]) -> None:
    train = Path(write("train.jsonl", [Document("王伟")]))
    assert ("error", "train: no entities; check that data.format is right") in found(recipe(train, data={"dev": None}))


def test_what_cannot_be_reached_is_shown_with_the_remedy(
    write: Callable[[str, list[Document]], str], tmp_path: Path
) -> None:
    directory = tmp_path / "encoder"
    config = BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(directory)
    wordpiece().save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    # 'The' is one token of this vocabulary; the long entity fits no window of six tokens that share two.
    data = [Document("The quick", [Entity(1, 3, "part")]), person("The quick brown fox jumps over the lazy dog", 0, 43)]
    train = Path(write("train.jsonl", data))
    encoder = {"name": str(directory), "max_length": 8, "stride": 2}
    findings = "\n".join(text for _, text in found(recipe(train, data={"dev": None}, encoder=encoder)))
    assert "train: 2 of 2 entities (100.00%) can never be predicted: " in findings
    assert "boundary inside a token: encoder.tokenization: char makes every boundary reachable" in findings
    assert f"{train}:1: part 'he' in 'The quic'" in findings
    assert "longer than a window holds: raise encoder.stride (now 2) or encoder.max_length (now 8)" in findings
    assert "longer than a window (the longest has" in findings
    encoder["tokenization"] = "char"
    encoder["max_length"] = 64
    findings = "\n".join(text for _, text in found(recipe(train, data={"dev": None}, encoder=encoder)))
    assert "never be predicted" not in findings


def test_the_remedy_for_words_is_a_vocabulary_of_characters(write: Callable[[str, list[Document]], str]) -> None:
    train = Path(write("train.jsonl", [Document("The quick", [Entity(1, 3, "part")])]))
    encoder = {"name": "tiny", "vocabulary": "words"}
    findings = "\n".join(text for _, text in found(recipe(train, data={"dev": None}, encoder=encoder)))
    assert "boundary inside a token: encoder.vocabulary: characters makes every boundary reachable" in findings
    encoder["vocabulary"] = "characters"
    findings = "\n".join(text for _, text in found(recipe(train, data={"dev": None}, encoder=encoder)))
    assert "never be predicted" not in findings


def test_a_split_of_much_longer_texts_is_reported(write: Callable[[str, list[Document]], str]) -> None:
    short = [person(f"{n:02}王伟", 2, 4) for n in range(99)]
    long = [person("王伟" + "长" * n, 0, 2) for n in range(7, 10)]
    train = Path(write("train.jsonl", [*short, person("王伟读", 0, 2)]))
    texts = {}
    for count in (1, 3):
        dev = write("dev.jsonl", [person(f"李{n:02}", 0, 1) for n in range(21)] + long[:count])
        texts[count] = [text for _, text in found(recipe(train, data={"dev": dev})) if "much longer" in text]
    assert texts[1] == []  # one of 22 texts
    [text] = texts[3]
    assert text.startswith(
        "3 of 24 texts of dev have more than 8 tokens, but 99 % of the texts of train have at most 4:"
    )
