"""The service: answers, limits, refusals, and the process as it is started and ended."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message
from support import stub_serve
from support.waiting import until
from typer.testing import CliRunner, Result

import ie_cli.serving.static
from ie_cli.cli import app
from ie_cli.document import Document, Entity
from ie_cli.document.markup import mark
from ie_cli.formats.jsonl import to_fields, write
from ie_cli.inference.extractor import Extractor
from ie_cli.inference.model_directory import TrainedTask
from ie_cli.inference.pipeline import extract
from ie_cli.serving.app import Service, build_app, model_facts
from ie_cli.serving.limits import Limits
from ie_cli.serving.schemas import Refused, parse_body
from ie_cli.serving.worker import Worker

ROOT = Path(__file__).parent.parent.parent
PAGES = Path(ie_cli.serving.static.__file__).parent
JSON = {"Content-Type": "application/json"}
HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
TOKEN = "0123456789abcdef0123456789abcdef"


@dataclass
class Stub:
    """A service in this process."""

    app: ASGIApp
    client: TestClient
    worker: Worker
    backend: stub_serve.Backend
    reports: list[tuple[str, Exception]] = field(default_factory=list)

    def post(self, body: Any, **headers: str) -> Any:
        content = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.client.post("/predict", content=content, headers={**JSON, **headers})


Make = Callable[..., Stub]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Stub] = []

    def build(
        *, token: str | None = None, hosts: frozenset[str] | None = HOSTS, seconds: float = 20, **limits: float
    ) -> Stub:
        backend = stub_serve.Backend(seconds)
        engine = stub_serve.engine(backend)
        bounds = Limits(**limits)  # type: ignore[arg-type]
        worker = Worker(engine, slots=bounds.concurrency, seconds=bounds.timeout)
        reports: list[tuple[str, Exception]] = []
        facts = model_facts(stub_serve.RECIPE, {"ner": TrainedTask(stub_serve.SCHEMA)})
        application = build_app(
            Service(worker, facts, bounds, token, hosts, lambda number, error: reports.append((number, error)))
        )
        client = TestClient(application, base_url="http://127.0.0.1:8000")
        client.__enter__()  # one event loop for all requests
        made.append(Stub(application, client, worker, backend, reports))
        return made[-1]

    yield build
    for stub in made:
        stub.backend.go.set()
        stub.client.__exit__()
        stub.worker.close()


@pytest.fixture
def stub(make: Make) -> Stub:
    return make()


def refusal(answer: Any, status: int) -> str:
    """The error of a refusal, which always has a hint."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    fields = answer.json()
    assert fields.keys() == {"error", "hint"}
    assert fields["hint"]
    return str(fields["error"])


# --- answers


def test_a_text_gives_the_record_that_predict_writes(stub: Stub) -> None:
    answer = stub.post({"text": "a王伟👩王伟"})
    [expected] = extract(stub_serve.engine(stub_serve.Backend()), [Document("a王伟👩王伟")])
    assert answer.status_code == 200
    assert answer.content.decode() == write(expected)
    assert [(e["start"], e["end"]) for e in answer.json()["entities"]] == [(1, 3), (4, 6)]


def test_texts_give_results_in_their_order(stub: Stub) -> None:
    texts = ["王伟", "", "伟" * 100 + "王伟", "nobody"]
    results = stub.post({"texts": texts}).json()["results"]
    assert [record["text"] for record in results] == texts
    assert [len(record["entities"]) for record in results] == [1, 0, 1, 0]
    assert stub.post({"texts": []}).json() == {"results": []}


@pytest.mark.parametrize("text", ["\ud83d王伟", "\x00\u2028\ufeff", "e\u0301\u202eabc", "\r\n\t", "<b>&\"'"])
def test_any_text_comes_back_as_it_was(stub: Stub, text: str) -> None:
    answer = stub.post({"text": text})
    assert json.loads(answer.content)["text"] == text
    assert answer.content.decode("utf-8")
    assert ("\\ud83d" in answer.text) == ("\ud83d" in text)


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_may_be_named_in_several_ways(stub: Stub, kind: str) -> None:
    assert stub.post({"text": "x"}, **{"Content-Type": kind}).status_code == 200


