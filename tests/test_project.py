"""The project as others get it: links, versions, programs, and what is in the wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

import sipd
from tests.running import REPOSITORY

PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
SCRIPTS: dict[str, str] = PYPROJECT["project"]["scripts"]
FENCE = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(text: str) -> list[str]:
    return [link for link in LINK.findall(FENCE.sub("", text)) if not re.match(r"[a-z]+:", link)]


def anchors(text: str) -> set[str]:
    """The headings as links name them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [page for page in PAGES if "_build" not in page.parts], ids=lambda page: page.name)
def test_links_lead_somewhere(page) -> None:
    for link in links(page.read_text("utf-8")):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.relative_to(REPOSITORY)} links to {link}"
        assert not anchor or anchor in anchors(target.read_text("utf-8")), f"{page.name}: no heading for {link}"


def test_every_page_of_the_documentation_is_reached_from_the_index() -> None:
    index = (REPOSITORY / "docs" / "index.md").read_text("utf-8")
    for page in PAGES:
        if "docs" in page.parts and "_build" not in page.parts and page.name != "index.md":
            name = str(page.relative_to(REPOSITORY / "docs").with_suffix(""))
            assert f"\n{name}\n" in index, f"docs/index.md does not list {name}"


def test_what_is_compiled_is_there() -> None:
    hook = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    assert (REPOSITORY / hook["path"]).is_file()
    assert hook["enable-by-default"] is False, "the plain install needs no compiler"
    assert [module for module in hook["modules"] if not (REPOSITORY / module).is_file()] == []


def test_nothing_compiled_asks_for_its_slots() -> None:
    """A compiled class has none."""
    for module in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["modules"]:
        asked = re.findall(r"^.*__slots__(?! = ).*$", (REPOSITORY / module).read_text("utf-8"), re.MULTILINE)
        assert asked == [], module


def test_changelog_has_a_section_for_what_is_new() -> None:
    heads = re.findall(r"^## (.+)$", (REPOSITORY / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert heads
    assert re.match(r"\[?(Unreleased|[0-9]+\.[0-9]+)", heads[0]), heads[0]


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in PYPROJECT["project"]
    assert "version" in PYPROJECT["project"]["dynamic"]
    place = REPOSITORY / PYPROJECT["tool"]["hatch"]["version"]["path"]
    assert re.findall(r'^__version__ = "(.+)"$', place.read_text("utf-8"), re.MULTILINE) == [sipd.__version__]
    others = [path for path in (REPOSITORY / "sipd").rglob("*.py") if path != place]
    assert [path.name for path in others if f'"{sipd.__version__}"' in path.read_text("utf-8")] == []


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_program_says_what_it_is(name, option) -> None:
    module, _, function = SCRIPTS[name].partition(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    done = subprocess.run(
        [sys.executable, "-c", code, option], cwd=REPOSITORY, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (name if option == "--help" else sipd.__version__) in done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without asking the network."""
    made = tmp_path_factory.mktemp("wheel")
    words = ["wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(made)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
        cwd=REPOSITORY, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [file] = made.glob("sipd-*.whl")
    with zipfile.ZipFile(file) as archive:
        yield archive


@pytest.mark.parametrize(
    "wanted",
    [
        r"sipd/schemas/cpl\.xsd",
        r"sipd/sql/createsip\.sql",
        r"sipd/py\.typed",
        r"sipd/__main__\.py",
        r"sipd-.*\.dist-info/(licenses/)?LICENSE",
        r"sipd-.*\.dist-info/entry_points\.txt",
    ],
)
def test_wheel_contains(wheel, wanted) -> None:
    assert [name for name in wheel.namelist() if re.fullmatch(wanted, name)], wheel.namelist()


def test_wheel_contains_nothing_else(wheel) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sipd"}
    assert [name for name in wheel.namelist() if name.endswith((".pyc", ".sqlite3"))] == []
    sources = {path.name for path in (REPOSITORY / "sql").iterdir()}
    assert {name.rpartition("/")[2] for name in wheel.namelist() if name.startswith("sipd/sql/")} == sources


def test_wheel_has_the_version_and_every_program(wheel) -> None:
    [metadata] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    assert f"\nVersion: {sipd.__version__}\n" in wheel.read(metadata).decode()
    [points] = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    assert re.findall(r"^(\S+) = ", wheel.read(points).decode(), re.MULTILINE) == sorted(SCRIPTS)
