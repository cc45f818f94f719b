"""The Hub without a network: one attempt, one message, and the remedy."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled

from ie_cli.errors import DataError, IEError, ModelError
from ie_cli.formats import read_documents
from ie_cli.inference.extractor import Extractor
from ie_cli.modeling.encoder import encoder_config, load_encoder, load_tokenizer_alone
from ie_cli.recipe.schema import EncoderSection
from ie_cli.system.hub import hub_access


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of a Hub that refuses connections; a second attempt would wait, which is an error here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    for name in (
        "huggingface_hub.constants.ENDPOINT",
        "huggingface_hub.hf_api.ENDPOINT",
        "datasets.config.HF_ENDPOINT",
    ):
        monkeypatch.setattr(name, url, raising=False)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", url)
    monkeypatch.setattr("transformers.utils.hub._hf_api", None, raising=False)  # keeps the address of its first use
    for name in ("HF_HUB_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE"):
        monkeypatch.setattr(constants, name, str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"waited for {seconds} s"))
    return url


def _encoder() -> object:
    return load_encoder(EncoderSection(name="nobody/encoder"))


def _tokenizer() -> object:
    return load_tokenizer_alone(EncoderSection(name="nobody/encoder"))


def _model() -> object:
    return Extractor.from_pretrained("nobody/model")


def _dataset() -> object:
    return list(read_documents("hub:nobody/data"))


LOADERS = pytest.mark.parametrize(
    ("load", "name"),
    [
        (_encoder, "encoder.name: nobody/encoder"),
        (_tokenizer, "encoder.name: nobody/encoder"),
        (_model, "nobody/model"),
        (_dataset, "hub:nobody/data"),
    ],
)


@LOADERS
def test_without_a_network_there_is_one_attempt_and_the_remedy(
    load: Callable[[], object],
    name: str,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sent: list[str] = []
    session = huggingface_hub.get_session()
    send = session.send
    monkeypatch.setattr(
        session, "send", lambda request, **named: (sent.append(str(request.url)), send(request, **named))[1]
    )
    with caplog.at_level(logging.INFO), pytest.raises((ModelError, DataError)) as caught:
        load()
    assert caught.value.message.startswith(
        f"{name}: no such directory, and it cannot be downloaded: {address} cannot be reached: "
    )
    assert "refused" in caught.value.message
    assert "set HF_ENDPOINT to a mirror of the Hub, or name a local directory" in str(caught.value.hint)
    assert len(sent) == 1
    assert sent[0].startswith("http://127.0.0.1:")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("huggingface_hub")] == []
    assert capfd.readouterr().err == ""


@LOADERS
def test_offline_mode_is_named(
    load: Callable[[], object], name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(IEError) as caught:
        load()
    assert caught.value.message == (
        f"{name}: no such directory, and it cannot be downloaded: {address} cannot be reached: HF_HUB_OFFLINE is set"
    )
    assert str(caught.value.hint).startswith("unset HF_HUB_OFFLINE, ")


def test_what_is_in_the_cache_needs_no_network(address: str, tmp_path: Path) -> None:
    commit = "a" * 40
    snapshot = tmp_path / "hub" / "models--nobody--encoder" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 32}))
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text(commit)

    with hub_access("x", ModelError, files="y"):
        assert encoder_config("nobody/encoder").hidden_size == 32


class Client:
    """A session whose requests end as listed."""

    def __init__(self, *ends: Any) -> None:
        self.ends = list(ends)

    def send(self) -> Any:
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end


class ConnectError(Exception):
    """Named as the error of the HTTP client."""


def test_after_the_first_response_errors_are_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long download is repeated when its connection breaks; another error is not taken for a missing network."""
    client = Client("response", ConnectError("broken"), "again")
    monkeypatch.setattr("huggingface_hub.get_session", lambda: client)
    with hub_access("x", ModelError, files="y"):
        assert client.send() == "response"
        with pytest.raises(ConnectError):
            client.send()
        assert client.send() == "again"
    client.ends = [ConnectError("unreachable"), "never sent"]
    with hub_access("x", ModelError, files="y"):
        for _ in range(2):
            with pytest.raises(OfflineModeIsEnabled, match="unreachable"):
                client.send()
    assert client.ends == ["never sent"]
    assert client.send() == "never sent"  # as before the block
    with pytest.raises(ValueError, match="damaged"), hub_access("x", ModelError, files="y"):
        raise ValueError("damaged")