def test_the_model_endpoint_returns_labels_and_no_path(stub: Stub) -> None:
    answer = stub.client.get("/model")
    assert answer.json() == {"name": "stub", "task": "ner", "labels": ["person"], "predicates": []}
    assert stub.client.get("/health").json() == {"status": "ok"}


# --- refusals


@pytest.mark.parametrize(
    "kind",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=gbk", "application/jsonx"],
)
def test_other_kinds_of_bodies_are_415(stub: Stub, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    assert "JSON" in refusal(stub.client.post("/predict", content=b'{"text": "x"}', headers=headers), 415)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b"{", "not valid JSON"),
        (b'{"text": "\xff"}', "not valid JSON in UTF-8"),
        ('{"text": "x"}'.encode("utf-16"), "not valid JSON in UTF-8"),
        (b"[" * 200_000, "not valid JSON"),
        (b'{"text": ' + b"1" * 5000 + b"}", "not valid JSON"),
        (b"null", "expected a JSON object, got null"),
        (b'["x"]', "expected a JSON object"),
        (b"{}", "expected one of the fields text and texts, got 0"),
        (b'{"text": "x", "texts": []}', "expected one of the fields text and texts, got 2"),
        (b'{"text": "x", "threshold": 0.1}', 'unknown field "threshold"'),
        (b'{"txet": "x"}', "did you mean 'text"),
        (b'{"text": null}', "'text' must be a string, got null"),
        (b'{"text": NaN}', "'text' must be a string, got NaN"),
        (b'{"text": ["x"]}', "'text' must be a string"),
        (b'{"texts": "x"}', "'texts' must be a list of strings"),
        (b'{"texts": ["x", 1]}', "'texts[1]' must be a string, got 1"),
    ],
)  # fmt: skip
def test_bad_bodies_are_400(stub: Stub, body: bytes, message: str) -> None:
    assert message in refusal(stub.post(body), 400)
    assert stub.backend.batches == []


def test_fields_may_have_any_names(stub: Stub) -> None:
    """Half surrogate pairs are no names that pydantic takes."""
    assert refusal(stub.post(b'{"\\ud83d": "x", "text": "x"}'), 400) == 'unknown field "\ud83d"'
    assert refusal(stub.post(b'{"{got}": 1, "{name}": 1, "text": "x"}'), 400) == 'unknown field "{got}"'


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["text", "texts", "Text", ""])


@given(JSON_VALUES | st.dictionaries(NAMES, JSON_VALUES | st.lists(st.text(), max_size=4), max_size=2))
def test_a_body_is_one_text_or_some(value: Any) -> None:
    limits = Limits(max_texts=3, max_text=5)
    fits = False
    if isinstance(value, dict) and len(value) == 1:
        [(name, given)] = value.items()
        texts = [given] if name == "text" else given if name == "texts" and isinstance(given, list) else [None]
        fits = len(texts) <= 3 and all(isinstance(text, str) and len(text) <= 5 for text in texts)
    raw = json.dumps(value).encode()
    if fits:
        assert parse_body(raw, limits).model_dump(exclude_unset=True) == value
        return
    with pytest.raises(Refused) as refused:
        parse_body(raw, limits)
    assert refused.value.status in (400, 413)
    assert refused.value.error
    assert refused.value.hint


def test_too_large_bodies_are_413(make: Make) -> None:
    stub = make(max_body=100)
    body = json.dumps({"text": "x" * 100})

    def chunks() -> Iterator[bytes]:
        yield b'{"text": "'
        for _ in range(10_000):
            yield b"x" * 50
        yield b'"}'

    assert "more than 100 bytes" in refusal(stub.post(body), 413)
    assert "more than 100 bytes" in refusal(stub.client.post("/predict", content=chunks(), headers=JSON), 413)
    assert stub.post({"text": "x" * 80}).status_code == 200


def test_too_many_or_too_long_texts_are_413_and_named(make: Make) -> None:
    stub = make(max_texts=2, max_text=5)
    assert "'texts' has 3 texts, but the limit is 2" in refusal(stub.post({"texts": ["x"] * 3}), 413)
    assert "'text' has 6 characters, but the limit is 5" in refusal(stub.post({"text": "👩" * 6}), 413)
    assert "'texts[1]' has 6 characters" in refusal(stub.post({"texts": ["👩" * 5, "x" * 6]}), 413)
    assert stub.backend.batches == []


