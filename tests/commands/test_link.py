from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.pairs import pair_recipe, write_pair_model
from support.runner import ie, said
from support.untrained import write_model

from ie_cli.inference import chunks
from ie_cli.inference import resumable_output as jobs
from ie_cli.recipe.schema import Recipe

TEXT = "red house and blue river, greener trees"
NAMES = [
    {"id": "Q1", "name": "red house", "aliases": ["house", "the red house"]},
    {"id": "Q2", "name": "blue river", "label": "river"},
    {"id": "Q3", "name": "house"},
    {"id": 4, "name": "tree"},
]


def entity(start: int, end: int, label: str, text: str = TEXT) -> dict[str, Any]:
    return {"start": start, "end": end, "label": label, "text": text[start:end], "score": 0.75}


RECORDS: list[dict[str, Any]] = [
    {
        "id": 7,
        "text": TEXT,
        "entities": [entity(0, 9, "place"), entity(14, 24, "river"), entity(26, 39, "plant")],
        "relations": [{"subject": entity(0, 9, "place"), "predicate": "near", "object": entity(4, 9, "place")}],
        "source": {"page": 3},
    },
    {"text": "nothing", "entities": []},
    {"error": "no field 'text'", "line": "{}"},
]


def write(path: str, lines: list[Any]) -> str:
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def links(output: str) -> list[Any]:
    """The links of the entities of all records, and of those in relations."""
    records = [json.loads(line) for line in output.splitlines()]
    return [one["link"] for record in records for one in record.get("entities", [])]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("models")
    crossing = Recipe.model_validate(
        {**pair_recipe().model_dump(exclude_unset=True), "head": {"name": "cross_encoder"}}
    )
    return {
        "bi": str(write_pair_model(directory / "bi", decision=(0.5,))),
        "never": str(write_pair_model(directory / "never", decision=(3e38 * 2,))),
        "undecided": str(write_pair_model(directory / "undecided")),
        "cross": str(write_pair_model(directory / "cross", crossing)),
        "ner": str(write_model(directory / "ner")),
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: dict[str, str]) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IE_MODEL", models["bi"])
    write("predictions.jsonl", RECORDS)
    write("names.jsonl", NAMES)
    return tmp_path


def test_each_entity_has_a_link_and_nothing_is_lost(here: Path) -> None:
    result = ie("link", "predictions.jsonl", "--names", "names.jsonl")
    assert result.exit_code == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    first = found[0]
    assert [one["link"]["id"] for one in first["entities"][:2]] == ["Q1", "Q2"]
    assert first["entities"][0]["link"] == {"id": "Q1", "name": "red house", "score": 1.0}
    similar = first["entities"][2]["link"]
    assert similar["id"] != "Q2"  # a name for another label
    assert 0.5 < similar["score"] < 1
    [relation] = first["relations"]
    assert [relation[role]["link"]["id"] for role in ("subject", "object")] == ["Q1", "Q1"]
    for one in (*first["entities"], relation["subject"], relation["object"]):
        del one["link"]
    assert found == RECORDS
    report = said(result)
    assert "names.jsonl: 4 names, 2 aliases" in report
    assert (
        "1 name or alias belongs to several ids with the same label, of which the first is used: 'house' (Q1, Q3)"
        in report
    )
    assert "a link needs a score above 0.5000" in report
    assert "5 mentions: 4 equal to a name, 1 linked by similarity, 0 without a link" in report
    assert "1 mention linked to the first of several ids that have the same name" in report
    assert "1 error record of `ie predict` written unchanged" in report


def test_predictions_are_read_from_stdin(here: Path) -> None:
    straight = ie("link", "predictions.jsonl", "--names", "names.jsonl", "-o", "out.jsonl")
    assert "3 records written to out.jsonl" in said(straight)
    piped = ie("link", "-", "--names", "names.jsonl", stdin=Path("predictions.jsonl").read_text(encoding="utf-8"))
    assert piped.stdout == Path("out.jsonl").read_text(encoding="utf-8")


def test_a_threshold_leaves_mentions_without_a_link(here: Path, models: dict[str, str]) -> None:
    strict = ie("link", "predictions.jsonl", "--names", "names.jsonl", "--threshold", "0.999")
    assert [link and link["id"] for link in links(strict.stdout)] == ["Q1", "Q2", None]
    assert "needs a score above" not in strict.stderr
    never = ie("link", "predictions.jsonl", "--names", "names.jsonl", "-m", models["never"])
    assert [link and link["id"] for link in links(never.stdout)] == ["Q1", "Q2", None]
    assert "the model decides that no texts are the same" in said(never)
    unequal = ie("link", "predictions.jsonl", "--names", "names.jsonl", "-m", models["never"], "--no-exact")
    assert links(unequal.stdout) == [None] * 3
    every = ie("link", "predictions.jsonl", "--names", "names.jsonl", "-m", models["undecided"], "--quiet")
    assert None not in links(every.stdout)
    assert "does not decide between two classes: each mention is linked to its best name" in said(every)
    assert ie("link", "predictions.jsonl", "--names", "names.jsonl", "--threshold", "nan").exit_code == 2


