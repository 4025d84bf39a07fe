"""Mistakes of people who write their first script: the message alone tells how to mend it."""

from __future__ import annotations

import pytest

from sipd.cpl import CplError, compile
from sipd.cpl.grammar import ALL_TAGS, NODES, OUTPUT_ATTRIBUTES
from sipd.cpl.slips import ATTRIBUTES, ELSEWHERE, TAGS, VALUES

IN = "<cpl>\n<incoming>{}</incoming></cpl>"

MISTAKES = [
    # the script, what is wrong, how to mend it; this alone is said
    (IN.format("<if from='bob'> <reject/> </if>"), "no tag “if”", "did you mean “address-switch”?"),
    (IN.format("<Reject status='busy'/>"), "no tag “Reject”", "did you mean “reject”?"),
    (IN.format("<proxy><timeout/></proxy>"), "no tag “timeout”", "did you mean “noanswer”?"),
    (IN.format("<proxy><success/></proxy>"), "can't stand inside <proxy>", "a call that is answered ends the script"),
    (IN.format("<redirect url='sip:a@b'/>"), "no attribute “url”", '<location url="…"> around it'),
    (IN.format("<proxy url='sip:a@b'/>"), "no attribute “url”", '<location url="…"> around it'),
    (IN.format("<location to='sip:a@b'/>"), "no attribute “to”", "did you mean “url”?"),
    (IN.format("<reject code='486'/>"), "no attribute “code”", "did you mean “status”?"),
    (IN.format("<sub id='voicemail'/>"), "no attribute “id”", "did you mean “ref”?"),
    (IN.format("<address-switch subfield='user'/>"), "needs the attribute field", 'add field="origin"'),
    (IN.format("<string-switch/>"), "needs the attribute field", 'add field="subject"'),
    (IN.format("<address-switch field='from'/>"), "field=“from”", "did you mean “origin”?"),
    (IN.format("<address-switch field='origin' subfield='phone'/>"), "subfield=“phone”", "did you mean “tel”?"),
    (IN.format("<location url='sip:a@b' clear='true'/>"), "clear=“true”", "did you mean “yes”?"),
    (IN.format("<proxy ordering='serial'/>"), "ordering=“serial”", "did you mean “sequential”?"),
    (IN.format("<reject status='decline'/>"), "status=“decline”", "did you mean “reject”?"),
    (IN.format("<proxy><busy/><busy/></proxy>"), "has one <busy>", "into the first <busy>"),
    (
        IN.format("<priority-switch><priority is='urgent'/></priority-switch>"),
        "no attribute “is”",
        "did you mean “equal”?",
    ),
    (IN.format("<language-switch><language is='de'/></language-switch>"), "no attribute “is”", "“matches”?"),
    (
        IN.format("<address-switch field='origin' subfield='tel'><address prefix='1900'/></address-switch>"),
        "no attribute “prefix”",
        "did you mean “subdomain-of”?",
    ),
    (
        IN.format("<address-switch field='origin'><address is='bob'/></address-switch>"),
        "is=“bob” is not a URI",
        'subfield="user"',
    ),
    (
        IN.format("<address-switch field='origin' subfield='host'><address contains='a'/></address-switch>"),
        "contains does not go with",
        'subdomain-of="…"',
    ),
    # what is no XML
    (IN.format("<reject status=busy/>"), "a value stands in quotes", 'write status="busy"'),
    (IN.format("<log name = calls/>"), "a value stands in quotes", 'write name="calls"'),
    (IN.format("<log comment='R&D'/>"), "a lone &", "&amp;"),
    (IN.format("<mail url='mailto:a@b?subject=x&body=y'/>"), "a lone &", "&amp;"),
    (IN.format("<log comment='R & D'/>"), "a lone &", "&amp;"),
    (IN.format("<log comment='a<b'/>"), "a < inside a value", "&lt;"),
    (IN.format("<log comment='a\x0bb'/>"), "control character U+000B", "delete it"),
    (IN.format("<log name='a' ?/>"), "“?/></incom” can't stand here", "is a > or a quote missing?"),
    ('{"incoming": "reject"}', "this is no XML", "begins with <cpl>"),
    ("reject all", "this is no XML", "begins with <cpl>"),
    (IN.format("<log></logs>"), "</logs> does not close <log>", "did you mean </log>?"),
    (IN.format("<log></proxy>"), "</proxy> does not close <log>", "write </log> before it"),
]


@pytest.mark.parametrize(("source", "wrong", "mend"), MISTAKES, ids=[row[0][16:60] for row in MISTAKES])
def test_one_mistake_is_one_message_that_tells_how_to_mend_it(source, wrong, mend):
    with pytest.raises(CplError) as raised:
        compile(source.encode())
    [finding] = raised.value.findings
    assert wrong in finding.text
    assert mend in finding.hint


def test_a_node_beside_its_location_is_not_said_to_have_none():
    with pytest.raises(CplError) as raised:
        compile(IN.format("<location url='sip:a@b'/><redirect/>").encode())
    assert [finding.code for finding in raised.value.findings] == ["CPL-TWICE"]
    assert raised.value.warnings == ()


@pytest.mark.parametrize(
    ("tag", "hint"),
    [("german", "did you mean “de”?"), ("abcd", "tags begin as"), ("a-b", "tags begin as"), ("DE-x-1", None),
     ("yue", None), ("i-klingon", None), ("x-mine", None)],
)  # fmt: skip
def test_a_language_by_its_name_is_warned_about(tag, hint):
    made = compile(IN.format(f"<language-switch><language matches='{tag}'/></language-switch>").encode())
    assert [(found.code, hint in found.hint) for found in made.warnings] == ([("CPL-NEVER", True)] if hint else [])


def test_what_slips_mean_exists():
    assert set(TAGS.values()) <= ALL_TAGS
    assert not set(TAGS) & ALL_TAGS
    known = {**{tag: shape.attributes for tag, shape in NODES.items()}, **OUTPUT_ATTRIBUTES, "subaction": ("id",)}
    for (tag, written), meant in ATTRIBUTES.items():
        assert meant in known[tag]
        assert written not in known[tag]
    assert all(written not in known[tag] for tag, written in ELSEWHERE)
    assert not set(VALUES) & set(VALUES.values())
