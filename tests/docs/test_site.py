"""The site is built without a warning, and what it loads comes with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import ROOT

pytest.importorskip("sphinx", reason="the extra docs is not installed")
pytest.importorskip("furo")
pytest.importorskip("myst_parser")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site in a separate process: Sphinx changes what the whole process prints and warns about."""
    out = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-n", "-q", "-E", "-b", "html", "-d", str(out / "doctrees")]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(out / "html")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert built.returncode == 0, built.stderr
    return out / "html"


def test_every_page_is_there(site: Path) -> None:
    sources = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    pages = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert {page for page in sources if "_build" not in page.parts} <= pages
    assert (site / "index.html").exists()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """Links may lead to other hosts; scripts, styles, fonts and images may not."""
    loads = re.compile(
        r"""(?:<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=["']?|url\(["']?|@import\s*["'])(https?:)?//"""
    )
    files = [path for ending in ("html", "css") for path in site.rglob(f"*.{ending}")]
    assert len(files) > 10
    assert not [path for path in files if loads.search(path.read_text(encoding="utf-8"))]
    assert loads.search('<script src="https://cdn.example.org/x.js">')


def test_the_search_works_without_a_server(site: Path) -> None:
    """Browsers let a file load scripts, and fetch nothing."""
    page = (site / "search.html").read_text(encoding="utf-8")
    assert 'src="searchindex.js"' in page
    assert "SHOW_SEARCH_SUMMARY: false" in (site / "_static" / "documentation_options.js").read_text(encoding="utf-8")
    assert "threshold" in (site / "searchindex.js").read_text(encoding="utf-8")


def test_files_outside_docs_are_pages(site: Path) -> None:
    page = (site / "project" / "security.html").read_text(encoding="utf-8")
    assert "What is not promised" in page
    reliability = (site / "reliability.html").read_text(encoding="utf-8")
    assert 'href="project/security.html"' in reliability