def test_unknown_addresses_and_methods(stub: Stub) -> None:
    for path in ("/x", "/predict/", "/page.html", "/../pyproject.toml", "/%2e%2e/x", "/static/page.js"):
        assert "unknown endpoint" in refusal(stub.client.get(path), 404)
    answer = stub.client.get("/predict")
    assert "does not support GET" in refusal(answer, 405)
    assert answer.headers["allow"] == "POST"
    assert "does not support DELETE" in refusal(stub.client.delete("/model"), 405)


def test_other_origins_get_nothing(stub: Stub) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answers = [
        stub.client.options("/predict", headers=headers),
        stub.client.get("/model", headers=headers),
        stub.post({"text": "x"}, Origin="http://evil.example"),
    ]
    assert answers[0].status_code == 405
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8000"]
)  # fmt: skip
def test_the_local_machine_may_send_requests(stub: Stub, host: str) -> None:
    assert stub.client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "", "127.0.0.2",
             "localhost:80:80", "::1", "localhost@evil.example"],
)  # fmt: skip
def test_other_names_of_this_machine_are_refused(make: Make, host: str) -> None:
    stub = make()
    for path in ("/", "/health", "/model"):
        assert "Host" in refusal(stub.client.get(path, headers={"Host": host}), 400)
    assert make(hosts=None).client.get("/health", headers={"Host": host}).status_code == 200


def test_one_host_is_named_and_no_more(make: Make) -> None:
    twice = [("Host", "localhost"), ("Host", "localhost")]
    assert "Host" in refusal(make().client.get("/health", headers=twice), 400)


# --- the token


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN.upper()}",
    ],
)
def test_a_wrong_token_is_401(make: Make, header: str) -> None:
    stub = make(token=TOKEN)
    for answer in (
        stub.post({"text": "x"}, Authorization=header),
        stub.client.get("/model", headers={"Authorization": header}),
        stub.client.get("/unknown", headers={"Authorization": header}),
    ):
        assert refusal(answer, 401) == "the token is wrong"
        assert answer.headers["www-authenticate"] == 'Bearer realm="ie"'
    assert stub.backend.batches == []


def test_tokens_are_compared_in_constant_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return real(one, other)

    monkeypatch.setattr("ie_cli.serving.middleware.hmac.compare_digest", counted)
    stub = make(token=TOKEN)
    assert stub.post({"text": "x"}, Authorization="Bearer wrong").status_code == 401
    assert stub.post({"text": "x"}, Authorization=f"Bearer {TOKEN}").status_code == 200
    assert len(compared) == 2


def test_the_token_opens(make: Make) -> None:
    stub = make(token=TOKEN)
    assert refusal(stub.post({"text": "x"}), 401) == "a token is required"
    assert refusal(stub.client.get("/model", headers=[("Authorization", f"Bearer {TOKEN}")] * 2), 401)
    assert refusal(stub.client.get("/model", headers={"Authorization": "Bearer tök".encode()}), 401)
    assert stub.post({"text": "王伟"}, Authorization=f"Bearer {TOKEN}").json()["entities"]
    assert stub.client.get("/model", headers={"Authorization": f"bearer  {TOKEN} "}).status_code == 200
    for path in ("/", "/page.js", "/style.css", "/health"):
        assert stub.client.get(path).status_code == 200
    assert TOKEN not in "".join(stub.client.get(path).text for path in ("/", "/page.js", "/style.css", "/health"))


# --- slots and time


def test_more_requests_than_slots_get_503(make: Make) -> None:
    stub = make(concurrency=2)
    with ThreadPoolExecutor(2) as threads:
        under_way = [threads.submit(stub.post, {"text": "慢王伟"}) for _ in range(2)]
        until(lambda: stub.worker.busy)
        answer = stub.post({"text": "x"})
        assert "2 requests" in refusal(answer, 503)
        assert int(answer.headers["retry-after"]) >= 1
        assert stub.client.get("/health").status_code == 200
        stub.backend.go.set()
        assert [len(one.result().json()["entities"]) for one in under_way] == [1, 1]
    assert stub.post({"text": "x"}).status_code == 200


