"""Exported models: the same factors and annotation, no torch, and no export that loses too much."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
import torch
from support import runner
from support.corpora import documents, recipe, relation_documents, relation_recipe, write_jsonl
from support.graphs import assert_alike, inputs, write_once
from support.heads import WINDOW_HEADS, built, codec_of_head
from transformers import BertConfig, BertModel

import ie_cli.export.onnx
from ie_cli import Document, Entity
from ie_cli.codecs.base import Codec
from ie_cli.errors import DataError, ModelError
from ie_cli.export.onnx import export_onnx
from ie_cli.inference.backends.onnx import OnnxBackend
from ie_cli.inference.backends.torch import TorchBackend
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import ONNX, QUERIES
from ie_cli.inference.publishing import model_files
from ie_cli.modeling.model import ExtractionModel
from ie_cli.recipe.heads import HEADS
from ie_cli.training.run import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained")
    data = write_jsonl(directory / "train.jsonl", documents())
    list(train(recipe(data, data={"dev": str(data)}, training={"epochs": 30}), directory / "run"))
    return directory / "run" / "model"


@pytest.fixture(scope="module")
def graphs() -> dict[str, dict[str, bytes]]:
    """Of each exported model the graphs."""
    return {}


@pytest.fixture
def same_graphs(graphs: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the graph of a model that was exported before as it was written then."""
    monkeypatch.setattr(ie_cli.export.onnx, "_write_graph", write_once(ie_cli.export.onnx._write_graph, graphs))


@pytest.fixture(scope="module")
def exported(trained: Path, graphs: dict[str, dict[str, bytes]]) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ie_cli.export.onnx, "_write_graph", write_once(ie_cli.export.onnx._write_graph, graphs))
        export_onnx(load(trained), trained.parent / "onnx", documents())
    return trained.parent / "onnx"


def load(path: Path) -> Extractor:
    precision = "auto" if (path / ONNX).is_file() else "float32"
    return Extractor.from_pretrained(path, device="cpu", precision=precision)  # type: ignore[arg-type]


OTHERS = {
    "without positions": ("efficient_global_pointer", {"rope": False}),
    "efficient links": ("gplinker", {"entity_scorer": "efficient_global_pointer"}),
}
"""Variants beside the default options of the heads."""


def untrained(heads: Mapping[str, torch.nn.Module]) -> ExtractionModel:
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64}
    encoder = BertModel(BertConfig(vocab_size=100, num_hidden_layers=1, **sizes), add_pooling_layer=False)
    return ExtractionModel(encoder, heads).eval()


def one_of_each_head() -> tuple[dict[str, torch.nn.Module], dict[str, Codec]]:
    """Return the heads and their variants by task, with other weights than those they start with, and their codecs."""
    heads: dict[str, torch.nn.Module] = {}
    codecs: dict[str, Codec] = {}
    for name, (head, fields) in {
        **{name: (name, {}) for name in [*WINDOW_HEADS, "infersent"]},
        **OTHERS,
        "again": ("casrel", {}),
    }.items():
        sized = "head_size" in HEADS[head].section.model_fields
        options: dict[str, Any] = {**fields, "head_size": 16} if sized else fields
        heads[name], codecs[name] = built(head, hidden_size=32, **options), codec_of_head(head, **options)
        with torch.no_grad():
            for parameter in heads[name].parameters():  # or those that start at 0 would be equal anyway
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return heads, codecs


@pytest.mark.slow
def test_a_graph_gives_the_outputs_of_all_its_heads(tmp_path: Path) -> None:
    """All heads are in one graph, because the exporter takes about ten seconds for a graph of any size."""
    heads, codecs = one_of_each_head()
    model = untrained(heads)
    ie_cli.export.onnx._write_graph(model, tmp_path / ONNX)
    assert model.encoder.config._attn_implementation == "sdpa"
    before, after = TorchBackend(model, "float32"), OnnxBackend(tmp_path / ONNX, codecs)
    for ids, mask in inputs():
        old, new = before.run(ids, mask), after.run(ids, mask)
        assert old.keys() == new.keys() == codecs.keys()
        for task, codec in codecs.items():
            assert_alike(old[task], new[task], codec, heads[task], ids.shape)
    with pytest.raises(ModelError, match="not a graph written by `ie export`"):  # matrices are named with their task
        OnnxBackend(tmp_path / ONNX, {"crf": codecs["crf"]})
    with pytest.raises(ModelError, match="the graph has the label counts"):
        OnnxBackend(tmp_path / ONNX, codecs | {"more": codecs["crf"]})


