"""A model directory is what was written, or it is not loaded."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file as load_numpy
from safetensors.torch import load_file, save_file
from support.damage import damage
from support.old_versions import FORMAT_2
from support.runner import ie, said
from support.untrained import write_model

from ie_cli.errors import ModelError
from ie_cli.inference import integrity, model_directory
from ie_cli.inference.backends.onnx_weights import first_not_finite, weights
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import fingerprint

FORMS = {"torch": "model.safetensors", "onnx": "model.onnx"}
FILES = ("ie.json", "config.json", "tokenizer.json", "metrics.json", "export.json", *FORMS.values())
"""All but the recipe, whose thresholds and sizes of batches a user may change, and what is for people and other programs."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for torch and one for ONNX Runtime, as this version writes them."""
    directory = tmp_path_factory.mktemp("models")
    write_model(directory / "torch")
    load(directory / "torch").write_scores(directory / "torch", {"dev": {"f1": 0.5}})
    load(FORMAT_2 / "ner" / "onnx").save_pretrained(directory / "onnx")
    return directory


@pytest.fixture(params=FORMS)
def model(request: pytest.FixtureRequest, models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(models / request.param, tmp_path / request.param))


def load(directory: Path) -> Extractor:
    return Extractor.from_pretrained(directory, device="cpu")


def contents(extractor: Extractor) -> tuple[object, ...]:
    """Everything that predictions and reports depend on, besides the numbers of a graph."""
    numbers: list[object] = []
    if hasattr(extractor.backend, "model"):
        numbers += [(name, x.float().numpy().tobytes()) for name, x in extractor.model.state_dict().items()]
        config = extractor.model.encoder.config.to_dict()  # type: ignore[operator,union-attr]
        numbers.append({name: value for name, value in config.items() if name != "_name_or_path"})
    parts = extractor.tasks, extractor.tokenizer.to_str(), extractor.recipe, extractor.pad_id, extractor.scores
    return *parts, numbers


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, phases=[Phase.generate])  # a seed has no smaller one
@given(seed=st.integers(0, 2**32))
def test_no_damage_goes_unseen(form: str, seed: int, models: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = Path(shutil.copytree(models / form, tmp_path_factory.mktemp("damaged") / "model"))
    changed = damage(random.Random(seed), directory, *FILES)
    found, error = None, None
    try:
        found = contents(load(directory))
    except ModelError as raised:
        error = raised
    shutil.rmtree(directory)
    if error is not None:
        assert any(file.name in error.message for file in changed), error.message
        assert error.hint
    else:  # whitespace, or a part that is not read
        assert found == contents(load(models / form))
        assert not {file.name for file in changed} & set(FORMS.values())


def test_zeros_in_the_middle_of_the_weights_are_reported(model: Path) -> None:
    name = FORMS[model.name]
    data = (model / name).read_bytes()
    tensors = dict(weights(model / name)) if name == "model.onnx" else load_numpy(model / name)
    largest = max(tensors.values(), key=lambda tensor: tensor.nbytes).tobytes()
    (model / name).write_bytes(data.replace(largest, bytes(256) + largest[256:]))
    facts = json.loads((model / "ie.json").read_text(encoding="utf-8"))
    del facts["files"]  # fingerprints cover all of a file as small as this
    (model / "ie.json").write_text(json.dumps(facts), encoding="utf-8")
    result = ie("predict", str(FORMAT_2 / "ner" / "texts.json"), "--model", str(model))
    assert result.exit_code == 1
    assert f"{name}: damaged: its checksum is xxh3:" in said(result)
    assert "If you changed it yourself, remove its line from 'checksums' in ie.json." in said(result)


def test_facts_and_scores_that_were_changed_are_reported_and_can_be_kept(model: Path) -> None:
    for name, before, after in (("ie.json", '"person"', '"PERSON"'), ("metrics.json", "0.", "0.9")):
        file = model / name
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(before, after, 1), encoding="utf-8")
        if file.read_text(encoding="utf-8") == text:
            continue
        with pytest.raises(ModelError, match=rf"{name}: damaged: its checksum is xxh3:"):
            load(model)
        facts = json.loads((model / "ie.json").read_text(encoding="utf-8"))
        del facts["checksums"][name]
        (model / "ie.json").write_text(json.dumps(facts), encoding="utf-8")
        load(model)


