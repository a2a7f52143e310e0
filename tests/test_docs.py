"""The documentation: pages are fresh, links and paths lead somewhere, every YAML in it loads."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from docs.render import pages
from sluiceway.config.load import load
from sluiceway.service import Collector

ROOT = Path(__file__).parent.parent
WRITTEN = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]


def test_rendered_pages_are_fresh() -> None:
    """The pages of the components say what the modules say; `make docs` renders them."""
    assert [path.name for path, text in pages().items() if not path.exists() or path.read_text() != text] == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link in a page is a file of the project."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_exist(page: Path) -> None:
    """Every path of ours that a page names in backticks is a file or a folder, patterns match something."""
    named = re.findall(
        r"`((?:sluiceway|tests|docs|examples|benchmarks|pipelines|config|otlp)/[\w./*-]*)`", page.read_text()
    )
    assert [
        path for path in named if not [*ROOT.glob(path.rstrip("/")), *(ROOT / "sluiceway").glob(path.rstrip("/"))]
    ] == []


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_build(example: Path) -> None:
    """Every example is a whole configuration that builds, where keys are in the variables that it names."""
    keys = dict.fromkeys(re.findall(r"\$\{env:(\w*(?:KEY|AES)\w*)\}", example.read_text()), "0f" * 32)
    Collector(load([str(example)], environ={**os.environ, **keys}))


@pytest.mark.parametrize(
    "page",
    [ROOT / "README.md", ROOT / "docs/configuration.md", ROOT / "docs/quickstart.md"],
    ids=lambda path: path.name,
)
def test_whole_configurations_in_pages_build(page: Path) -> None:
    """The YAML in the README and in pages works as it stands."""
    blocks = re.findall(r"```yaml.*?\n(.*?)```", page.read_text(), re.DOTALL)
    assert blocks
    for text in blocks:
        Collector.from_yaml(text)
