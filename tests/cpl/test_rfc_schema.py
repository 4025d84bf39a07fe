"""schemas/cpl.xsd against the schema in RFC 3880 itself, and both against the compiler (appendix C)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from lxml import etree

from sipd.cpl import CplError, compile
from sipd.cpl.document import CPL_NAMESPACE
from sipd.cpl.schema import schema
from tests.cpl.corpus import DIFFERENCES, Script, corpus
from tests.cpl.rfc import figures, rfc_schema

FIGURES = Path(__file__).parent / "rfc3880"
SCRIPTS = sorted(set(corpus()))


def in_namespace(source: str) -> etree._Element:
    """The script with no namespace put into that of CPL: they are the same (§11), which no schema can say."""
    root = etree.fromstring(source.encode())
    for element in root.iter(etree.Element):
        name = etree.QName(element)
        if name.namespace is None:
            element.tag = f"{{{CPL_NAMESPACE}}}{name.localname}"
    return etree.fromstring(etree.tostring(root))


def verdicts(script: Script) -> tuple[bool, bool, bool]:
    """Whether the RFC's schema, ours and the compiler take it."""
    root = in_namespace(script.source)
    try:
        compile(script.source.encode())
    except CplError:
        compiles = False
    else:
        compiles = True
    return rfc_schema().validate(root), schema().validate(root), compiles


@pytest.mark.parametrize("difference", sorted({script.difference for script in SCRIPTS}))
def test_the_schemas_and_the_compiler_agree_but_where_it_is_said(difference):
    scripts = [script for script in SCRIPTS if script.difference == difference]
    wrong = []
    for script in scripts:
        rfc, ours, compiler = verdicts(script)
        expected = DIFFERENCES[difference][:3] if difference else (rfc,) * 3
        if (rfc, ours, compiler) != expected:
            wrong.append(f"rfc {rfc}, ours {ours}, compiler {compiler}: {script.source}")
    assert not wrong, "\n".join(wrong)


def test_each_difference_is_shown_by_a_script():
    assert {script.difference for script in corpus()} == {"", *DIFFERENCES}


def test_the_corpus_is_large_and_of_both_kinds():
    count = Counter(rfc_schema().validate(in_namespace(script.source)) for script in SCRIPTS)
    assert len(SCRIPTS) >= 300
    assert min(count[True], count[False]) >= 150


def test_the_figures_are_those_of_the_rfc():
    kept = {int(file.stem.removeprefix("fig")): file.read_bytes() for file in FIGURES.glob("*.cpl")}
    assert {number: text.split() for number, text in kept.items()} == {n: text.split() for n, text in figures().items()}


def test_the_differences_are_told_to_people():
    page = (Path(__file__).parents[2] / "docs/explanation/cpl.md").read_text("utf-8")
    words = {True: "takes", False: "refuses"}
    for difference in DIFFERENCES.values():
        *verdict, why = difference
        assert f"| {' | '.join(words[bool(each)] for each in verdict)} | {why} |" in page
