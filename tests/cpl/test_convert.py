"""Scripts of drafts and of Cisco Expressway become scripts of RFC 3880, or are said not to."""

from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipd.cpl import CplError, compile
from sipd.cpl.convert import convert
from sipd.cpl.document import Element, decode
from sipd.cpl.findings import Report
from sipd.cpl.patterns import BELOW, DOT, PREFIX, exactly, wanted
from sipd.cpl.reader import read
from sipd.script import Default, LookupResult, ProxyTo, Redirect, Reject
from tests.cpl.calls import facts, run, target
from tests.cpl.scripts import script
from tests.running import REPOSITORY

FIGURES = sorted((REPOSITORY / "tests/cpl/rfc3880").glob("fig*.cpl"))


def tree(source: bytes) -> object:
    """The tags and attributes of a script."""

    def each(element: Element) -> object:
        return element.tag, dict(element.attributes), [each(child) for child in element.children]

    text = decode(source)
    root = read(text, Report(text))
    assert root is not None
    return each(root)


def told(source: str, kind: str = "", **how) -> list[str]:
    """The notes of a conversion."""
    return [str(note) for note in convert(source.encode(), **how).notes if note.kind == kind or not kind]


# Scripts of the RFC.


@given(st.integers(0, 2**32), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_a_sound_script_stays_what_it_is(seed, size):
    source = script(Random(seed), size).encode()
    converted = convert(source)
    assert tree(converted.text) == tree(source)
    assert converted.notes == ()
    assert convert(converted.text) == converted
    assert compile(converted.text).has_incoming == compile(source).has_incoming


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.stem)
def test_figures_of_the_rfc_stay_what_they_are(path):
    source = path.read_bytes()
    if path.stem in ("fig28", "fig29"):
        with pytest.raises(CplError) as raised:
            convert(source)
        assert raised.value.findings[0].code == "CPL-NAMESPACE"
        assert raised.value.findings[0].line >= 8
    else:
        assert tree(convert(source).text) == tree(source)


def test_it_is_indented_and_keeps_comments():
    source = """<!-- first --><cpl   ><!-- of mine --><incoming >
      <location url='sip:a@b' ><!--why--><proxy></proxy>
      </location></incoming></cpl>\n<!-- last -->"""
    assert (
        convert(source.encode()).text.decode()
        == """\
<?xml version="1.0" encoding="UTF-8"?>
<!-- first -->
<cpl xmlns="urn:ietf:params:xml:ns:cpl">
  <!-- of mine -->
  <incoming>
    <location url="sip:a@b">
      <!--why-->
      <proxy/>
    </location>
  </incoming>
</cpl>
<!-- last -->
"""
    )


def test_values_keep_every_character():
    value = "a &amp; b &lt; c &gt; &quot;d&quot; &#10;&#13;&#9; é 漢"
    source = f'<cpl><incoming><string-switch field="subject"><string is="{value}"/></string-switch></incoming></cpl>'
    once = convert(source.encode())
    assert tree(once.text) == tree(source.encode())
    assert convert(once.text) == once


# Drafts.


def test_a_script_of_the_drafts():
    source = """<?xml version="1.0"?>
<!DOCTYPE cpl PUBLIC '-//IETF//DTD RFCxxxx CPL 1.0//EN' 'cpl.dtd'>
<cpl>
  <subaction id="voicemail"><location url="sip:vm@example.com"><proxy/></location></subaction>
  <incoming>
    <lookup source="registration" use="mobile" ignore="fax">
      <success>
        <proxy><no-answer><sub ref="voicemail"/></no-answer><busy/></proxy>
      </success>
      <not-found><reject status="notfound"/></not-found>
      <error/>
    </lookup>
  </incoming>
</cpl>"""
    converted = convert(source.encode())
    text = converted.text.decode()
    assert "DOCTYPE" not in text
    assert [str(note) for note in converted.notes] == [
        "line 2, column 1: changed: the DOCTYPE is left out: the namespace says it all",
        "line 6, column 5: lost: ignore=“fax” is left out: all phones found are taken",
        "line 6, column 5: lost: use=“mobile” is left out: all phones found are taken",
        "line 8, column 16: changed: <no-answer> in <proxy> is <noanswer>",
        "line 10, column 7: changed: <not-found> in <lookup> is <notfound>",
        "line 11, column 7: changed: <error> in <lookup> is <failure>",
    ]
    assert "<noanswer>" in text
    assert "<failure/>" in text
    compile(converted.text)
    assert convert(converted.text) == (converted.text, ())


