"""What is read is data: nothing of it runs, nothing leads out of the directories that a command writes to. See SECURITY.md."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import pickle
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.corpora import documents, recipe, write_jsonl
from support.untrained import write_model
from typer.testing import CliRunner, Result

from ie_cli.cli import app
from ie_cli.document import Document, Entity
from ie_cli.errors import IEError, ModelError, RecipeError
from ie_cli.inference.extractor import Extractor
from ie_cli.modeling.encoder import encoder_config, load_encoder
from ie_cli.recipe.loader import dump_recipe, load_recipe
from ie_cli.recipe.schema import EncoderSection

PACKAGE = Path(__file__).parent.parent / "ie_cli"
CODE = "import pathlib\npathlib.Path({victim!r}).write_text('ran')\n"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("security") / "model")


@pytest.fixture
def model(pristine: Path, tmp_path: Path) -> Path:
    """A model directory without the marks of its files: whoever makes an evil one lets them fit."""
    directory = Path(shutil.copytree(pristine, tmp_path / "work" / "model"))
    facts = json.loads((directory / "ie.json").read_text())
    facts.pop("files", None)
    (directory / "ie.json").write_text(json.dumps(facts))
    return directory


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A file that is there when something ran."""
    return tmp_path / "it-ran"


def ie(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def done(*arguments: str) -> None:
    run = ie(*arguments)
    assert run.exit_code == 0, run.output


def snapshot(directory: Path) -> dict[str, str]:
    """Return every file below a directory with its contents; links are not followed."""
    found = {}
    for root, directories, files in os.walk(directory):
        for name in [*directories, *files]:
            path = Path(root) / name
            if path.is_symlink():
                found[str(path.relative_to(directory))] = f"-> {os.readlink(path)}"
            elif path.is_file():
                found[str(path.relative_to(directory))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


class Bomb:
    """What leaves a file behind where it is unpickled."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> Any:
        return (open, (str(self.trap), "w"))


def pickled(trap: Path) -> bytes:
    return pickle.dumps({"embeddings.weight": Bomb(trap)})


def zipped(trap: Path) -> bytes:
    """The same in torch's own form."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.save({"embeddings.weight": Bomb(trap)}, buffer)
    return buffer.getvalue()


def test_the_bombs_go_off_where_they_are_unpickled(trap: Path) -> None:
    pickle.loads(pickled(trap))["embeddings.weight"].close()
    assert trap.exists()


# --- YAML


@pytest.mark.parametrize(
    "value",
    ["!!python/object/apply:os.system ['touch {trap}']", "!!python/object/new:os.system ['touch {trap}']",
     "!!python/name:os.system", "!!python/module:os", "!!python/object/apply:eval ['1']", "!!map {{}}", "!x y", "!!binary eA=="],
)  # fmt: skip
def test_yaml_tags_are_refused(tmp_path: Path, trap: Path, value: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"name: x\ndata: {{train: {value.format(trap=trap)}}}\nencoder: {{name: tiny}}\n")
    with pytest.raises(RecipeError, match="tag"):
        load_recipe(file)
    assert not trap.exists()


@pytest.mark.parametrize(
    "form", ["[*{0}, *{0}, *{0}, *{0}, *{0}, *{0}, *{0}, *{0}, *{0}]", "{{a: *{0}, b: *{0}, c: *{0}, d: *{0}}}"]
)
def test_yaml_aliases_do_not_explode(tmp_path: Path, form: str) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]", *(f"a{n}: &a{n} {form.format(f'a{n - 1}')}" for n in range(1, 40))]
    (tmp_path / "recipe.yaml").write_text("\n".join(lines))
    began = time.monotonic()
    with pytest.raises(RecipeError, match="more than 20,000 values"):
        load_recipe(tmp_path / "recipe.yaml")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("text", ["&a [*a]", "[" * 5000, "{a: " * 5000, "x: &a {y: *a}"])
def test_yaml_that_holds_itself_or_is_deep_ends(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    began = time.monotonic()
    with pytest.raises(RecipeError):
        load_recipe(tmp_path / "recipe.yaml")
    assert time.monotonic() - began < 5


NAMES = [
    "../../x",
    "a/b",
    "..",
    ".",
    ".hidden",
    "/abs",
    "a\\b",
    "C:x",
    "x\0y",
    "x\n",
    "",
    "-rf",
    "~",
    "$HOME",
    "ünicode",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_run_cannot_be_called_what_leads_out_of_runs(tmp_path: Path, name: str) -> None:
    (tmp_path / "recipe.yaml").write_text(f"name: {json.dumps(name)}\ndata: {{train: x}}\nencoder: {{name: tiny}}\n")
    with pytest.raises(RecipeError, match="name"):
        load_recipe(tmp_path / "recipe.yaml")
    (tmp_path / "recipe.yaml").write_text("name: fine\ndata: {train: x}\nencoder: {name: tiny}\n")
    with pytest.raises(RecipeError, match="name"):
        load_recipe(tmp_path / "recipe.yaml", [f"name={json.dumps(name)}"])


# --- no pickle


def encoder_of(model: Path) -> Path:
    """The encoder of a model directory in a directory of its own, as `transformers` writes it."""
    directory = model.parent / "encoder"
    extractor = Extractor.from_pretrained(model, device="cpu", precision="float32")
    extractor.model.encoder.save_pretrained(directory)  # type: ignore[operator]
    extractor.tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return directory


def read_encoder(directory: Path) -> None:
    load_encoder(EncoderSection(name=str(directory), max_length=32))


@pytest.mark.parametrize("content", [pickled, zipped])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.bin", "model.safetensors", "indexed"])
def test_pickled_weights_of_an_encoder_are_refused(
    model: Path, trap: Path, name: str, content: Callable[[Path], bytes]
) -> None:
    directory = encoder_of(model)
    read_encoder(directory)
    (directory / "model.safetensors").unlink()
    (directory / "training_args.bin").write_bytes(content(trap))
    if name == "indexed":
        weights = {"embeddings.word_embeddings.weight": "part-00001.bin"}
        index = {"metadata": {"total_size": 1}, "weight_map": weights}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))
        name = "part-00001.bin"
    (directory / name).write_bytes(content(trap))
    with pytest.raises(ModelError):
        read_encoder(directory)
    assert not trap.exists()


@pytest.mark.parametrize("content", [pickled, zipped])
@pytest.mark.parametrize(
    "name",
    ["pytorch_model.bin", "model.safetensors", "model.onnx", "tokenizer.json", "ie.json", "config.json", "recipe.yaml"],
)
def test_a_pickle_in_a_model_directory_is_refused(
    model: Path, trap: Path, name: str, content: Callable[[Path], bytes]
) -> None:
    (model / "model.safetensors").unlink()
    (model / name).write_bytes(content(trap))
    with pytest.raises(IEError):
        Extractor.from_pretrained(model)
    assert not trap.exists()


# --- no code of others

AUTO = {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel", "AutoTokenizer": ["evil.EvilTokenizer", None]}


def poison(directory: Path, trap: Path, **config: Any) -> None:
    """Put code beside a model, and name it in its configuration."""
    for name in ("evil.py", "modeling_bert.py", "configuration_bert.py", "__init__.py", "sitecustomize.py"):
        (directory / name).write_text(CODE.format(victim=str(trap)))
    for name in ("config.json", "tokenizer_config.json"):
        fields = json.loads((directory / name).read_text()) if (directory / name).exists() else {}
        (directory / name).write_text(json.dumps({**fields, "auto_map": AUTO, **config}))


@pytest.mark.parametrize("known", [True, False])
def test_code_beside_an_encoder_does_not_run(model: Path, trap: Path, known: bool) -> None:
    directory = encoder_of(model)
    poison(directory, trap, **({} if known else {"model_type": "evil", "architectures": ["EvilModel"]}))
    if known:  # of an architecture of the library's own: that one is built
        read_encoder(directory)
    else:
        with pytest.raises(ModelError):
            read_encoder(directory)
    assert not trap.exists()


@pytest.mark.parametrize("known", [True, False])
def test_code_beside_a_model_does_not_run(model: Path, trap: Path, known: bool) -> None:
    poison(model, trap, **({} if known else {"model_type": "evil"}))
    if known:
        list(Extractor.from_pretrained(model, device="cpu").extract(["王伟"]))
    else:
        with pytest.raises(ModelError):
            Extractor.from_pretrained(model, device="cpu")
    assert not trap.exists()


@pytest.mark.parametrize("field", ["attn_implementation", "_attn_implementation", "experts_implementation"])
@pytest.mark.parametrize("name", ["evil/kernel", "flash_attention_2", "kernels-community/flash-attn2:forward"])
def test_a_config_names_no_code_of_the_hub(model: Path, field: str, name: str) -> None:
    config = model / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {field: name}), encoding="utf-8")
    with pytest.raises(ModelError, match="whose code would be downloaded") as error:
        Extractor.from_pretrained(model, device="cpu")
    assert "remove" in str(error.value.hint)
    (model / "ie.json").unlink()  # as an encoder it has none
    with pytest.raises(ModelError, match="whose code would be downloaded"):
        encoder_config(str(model))