def test_late_answers_are_504_and_their_work_is_given_up(make: Make) -> None:
    stub = make(concurrency=2, timeout=0.5)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(stub.post, {"texts": ["慢"] + ["伟"] * 20})
        assert stub.backend.begun.wait(10)
        waiting = threads.submit(stub.post, {"text": "王王王"})
        assert "no answer within 0.5 seconds" in refusal(first.result(), 504)
        assert refusal(waiting.result(), 504)
    # A request that has not started frees its slot; one that has started keeps it until it ends.
    assert len(stub.worker._jobs) == 1
    stub.backend.go.set()
    until(lambda: not stub.worker._jobs)
    assert stub.post({"text": "王伟"}).json()["entities"]
    # Of 11 batches one ran; the waiting one never did.
    assert [batch[0][1] for batch in stub.backend.batches] == [stub_serve.SLOW, stub_serve.TOKENS.index("王")]
    assert stub.reports == []


def test_what_cannot_be_done_in_time_is_refused_at_once(make: Make) -> None:
    stub = make(timeout=10)
    stub.worker.capacity.measure(100, 1.0)
    error = refusal(stub.post({"texts": ["王" * 500, "王" * 300]}), 413)
    assert error == "the texts have 800 characters, but this service can answer only about 700 in time"
    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(stub.post, {"text": "慢" * 500})
        assert stub.backend.begun.wait(10)
        answer = stub.post({"text": "王" * 500})
        assert "leave no time to answer this one" in refusal(answer, 503)
        assert answer.json()["hint"] == f"try again in {answer.headers['retry-after']} seconds."
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        stub.backend.go.set()
        assert under_way.result().status_code == 200


