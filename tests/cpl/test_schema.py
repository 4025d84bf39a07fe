"""schemas/cpl.xsd: the RFC's examples fit it, and it agrees with the compiler wherever a schema can (appendix C)."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from sipd.cpl import CplError, compile
from sipd.cpl.document import CPL_NAMESPACE
from sipd.cpl.grammar import ALL_TAGS, NODES, OUTPUT_ATTRIBUTES
from sipd.cpl.schema import schema, schema_path
from tests.cpl.test_compile import ERRORS
from tests.cpl.test_warnings import WARNED

FIGURES = Path(__file__).parent / "rfc3880"
EXTENSIONS = {"fig28.cpl", "fig29.cpl"}  # §12.10: tags and attributes of other namespaces
NOT_YET = {"fig27.cpl": ["CPL-SOURCE"]}

BEYOND_A_SCHEMA = {
    "CPL-CHOICE",  # exactly one of several attributes
    "CPL-OPERATOR",
    "CPL-SUB-LATER",
    "CPL-SUB-ITSELF",
    "CPL-SCHEME",
    "CPL-SOURCE",  # URIs are legal, and refused here
    "CPL-MAIL",  # the schema sees the scheme only
    "CPL-MAILS",
    "CPL-URI",  # the schema sees the scheme only
}
WORDS_BEYOND = ("reason has a line break", "reason is longer")

figures = pytest.mark.parametrize("file", sorted(FIGURES.glob("*.cpl")), ids=lambda file: file.name)


def fits(source: bytes) -> bool:
    root = etree.fromstring(source)
    for element in root.iter(etree.Element):
        name = etree.QName(element)
        if name.namespace is None:
            element.tag = f"{{{CPL_NAMESPACE}}}{name.localname}"
    return schema().validate(etree.fromstring(etree.tostring(root)))


@figures
def test_the_examples_of_the_rfc_fit_the_schema_but_for_extensions(file):
    assert fits(file.read_bytes()) == (file.name not in EXTENSIONS)


@figures
def test_the_examples_of_the_rfc_compile_but_for_what_is_not_offered(file):
    if file.name in EXTENSIONS or file.name in NOT_YET:
        with pytest.raises(CplError) as raised:
            compile(file.read_bytes())
        codes = [finding.code for finding in raised.value.findings]
        assert codes == NOT_YET[file.name] if file.name in NOT_YET else "CPL-NAMESPACE" in codes
    else:
        compile(file.read_bytes())


def test_figure_27_compiles_where_its_host_is_permitted():
    source = (FIGURES / "fig27.cpl").read_bytes()
    assert compile(source, hosts=frozenset({"www.example.com"})).warnings == ()


def test_there_are_all_figures_with_scripts():
    assert len(list(FIGURES.glob("*.cpl"))) == 13


@pytest.mark.parametrize("script", [script for script, _ in WARNED])
def test_what_compiles_fits_the_schema(script):
    assert fits(f"<cpl>{script}</cpl>".encode()), schema().error_log


@pytest.mark.parametrize("row", ERRORS, ids=[f"{row[1]}-{row[0][:50]}" for row in ERRORS])
def test_what_is_refused_does_not_fit_the_schema_where_it_can_say_so(row):
    script, code, _, _ = row
    source = f"<cpl>{script}</cpl>".encode()
    with pytest.raises(CplError) as raised:
        compile(source)
    text = raised.value.findings[0].text
    if code not in BEYOND_A_SCHEMA and not text.startswith(WORDS_BEYOND):
        assert not fits(source)


def test_schema_and_grammar_have_the_same_tags_and_attributes():
    tree = etree.parse(schema_path())
    xs = {"xs": "http://www.w3.org/2001/XMLSchema"}
    assert {element.get("name") for element in tree.iterfind(".//xs:element[@name]", xs)} == ALL_TAGS
    for tag, attributes in {**{tag: shape.attributes for tag, shape in NODES.items()}, **OUTPUT_ATTRIBUTES}.items():
        (kind,) = {element.get("type") for element in tree.iterfind(f".//xs:element[@name='{tag}']", xs)}
        said = tree.findall(f".//xs:complexType[@name='{kind}']//xs:attribute", xs)
        assert [attribute.get("name") for attribute in said] == list(attributes), tag
