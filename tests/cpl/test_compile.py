"""What is refused at upload: where, with which code, and what the user is told (RFC 3880, all MUSTs of upload)."""

from __future__ import annotations

import pytest

from sipd.cpl import CODES, CplError, Finding, compile
from sipd.cpl.findings import LIMIT, MAX_FINDINGS
from tests.cpl.calls import program


def refused(source: str | bytes, operations: str = "all") -> tuple[Finding, ...]:
    with pytest.raises(CplError) as raised:
        compile(source if isinstance(source, bytes) else source.encode(), operations=operations)
    return raised.value.findings


def body(text: str) -> tuple[Finding, ...]:
    """The findings of a script of no namespace, each a line."""
    return refused(f"<cpl>{text}</cpl>")


IN = "<incoming>{}</incoming>"

ERRORS = [
    # structure (§3)
    ("<incomming/>", "CPL-TAG", "§3", "did you mean “incoming”?"),
    ("<Incoming/>", "CPL-TAG", "§3", "did you mean “incoming”?"),
    ("<proxy/>", "CPL-PLACE", "§6.1", "put it into <incoming> or <outgoing>"),
    ("<incoming/><incoming/>", "CPL-TWICE", "§3", "one, with a switch"),
    ("<incoming/><subaction id='a'/>", "CPL-ORDER", "§8", "move it up"),
    ("<subaction id='a'/><ancillary/><incoming><sub ref='a'/></incoming>", "CPL-ORDER", "§9", "move it up"),
    ("<ancillary><log/></ancillary>", "CPL-PLACE", "§9", ""),
    ("<incoming id='a'/>", "CPL-ATTRIBUTE", "§3", "no attributes"),
    ("words <incoming/>", "CPL-TEXT", "§2.4", "<!--"),
    # nodes and outputs in each other's places
    (IN.format("<busy/>"), "CPL-PLACE", "§3", "it is an output of proxy"),
    (IN.format("<proxy><redirect/></proxy>"), "CPL-PLACE", "§6.2", "put it into an output of <proxy>"),
    (IN.format("<proxy><sucess/></proxy>"), "CPL-TAG", "§6.1", "did you mean “success”?"),
    (IN.format("<proxy><no-answer/></proxy>"), "CPL-TAG", "§6.1", "did you mean “noanswer”?"),
    (IN.format("<lookup source='registration'><not-found/></lookup>"), "CPL-TAG", "§5.2", "did you mean “notfound”?"),
    (IN.format("<location url='sip:a@b'/><proxy/>"), "CPL-TWICE", "§6.1", "put <proxy> inside"),
    (IN.format("<reject status='busy'/><log/>"), "CPL-TWICE", "§7.2", "would never run"),
    (IN.format("<proxy/><log/>"), "CPL-TWICE", "§7.2", "into an output of <proxy>"),
    (IN.format("<reject status='busy'><log/></reject>"), "CPL-PLACE", "§6.3", ""),
    (IN.format("<proxy><busy/><busy/></proxy>"), "CPL-TWICE", "§6.1", ""),
    (IN.format("<string-switch field='subject'><otherwise/><not-present/></string-switch>"), "CPL-ORDER", "§4", "last"),
    (IN.format("<string-switch field='subject'><otherwise/><otherwise/></string-switch>"), "CPL-TWICE", "§4.2", ""),
    (IN.format("<priority-switch><not-present/><not-present/></priority-switch>"), "CPL-TWICE", "§4.5", ""),
    (IN.format("<priority-switch><default/></priority-switch>"), "CPL-PLACE", "§4.5", "did you mean “otherwise”?"),
    # attributes
    (IN.format("<location uri='sip:a@b'/>"), "CPL-ATTRIBUTE", "§5.1", "did you mean “url”?"),
    (IN.format("<location/>"), "CPL-REQUIRED", "§5.1", 'url="sip:alice@example.com"'),
    (IN.format("<location url='a@b'/>"), "CPL-URI", "§5.1", "did you mean “sip:a@b”?"),
    (IN.format("<location url='+12125551212'/>"), "CPL-URI", "§5.1", "did you mean “tel:+12125551212”?"),
    (IN.format("<location url='example.com:5060'/>"), "CPL-SCHEME", "§5.1", "did you mean “sip:example.com:5060”?"),
    (IN.format("<location url='javascript:alert(1)'/>"), "CPL-SCHEME", "§5.1", "use sip:"),
    (IN.format("<location url='sip:a@b&#13;&#10;X: y'/>"), "CPL-URI", "§5.1", ""),
    (IN.format("<location url='sip:a@b' priority='1.01'/>"), "CPL-VALUE", "§5.1", 'priority="0.5"'),
    (IN.format("<location url='sip:a@b' priority='.'/>"), "CPL-VALUE", "§5.1", ""),
    (IN.format("<location url='sip:a@b' priority='&#x663;'/>"), "CPL-VALUE", "§5.1", ""),
    (IN.format("<location url='sip:a@b' clear='true'/>"), "CPL-VALUE", "§5.1", ""),
    (IN.format("<lookup/>"), "CPL-REQUIRED", "§5.2", 'source="registration"'),
    (IN.format("<lookup source='http://x/'/>"), "CPL-SOURCE", "§5.2", "registration"),
    (IN.format("<lookup source='registrations'/>"), "CPL-SOURCE", "§5.2", "registration"),
    (IN.format("<remove-location location='nobody'/>"), "CPL-URI", "§5.3", ""),
    (IN.format("<proxy timeout='0'/>"), "CPL-VALUE", "§6.1", 'timeout="20"'),
    (IN.format("<proxy timeout='20s'/>"), "CPL-VALUE", "§6.1", ""),
    (IN.format("<proxy timeout='-5'/>"), "CPL-VALUE", "§6.1", ""),
    (IN.format("<proxy timeout='&#xb2;'/>"), "CPL-VALUE", "§6.1", ""),
    (IN.format("<proxy ordering='serial'/>"), "CPL-VALUE", "§6.1", ""),
    (IN.format("<proxy ordering='paralel'/>"), "CPL-VALUE", "§6.1", "did you mean “parallel”?"),
    (IN.format("<redirect permanent='1'/>"), "CPL-VALUE", "§6.2", ""),
    (IN.format("<reject/>"), "CPL-REQUIRED", "§6.3", 'status="busy"'),
    (IN.format("<reject status='200'/>"), "CPL-VALUE", "§6.3.1", "4xx"),
    (IN.format("<reject status='700'/>"), "CPL-VALUE", "§6.3.1", ""),
    (IN.format("<reject status='&#x664;&#x664;&#x664;'/>"), "CPL-VALUE", "§6.3.1", ""),
    (IN.format("<reject status='busy' reason='a&#13;&#10;Via: b'/>"), "CPL-VALUE", "§6.3", "one line"),
    (IN.format(f"<reject status='busy' reason='{'x' * 201}'/>"), "CPL-VALUE", "§6.3", "shorter"),
    # switches (§4)
    (IN.format("<address-switch/>"), "CPL-REQUIRED", "§4.1", "field"),
    (IN.format("<address-switch field='orign'/>"), "CPL-VALUE", "§4.1", "did you mean “origin”?"),
    (IN.format("<address-switch field='origin' subfield='usr'/>"), "CPL-VALUE", "§4.1", "did you mean “user”?"),
    (IN.format("<address-switch field='origin'><address/></address-switch>"), "CPL-CHOICE", "§4.1", 'is="…"'),
    (
        IN.format("<address-switch field='origin'><address is='boss@x'/></address-switch>"),
        "CPL-URI",
        "§4.1",
        "sip:boss@x",
    ),
    (IN.format("<string-switch field='from'/>"), "CPL-VALUE", "§4.2", ""),
    (IN.format("<string-switch field='subject'><string/></string-switch>"), "CPL-CHOICE", "§4.2", ""),
    (IN.format("<language-switch><language/></language-switch>"), "CPL-REQUIRED", "§4.3", "matches"),
    (IN.format("<language-switch><language matches='*'/></language-switch>"), "CPL-VALUE", "§4.3", "otherwise"),
    (IN.format("<language-switch><language matches='en_US'/></language-switch>"), "CPL-VALUE", "§4.3", ""),
    (IN.format("<priority-switch><priority less='urgnt'/></priority-switch>"), "CPL-VALUE", "§4.5", "urgent"),
    (IN.format("<priority-switch><priority equal=' '/></priority-switch>"), "CPL-VALUE", "§4.5", ""),
    (IN.format("<priority-switch><priority less='a' equal='b'/></priority-switch>"), "CPL-CHOICE", "§4.5", ""),
    # other operations (§7)
    (IN.format("<mail/>"), "CPL-REQUIRED", "§7.1", 'url="mailto:alice@example.com"'),
    (IN.format("<mail url='alice@example.com'/>"), "CPL-MAIL", "§7.1", "mailto:alice@example.com"),
    (IN.format("<mail url='mailto:a@b?bcc=c@d'/>"), "CPL-MAIL", "§7.1", "there are subject, body"),
    (IN.format("<mail url='mailto:a@b?subject=a%0D%0AX:b'/>"), "CPL-MAIL", "§7.1", "body only"),
    (IN.format("<mail url='mailto:a@b'>" * 4 + "</mail>" * 4), "CPL-MAILS", "", ""),
    # subactions (§8)
    ("<subaction/>", "CPL-REQUIRED", "§8", "id"),
    ("<subaction id=''/>", "CPL-VALUE", "§8", ""),
    ("<subaction id='a'/><subaction id='a'/><incoming><sub ref='a'/></incoming>", "CPL-TWICE", "§8", "unique"),
    ("<subaction id='a'><sub ref='a'/></subaction>", "CPL-SUB-ITSELF", "§8", ""),
    ("<subaction id='a'><sub ref='b'/></subaction><subaction id='b'/>", "CPL-SUB-LATER", "§8", "move"),
    ("<subaction id='Mail'/>" + IN.format("<sub ref='mail'/>"), "CPL-SUB-UNKNOWN", "§8", ""),
    (IN.format("<sub ref='voice'/>"), "CPL-SUB-UNKNOWN", "§8", "define it"),
    (IN.format("<sub ref='incoming'/>"), "CPL-SUB-UNKNOWN", "§8", ""),
    (IN.format("<sub/>"), "CPL-REQUIRED", "§8", "ref"),
]


