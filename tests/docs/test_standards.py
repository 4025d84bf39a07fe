"""The rows of docs/standards: sound, in order, and every test they name exists and is run."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from docs.reference.checklist import checklist
from docs.reference.standards import STANDARDS, Standard, read, standards
from docs.reference.threats import threats
from tests.running import REPOSITORY

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
ALL = standards()
TESTS = sorted(
    {test for standard in ALL for row in standard.rows for test in row.tests}
    | {test for threat in threats() for test in threat.tests}
    | {test for line in checklist() for test in line.tests}
)


@cache
def collected(path: str) -> dict[str, bool]:
    """The tests of a file, methods as `Class::test`, and whether each is parametrised."""
    tests: dict[str, bool] = {}
    body = ast.parse((REPOSITORY / path).read_text("utf-8")).body
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.value).endswith(".TestCase"):  # of a state machine
            tests |= {f"{ast.unparse(name)}::runTest": False for name in node.targets}
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            in_all = parametrised(node)
            tests |= {f"{node.name}::{name}": own or in_all for name, own in functions(node.body)}
    return tests | dict(functions(body))


def functions(body: list[ast.stmt]) -> list[tuple[str, bool]]:
    found = [node for node in body if isinstance(node, FUNCTIONS) and node.name.startswith("test_")]
    return [(node.name, parametrised(node)) for node in found if not skipped(node)]


def decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[str]:
    return [ast.unparse(decorator) for decorator in node.decorator_list]


def parametrised(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any("parametrize" in text or text.startswith(("each_", "every_")) for text in decorators(node))


def skipped(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("skip" in text or "xfail" in text for text in decorators(node))


@pytest.mark.parametrize("test", TESTS)
def test_every_named_test_exists_and_is_run(test: str) -> None:
    path, _, rest = test.partition("::")
    name, bracket, _ = rest.partition("[")
    assert (REPOSITORY / path).is_file(), f"there is no {path}"
    assert path.rpartition("/")[2].startswith("test_"), f"pytest does not look into {path}"
    assert name in collected(path), f"{path} has no {name}, or skips it"
    assert not bracket or collected(path)[name], f"{name} is not parametrised"


@pytest.mark.parametrize("standard", ALL, ids=lambda standard: f"rfc{standard.number}")
def test_rows_are_in_the_order_of_the_sections(standard: Standard) -> None:
    orders = [row.order for row in standard.rows]
    for row, before, after in zip(standard.rows[1:], orders, orders[1:], strict=False):
        assert before <= after, f"§{row.section} {row.text}"


@pytest.mark.parametrize("standard", ALL, ids=lambda standard: f"rfc{standard.number}")
def test_nothing_is_said_twice(standard: Standard) -> None:
    said = [(row.section, row.level, row.text) for row in standard.rows]
    assert [row for row in said if said.count(row) > 1] == []
    assert [row for row in standard.rows if len(set(row.tests)) < len(row.tests)] == []


def test_every_file_is_read() -> None:
    assert {f"rfc{standard.number}.txt" for standard in ALL} == {path.name for path in STANDARDS.iterdir()}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("16.3 MUST x\n", "begins with"),
        ("title: x\n    tests/a.py::b\n", "a verdict without its row"),
        ("title: x\n16.3 MUST y\n", "x1.txt:2: no verdict"),
        ("title: x\n16.3 MUST y\n# z\n\n16.4 SHOULD z\n    no, because\n", "x1.txt:2: no verdict"),
        ("title: x\n# z\n\n16.4 SHOULD z\n    no, because\n", "x1.txt:5: neither"),
        ("title: x\n16.3 MAY y\n    no, because z\n", "x1.txt:2: not"),
        ("title: x\n16.3 MUST y\n    no, because z\n    no, because w\n", "x1.txt:4: neither"),
    ],
)
def test_what_is_not_sound_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read("x1.txt", text)


def test_a_row_has_its_parts() -> None:
    text = (
        "# c\ntitle: On x\n16.6(4) MUST NOT*2 do | that\n    tests/a/test_b.py::test_c[d-e]\n    no, because z\n"
        "A.1 SHOULD x\n    not ours: user agents\n"
    )
    standard = read("rfc7.txt", text)
    assert (standard.number, standard.title) == (7, "On x")
    first, second = standard.rows
    assert tuple(first) == ("16.6(4)", "MUST NOT", 2, "do | that", ("tests/a/test_b.py::test_c[d-e]",), "z", "")
    assert (first.verdict, second.verdict) == ("held in part", "not ours")
    assert first.order == ((16, ""), (6, ""), (4, "")) < second.order


def test_threats_are_in_order_and_each_has_its_id_once() -> None:
    ids = [int(threat.id[1:]) for threat in threats()]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    "text", ["T01 what: then\n", "    tests/a.py::test_b\n", "T01 no colon\n", "T01 a: b\n    some test\n"]
)
def test_a_threat_without_a_test_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"threats\.txt"):
        threats(text)


def test_every_line_of_the_checklist_is_shown_by_a_test() -> None:
    assert [line.number for line in checklist() if not line.tests] == []


def test_the_checklist_has_every_number_once_and_in_order() -> None:
    numbers = [tuple(map(int, line.number.split("."))) for line in checklist()]
    assert numbers == [*((2, number) for number in range(1, 40)), *((4, number) for number in range(1, 24))]


@pytest.mark.parametrize("text", ["2.1 x\n    some test\n", "2.1\n", "    tests/a.py::test_b\n"])
def test_a_checklist_that_is_not_sound_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cpl\.txt"):
        checklist(text)