def test_a_cross_encoder_chooses_among_the_most_similar_names(here: Path, models: dict[str, str]) -> None:
    options = ("link", "predictions.jsonl", "--names", "names.jsonl", "--no-exact", "--quiet")
    alone, first, ranked = (
        ie(*options, *more)
        for more in ((), ("--rerank", models["cross"], "--top-k", "1"), ("--rerank", models["cross"], "--top-k", "4"))
    )
    assert ranked.exit_code == 0, ranked.stderr
    assert [link["id"] for link in links(first.stdout)] == [link["id"] for link in links(alone.stdout)]
    # What the cross-encoder says of each pair of a mention and a form, by `ie predict`.
    forms = [(name["id"], form) for name in NAMES for form in (name["name"], *name.get("aliases", []))]
    write("pairs.jsonl", [{"text": "greener trees", "text_pair": form} for _, form in forms])
    predicted = ie("predict", "pairs.jsonl", "-m", models["cross"], "--quiet")
    scores = [json.loads(line)["score"] for line in predicted.stdout.splitlines()]
    by_id: dict[Any, list[float]] = {}
    for (known, _), score in zip(forms, scores, strict=True):
        by_id.setdefault(known, []).append(score)
    link = links(ranked.stdout)[2]
    assert any(link["score"] == pytest.approx(score, abs=1e-5) for score in by_id[link["id"]])
    assert link["score"] >= max(min(of_one) for known, of_one in by_id.items() if known != "Q2") - 1e-5
    refused = ie(*options, "--rerank", models["bi"])
    assert refused.exit_code == 1
    assert "the model for --rerank has no head that reads both texts of a pair together" in said(refused)


def test_the_models_may_read_the_context(here: Path) -> None:
    plain, wide = (
        links(ie("link", "predictions.jsonl", "--names", "names.jsonl", "--context", context).stdout)
        for context in ("0", "5")
    )
    assert plain[:2] == wide[:2]
    assert plain[2]["score"] != wide[2]["score"]


def test_vectors_of_names_are_read(here: Path, models: dict[str, str]) -> None:
    write("forms.jsonl", [{"text": text} for text in ("red house", "house", "the red house", "tree", "another")])
    assert ie("embed", "forms.jsonl", "-o", "forms.npy").exit_code == 0
    straight = ie("link", "predictions.jsonl", "--names", "names.jsonl", "--no-exact")
    result = ie("link", "predictions.jsonl", "--names", "names.jsonl", "--no-exact", "--vectors", "forms.npy")
    assert "forms.npy: vectors of 4 of 5 names; the others are encoded" in said(result)
    for one, other in zip(links(straight.stdout), links(result.stdout), strict=True):
        assert one["id"] == other["id"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    other_model = ie(
        "link", "predictions.jsonl", "--names", "names.jsonl", "--vectors", "forms.npy", "-m", models["undecided"]
    )
    assert other_model.exit_code == 1
    assert "the vectors were computed by another model" in said(other_model)
    none = ie("link", "predictions.jsonl", "--names", "names.jsonl", "--vectors", "names.jsonl")
    assert none.exit_code == 1
    assert "names.jsonl: contains no vectors" in said(none)


def test_labels_without_names_are_reported(here: Path) -> None:
    write("names.jsonl", [{"id": 1, "name": "blue river", "label": "river"}])
    result = ie("link", "predictions.jsonl", "--names", "names.jsonl")
    assert [link and link["id"] for link in links(result.stdout)] == [None, 1, None]
    assert "mentions without a link because no name has their label: place 3, plant 1" in said(result)


def test_records_without_entities_are_reported(here: Path) -> None:
    write("texts.jsonl", [{"text": TEXT}, {"text": TEXT, "entities": []}])
    result = ie("link", "texts.jsonl", "--names", "names.jsonl")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [{"text": TEXT}, {"text": TEXT, "entities": []}]
    assert "1 record without a field 'entities'" in said(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-", "--names", "-"), "PREDICTIONS and --names are both stdin"),
        (("predictions.jsonl", "--names", "nams.jsonl"), "nams.jsonl: no such file; did you mean 'names.jsonl'?"),
        (
            ("predictions.jsonl", "--names", "names.jsonl", "-o", "names.jsonl"),
            "names.jsonl: this file is also the input",
        ),
        (
            ("predictions.jsonl", "--names", "names.jsonl", "-o", "x.html"),
            "links are written as JSON Lines, and the suffix .html",
        ),
        (("predictions.jsonl", "--names", "names.jsonl", "--resume"), "--resume requires local output files"),
        (("predictions.jsonl", "--names", "predictions.jsonl"), "predictions.jsonl:1: no field 'name'"),
    ],
)
def test_what_cannot_be_linked_is_an_error(here: Path, arguments: tuple[str, ...], message: str) -> None:
    result = ie("link", *arguments)
    assert result.exit_code == 1
    assert message in said(result)