def asgi(application: ASGIApp, receive: Callable[[], Any], headers: dict[str, str] | None = None) -> list[Message]:
    """Put one request to an application by hand."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    fields = {"host": "localhost", "content-type": "application/json", **(headers or {})}
    raw = [(name.encode(), value.encode()) for name, value in fields.items()]
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": raw}
    asyncio.run(application(scope, receive, send))  # type: ignore[arg-type]
    return sent


def test_whoever_hangs_up_gives_their_place_back(make: Make) -> None:
    stub = make(concurrency=1)
    messages = iter(
        [{"type": "http.request", "body": b'{"texts": ["\xe6\x85\xa2", "x", "x"]}'}, {"type": "http.disconnect"}]
    )

    async def receive() -> Any:
        message = next(messages)
        if message["type"] == "http.disconnect":
            while not stub.backend.begun.is_set():
                await asyncio.sleep(0.005)
        return message

    assert asgi(stub.app, receive)[0]["status"] == 499
    assert len(stub.worker._jobs) == 1
    stub.backend.go.set()
    until(lambda: not stub.worker._jobs)
    assert len(stub.backend.batches) == 1
    assert stub.reports == []


def test_bodies_that_come_slowly_leave_room_for_others(make: Make) -> None:
    """At most as many requests are received at a time as may be active; requests without a body are answered."""
    stub = make(concurrency=1)
    receiving, coming = threading.Event(), threading.Event()

    async def receive() -> Any:
        if coming.is_set():  # it is asked whether the client hangs up
            await asyncio.sleep(60)
        receiving.set()
        while not coming.is_set():
            await asyncio.sleep(0.005)
        return {"type": "http.request", "body": b'{"text": "x"}'}

    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(asgi, stub.app, receive, {"content-length": "13"})
        assert receiving.wait(10)
        assert "1 request is being received" in refusal(stub.post({"text": "x"}), 503)
        assert stub.client.get("/health").status_code == 200
        coming.set()
        assert under_way.result()[0]["status"] == 200
    assert stub.post({"text": "x"}).status_code == 200


def test_a_client_that_goes_away_while_it_sends(stub: Stub) -> None:
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> Any:
        return next(messages)

    assert asgi(stub.app, receive, {"content-length": "20"})[0]["status"] == 499
    assert stub.reports == []


def test_slow_bodies_are_408_and_their_connection_is_closed(make: Make) -> None:
    stub = make(timeout=0.1)

    async def receive() -> Any:
        await asyncio.sleep(0.03)
        return {"type": "http.request", "body": b" ", "more_body": True}

    began = time.monotonic()
    start, body = asgi(stub.app, receive, {"transfer-encoding": "chunked"})
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert "within 0.1 seconds" in json.loads(body["body"])["error"]
    assert time.monotonic() - began < 3
    assert not stub.worker._jobs


@pytest.mark.parametrize(("size", "closed"), [(300, False), (3000, True)])
def test_an_unwanted_body_is_read_off_if_it_is_small(make: Make, size: int, closed: bool) -> None:
    stub = make(max_body=100, token=TOKEN)
    parts = iter([b"x" * 10] * (size // 10))

    async def receive() -> Any:
        part = next(parts, b"")
        return {"type": "http.request", "body": part, "more_body": bool(part)}

    [start, _] = asgi(stub.app, receive, {"content-length": str(size)})
    assert start["status"] == 401
    assert ((b"connection", b"close") in start["headers"]) == closed
    assert len(list(parts)) == (260 if closed else 0)


def test_a_body_that_waits_to_be_asked_for_is_not_asked_for(make: Make) -> None:
    async def receive() -> Any:
        raise AssertionError("asked")

    start, _ = asgi(make(max_body=10).app, receive, {"content-length": "11", "expect": "100-continue"})
    assert start["status"] == 413
    assert (b"connection", b"close") in start["headers"]


def test_active_requests_are_notified_when_the_service_stops(make: Make) -> None:
    stub = make()
    sent: list[Message] = []

    async def receive() -> Any:
        if not receive.asked:  # type: ignore[attr-defined]
            receive.asked = True  # type: ignore[attr-defined]
            return {"type": "http.request", "body": '{"text": "慢"}'.encode()}
        await asyncio.sleep(60)

    async def send(message: Message) -> None:
        sent.append(message)

    receive.asked = False  # type: ignore[attr-defined]
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": headers}

    async def cancelled() -> None:
        task = asyncio.ensure_future(stub.app(scope, receive, send))  # type: ignore[arg-type]
        while not stub.backend.begun.is_set():
            await asyncio.sleep(0.005)
        task.cancel()
        await task

    asyncio.run(cancelled())
    assert sent[0]["status"] == 503
    assert "stopping" in json.loads(sent[1]["body"])["error"]
    closing = threading.Thread(target=stub.worker.close)
    closing.start()
    stub.backend.go.set()
    closing.join(10)
    assert not closing.is_alive()


def test_an_internal_error_reports_only_its_number(stub: Stub) -> None:
    answer = stub.post({"text": "坏"})
    assert answer.status_code == 500
    [(number, error)] = stub.reports
    assert answer.json() == {"error": "internal error", "id": number}
    assert "secret" not in answer.text
    assert "broken by" in str(error)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert stub.post({"text": "王伟"}).json()["entities"]
    assert not stub.worker._jobs


# --- the page


def test_every_answer_keeps_browsers_strict(make: Make) -> None:
    stub = make(token=TOKEN)
    for path in ("/", "/page.js", "/style.css", "/health", "/model", "/none"):
        headers = stub.client.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy == {
            "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
            "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
        }  # fmt: skip
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_the_page_is_of_three_files_and_builds_no_markup(stub: Stub) -> None:
    page = stub.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for path in re.findall(r'(?:src|href)="([^"]*)"', page.text):
        answer = stub.client.get(path)
        assert answer.headers["content-type"] in ("text/javascript; charset=utf-8", "text/css; charset=utf-8")
    assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=|<style|javascript:", page.text)
    script = (PAGES / "page.js").read_text(encoding="utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|srcdoc|DOMParser|setTimeout|https?://|"
        r"localStorage|sessionStorage|cookie",
        script,
    )
    assert set(re.findall(r'byId\("([^"]+)"\)', script)) <= set(re.findall(r'id="([^"]+)"', page.text))


DOM = """
class Node {
  constructor(kind) { Object.assign(this, { kind, children: [], attributes: {}, dataset: {}, listeners: {} }) }
  setAttribute(name, value) { this.attributes[name] = value }
  append(...more) { this.children.push(...more) } prepend(...more) { this.children.unshift(...more) }
  replaceChildren(...more) { this.children = more }
  addEventListener(name, listener) { this.listeners[name] = listener }
  json() {
    const inner = this.children.map((child) => child instanceof Node ? child.json() : child);
    return this.kind === "#text" ? this.text : [this.kind, this.dataset.label ?? null, this.attributes.title ?? null, inner];
  }
}
const known = {}, seen = [];
globalThis.Node = Node;
globalThis.document = { getElementById: (id) => known[id] ??= Object.assign(new Node(id), { value: "" }),
  createElement: (tag) => new Node(tag), createTextNode: (text) => Object.assign(new Node("#text"), { text }) };