# --- ONNX


def write_graph(directory: Path, location: str) -> None:
    """A graph with an initializer in another file, as an export of a large model has."""
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.zeros((1, 2, 4), np.float32), "w")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "32")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    outputs = [f"entities.{name}" for name in ("pair", "start", "end")]
    nodes = [helper.make_node("Identity", ["w"], [output]) for output in outputs]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "l"]),
              helper.make_tensor_value_info("attention_mask", TensorProto.BOOL, ["b", "l"])]  # fmt: skip
    shapes = [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 2, 4]) for output in outputs]
    graph = helper.make_graph(nodes, "g", inputs, shapes, initializer=[weights])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (directory / "model.onnx").write_bytes(made.SerializeToString())


@pytest.mark.parametrize(
    "location", ["../secret", "ABSOLUTE", "./../secret", "link", "directory/secret", "model.onnx.data"]
)
def test_a_graph_reads_nothing_outside_its_directory(model: Path, tmp_path: Path, location: str) -> None:
    pytest.importorskip("onnxruntime", minversion="1.24.1", reason="older releases do not check it")
    (model / "model.safetensors").unlink()
    secret = model.parent / "secret"
    secret.write_bytes(b"s" * 64)
    (model / "link").symlink_to(secret)
    (model / "directory").symlink_to(model.parent)
    (model / "model.onnx.data").write_bytes(b"\0" * 64)
    write_graph(model, str(secret) if location == "ABSOLUTE" else location)
    if location == "model.onnx.data":
        assert Extractor.from_pretrained(model).backend
        return
    with pytest.raises(ModelError, match=r"model\.onnx: damaged"):
        Extractor.from_pretrained(model)