def test_a_removal_by_parameters_removes_nothing():
    source = (
        '<cpl><incoming><remove-location param="feature" value="voicemail"><proxy/></remove-location></incoming></cpl>'
    )
    converted = convert(source.encode())
    assert b"<remove-location" not in converted.text
    assert b"not carried over: remove-location with param and value" in converted.text
    assert [note.kind for note in converted.notes] == ["lost", "lost"]


def test_the_same_word_means_what_its_place_says():
    proxy = "<proxy><redirect/><otherwise/></proxy>"
    source = f"<cpl><incoming><priority-switch><default>{proxy}</default></priority-switch></incoming></cpl>"
    text = convert(source.encode()).text.decode()
    assert re.findall(r"<([a-z-]+)/>", text) == ["redirection", "default"]
    assert "<otherwise>" in text


def test_words_between_tags_become_a_comment():
    assert b"<!-- ring me -->" in convert(b"<cpl>ring me<incoming/></cpl>").text


# What is refused.


@pytest.mark.parametrize(
    ("source", "code", "place"),
    [
        ("", "CPL-XML", (1, 1)),
        ("<cpl>\n <incoming><prox/></incoming></cpl>", "CPL-TAG", (2, 12)),
        ("<cpl>\n\n <incoming>\n<location url='junk'/></incoming></cpl>", "CPL-URI", (4, 1)),
        ("<cpl><incoming>\n<sub ref='nobody'/></incoming></cpl>", "CPL-SUB-UNKNOWN", (2, 1)),
        ("<html/>", "CPL-ROOT", (1, 1)),
        ("<cpl xmlns='urn:other'/>", "CPL-ROOT", (1, 1)),
        ('<!DOCTYPE cpl [<!ENTITY a "b">]><cpl/>', "CPL-DTD", (1, 1)),
        ("<cpl>&bomb;</cpl>", "CPL-XML", (1, 6)),
        ("<cpl>" + "<incoming>" * 70, "CPL-DEPTH", (1, 636)),
        ("<cpl>" + "<incoming/>" * 2001, "CPL-NODES", (1, 21995)),
        ("<cpl>" + " " * 70000 + "</cpl>", "CPL-SIZE", (1, 1)),
        ("<cpl>" + "<incoming " + " ".join(f"a{n}='1'" for n in range(40)) + "/></cpl>", "CPL-ATTRIBUTES", (1, 6)),
    ],
)
def test_it_refuses_what_the_compiler_refuses(source, code, place):
    with pytest.raises(CplError) as raised:
        convert(source.encode())
    first = raised.value.findings[0]
    assert (first.code if code != "CPL-ROOT" else "CPL-ROOT", (first.line, first.column)) == (code, place)


def test_other_bytes_are_refused():
    with pytest.raises(CplError, match="line 1 column 6"):
        convert(b"<cpl>\xff</cpl>")


# Expressway.

TAA = (
    '<cpl xmlns="urn:ietf:params:xml:ns:cpl" xmlns:taa="http://www.tandberg.net/cpl-extensions"><taa:routed>{}'
    "</taa:routed></cpl>"
)
RULES = TAA.format("<taa:rule-switch>{}</taa:rule-switch>")


def taa(body: str, **how) -> str:
    """The actions that a policy becomes."""
    converted = convert(TAA.format(body).encode(), **how)
    compile(converted.text)
    assert convert(converted.text) == (converted.text, ())
    return re.sub(r">\s+<", "><", converted.text.decode()).partition('ns:cpl">')[2].removesuffix("</cpl>\n")


PATTERNS = [
    (".*", [()]),
    ("(.*)", [()]),
    (r".*@example\.com", [(("host", "is", "example.com"),)]),
    (r"^(?:.+)@example\.com$", [(("host", "is", "example.com"),)]),
    (r"[^@]*@10\.0\.0\.1", [(("host", "is", "10.0.0.1"),)]),
    ("alice@.*", [(("user", "is", "alice"),)]),
    ("ceo", [(("user", "is", "ceo"),)]),
    (r"alice@example\.com", [(("host", "is", "example.com"), ("user", "is", "alice"))]),
    ("vp1|vp2", [(("user", "is", "vp1"),), (("user", "is", "vp2"),)]),
    (r".*@(.*\.)?example\.com", [(("host", "subdomain-of", "example.com"),)]),
]


@pytest.mark.parametrize(("pattern", "tests"), PATTERNS, ids=[pattern for pattern, _ in PATTERNS])
def test_patterns_that_an_address_switch_can_say(pattern, tests):
    found = wanted(pattern)
    assert found is not None
    assert [one.tests for one in found] == tests
    assert [one.remarks for one in found] == [()] * len(tests)