@pytest.mark.parametrize(("script", "code", "section", "hint"), ERRORS, ids=[f"{c}-{s[:50]}" for s, c, _, _ in ERRORS])
def test_each_error_alone_says_what_where_and_how_to_mend_it(script, code, section, hint):
    findings = body(script)
    assert [finding.code for finding in findings] == [code]
    (finding,) = findings
    assert finding.code in CODES
    assert finding.rule == (f"RFC 3880 {section}" if section else LIMIT)
    assert hint in finding.hint
    assert finding.line == 1
    assert finding.column > 1
    assert finding.path.startswith("/cpl")


@pytest.mark.parametrize("subfield", ["user", "host", "port", "tel", "display", "password", "address-type", None])
@pytest.mark.parametrize("operator", ["is", "contains", "subdomain-of"])
def test_operators_go_with_their_subfields_only(subfield, operator):
    part = f"subfield='{subfield}'" if subfield else ""
    value = "1" if subfield else "sip:a@b"
    script = (
        f"<incoming><address-switch field='origin' {part}><address {operator}='{value}'/></address-switch></incoming>"
    )
    good = operator == "is" or (operator, subfield) in {
        ("contains", "display"),
        ("subdomain-of", "host"),
        ("subdomain-of", "tel"),
    }
    if good:
        program(script)
    else:
        assert [finding.code for finding in body(script)] == ["CPL-OPERATOR"]


