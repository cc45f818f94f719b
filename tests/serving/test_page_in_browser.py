"""The pages in Chromium: what a user sees, clicks and reads."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.hostile_pages import HOSTILE, PAGES

from ie_cli import Document, Entity
from ie_cli.formats.html import FRAME, write

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: make test-browser")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

STUB = Path(__file__).parent.parent / "support" / "stub_serve.py"
ACTING = ("length", "script", "direction")
"""The kinds of hostile data that could change a whole page."""
TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = browser.new_page()
    opened.set_default_timeout(15_000)
    yield opened
    opened.close()


@contextmanager
def service(*options: str) -> Iterator[str]:
    """The address of a service in a separate process."""
    command = [sys.executable, str(STUB), "serve", "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield next(found[0] for line in process.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        finally:
            process.terminate()


def ask(page: Any, text: str) -> Any:
    """Type a text, click the button, and return the new article."""
    page.locator("#text").fill(text)
    page.get_by_role("button", name="Extract").click()
    article = page.locator("#results article").first
    article.wait_for()
    return article


def style(element: Any) -> list[str]:
    """What distinguishes the mark of a label."""
    found: list[str] = element.evaluate(
        "e => { const s = getComputedStyle(e); return [s.color, s.backgroundColor, s.borderBottomStyle] }"
    )
    return found


def test_without_a_token_there_is_no_box_and_a_click_shows_the_entities(page: Any) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    with service() as address:
        page.goto(address)
        page.locator("#labels bdi").first.wait_for()
        assert page.locator("#token").is_hidden()
        article = ask(page, "👩\u200d🔬王伟<b>王伟")
        marks = article.locator("p mark")
        assert marks.all_text_contents() == ["王伟", "王伟"]
        assert article.locator("p").text_content() == "👩\u200d🔬王伟<b>王伟"
        assert [title.rpartition(" ")[0] for title in (mark.get_attribute("title") for mark in marks.all())] == [
            "person 3-5",
            "person 8-10",
        ]
        assert style(marks.first) == style(page.locator("#labels bdi").first)
        page.locator("#text").fill("no entity")
        page.locator("#text").press("Control+Enter")
        page.get_by_text("nothing found").wait_for()
    assert errors == []


def test_the_box_appears_when_a_token_is_needed(page: Any) -> None:
    with service("--token", TOKEN) as address:
        page.goto(address)
        page.locator("#token").wait_for(state="visible")
        assert page.locator("#message.error").is_visible()
        page.locator("#token").fill(TOKEN)
        article = ask(page, "王伟")
        assert article.locator("p mark").all_text_contents() == ["王伟"]
        assert page.locator("#message.error").count() == 0


@pytest.mark.parametrize("kind", ["page", "fragment"])
@pytest.mark.parametrize("char", ["王", "w "])
def test_the_name_of_a_label_stays_on_the_line_of_its_mention(page: Any, kind: str, char: str) -> None:
    size = len(char)
    text = char * 40
    entities = [Entity(n * size, n * size + 1, f"two words {n % 3} ERROR-CODE") for n in range(0, 40, 3)]
    document = Document(text, entities)
    article = write(document) if kind == "page" else document._repr_html_()
    page.set_content(FRAME[0] + article + FRAME[2] if kind == "page" else article)
    for width in range(260, 700, 55):
        page.set_viewport_size({"width": width, "height": 800})
        # A mark of one character and its name is on one line if it consists of one box.
        lines = page.evaluate(
            "[...document.querySelectorAll('mark')].map(m => new Set([...m.getClientRects()].map(r => r.bottom)).size)"
        )
        assert lines == [1] * len(entities)
        tops = page.evaluate(
            "new Set([...document.querySelectorAll('mark')].map(m => m.getBoundingClientRect().top)).size"
        )
        assert tops > 3  # there are several lines that could break


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_on_a_mark_is_black_on_its_own_background(page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    document = Document("0123", [Entity(0, 4, "a"), Entity(1, 3, "b")])
    page.set_content(FRAME[0] + write(document) + FRAME[2])
    styles = [style(mark) for mark in page.locator("mark").all()]
    assert styles == [
        ["rgb(0, 0, 0)", "rgb(119, 170, 221)", "solid"],
        ["rgb(0, 0, 0)", "rgb(238, 136, 102)", "dotted"],
    ]


@pytest.mark.parametrize(
    "hostile", [HOSTILE["length"], HOSTILE["script"], HOSTILE["direction"]], ids=["length", "script", "direction"]
)
@pytest.mark.parametrize("page_of", PAGES.values(), ids=PAGES)
def test_hostile_data_neither_run_nor_widen_a_page(
    page_of: Any, hostile: str, page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened: list[str] = []
    page.on("dialog", lambda dialog: (opened.append(dialog.message), dialog.dismiss()))
    page_of(hostile)
    page.goto((tmp_path / "out.html").as_uri())
    width, room = page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width <= room
    assert opened == []