def test_the_export_annotates_as_the_model(trained: Path, exported: Path) -> None:
    texts = [document.text for document in documents()] + ["", "x", "一" * 700]
    for old, new in zip(load(trained).extract(texts), load(exported).extract(texts), strict=True):
        assert [(e.start, e.end, e.label) for e in old.entities] == [(e.start, e.end, e.label) for e in new.entities]
        assert [e.score for e in old.entities] == pytest.approx([e.score for e in new.entities], abs=1e-4)
    assert any(document.entities for document in load(exported).extract(texts))


def test_the_directory_records_the_loss(trained: Path, exported: Path) -> None:
    names = {path.name for path in exported.iterdir()}
    assert names == {
        "README.md", "export.json", "ie.json", "metrics.json", "model.onnx", "recipe.yaml", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    facts = json.loads((exported / "export.json").read_text())
    assert facts["precision"] == "float32"
    assert facts["parity"]["f1_before"] == facts["parity"]["f1_after"] > 0.9
    assert 0 < facts["parity"]["mean"] <= facts["parity"]["largest"] < 1e-3
    assert facts["parity"]["windows"] == sum(bool(document.text.strip()) for document in documents())
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert card.startswith((trained / "README.md").read_text(encoding="utf-8"))
    assert "## Scores on dev" in card
    assert "ONNX graph in float32" in card


@pytest.mark.usefixtures("same_graphs")
def test_int8_is_smaller_and_its_difference_is_stated(trained: Path, exported: Path, tmp_path: Path) -> None:
    parity = export_onnx(load(trained), tmp_path / "int8", documents(), int8=True, max_loss=0.1)
    assert (tmp_path / "int8" / ONNX).stat().st_size < 0.6 * (exported / ONNX).stat().st_size
    assert parity.largest > 1e-3
    assert parity.f1_after > 0.8
    assert json.loads((tmp_path / "int8" / "export.json").read_text())["precision"] == "int8"


@pytest.mark.usefixtures("same_graphs")
def test_an_export_that_loses_too_much_is_an_error(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(file: Path) -> None:
        import onnx

        model = onnx.load(file)
        for tensor in model.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.ndim == 2 and values.dtype == np.float32:
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(values), tensor.name))
        onnx.save(model, file)

    monkeypatch.setattr(ie_cli.export.onnx, "_quantise", spoil)
    with pytest.raises(ModelError, match=r"loses [01]\.\d+ of F1 .* more than 0\.005") as error:
        export_onnx(load(trained), tmp_path / "bad", documents(), int8=True)
    assert "--max-loss" in str(error.value.hint)
    assert not list(tmp_path.iterdir())
    parity = export_onnx(load(trained), tmp_path / "bad", documents(), int8=True, force=True)
    assert parity.loss > 0.5
    assert (tmp_path / "bad" / ONNX).is_file()