@pytest.mark.parametrize(
    ("pattern", "remark"), [("9.*", PREFIX), (r"\+49\d+", PREFIX), (".*@example.com", DOT), (r".*@.*\.a\.b", BELOW)]
)
def test_patterns_that_it_can_nearly_say(pattern, remark):
    found = wanted(pattern)
    assert found is not None
    assert [one.remarks for one in found] == [(remark,)]


@pytest.mark.parametrize(
    "pattern",
    ["", "(", ")", "((((((((((a))))))))))", "a*", "a{3}", "[a-z]+@b", "(?!a)", r"\w+", "*",
     "a**", "a@b@c", "al.*", "\\",
     "(a|b|c)" * 9, "a" * 2000, "|".join(f"a{n}" for n in range(99)), ".*bob.*", r"(a)\1", "a.?", ".{3}", "a$b"],
)  # fmt: skip
def test_patterns_that_it_cannot_say(pattern):
    assert wanted(pattern) is None


@given(st.text("ab@.*+()|\\?[]^$9d", max_size=12), st.text("ab@.9", max_size=6))
@settings(max_examples=500, deadline=None)
def test_what_is_said_of_a_pattern_is_true(pattern, alias):
    found = wanted(pattern)
    if found is None or any(one.remarks for one in found):
        return
    user, at, host = alias.rpartition("@")
    if not at or "@" in user or not user or not re.fullmatch(r"[a-z0-9]+(\.[a-z0-9]+)*", host):
        return

    def holds(subfield: str, operator: str, value: str) -> bool:
        part = user if subfield == "user" else host
        return part == value or (operator == "subdomain-of" and part.endswith("." + value))

    said = any(all(holds(*test) for test in one.tests) for one in found)
    # An alias without a host is taken for the user of one.
    assert said == (re.fullmatch(pattern, alias) is not None or re.fullmatch(f"({pattern})@.*", alias) is not None)


def test_exact_strings():
    assert exactly("alice@example.com") == wanted(r"alice@example\.com")
    assert exactly("a.b*c") is not None


def test_rules_of_one_field_become_one_switch():
    body = """<taa:rule-switch>
      <taa:rule unauthenticated-origin=".*@a\\.example" destination=".*"><reject status="403" reason="no"/></taa:rule>
      <taa:rule unauthenticated-origin=".*@b\\.example" destination=".*"><reject status="404"/></taa:rule>
      <taa:rule unauthenticated-origin=".*" destination=".*"><proxy/></taa:rule>
      <taa:rule unauthenticated-origin="x@y" destination=".*"><reject status="500"/></taa:rule>
    </taa:rule-switch>"""
    assert taa(body) == (
        '<incoming><address-switch field="origin" subfield="host">'
        '<address is="a.example"><reject status="403" reason="no"/></address>'
        '<address is="b.example"><reject status="404"/></address>'
        "<otherwise><!-- on as without a script --></otherwise></address-switch></incoming>"
    )
    assert told(TAA.format(body), "changed") == [
        'line 5, column 7: changed: <taa:rule unauthenticated-origin="x@y" destination=".*"> is left out: '
        "what stands before it takes every call"
    ]


def test_the_location_set_begins_with_the_destination():
    assert taa('<proxy timeout="9"/>') == (
        '<incoming><lookup source="registration"><success><proxy timeout="9"/></success></lookup></incoming>'
    )
    assert taa('<proxy timeout="9"/>', routed="outgoing") == '<outgoing><proxy timeout="9"/></outgoing>'
    assert taa('<taa:location url="bob@example.com"><taa:proxy/></taa:location>') == (
        '<subaction id="location-1"><location url="sip:bob@example.com"><proxy/></location></subaction>'
        '<incoming><lookup source="registration"><success><sub ref="location-1"/></success>'
        '<notfound><sub ref="location-1"/></notfound><failure><sub ref="location-1"/></failure></lookup></incoming>'
    )
    body = '<proxy><failure><location clear="yes" url="42"><proxy/></location></failure><busy/></proxy>'
    assert taa(body) == (
        '<subaction id="failed-1"><location url="tel:42" clear="yes"><proxy/></location></subaction>'
        '<incoming><lookup source="registration">'
        '<success><proxy><failure><sub ref="failed-1"/></failure><busy/></proxy></success>'
        '<notfound><sub ref="failed-1"/></notfound><failure><sub ref="failed-1"/></failure></lookup></incoming>'
    )