globalThis.fetch = async (path, options) => { seen.push([path, options.headers]);
  const answer = path === "/model" ? { name: "n", labels: ["a"], predicates: [] } : RECORD;
  return options.headers.Authorization ? { ok: true, status: 200, json: async () => answer }
    : { ok: false, status: 401, json: async () => ({ error: "no", hint: "token" }) } };
"""
ACT = """
setImmediate(async () => {
  const first = [known.message.textContent, known["token-row"].hidden];
  known.token.value = "t";
  await known.ask.listeners.submit({ preventDefault() {} });
  process.stdout.write(JSON.stringify({ first, seen, article: known.results.children[0].json(), name: known.name.textContent }));
});
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_page_asks_for_the_token_and_marks_like_html_files(tmp_path: Path) -> None:
    text = "👩0123<b>45"
    entities = [Entity(0, 2, "a"), Entity(0, 4, "<i>"), Entity(3, 6, "c"), Entity(4, 5, "d"), Entity(8, 10, "a")]
    record = json.loads(write(Document(text, entities)))
    script = DOM.replace("RECORD", json.dumps(record)) + (PAGES / "page.js").read_text(encoding="utf-8") + ACT
    (tmp_path / "page.cjs").write_text(script, encoding="utf-8")
    run = subprocess.run(["node", str(tmp_path / "page.cjs")], capture_output=True, text=True, check=True, timeout=60)
    outcome = json.loads(run.stdout)
    assert outcome["first"] == ["no: token", False]
    assert outcome["seen"][-1][1]["Authorization"] == "Bearer t"
    assert outcome["name"] == "n"

    def html(node: Any) -> str:
        if isinstance(node, str):
            return node.replace("<", "&lt;").replace(">", "&gt;")
        kind, label, title, children = node
        inner = "".join(map(html, children))
        if kind != "mark":
            return inner
        escaped = {"label": html(label or ""), "title": html(title)}
        labelled = f' data-label="{escaped["label"]}"' if label else ""
        return f'<mark{labelled} title="{escaped["title"]}">{inner}</mark>'

    expected, deep = mark(text, entities)
    assert deep == []
    assert html(outcome["article"][3][0]) == re.sub(r' class="c\d"', "", expected)


# --- the command


def ie(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["serve", *arguments])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_need_a_token(host: str) -> None:
    run = ie("--host", host, "--port", "0")
    assert run.exit_code == 1
    assert "no token is set" in run.stderr
    assert "IE_TOKEN" in run.stderr


@pytest.mark.parametrize("token", ["", "two words", "schlüssel", "a\nb"])
def test_a_token_must_fit_a_header(token: str) -> None:
    run = ie("--token", token, "--port", "0")
    assert run.exit_code == 1
    assert "the token is empty, or contains" in run.stderr


def test_a_taken_port_is_reported_before_the_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = ie("no-such-model", "--port", str(taken.getsockname()[1]))
    assert run.exit_code == 1
    assert "cannot listen on this address: Address already in use" in run.stderr
    assert "hint: choose another port" in run.stderr


def test_answers_do_not_wait_to_be_filled_up() -> None:
    """Nagle's algorithm, which delays responses by 40 ms, is disabled by asyncio if the socket names its protocol."""
    from ie_cli.serving import server

    with server.bind(*server.resolve("127.0.0.1", 0)) as bound:
        assert bound.proto == socket.IPPROTO_TCP


def test_an_unknown_host_is_reported() -> None:
    run = ie("--host", "no.such.host.invalid")
    assert run.exit_code == 1
    assert "--host no.such.host.invalid: " in run.stderr


def test_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    run = ie("--port", "0")
    assert run.exit_code == 1
    assert "requires the package uvicorn" in run.stderr
    assert "pip install 'ie-cli[serve]'" in run.stderr


def test_without_a_model_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = ie("--port", "0", "--token", "short")
    assert run.exit_code == 1
    assert "no model found under" in run.stderr
    assert "a token of 5 characters can be guessed" in run.stderr


# --- the process


