"""The examples of deployment: their form, and that what they promise holds together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from ie_cli.cli import app
from ie_cli.serving.limits import Limits
from ie_cli.serving.server import KEEP_ALIVE_SECONDS, grace_seconds

DEPLOY = Path(__file__).parent.parent.parent / "docs" / "deploy"


def load(name: str) -> list[Any]:
    """The documents of a YAML file."""
    return list(YAML(typ="safe", pure=True).load_all(DEPLOY / name))


def served(arguments: list[str]) -> dict[str, Any]:
    """The values that `ie` parses from the arguments of a container; an unknown option or value is an error."""
    command, *rest = arguments
    assert command == "serve"
    return typer.main.get_command(app).commands[command].make_context(command, rest).params  # type: ignore[attr-defined,no-any-return]


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def limits(options: dict[str, Any]) -> Limits:
    return Limits(timeout=options["timeout"], drain=options["drain"])


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IE_TOKEN", "x" * 32)


# --- Kubernetes


@pytest.fixture
def objects() -> dict[str, Any]:
    return {found["kind"]: found for found in load("kubernetes.yaml")}


def test_objects_have_the_versions_and_names_of_their_kinds(objects: dict[str, Any]) -> None:
    assert {kind: found["apiVersion"] for kind, found in objects.items()} == {
        "Service": "v1",
        "Deployment": "apps/v1",
        "PodDisruptionBudget": "policy/v1",
        "HorizontalPodAutoscaler": "autoscaling/v2",
    }
    assert {found["metadata"]["name"] for found in objects.values()} == {"ie"}
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels == objects["Deployment"]["spec"]["selector"]["matchLabels"] == objects["Service"]["spec"]["selector"]
    assert labels == objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ie"}


def test_a_pod_serves_where_it_is_probed_and_ends_after_its_requests(objects: dict[str, Any]) -> None:
    spec = objects["Deployment"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    options = served(container["args"])
    [port] = container["ports"]
    assert (options["host"], options["port"], options["token"]) == ("0.0.0.0", port["containerPort"], "x" * 32)  # noqa: S104
    [forwarded] = objects["Service"]["spec"]["ports"]
    assert forwarded["targetPort"] == port["name"]
    probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")}
    assert {kind: probe["httpGet"]["path"] for kind, probe in probes.items()} == {
        "startup": "/ready",
        "readiness": "/ready",
        "liveness": "/health",
    }
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {port["name"]}
    assert pod["terminationGracePeriodSeconds"] > options["drain"] + grace_seconds(limits(options))
    noticed = probes["readiness"]["periodSeconds"] * probes["readiness"]["failureThreshold"]
    assert options["drain"] > noticed + KEEP_ALIVE_SECONDS  # idle connections are closed before it stops listening
    assert "IE_TOKEN" in {variable["name"] for variable in container["env"]}
    threads = {variable["name"]: variable.get("value") for variable in container["env"]}["OMP_NUM_THREADS"]
    assert threads == container["resources"]["limits"]["cpu"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


# --- Compose


def test_the_compose_file_is_valid() -> None:
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")]
    run = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    broken = json.loads((json.dumps(load("compose.yaml")[0])).replace("stop_grace_period", "stop_grace"))
    assert "stop_grace" in json.dumps(broken)


@pytest.mark.parametrize("group", ["blue", "green"])
def test_a_container_is_probed_and_ends_after_its_requests(group: str) -> None:
    [compose] = load("compose.yaml")
    service = compose["services"][group]
    options = served(service["command"])
    assert (options["host"], options["port"]) == ("0.0.0.0", 8000)  # noqa: S104
    assert seconds(service["stop_grace_period"]) > options["drain"] + grace_seconds(limits(options))
    assert "http://127.0.0.1:8000/ready" in service["healthcheck"]["test"][-1]
    assert service["volumes"] == [f"${{{group.upper()}:-./models/1}}:{options['model']}:ro"]
    assert compose["services"]["proxy"]["depends_on"][group] == {"condition": "service_healthy"}


def test_the_proxy_finds_every_group_and_checks_readiness_faster_than_a_replica_drains() -> None:
    [compose] = load("compose.yaml")
    lines = [line.split() for line in (DEPLOY / "haproxy.cfg").read_text(encoding="utf-8").splitlines()]
    groups = {name: service for name, service in compose["services"].items() if "command" in service}
    templates = {line[1]: line for line in lines if line[:1] == ["server-template"]}
    assert templates.keys() == groups.keys()
    for name, line in templates.items():
        assert line[3] == f"{name}:8000"
        assert int(line[2]) >= 2 * groups[name]["deploy"]["replicas"]  # old and new ones
    assert ["option", "httpchk", "GET", "/ready"] in lines
    [check] = [line for line in lines if line[:1] == ["default-server"]]
    noticed = seconds(check[check.index("inter") + 1]) * int(check[check.index("fall") + 1])
    options = served(groups["blue"]["command"])
    assert options["drain"] > noticed + KEEP_ALIVE_SECONDS
    [server] = [line for line in lines if line[:2] == ["timeout", "server"]]
    assert seconds(server[2]) > 2 * options["timeout"]  # for the body, and for the answer
    [mounted] = compose["services"]["proxy"]["volumes"]
    assert mounted.startswith("./haproxy.cfg:")
    assert compose["services"]["proxy"]["ports"] == ["${PORT:-8000}:8000"]
    assert ["bind", ":8000"] in lines
