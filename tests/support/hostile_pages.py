"""The pages that the project writes, made by the commands from hostile texts, labels, ids and file names.

The commands run in the current directory.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from support.corpora import recipe, write_jsonl
from support.html_page import Page
from support.runner import ie
from support.untrained import write_model

from ie_cli.document import Argument, Document, Entity, Event, Relation, Spo

NAME = "Zarq"
"""It is in each hostile string, so that a test knows that the string has arrived."""
HOSTILE = {
    "script": f"{NAME}</title></style></textarea></bdi></p><script>alert(1)</script>",
    "attributes": f"{NAME}\"><img src=x onerror=alert(1)>' onclick='alert(1)' autofocus",
    "declarations": f"{NAME} <!-- <![CDATA[ ]]> --> --!> <?php x ?> &lt; &#0; &amp",
    "markdown": f"{NAME} `` ` | [a](javascript:alert(1)) ![i](x) **b** <b>c</b> {{{{d}}}} \\ #",
    "direction": f"{NAME} a\u202eb\u2066c\u200fd\u061ce\u2028f",
    "controls": f"{NAME}\x00\x07\x1b[2Ja\rb\x0c\x85\x7f",
    "surrogates": f"{NAME} a\ud800b\udfff",
    "length": NAME + "W" * 3000,
}


def page_of_view(hostile: str) -> str:
    return saved("view", write_jsonl(file_of(hostile), records(hostile)), "--html", "out.html")


def page_of_conversion(hostile: str) -> str:
    return saved("convert", write_jsonl(file_of(hostile), records(hostile)), "out.html", "--to", "html")


def page_of_prediction(hostile: str) -> str:
    model = write_model(Path("model"), labels=(label_of(hostile),))
    data = write_jsonl(file_of(hostile), [Document(hostile[:100], id=hostile)])  # an untrained model finds much
    return saved("predict", data, "--model", model, "--format", "html", "-o", "out.html")


def page_of_evaluation(hostile: str) -> str:
    gold, found = both(hostile)
    return saved("eval", "--predictions", found, gold, "--save", "out.html")


def page_of_relations(hostile: str) -> str:
    gold = write_jsonl(file_of(hostile), [relations(hostile)])
    write_jsonl(Path("b.jsonl"), [relations(hostile, NAME)])
    return saved("eval", "--predictions", "b.jsonl", gold, "--save", "out.html")


def page_of_pairs(hostile: str) -> str:
    pairs = [Document(hostile, text_pair=hostile, label=label, id=hostile) for label in (label_of(hostile), NAME)]
    gold = write_jsonl(file_of(hostile), pairs[:1])
    write_jsonl(Path("b.jsonl"), pairs[1:])
    return saved("diff", gold, "b.jsonl", "--save", "out.html")


def page_of_differences(hostile: str) -> str:
    gold, found = both(hostile)
    return saved("diff", gold, found, "--save", "out.html")


def page_of_check(hostile: str) -> str:
    named = hostile.encode("utf-8", "ignore").decode("utf-8")  # other names are an error
    files = [write_jsonl(file_of(named, split), records(hostile)) for split in ("train", "test")]
    page = saved("check", *files, "--save", "out.html", fails=True)
    assert "Errors" in Page(page).shown  # the test data are training data
    return page


def page_of_recipe(hostile: str) -> str:
    """Of `ie check` with recipes, whose files are shown."""
    from ie_cli.recipe.loader import dump_recipe

    data = write_jsonl(Path("train.jsonl"), records(hostile))
    path = file_of(hostile).with_suffix(".yaml")
    path.write_text(dump_recipe(recipe(data, data={"dev": None})), encoding="utf-8")
    return saved("check", path, "--save", "out.html")


PAGES: dict[str, Callable[[str], str]] = {
    "view": page_of_view,
    "convert": page_of_conversion,
    "predict": page_of_prediction,
    "eval": page_of_evaluation,
    "eval relations": page_of_relations,
    "diff": page_of_differences,
    "diff pairs": page_of_pairs,
    "check": page_of_check,
    "check recipe": page_of_recipe,
}


def saved(command: str, *arguments: str | Path, fails: bool = False) -> str:
    """Run a command, and return its page."""
    result = ie(command, *map(str, arguments))
    assert result.exit_code == int(fails), result.stderr
    return Path("out.html").read_bytes().decode("utf-8")


def file_of(hostile: str, name: str = "data") -> Path:
    """Return a file whose name has as much of a string as the system allows."""
    if sys.platform != "linux":
        return Path(f"{name}.jsonl")
    shown = "".join({"/": "\u2215", "\x00": ""}.get(char, char) for char in hostile)
    shown = shown.translate({code: 0xDC00 + code % 128 + 128 for code in range(0xD800, 0xE000)})
    return Path(f"{os.fsdecode(os.fsencode(shown)[:200])} {name}.jsonl")


def label_of(hostile: str) -> str:
    """Return a string as a label, which cannot have lone surrogates."""
    return re.sub("[\ud800-\udfff]", "", hostile)


def records(hostile: str) -> list[Document]:
    """Return records with everything that a document can have."""
    label = label_of(hostile)
    whole, part = Entity(0, len(hostile), label), Entity(0, len(NAME), NAME, 0.5)
    event = Event(label, (0, len(NAME)), (Argument(label, part),))
    first = Document(hostile, [whole, part, Entity(1, 3, label)], [Relation(whole, label, part)], id=hostile)
    other = Document(f"{hostile}.", [Entity(0, len(NAME), label)], id=f"{hostile}2", events=[event])
    return [first, other, Document(f"{hostile}!", id=hostile, spos=[Spo(hostile, label, "none")])]


def relations(hostile: str, name: str | None = None) -> Document:
    label = name or label_of(hostile)
    subject, object_ = Entity(0, len(NAME), label_of(hostile)), Entity(1, 3, label)
    return Document(hostile, [subject, object_], [Relation(subject, label, object_)], id=hostile)


def both(hostile: str) -> tuple[Path, Path]:
    """Return a file and one with another annotation of the same texts."""
    gold = write_jsonl(file_of(hostile), records(hostile)[:2])
    other = [Document(one.text, [Entity(0, 2, label_of(hostile))], id=one.id) for one in records(hostile)[:2]]
    return gold, write_jsonl(file_of(hostile, "other"), other)