@dataclass
class Process:
    """A service in a separate process."""

    popen: subprocess.Popen[str]
    line: str
    port: int

    def raw(self, data: bytes, *, wait: float = 10) -> bytes:
        """Send bytes, and read until the service closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as connection:
            connection.sendall(data)
            received = b""
            while part := connection.recv(65536):
                received += part
            return received

    def post(self, text: str) -> tuple[int, Any]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("POST", "/predict", json.dumps({"text": text}), JSON)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def end(self, number: int) -> tuple[int, str]:
        self.popen.send_signal(number)
        _, error = self.popen.communicate(timeout=20)
        return self.popen.returncode, error


def start(*command: str) -> Process:
    popen = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
    assert popen.stderr is not None
    lines = []
    for line in popen.stderr:
        lines.append(line)
        if found := re.search(r" at http://127\.0\.0\.1:(\d+) ", line):
            return Process(popen, line, int(found[1]))
    raise AssertionError("".join(lines))


def stub_process(*options: str) -> Process:
    return start(str(ROOT / "tests" / "support" / "stub_serve.py"), "serve", "--port", "0", *options)


SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="a process of Windows gets no signals")


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    process = stub_process("--timeout", "1", "--concurrency", "1")
    yield process
    process.popen.kill()
    process.popen.communicate()


def test_it_listens_to_its_own_machine_alone(process: Process) -> None:
    psutil = pytest.importorskip("psutil")
    listening = [c.laddr for c in psutil.Process(process.popen.pid).net_connections() if c.status == "LISTEN"]
    assert listening == [("127.0.0.1", process.port)]
    assert process.post("王伟")[1]["entities"][0]["text"] == "王伟"


def test_a_slow_body_on_a_socket(process: Process) -> None:
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
    answer = process.raw(head.encode() + b'{"text"')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()


def test_a_large_body_on_a_socket(process: Process) -> None:
    body = b'{"text": "' + b"x" * 3_000_000 + b'"}'
    for chunked in (False, True):
        parts: Any = iter([body[n : n + 65536] for n in range(0, len(body), 65536)]) if chunked else body
        with closing(HTTPConnection("127.0.0.1", process.port, timeout=30)) as connection:
            connection.request("POST", "/predict", parts, JSON, encode_chunked=chunked)
            answer = connection.getresponse()
            assert (answer.status, b"more than 1,048,576 bytes" in answer.read()) == (413, True)


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", b"x" * 20_000,
     b"GET / HTTP/1.0\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_hung_up_on(process: Process, data: bytes) -> None:
    if not data.endswith(b"\n"):
        data += b"\r\n\r\n"
    assert re.match(rb"HTTP/1\.[01] (400|431) ", process.raw(data))
    assert process.post("x")[0] == 200


@SIGNALS
def test_ctrl_c_is_130() -> None:
    code, error = stub_process().end(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in error
    assert "interrupted" in error


@SIGNALS
def test_errors_go_to_stderr_and_texts_do_not() -> None:
    process = stub_process()
    status, answer = process.post("坏 private words")
    assert (status, answer["error"]) == (500, "internal error")
    assert process.post("王伟 more private words")[0] == 200
    code, error = process.end(signal.SIGTERM)
    assert code == 0
    assert f"internal error {answer['id']}" in error
    assert "broken by /home/user/secret" in error
    assert "private" not in error + process.line


@SIGNALS
def test_sigterm_lets_what_is_in_work_end() -> None:
    process = stub_process()
    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(process.post, "慢王伟")
        assert process.popen.stderr is not None
        assert process.popen.stderr.readline() == "slow\n"
        assert process.end(signal.SIGTERM) == (0, "")
        status, answer = under_way.result()
    assert (status, len(answer["entities"])) == (200, 1)


@SIGNALS
def test_the_service_gives_what_the_python_api_gives(tmp_path: Path) -> None:
    from support.untrained import write_model

    directory = write_model(tmp_path / "model")
    text = "王伟在青川大学读书，第1年。" * 9
    options = ["--port", "0", "--device", "cpu", "--precision", "float32", "--threshold", "0.505", "--flat"]
    process = start("-m", "ie_cli", "serve", str(directory), *options)
    status, answer = process.post(text)
    code, error = process.end(signal.SIGTERM)
    assert code == 0
    assert "3 of 3 windows exceeded the candidate limit" in error  # it is untrained
    extractor = Extractor.from_pretrained(directory, device="cpu", precision="float32")
    [expected] = extractor.extract([text], threshold=0.505, flat=True)
    assert (status, answer) == (200, to_fields(expected))
    assert answer["entities"]
