"""`ie push`: the files of a model, all of them and no other ones."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from support.fake_hub import FakeHub
from support.runner import ie, said
from support.untrained import write_model

OLD = Path(__file__).parent.parent / "fixtures" / "format_v2" / "ner"
TORCH = {
    "README.md",
    "config.json",
    "ie.json",
    "metrics.json",
    "model.safetensors",
    "recipe.yaml",
    "tokenizer.json",
}
EXPORTED = (TORCH - {"config.json", "model.safetensors"}) | {"export.json", "model.onnx"}


@pytest.fixture(params=["model", "onnx"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A trained model and an exported one, each with what a user and an editor left beside it."""
    directory = Path(shutil.copytree(OLD / request.param, tmp_path / request.param))
    (directory / "notes.json").write_text("{}", encoding="utf-8")
    (directory / "README.md~").write_text("", encoding="utf-8")
    (directory / ".env").write_text("HF_TOKEN=secret", encoding="utf-8")
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / "ie.json").write_text("{}", encoding="utf-8")
    return directory


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub()
    monkeypatch.setattr("huggingface_hub.HfApi", fake)
    return fake


def files_of(model: Path) -> set[str]:
    return TORCH if model.name == "model" else EXPORTED


def test_the_files_of_the_model_are_uploaded_and_no_others(model: Path, hub: FakeHub) -> None:
    result = ie("push", str(model), "me/x")
    assert (result.exit_code, result.stdout) == (0, "https://hub/me/x\n"), result.stderr
    assert hub.files == {("me/x", None): files_of(model)}
    assert [name for name, _ in hub.calls] == ["HfApi", "create_repo", "upload_folder"]
    assert hub.calls[1][1] == {"repo_id": "me/x", "private": None, "exist_ok": True}
    assert "uploading 7 files" in said(result)


def test_a_dry_run_lists_them_and_asks_nobody(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **options: object) -> None:
        raise AssertionError("a dry run uses the network")

    monkeypatch.setattr("socket.socket.connect", refused)
    monkeypatch.setattr("huggingface_hub.HfApi", refused)
    result = ie("push", str(model), "me/x", "--private", "--revision", "v2", "--dry-run")
    assert result.exit_code == 0, result.stderr
    listed = dict(line.split("\t")[::-1] for line in result.stdout.splitlines())
    assert listed == {name: str((model / name).stat().st_size) for name in files_of(model)}
    assert "without --dry-run, they would be uploaded to me/x, branch v2 (private)" in said(result)


def test_a_branch_a_message_and_a_private_repository(model: Path, hub: FakeHub) -> None:
    result = ie("push", str(model), "me/x", "--private", "--revision", "v2", "--message", "Second try", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    calls = dict(hub.calls)
    assert calls["create_repo"]["private"] is True
    assert calls["create_branch"] == {"repo_id": "me/x", "branch": "v2", "exist_ok": True}
    assert calls["upload_folder"] == {"repo_id": "me/x", "revision": "v2", "commit_message": "Second try"}
    assert hub.files == {("me/x", "v2"): files_of(model)}


def test_a_private_model_is_not_uploaded_to_a_public_repository(model: Path, hub: FakeHub) -> None:
    hub.public.add("me/x")
    result = ie("push", str(model), "me/x", "--private")
    assert result.exit_code == 1
    assert "error: me/x: exists already and is public; nothing was uploaded hint: make it private" in said(result)
    assert hub.files == {}


def test_a_name_alone_is_a_repository_of_the_user(model: Path, hub: FakeHub) -> None:
    result = ie("push", str(model), "x", "--private", "--revision", "v2", "--quiet")
    assert (result.exit_code, result.stdout) == (0, "https://hub/me/x\n"), result.stderr
    assert hub.files == {("me/x", "v2"): files_of(model)}
    hub.public.add("me/x")
    assert "error: me/x: exists already and is public" in said(ie("push", str(model), "x", "--private"))


def test_an_earlier_model_of_another_form_is_replaced(model: Path, hub: FakeHub) -> None:
    other = {".gitattributes", "LICENSE", "model.safetensors", "model.onnx", "config.json", "export.json"}
    hub.files["me/x", None] = other
    assert ie("push", str(model), "me/x").exit_code == 0
    assert hub.files["me/x", None] == files_of(model) | {".gitattributes", "LICENSE"}


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_what_is_no_model_is_refused(dry: tuple[str, ...], tmp_path: Path, hub: FakeHub) -> None:
    for path, message in ((tmp_path, "not a model directory"), (tmp_path / "none", "no such directory")):
        result = ie("push", str(path), "me/x", *dry)
        assert result.exit_code == 1
        assert message in said(result)
        assert "hint: name the directory" in said(result)
    assert hub.calls == []


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_damaged_model_is_refused(dry: tuple[str, ...], model: Path, hub: FakeHub) -> None:
    tokenizer = model / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text(encoding="utf-8").replace("[UNK]", "[UNX]"), encoding="utf-8")
    result = ie("push", str(model), "me/x", *dry)
    assert result.exit_code == 1
    assert "tokenizer.json: this is not the file that was stored with ie.json" in said(result)
    (model / "recipe.yaml").write_text("name: x\nencodr: 3\n", encoding="utf-8")
    result = ie("push", str(model), "me/x", *dry)
    assert "recipe.yaml:2: unknown key 'encodr'; did you mean 'encoder'?" in said(result)
    assert "restore the recipe of the model from a backup" in said(result)
    assert hub.calls == []