LOST = [
    ('<taa:location regex="(.*)@a" replace="\\1@b"><proxy/></taa:location>', "rewritten by a pattern", "error"),
    ('<taa:location url="recorder" clear="yes"><proxy/></taa:location>', "names no host", "error"),
    ("<taa:unheard-of/>", "there is no such node here", "error"),
    ('<taa:rule-switch><proxy/></taa:rule-switch>', "only rules stand", "error"),
    ('<taa:rule-switch><taa:rule originating-zone="z" destination=".*"><reject status="403"/></taa:rule>'
     "</taa:rule-switch>", "no zones here; without that condition it refuses more", "403"),
    ('<taa:rule-switch><taa:rule message-regex="z" destination=".*"><address-switch field="destination">'
     '<address is="a@b"><reject status="403"/></address></address-switch></taa:rule></taa:rule-switch>',
     "can't be searched here; the call is refused", "error"),
    ('<taa:rule-switch><taa:rule registered-origin=".*" destination="(?!x)"><proxy/></taa:rule></taa:rule-switch>',
     "is left out: whether the caller is registered can't be asked here; “(?!x)” asks for more", ""),
    ('<address-switch field="authenticated-origin"><not-present><reject status="403"/></not-present></address-switch>',
     "whether a caller has proven who he is can't be asked here", "403"),
    ('<address-switch field="destination"><address contains="x"><reject status="403"/></address></address-switch>',
     "contains “x” asks for more", "403"),
    ('<taa:location source-url-for-message="x@y"><proxy/></taa:location>', "who calls is not rewritten", ""),
    ('<taa:location priority="random" url="a@b" clear="yes"><proxy/></taa:location>', "priority random", ""),
    ('<proxy stop-on-busy="yes"/>', "stop-on-busy is left out", ""),
]  # fmt: skip


@pytest.mark.parametrize(("body", "words", "status"), LOST, ids=[words for _, words, _ in LOST])
def test_what_cannot_be_said_is_named_and_safe(body, words, status):
    lost = told(TAA.format(body), "lost")
    assert [note for note in lost if words in note], lost
    assert re.findall(r'reject status="(\w+)"', taa(body)) == ([status] if status else [])


def test_a_caller_who_has_proven_who_he_is():
    body = """<address-switch field="authenticated-origin" subfield="host">
      <address subdomain-of="annoying.example"><reject status="403"/></address>
      <not-present><reject status="401"/></not-present>
      <otherwise><proxy/></otherwise></address-switch>"""
    assert taa(body, proven=True).startswith(
        '<incoming><address-switch field="origin" subfield="host">'
        '<address subdomain-of="annoying.example"><reject status="403"/></address><otherwise>'
    )
    assert "proxy" not in taa(body)  # who he is is not known: what refuses refuses all
    assert taa('<taa:rule-switch><taa:rule authenticated-origin="" destination=".*"><reject status="401"/></taa:rule>'
               "</taa:rule-switch>", proven=True) == "<incoming/>"  # fmt: skip


def test_what_is_absent_in_an_address():
    body = """<address-switch field="destination" subfield="tel">
      <address subdomain-of="9"><reject status="403"/></address>
      <not-present><reject status="404"/></not-present><otherwise><reject status="500"/></otherwise></address-switch>"""
    assert taa(body) == (
        '<incoming><address-switch field="destination" subfield="tel">'
        '<address subdomain-of="9"><reject status="403"/></address><not-present><reject status="404"/></not-present>'
        '<otherwise><reject status="500"/></otherwise></address-switch></incoming>'
    )


def test_comments_stay_with_their_rules():
    text = taa("""<taa:rule-switch><!-- one --><taa:rule destination="a@b"><reject status="403"/></taa:rule>
      <!-- two --><taa:rule destination="c@b"><!-- three --><reject status="404"/></taa:rule><!-- end -->
      </taa:rule-switch>""")
    assert "<!-- one --><reject" in text
    assert "<!-- two --><!-- three --><reject" in text
    assert text.count("<!-- end -->") == 1


def test_too_many_rules_are_refused_with_their_place():
    many = "|".join(f"a{n}@b{n}" for n in range(60))
    body = f'<taa:rule unauthenticated-origin="{many}" destination="{many}"><reject status="403"/></taa:rule>\n'
    with pytest.raises(CplError) as raised:
        convert(RULES.format(body * 4).encode())
    assert raised.value.findings[0].code == "CPL-NODES"
    nested = "<taa:rule-switch><taa:rule destination='a@b'>" * 30 + "</taa:rule></taa:rule-switch>" * 30
    with pytest.raises(CplError) as raised:
        convert(TAA.format(nested).encode())
    assert raised.value.findings[0].code == "CPL-DEPTH"