# --- nothing is written elsewhere


@pytest.fixture
def elsewhere(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that a model's recipe and links lead to; the current directory is beside it."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    write_jsonl(directory / "data.jsonl", documents())
    for name in ("victim.txt", "metrics.json", "log.csv"):
        (directory / name).write_text("mine")
    write_jsonl(tmp_path / "work" / "in.jsonl", documents(5))
    monkeypatch.chdir(tmp_path / "work")
    return directory


@pytest.mark.parametrize("path", ["../../elsewhere/data.jsonl", "ABSOLUTE", "link/data.jsonl"])
def test_paths_in_a_model_lead_no_command_to_write(
    model: Path, elsewhere: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "link").symlink_to(elsewhere)
    for name in ("metrics.json", "README.md"):
        (model / name).unlink()
        (model / name).symlink_to(elsewhere / "victim.txt")
    (elsewhere / "victim.txt").write_text("{}")
    path = str(elsewhere / "data.jsonl") if path == "ABSOLUTE" else path
    facts = json.loads((model / "ie.json").read_text())
    facts["checksums"] = {}  # whoever changes a model can do that
    (model / "ie.json").write_text(json.dumps(facts | {"output": path, "cache": path, "model": path}))
    stored = recipe(Path(path), data={"dev": path, "test": path}, training={"epochs": 1})
    (model / "recipe.yaml").write_text(dump_recipe(stored), encoding="utf-8")
    before = snapshot(model.parent.parent)
    done("predict", "in.jsonl", "--model", "model", "--output", "out.jsonl", "--device", "cpu")
    done("eval", "model", "in.jsonl", "--device", "cpu")
    exported: list[Path] = []

    def export(extractor: Extractor, directory: Path, *rest: Any, **options: Any) -> None:
        exported.append(directory)
        raise ModelError(
            "writing a graph takes ten seconds; it goes to a directory beside this one, as any model directory"
        )

    monkeypatch.setattr("ie_cli.export.onnx.export_onnx", export)
    ie("export", "model", "exported", "--onnx", "--data", "in.jsonl")
    assert exported == [Path("exported")]
    done("train", "model/recipe.yaml")
    differences = changed(before, snapshot(model.parent.parent))
    assert "work/out.jsonl" in differences
    assert {name for name in differences if not name.startswith(("work/out.jsonl", "work/runs/test/"))} == set()


def test_links_in_a_run_are_not_followed(model: Path, elsewhere: Path) -> None:
    run = Path("runs/test")
    run.mkdir(parents=True)
    shutil.copytree(model, elsewhere / "model")  # a model directory too, which might be taken for the run's own
    (elsewhere / "checkpoints").mkdir()
    (elsewhere / "checkpoints" / "victim.txt").write_text("mine")
    (elsewhere / "run.json").write_text("{}")
    for name, target in (
        ("model", "model"), ("checkpoints", "checkpoints"), ("tensorboard", "checkpoints"), ("log.csv", "log.csv"),
        ("run.json", "run.json"), ("other", "victim.txt"),
    ):  # fmt: skip
        (run / name).symlink_to(elsewhere / target)
    Path("recipe.yaml").write_text(
        dump_recipe(recipe(elsewhere / "data.jsonl", training={"epochs": 1})), encoding="utf-8"
    )
    before = snapshot(elsewhere)
    done("train", "recipe.yaml", "--overwrite", "--set", "training.trackers=[csv, tensorboard]")
    assert changed(before, snapshot(elsewhere)) == set()
    assert (run / "model" / "ie.json").is_file()
    assert not (run / "model").is_symlink()
    assert (run / "other").is_symlink()
    (run / ".lock").unlink(missing_ok=True)
    (run / ".lock").symlink_to(elsewhere / "victim.txt")
    assert ie("train", "recipe.yaml", "--overwrite").exit_code == 1
    assert changed(before, snapshot(elsewhere)) == set()


LABELS = ["../../evil", "a/b", "..", "nul\0x", "C:\\x", "line\nbreak", "<b>", "*", "-rf", " ", "x" * 300]


def test_labels_become_no_file_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = [Document("王伟在青川", [Entity(n % 3, n % 3 + 2, label)], id=n) for n, label in enumerate(LABELS)]
    write_jsonl(tmp_path / "data.jsonl", data)
    made = recipe(tmp_path / "data.jsonl", training={"epochs": 1, "trackers": ["csv", "tensorboard"]})
    (tmp_path / "recipe.yaml").write_text(dump_recipe(made), encoding="utf-8")
    done("train", "recipe.yaml")
    assert Extractor.from_pretrained("runs/test/model").schema.labels == tuple(sorted(LABELS))
    done("eval", "runs/test/model", "data.jsonl", "--errors", "1")
    done("predict", "data.jsonl", "-o", "out.html", "--to", "html")
    assert {path.name for path in tmp_path.iterdir()} == {"data.jsonl", "recipe.yaml", "runs", "out.html"}
    assert [path.name for path in Path("runs").iterdir()] == ["test"]
    allowed = {"model", "checkpoints", "run.json", "log.csv", "tensorboard", ".lock"}
    assert {path.name for path in Path("runs/test").iterdir()} <= allowed
    written = [path.name for path in Path("runs/test").rglob("*")]
    assert not [name for name in written if any(label in name for label in ("evil", "nul", "break", "<b>", "xxx"))]


# --- the source

FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
    "code",
    "pty",
}
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "torch.load", "torch.save", "torch.hub.load", "os.system", "os.popen",
    "tempfile.mktemp", "yaml.load", "pickle.load", "pickle.loads", "numpy.load", "np.load", "torch.compile",
}  # fmt: skip


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def problems(source: str) -> list[str]:
    """What must not occur in the source."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            names = (
                names if isinstance(node, ast.Import) else [str(node.module), *(f"{node.module}.{n}" for n in names)]
            )
            found += [
                f"import {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES or name == "torch.load"
            ]
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            given = {word.arg: word.value for word in node.keywords}
            value = {key: getattr(node, "value", None) for key, node in given.items()}
            safe = name == "np.load" and value.get("allow_pickle") is False
            if not safe and (name in FORBIDDEN_CALLS or name.removeprefix("builtins.") in FORBIDDEN_CALLS):
                found.append(name)
            if "shell" in given and value["shell"] is not False:
                found.append(f"{name}(shell)")
            if "trust_remote_code" in given and value["trust_remote_code"] is not False:
                found.append(f"{name}(trust_remote_code)")
            if name.endswith(".from_pretrained") and name.startswith("Auto") and "trust_remote_code" not in given:
                found.append(f"{name}() without trust_remote_code=False")
            if name == "AutoModel.from_pretrained" and value.get("use_safetensors") is not True:
                found.append(f"{name}() without use_safetensors=True")
            if name.endswith("import_module") and not (node.args and isinstance(node.args[0], ast.Constant)):
                found.append(f"{name} of a name that is not written there")
            if name in ("YAML", "ruamel.yaml.YAML") and value.get("typ") != "safe":
                found.append(f"{name}() that is not safe")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_source_runs_nothing_that_it_reads(path: Path) -> None:
    assert problems(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from torch import load", "from pickle import loads", "torch.load(f, weights_only=True)", "eval('1')",
     "builtins.exec(x)", "subprocess.run(x, shell=True)", "subprocess.run(x, shell=flag)", "f(trust_remote_code=True)",
     "AutoConfig.from_pretrained(x)", "AutoModel.from_pretrained(x, trust_remote_code=False)", "YAML(typ='unsafe')", "YAML()",
     "import yaml", "import_module(name)", "os.system('ls')", "np.load(x)", "np.load(x, allow_pickle=True)"],
)  # fmt: skip
def test_the_check_of_the_source_sees(source: str) -> None:
    assert problems(source)


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/reliability.md"])
def test_every_promise_names_tests_that_there_are(page: str) -> None:
    root = PACKAGE.parent
    lines = (root / page).read_text(encoding="utf-8").splitlines()
    promises = [line.split("|")[1:3] for line in lines if line.startswith("| ") and "**" not in line][1:]
    assert len(promises) > 10
    for promise, tests in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
        assert named, promise
        for file, test in named:
            assert f"def {test}(" in (root / file).read_text(encoding="utf-8"), test