def test_a_model_of_another_task_is_an_error(here: Path, models: dict[str, str]) -> None:
    result = ie("link", "predictions.jsonl", "--names", "names.jsonl", "-m", models["ner"])
    assert result.exit_code == 1
    assert "the model gives a text no vector" in said(result)
    assert "task: match" in said(result)


def test_bad_lines_are_handled_as_in_prediction(here: Path) -> None:
    bad = {"text": "short", "entities": [entity(0, 9, "place")]}
    write("predictions.jsonl", [RECORDS[0], bad, RECORDS[1]])
    stopped = ie("link", "predictions.jsonl", "--names", "names.jsonl")
    assert stopped.exit_code == 1
    assert "predictions.jsonl:2: " in said(stopped)
    kept = ie("link", "predictions.jsonl", "--names", "names.jsonl", "--on-error", "keep")
    assert [json.loads(line).keys() for line in kept.stdout.splitlines()][1] == {"error", "line"}
    rejected = ie("link", "predictions.jsonl", "--names", "names.jsonl", "--rejects", "bad.jsonl")
    assert len(rejected.stdout.splitlines()) == 2
    assert json.loads(Path("bad.jsonl").read_text(encoding="utf-8"))["line"] == json.dumps(bad)


@pytest.fixture
def interrupted(here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job that stopped at its third record; each chunk has one record, and the journal is always due."""
    monkeypatch.setattr(jobs, "COMMIT_SECONDS", 0.0)
    grouped = chunks.grouped
    monkeypatch.setattr(chunks, "grouped", lambda reader, **named: grouped(reader, **named | {"size": 1}))
    straight = ie("link", write("good.jsonl", [*RECORDS, *RECORDS]), "--names", "names.jsonl", "-o", "straight.jsonl")
    assert straight.exit_code == 0, straight.stderr
    Path("cut.jsonl").write_text(
        "".join(Path("good.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:2]) + "{\n", encoding="utf-8"
    )
    stopped = ie("link", "cut.jsonl", "--names", "names.jsonl", "-o", "out.jsonl")
    assert stopped.exit_code == 1
    assert "2 records done; fix the input and continue with --resume" in said(stopped)
    assert not Path("out.jsonl").exists()
    Path("cut.jsonl").write_bytes(Path("good.jsonl").read_bytes())
    return said(straight)


def test_an_interrupted_job_is_resumed(interrupted: str) -> None:
    resumed = ie("link", "cut.jsonl", "--names", "names.jsonl", "-o", "out.jsonl", "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert Path("out.jsonl").read_text(encoding="utf-8") == Path("straight.jsonl").read_text(encoding="utf-8")
    counts = "10 mentions: 8 equal to a name, 2 linked by similarity, 0 without a link"
    assert counts in interrupted
    assert counts in said(resumed)
    again = ie("link", "cut.jsonl", "--names", "names.jsonl", "-o", "out.jsonl", "--resume")
    assert "out.jsonl is already complete" in said(again)


def test_another_job_is_not_resumed(interrupted: str) -> None:
    options = ("link", "cut.jsonl", "--names", "names.jsonl", "-o", "out.jsonl", "--resume")
    assert "--threshold was not given and is now 0.3" in said(ie(*options, "--threshold", "0.3"))
    assert "--context was 0 and is now 2" in said(ie(*options, "--context", "2"))
    assert "--exact was True and is now False" in said(ie(*options, "--no-exact"))
    write("names.jsonl", NAMES[1:])
    assert "the names have changed" in said(ie(*options))
    write("names.jsonl", NAMES)
    changed = {**RECORDS[0], "entities": RECORDS[0]["entities"][:1]}
    write("cut.jsonl", [changed, *RECORDS[1:], *RECORDS])
    assert "the input has changed: its first 2 records differ" in said(ie(*options))


def test_linked_predictions_are_scored_and_converted(here: Path) -> None:
    write("predictions.jsonl", RECORDS[:2])
    write("gold.jsonl", RECORDS[:2])
    assert ie("link", "predictions.jsonl", "--names", "names.jsonl", "-o", "linked.jsonl").exit_code == 0
    scored = ie("eval", "gold.jsonl", "--predictions", "linked.jsonl", "--json")
    assert scored.exit_code == 0, scored.stderr
    converted = ie("convert", "linked.jsonl", "plain.jsonl")
    assert converted.exit_code == 0, converted.stderr
    assert "fields of entities and relations that are not kept: link 5" in said(converted)
    assert ie("predict", "linked.jsonl", "--quiet").exit_code == 0