@pytest.mark.parametrize(
    ("subfield", "value"), [("port", "5o60"), ("port", ""), ("host", ""), ("host", "..."), ("tel", ""), ("tel", "-")]
)
def test_values_that_mean_nothing_for_a_subfield_are_refused(subfield, value):
    script = f"<address-switch field='origin' subfield='{subfield}'><address is='{value}'/></address-switch>"
    assert [finding.code for finding in body(IN.format(script))] == ["CPL-VALUE"]


def test_all_errors_come_at_once_in_the_order_of_the_script():
    findings = refused("""<cpl>
  <subaction id="vm"><location url="x"/></subaction>
  <incoming>
    <adress-switch field="orign">
      <address is="boss">
        <proxy timeout="soon"><no-answer><sub ref="wm"/></no-answer></proxy>
      </address>
    </adress-switch>
  </incoming>
</cpl>""")
    assert [(finding.code, finding.line, finding.column) for finding in findings] == [
        ("CPL-URI", 2, 32),
        ("CPL-TAG", 4, 5),
        ("CPL-VALUE", 4, 20),
        ("CPL-URI", 5, 16),
        ("CPL-VALUE", 6, 16),
        ("CPL-TAG", 6, 31),
        ("CPL-SUB-UNKNOWN", 6, 47),
    ]
    assert findings[-2].path == "/cpl/incoming/adress-switch[1]/address[1]/proxy[1]/no-answer[1]"