def test_a_checksum_that_was_damaged_itself_is_reported_with_its_place(model: Path) -> None:
    file = model / "ie.json"
    facts = json.loads(file.read_text(encoding="utf-8"))
    known = facts["checksums"][FORMS[model.name]]
    file.write_text(
        file.read_text(encoding="utf-8").replace(known, known[:-2] + "\ufffd" + known[-1]), encoding="utf-8"
    )
    with pytest.raises(
        ModelError, match=rf"{FORMS[model.name]}: damaged: its checksum is {known}, but ie\.json has xxh3:"
    ):
        load(model)


@pytest.mark.parametrize("value", [["x"], "x", 3])
def test_checksums_of_the_wrong_type_are_reported(value: object, model: Path) -> None:
    facts = json.loads((model / "ie.json").read_text(encoding="utf-8"))
    (model / "ie.json").write_text(json.dumps({**facts, "checksums": value}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"ie\.json: damaged: 'checksums' must map file names to checksums"):
        load(model)


def test_scores_that_are_stored_later_make_no_other_model(model: Path) -> None:
    """A job that was interrupted before is resumed with it."""
    before = fingerprint(model)
    load(model).write_scores(model, {"dev": {"f1": 0.25}})
    load(model)
    assert fingerprint(model) == before
    facts = json.loads((model / "ie.json").read_text(encoding="utf-8"))
    (model / "ie.json").write_text(json.dumps({**facts, "pad_id": 1}), encoding="utf-8")
    assert fingerprint(model) != before


def test_the_fingerprints_of_all_files_are_stored(model: Path) -> None:
    facts = json.loads((model / "ie.json").read_text(encoding="utf-8"))
    fingerprints = integrity.fingerprints(model, load(model).recipe)
    assert facts["files"] == fingerprints
    assert FORMS[model.name] in fingerprints


def test_older_versions_say_that_they_are_too_old(model: Path) -> None:
    """They would otherwise refuse the new fields of the recipe as unknown, and join the tokens of columns in another way."""
    facts = json.loads((model / "ie.json").read_text(encoding="utf-8"))
    assert facts["format_version"] == model_directory.FORMAT_VERSION == 5


def test_a_process_that_ends_between_scores_and_checksum_leaves_a_model(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor, replaced = load(model), integrity.replace_text

    def interrupted(path: Path, text: str) -> None:
        replaced(path, text)
        raise KeyboardInterrupt

    for where in ("ie_cli.inference.integrity.replace_text", "ie_cli.inference.extractor.replace_text"):
        with monkeypatch.context() as patch:
            patch.setattr(where, interrupted)
            with pytest.raises(KeyboardInterrupt):
                extractor.write_scores(model, {"dev": {"f1": 0.25}})
        load(model)
    extractor.write_scores(model, {"dev": {"f1": 0.75}})
    assert load(model).scores == {"dev": {"f1": 0.75}}
    assert "metrics.json" in json.loads((model / "ie.json").read_text(encoding="utf-8"))["checksums"]


def test_scores_are_written_into_a_directory_of_an_earlier_version_as_it_is(tmp_path: Path) -> None:
    model = Path(shutil.copytree(FORMAT_2 / "ner" / "model", tmp_path / "model"))
    before = (model / "ie.json").read_bytes()
    extractor = load(model)
    extractor.write_scores(model, {"dev": {"f1": 0.75}})
    assert (model / "ie.json").read_bytes() == before
    assert load(model).scores == {"dev": {"f1": 0.75}}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_not_finite_is_named(number: float, tmp_path: Path) -> None:
    file = write_model(tmp_path / "model") / "model.safetensors"
    tensors = load_file(file)
    tensors["encoder.layer.1.output.dense.weight"][3, 5] = number
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"encoder\.layer\.1\.output\.dense\.weight contains non-finite numbers"):
        load(tmp_path / "model")


def test_weights_whose_sum_is_too_large_are_finite(tmp_path: Path) -> None:
    from ie_cli.modeling.model import first_not_finite

    module = torch.nn.Linear(2, 2)
    with torch.no_grad():
        module.weight.fill_(3e38)
        assert first_not_finite(module) is None
        module.bias[1] = torch.nan
    assert first_not_finite(module) == "bias"


# Graphs


def graph(directory: Path, *, beside: bool = False) -> Path:
    """A graph with weights of several types, stored in all ways that there are."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    made = [
        numpy_helper.from_array(np.arange(6, dtype=kind).reshape(2, 3), name)
        for name, kind in (("float", "<f4"), ("half", "<f2"), ("double", "<f8"), ("int", "<i8"))
    ]
    made.append(helper.make_tensor("plain", TensorProto.FLOAT, [3], [0.5, 1.5, 2.5]))
    made.append(helper.make_tensor("plain double", TensorProto.DOUBLE, [2], [0.5, 1.5]))
    made.append(numpy_helper.from_array(np.array(-np.inf, dtype="<f4"), "mask"))
    whole = helper.make_graph([], "g", [], [], made)
    model = helper.make_model(whole)
    file = directory / "model.onnx"
    onnx.save(
        model, file, save_as_external_data=beside, location="model.onnx.data", size_threshold=0, convert_attribute=False
    )
    return file


@pytest.fixture(params=[False, True], ids=["inside", "beside"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return graph(tmp_path, beside=request.param)


def floats(file: Path) -> Iterator[tuple[str, list[float]]]:
    """The reference: what the library reads."""
    import onnx
    from onnx import numpy_helper

    for tensor in onnx.load(file).graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind == "f":
            yield tensor.name, array.ravel().tolist()


def test_the_weights_of_a_graph_are_those_that_the_library_reads(file: Path) -> None:
    found = [(name, values.tolist()) for name, values in weights(file)]
    assert found == list(floats(file))
    assert len(found) == 6
    assert first_not_finite(file) is None  # the mask is a constant


def test_the_weights_of_an_exported_model_are_those_that_the_library_reads() -> None:
    pytest.importorskip("onnx")
    file = FORMAT_2 / "ner" / "onnx" / "model.onnx"
    assert [(name, values.tolist()) for name, values in weights(file)] == list(floats(file))


@pytest.mark.parametrize("name", ["float", "half", "double", "plain", "plain double"])
def test_a_weight_of_a_graph_that_is_not_finite_is_named(name: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import numpy_helper

    model = onnx.load(graph(tmp_path))
    [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == name]
    array = numpy_helper.to_array(tensor).copy()
    array.flat[1] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, tmp_path / "model.onnx")
    assert first_not_finite(tmp_path / "model.onnx") == name


def test_a_graph_with_a_weight_that_is_not_finite_is_not_loaded(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import numpy_helper

    directory = Path(shutil.copytree(FORMAT_2 / "ner" / "onnx", tmp_path / "model"))
    model = onnx.load(directory / "model.onnx")
    tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    array = numpy_helper.to_array(tensor).copy()
    array.flat[array.size // 2] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, directory / "model.onnx")
    facts = json.loads((directory / "ie.json").read_text(encoding="utf-8"))
    facts["files"].pop("model.onnx")
    (directory / "ie.json").write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(ModelError) as error:
        load(directory)
    assert f"model.onnx: damaged: {tensor.name} contains non-finite numbers" in error.value.message


@given(st.binary(max_size=60))
@example(b"\x38\x00")  # a number where the graph should be
@example(b"\x3a\x02\x28\x00")  # where an initialiser should be
@example(b"\x3a\x06\x2a\x04\x10\x01\x48\x00")  # where its content should be
def test_what_is_no_graph_is_refused_or_has_no_weights(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("g") / "model.onnx"
    file.write_bytes(data or b"\0")
    with suppress(ValueError):
        assert all(isinstance(name, str) for name, _ in weights(file))