SAMPLES = [
    (REPOSITORY / "docs/how-to/pictures/policy-expressway.cpl").read_text("utf-8"),
    (REPOSITORY / "docs/how-to/pictures/office.cpl").read_text("utf-8"),
    *(TAA.format(body) for body, _, _ in LOST),
]
PIECES = (
    "",
    "<",
    ">",
    "/",
    '"',
    "=",
    "&",
    "--",
    "]]>",
    "<taa:rule>",
    "</taa:rule>",
    "<!--",
    "otherwise",
    "taa:",
    "|",
    "(",
)


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.sampled_from(PIECES)), max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_whatever_it_is_it_is_converted_or_refused(source, edits):
    for where, length, piece in edits:
        at = int(where * len(source))
        source = source[:at] + piece + source[at + length :]
    try:
        converted = convert(source.encode())
    except CplError:
        return
    compile(converted.text)
    assert convert(converted.text) == (converted.text, ())


# The same policy by its own rules, and converted.

USERS = ("alice", "bob")
HOSTS = ("example.com", "sub.example.com", "other.example")
SAYABLE = (
    ".*", r".*@example\.com", "alice@.*", r"bob@other\.example", r"(alice|bob)@example\.com", r".*@(.*\.)?example\.com",
    r"alice@example\.com|bob@sub\.example\.com", "bob",
)  # fmt: skip
UNSAYABLE = ("a[a-z]+@.*", ".*ample.*", "(?!bob).*")


def policy(chance: Random, origins: tuple[str, ...], patterns: tuple[str, ...]) -> list[tuple[str, str, str, str]]:
    return [
        (chance.choice(origins), chance.choice(patterns), chance.choice(patterns), chance.choice(["403", "404", "on"]))
        for _ in range(chance.randint(1, 6))
    ]


def as_rules(rules: list[tuple[str, str, str, str]]) -> bytes:
    bodies = {
        "on": '<taa:location clear="yes" url="sip:vm@example.com"><proxy/></taa:location>',
        "403": '<reject status="403"/>',
        "404": '<reject status="404"/>',
    }
    text = "".join(
        f'<taa:rule {name}="{origin}" destination="{to}">{bodies[what]}</taa:rule>' for name, origin, to, what in rules
    )
    return RULES.format(text).encode()


def matches(pattern: str, user: str, host: str) -> bool:
    return re.fullmatch(pattern, f"{user}@{host}") is not None or (pattern == "bob" and user == "bob")


def by_hand(
    rules: list[tuple[str, str, str, str]], caller: tuple[str, str], callee: tuple[str, str], known: bool
) -> str:
    for name, origin, to, what in rules:
        is_him = known if name == "originating-zone" else matches(origin, *caller)
        if name == "origin":
            is_him = is_him and known
        if is_him and matches(to, *callee):
            return what
    return "none"


def outcome(source: bytes, caller: tuple[str, str], callee: tuple[str, str]) -> str:
    call = facts(from_="sip:{}@{}".format(*caller), uri="sip:{}@{}".format(*callee))
    effects, final = run(compile(source), call, [LookupResult("success", (target("sip:x@y"),))])
    if isinstance(final, Reject):
        return str(final.status)
    assert isinstance(final, Default | Redirect)
    return "on" if any(isinstance(effect, ProxyTo) for effect in effects) else "none"


CALLS = [((user, host), (other, there)) for user in USERS for host in HOSTS for other in USERS for there in HOSTS]


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_policy_decides_as_before(seed):
    rules = policy(Random(seed), ("unauthenticated-origin", "origin"), SAYABLE)
    converted = convert(as_rules(rules), proven=True)
    assert [note for note in converted.notes if note.kind == "lost"] == []
    for caller, callee in CALLS:
        assert outcome(converted.text, caller, callee) == by_hand(rules, caller, callee, True), (caller, callee)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_whatever_is_lost_no_call_gets_through_that_was_refused(seed):
    kinds = ("unauthenticated-origin", "origin", "originating-zone")
    rules = policy(Random(seed), kinds, (*SAYABLE, *UNSAYABLE))
    converted = convert(as_rules(rules))
    for caller, callee in CALLS:
        for known in (True, False):
            if by_hand(rules, caller, callee, known) in ("403", "404"):
                assert outcome(converted.text, caller, callee) in ("403", "404", "500"), (caller, callee, known)