def test_a_link_to_elsewhere_is_refused(model: Path, tmp_path: Path, hub: FakeHub) -> None:
    (tmp_path / "secret").write_text("key", encoding="utf-8")
    (model / "README.md").unlink()
    (model / "README.md").symlink_to(tmp_path / "secret")
    result = ie("push", str(model), "me/x")
    assert result.exit_code == 1
    assert "README.md: is a link to" in said(result)
    assert hub.calls == []


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_password_in_the_recipe_is_not_published(dry: tuple[str, ...], model: Path, hub: FakeHub) -> None:
    recipe = model / "recipe.yaml"
    text = re.sub(
        r"(?m)^  test: .*$", "  test: [a.jsonl, 'https://ann:s3cret@example.org/t.jsonl']", recipe.read_text("utf-8")
    )
    recipe.write_text(text, encoding="utf-8")
    result = ie("push", str(model), "me/x", *dry)
    assert result.exit_code == 1
    assert "recipe.yaml: data.test is a URL with a password" in said(result)
    assert "s3cret" not in result.output
    recipe.write_text(text.replace(":s3cret", ""), encoding="utf-8")
    assert ie("push", str(model), "me/x", *dry).exit_code == 0


def test_a_snapshot_of_the_hub_has_links_into_its_cache(model: Path, tmp_path: Path, hub: FakeHub) -> None:
    cache = tmp_path / "models--me--x"
    snapshot = cache / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for number, name in enumerate(sorted(files_of(model))):
        (model / name).rename(cache / "blobs" / str(number))
        (snapshot / name).symlink_to(Path("..") / ".." / "blobs" / str(number))
    assert ie("push", str(snapshot), "me/y").exit_code == 0
    assert hub.files["me/y", None] == files_of(model)


@pytest.mark.parametrize("repo", ["a/b/c", "me/", "-x", "me/x y", "me/x.git", ""])
def test_a_name_that_no_repository_has_is_refused(repo: str, model: Path, hub: FakeHub) -> None:
    result = ie("push", str(model), "--dry-run", "--", repo)
    assert result.exit_code == 1
    assert "hint: name the repository as USER/NAME" in said(result)
    assert hub.calls == []


class Answer:
    """A response of the Hub."""

    def __init__(self, status_code: int) -> None:
        self.status_code, self.headers, self.request = status_code, dict[str, str](), None


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (LocalTokenNotFoundError("Token is required"), "Token is required", "log in with `hf auth login`"),
        (
            HfHubHTTPError("403 Forbidden: no.\nRequest ID: 1", response=Answer(403)),
            "403 Forbidden: no.",
            "log in with",
        ),  # type: ignore[arg-type]
        (HfHubHTTPError("500 Server Error", response=Answer(500)), "500 Server Error", "check the network"),  # type: ignore[arg-type]
        (ConnectionError(), "ConnectionError", "check the network"),
        (RuntimeError("upload failed"), "upload failed", "check the network"),
    ],
)
def test_what_the_hub_refuses_is_an_error(error: Exception, message: str, hint: str, model: Path, hub: FakeHub) -> None:
    hub.error = error
    result = ie("push", str(model), "me/x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"error: me/x: {message} hint: {hint}" in said(result)


def test_without_a_network_it_says_so(model: Path) -> None:
    result = ie("push", str(model), "me/x")  # the tests run offline
    assert result.exit_code == 1
    assert "error: me/x: " in said(result)
    assert "hint: unset the variable HF_HUB_OFFLINE." in said(result)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    """A model of this version has checksums of all that is in its weights."""
    directory = write_model(tmp_path / "model")
    weights = directory / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[len(raw) // 2] ^= 1
    weights.write_bytes(bytes(raw))
    facts = json.loads((directory / "ie.json").read_text(encoding="utf-8"))
    del facts["files"]  # which look at the whole of a file as small as this
    (directory / "ie.json").write_text(json.dumps(facts), encoding="utf-8")
    result = ie("push", str(directory), "me/x", "--dry-run")
    assert result.exit_code == 1
    assert "model.safetensors: damaged: its checksum" in said(result)