def test_columns_count_characters_and_lines_end_in_any_way():
    findings = refused("<cpl>\r\n<incoming>\r<!-- ÄÖÜ🎈 --><reject  status='x'/></incoming></cpl>")
    assert [(finding.line, finding.column) for finding in findings] == [(3, 23)]


def test_an_attribute_is_found_behind_others_that_hold_its_name():
    findings = refused("<cpl><incoming><reject reason=\"status='400'\"\n status='x'/></incoming></cpl>")
    assert [(finding.line, finding.column) for finding in findings] == [(2, 2)]


def test_findings_are_bounded():
    findings = body("<subaction/>" * 1500)
    assert len(findings) == MAX_FINDINGS


def test_the_reason_phrase_holds_no_text_of_the_script():
    with pytest.raises(CplError) as raised:
        program("<evil/>")
    assert raised.value.text == "CPL script refused at line 1 column 6"
    assert raised.value.status == 400


def test_messages_show_no_control_characters():
    findings = body(IN.format("<reject status='&#9;a\u202e\x9b'/>"))
    assert all(character.isprintable() for character in findings[0].text)


def test_the_report_of_a_refusal_is_one_line_a_finding():
    with pytest.raises(CplError) as raised:
        program("<subaction id='a'/><evil/>")
    lines = raised.value.report().splitlines()
    assert lines[0].startswith("error: line 1, column 25: there is no tag “evil” in CPL")
    assert lines[1].startswith("warning: ")


ROOTS = [
    '<cpl xmlns="urn:ietf:params:xml:ns:cpl"><incoming><log name="x"/></incoming></cpl>',
    '<cpl><incoming><log name="x"/></incoming></cpl>',
    '<c:cpl xmlns:c="urn:ietf:params:xml:ns:cpl"><c:incoming><c:log c:name="x"/></c:incoming></c:cpl>',
    '<c:cpl xmlns:c="urn:ietf:params:xml:ns:cpl"><incoming><c:log name="x"/></incoming></c:cpl>',
    '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE cpl SYSTEM "cpl.dtd">\n'
    '<cpl><incoming><log name="x"/></incoming></cpl>',
    '<!DOCTYPE cpl PUBLIC "-//IETF//DTD RFCxxxx CPL 1.0//EN" "cpl.dtd">\n'
    '<cpl><incoming><log name="x"/></incoming></cpl>',
    '<cpl xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:schemaLocation="urn:ietf:params:xml:ns:cpl cpl.xsd"><?editor x?>'
    '<incoming><!-- so --><log name="x"/></incoming></cpl>',
]