def test_data_without_annotation_are_an_error(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no annotation to compare on"):
        export_onnx(load(trained), tmp_path / "out", [Document("林子涵")])
    assert not list(tmp_path.iterdir())


def test_invalid_arguments_are_reported_before_anything_is_done(
    trained: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ie_cli.export.onnx, "_write_graph", lambda *_: pytest.fail("too late"))
    model = load(trained)
    with pytest.raises(ModelError, match="contains a trained model, which an export does not replace"):
        export_onnx(model, trained, documents())
    with pytest.raises(ModelError, match="is inside a model directory"):
        export_onnx(model, trained / "onnx", documents())
    (tmp_path / "other.txt").touch()
    with pytest.raises(ModelError, match="is not a model directory"):
        export_onnx(model, tmp_path, documents())
    with pytest.raises(ModelError, match="no torch module"):
        export_onnx(load(exported), tmp_path / "again", documents())
    model.model.encoder.to(torch.bfloat16)
    with pytest.raises(ModelError, match="in float32 on the CPU"):
        export_onnx(model, tmp_path / "half", documents())
    assert (trained / "model.safetensors").is_file()


@pytest.mark.usefixtures("same_graphs")
def test_a_model_that_predicts_nothing_correctly_is_not_compared(trained: Path, tmp_path: Path) -> None:
    foreign = [Document("林子涵", [Entity(0, 3, "of another scheme")])]
    with pytest.raises(DataError, match="predicts nothing correctly in the data"):
        export_onnx(load(trained), tmp_path / "out", foreign)
    assert not list(tmp_path.iterdir())


def test_a_graph_with_other_labels_is_an_error(exported: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(exported, tmp_path / "model"))
    facts = json.loads((directory / "ie.json").read_text())
    del facts["tasks"]["ner"]["labels"][-1]
    (directory / "ie.json").write_text(json.dumps(facts))
    with pytest.raises(
        ModelError, match=r"the graph has the label counts .*'entities': 3.* but ie\.json has .*'entities': 2"
    ):
        load(directory)


def test_external_weights_are_copied_with_the_graph(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exporter writes the weights of a model above 1.5 GiB to a separate file."""
    from torch.onnx._internal.exporter import _onnx_program

    monkeypatch.setattr(_onnx_program, "_LARGE_MODEL_THRESHOLD", 1000)
    export_onnx(load(trained), tmp_path / "large", documents())
    assert (tmp_path / "large" / "model.onnx.data").is_file()
    assert any(document.entities for document in load(tmp_path / "large").extract([e.text for e in documents()]))


def ie(*words: str, block: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run the command in a separate process in which the packages `block` cannot be imported."""
    code = (
        f"import sys\nfor name in {list(block)!r}: sys.modules[name] = None\nsys.argv = ['ie', *{list(words)!r}]\n"
        "from ie_cli.cli import main\nmain()"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


HEAVY = ("torch", "transformers", "datasets", "accelerate", "safetensors", "seqeval", "pyarrow", "pandas", "onnx")


def test_prediction_and_evaluation_need_no_torch(trained: Path, exported: Path, tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "dev.jsonl", documents())
    with_torch = runner.ie("predict", str(data), "--model", str(trained), "--precision", "float32")
    without = ie("predict", str(data), "--model", str(exported), block=HEAVY)
    assert without.returncode == 0, without.stderr
    lines = [[json.loads(line) for line in run.stdout.splitlines()] for run in (with_torch, without)]
    spans = [[[(e["start"], e["end"], e["label"]) for e in r["entities"]] for r in records] for records in lines]
    assert spans[0] == spans[1]
    assert any(spans[0])
    scores = ie("eval", str(exported), str(data), "--json", block=HEAVY)
    assert scores.returncode == 0, scores.stderr
    assert json.loads(scores.stdout)["f1"] > 0.9


def test_operations_that_need_torch_report_it(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("林子涵")
    predict = ["predict", str(tmp_path / "one.txt"), "--text", "--model", str(trained)]
    for words, needed in ((predict, "torch"), (["train", "quickstart"], "accelerate")):
        run = ie(*words, block=HEAVY)
        assert run.returncode == 1
        assert needed in run.stderr
        assert "not installed" in run.stderr
        assert "pip install" in run.stderr
        assert "Traceback" not in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "directory", "message"),
    [("onnx", "trained", r"contains no model\.onnx"), ("torch", "exported", "without weights for torch")],
)
def test_a_backend_needs_its_files(backend: str, directory: str, message: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(ModelError, match=message):
        Extractor.from_pretrained(request.getfixturevalue(directory), backend=backend)  # type: ignore[arg-type]


def test_damage_is_reported(exported: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(exported, tmp_path / "model"))
    with pytest.raises(ModelError, match="precision it was exported in"):
        Extractor.from_pretrained(directory, precision="bfloat16")
    with pytest.raises(ModelError, match="no torch module"):
        _ = load(directory).model
    (directory / ONNX).write_bytes((exported / ONNX).read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"model\.onnx: damaged"):
        load(directory)
    (directory / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json missing"):
        load(directory)


def test_a_foreign_graph_is_refused(exported: Path, tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    directory = Path(shutil.copytree(exported, tmp_path / "model"))
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "other", [value], [result])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), directory / ONNX)
    with pytest.raises(ModelError, match="not a graph written by `ie export`: it has the inputs x and the outputs y"):
        load(directory)


def test_an_exported_model_is_saved_and_loaded_again(exported: Path, tmp_path: Path) -> None:
    load(exported).save_pretrained(tmp_path / "copy")
    texts = [document.text for document in documents()]
    assert list(load(tmp_path / "copy").extract(texts)) == list(load(exported).extract(texts))


@pytest.mark.usefixtures("same_graphs")
def test_the_command(trained: Path, tmp_path: Path) -> None:
    run = runner.ie("export", str(trained), str(tmp_path / "out"), "--onnx", "--int8", "--max-loss", "0.2", "--yes")
    assert run.exit_code == 0, run.stderr
    assert run.stdout == ""
    assert "F1 " in run.stderr
    assert f"ie predict FILE --model {tmp_path / 'out'}" in run.stderr.replace("\n", " ")
    data = write_jsonl(tmp_path / "plain.jsonl", [Document("林子涵")])
    run = runner.ie("export", str(trained), str(tmp_path / "out2"), "--data", str(data))
    assert run.exit_code == 1
    assert "no annotation" in run.stderr
    run = runner.ie("export", "nobody/nothing", "--int8")
    assert run.exit_code == 1
    assert "nobody/nothing: no such directory" in run.stderr
    run = runner.ie("export", str(trained), str(tmp_path / "out2"), "--data", str(tmp_path / "none.jsonl"))
    assert run.exit_code == 1
    assert "no such file" in run.stderr
    assert not (tmp_path / "out2").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("same_graphs")
def test_both_passes_are_exported_and_stored(tmp_path: Path, graphs: dict[str, dict[str, bytes]]) -> None:
    data = relation_documents(annotated=False)
    made = relation_recipe(write_jsonl(tmp_path / "t.jsonl", data), head={"name": "casrel"}, training={"epochs": 30})
    list(train(made, tmp_path / "run"))
    model = load(tmp_path / "run" / "model")
    before = set(graphs)
    parity = export_onnx(model, tmp_path / "onnx", data, int8=True, max_loss=0.1)
    [written] = graphs.keys() - before
    assert_the_graphs_of_one_task_give_the_outputs_of_its_head(model, graphs[written], tmp_path / "float32")
    assert parity.f1_before == 1
    assert 1e-3 < parity.largest < np.inf
    exported = load(tmp_path / "onnx")
    assert any(document.relations for document in exported.extract([document.text for document in data]))
    operators = [{node.op_type for node in onnx.load(tmp_path / "onnx" / name).graph.node} for name in (ONNX, QUERIES)]
    assert ["MatMulInteger" in found for found in operators] == [True, False]  # the head stays float32
    assert QUERIES in json.loads((tmp_path / "onnx" / "ie.json").read_text(encoding="utf-8"))["checksums"]
    assert QUERIES in model_files(tmp_path / "onnx")
    whole = (tmp_path / "onnx" / QUERIES).read_bytes()
    (tmp_path / "onnx" / QUERIES).write_bytes(whole[:-100] + bytes(100))
    with pytest.raises(ModelError, match=QUERIES):
        load(tmp_path / "onnx")
    (tmp_path / "onnx" / QUERIES).unlink()
    with pytest.raises(ModelError, match="the graph has the label counts") as error:
        load(tmp_path / "onnx")
    assert "copy the complete model directory" in str(error.value.hint)


def assert_the_graphs_of_one_task_give_the_outputs_of_its_head(
    model: Extractor, graphs: Mapping[str, bytes], directory: Path
) -> None:
    """Compare the graphs in float32, before they are quantised; the names in both have no prefix."""
    directory.mkdir()
    for name, content in graphs.items():
        (directory / name).write_bytes(content)
    [(task, codec)] = model.codecs().items()
    assert graphs.keys() == {ONNX, QUERIES}
    before, after = TorchBackend(model.model, "float32"), OnnxBackend(directory / ONNX, {task: codec})
    for ids, mask in inputs(model.tokenizer.get_vocab_size()):
        head = cast(torch.nn.Module, model.model.head(task))
        old, new = before.run(ids, mask)[task], after.run(ids, mask)[task]
        assert_alike(old, new, codec, head, ids.shape, relative=2e-6)  # trained scores reach 50