@pytest.mark.parametrize("source", ROOTS)
def test_roots_of_rfc_drafts_and_prefixes_are_read(source):
    compiled = compile(source.encode())
    assert compiled.has_incoming
    assert [warning.code for warning in compiled.warnings] == (["CPL-DOCTYPE"] if "DOCTYPE" in source else [])


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ('<cpl xmlns="urn:ietf:params:xml:ns:cpl2"/>', "CPL-NAMESPACE"),
        ('<x:cpl xmlns:x="http://example.com/"/>', "CPL-NAMESPACE"),
        ('<cpl xmlns:x="http://example.com/"><incoming><x:ring><x:deep/></x:ring></incoming></cpl>', "CPL-NAMESPACE"),
        ('<cpl xmlns:x="http://example.com/"><incoming><log x:name="a"/></incoming></cpl>', "CPL-NAMESPACE"),
        ('<cpl xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="a"/>', "CPL-NAMESPACE"),
        ('<cpl><incoming><log xml:lang="en"/></incoming></cpl>', "CPL-NAMESPACE"),
        (
            '<c:cpl xmlns:c="urn:ietf:params:xml:ns:cpl"><incoming><log c:name="a" name="b"/></incoming></c:cpl>',
            "CPL-TWICE",
        ),
        ("<html/>", "CPL-ROOT"),
        ("<incoming/>", "CPL-ROOT"),
    ],
)
def test_namespaces_not_known_are_refused(source, code):
    assert [finding.code for finding in refused(source)] == [code]


def test_a_namespace_declared_and_not_used_is_a_warning():
    compiled = compile(b'<cpl xmlns:x="http://example.com/"><incoming/></cpl>')
    assert [warning.code for warning in compiled.warnings] == ["CPL-NAMESPACE-UNUSED"]


@pytest.mark.parametrize(
    ("source", "line", "column", "said"),
    [
        ("", 1, 1, "the script is empty"),
        (" \n ", 2, 2, "the script is empty"),
        ("<cpl>\n<incoming>\n", 3, 1, "<incoming> of line 2 is not closed"),
        ("<cpl>\n<incoming>\n</cpl>", 3, 1, "</cpl> does not close <incoming> of line 2"),
        ("<cpl>\n <log name='a & b'/></cpl>", 2, 15, ""),
        ("<cpl>\n <log name=a/></cpl>", 2, 12, ""),
        ("<cpl/>\n<cpl/>", 2, 1, ""),
        ("<cpl>\n&nbsp;</cpl>", 2, 1, "undefined entity"),
        ("<c:cpl/>", 1, 1, "unbound prefix"),
        (" <?xml version='1.0'?><cpl/>", 1, 2, ""),
        ("<cpl a='1'\n a='2'/>", 2, 2, "duplicate attribute"),
        ("no script at all", 1, 1, ""),
    ],
)
def test_xml_that_is_not_well_formed_says_where(source, line, column, said):
    (finding,) = refused(source)
    assert (finding.code, finding.line) == ("CPL-XML", line)
    assert abs(finding.column - column) <= 1
    assert said in finding.text


@pytest.mark.parametrize(
    ("operations", "hint"),
    [
        ("all", None),
        ("location, proxy lookup", None),
        ("lookup location", "permitted are location, lookup"),
        ("", "permitted are switches and subactions only"),
    ],
)
def test_the_administrator_permits_operations_and_who_uses_others_is_told_which(operations, hint):
    source = b"<cpl><incoming><priority-switch><otherwise><proxy/></otherwise></priority-switch></incoming></cpl>"
    if hint is None:
        compile(source, operations=operations)
    else:
        (finding,) = refused(source, operations=operations)
        assert (finding.code, finding.hint) == ("CPL-FORBIDDEN", hint)


def test_an_unknown_operation_is_an_error_of_the_administrator():
    with pytest.raises(ValueError, match="prooxy"):
        compile(b"<cpl/>", operations="prooxy location")


def test_a_program_tells_about_its_script():
    compiled = program(
        "<subaction id='a'><proxy timeout='8'/></subaction><outgoing><lookup source='registration'/></outgoing>"
        "<incoming><sub ref='a'/></incoming>"
    )
    assert (compiled.has_incoming, compiled.has_outgoing) == (True, True)
    assert compiled.timeouts == (8.0, 30.0)
    assert len(compiled.digest) == 64
    with pytest.raises(AttributeError):
        setattr(compiled, "digest", "")  # noqa: B010
