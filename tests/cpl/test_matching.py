"""How values are compared, each sentence of RFC 3880 §4.1 to §4.5 with a case that only it decides."""

from __future__ import annotations

import pytest

from sipd.cpl.matching import MAX_FOLDED
from sipd.script import Default, Facts, Reject
from tests.cpl.calls import facts, program, run

ADDRESS = "<address-switch field='origin' subfield='{}'><address {}='{}'>{}</address>{}</address-switch>"
REJECT = "<reject status='4{:02}'/>"
REST = f"<not-present>{REJECT.format(0)}</not-present><otherwise>{REJECT.format(4)}</otherwise>"


def outcome(script: str, call: Facts) -> str:
    """`is`, `is not` or `absent`."""
    _, end = run(program(f"<incoming>{script}</incoming>"), call)
    assert isinstance(end, Reject)
    return {401: "is", 404: "is not", 400: "absent"}[end.status]


def of_address(subfield: str, operator: str, wanted: str, from_: str) -> str:
    script = ADDRESS.format(subfield, operator, wanted, REJECT.format(1), REST)
    return outcome(script, facts(from_=from_))


@pytest.mark.parametrize(
    ("operator", "wanted", "host", "said"),
    [
        ("is", "Example.COM", "EXAMPLE.com", "is"),  # without case
        ("is", "example.com", "a.example.com", "is not"),
        ("is", "example.com", "example.com.", "is"),  # the root's dot
        ("is", "example.com.", "example.com", "is"),
        ("is", "192.0.2.1", "192.0.2.1", "is"),
        ("is", "2001:DB8::1", "[2001:db8:0:0:0:0:0:1]", "is"),  # by number
        ("is", "[2001:db8::1]", "[2001:db8::1]", "is"),
        ("is", "::ffff:192.0.2.1", "192.0.2.1", "is not"),  # v4 never equals v6
        ("is", "192.0.2.1", "[::ffff:192.0.2.1]", "is not"),
        ("is", "localhost", "127.0.0.1", "is not"),  # a name never equals an address
        ("is", "127.0.0.1", "localhost", "is not"),
        ("subdomain-of", "example.com", "example.com", "is"),  # the domain itself
        ("subdomain-of", "example.com", "A.B.Example.Com", "is"),
        ("subdomain-of", "example.com", "notexample.com", "is not"),  # whole labels
        ("subdomain-of", "example.com", "com", "is not"),
        ("subdomain-of", ".example.com", "example.com", "is"),  # leading dots
        ("subdomain-of", "..example.com", "a.example.com", "is"),
        ("subdomain-of", "example.com.", "a.example.com", "is"),
        ("subdomain-of", "192.0.2.1", "192.0.2.1", "is"),  # an address is itself only
        ("subdomain-of", "2.1", "192.0.2.1", "is not"),
        ("subdomain-of", "2001:db8::1", "[2001:0db8::1]", "is"),
    ],
)
def test_hosts(operator, wanted, host, said):
    assert of_address("host", operator, wanted, f"sip:a@{host}") == said


@pytest.mark.parametrize(
    ("subfield", "operator", "wanted", "from_", "said"),
    [
        ("port", "is", "5060", "sip:a@b:5060", "is"),
        ("port", "is", "05060", "sip:a@b:5060", "is"),
        ("port", "is", "5060", "sip:a@b:05060", "is"),
        ("port", "is", "506", "sip:a@b:5060", "is not"),
        ("port", "is", "5060", "sip:a@b", "absent"),
        ("port", "is", "0", "sip:a@b:5060", "is not"),
        ("tel", "is", "1-212-555-1212", "tel:+1(212)555.1212", "is"),
        ("tel", "is", "1/212/555", "tel:1212555", "is"),
        ("tel", "is", "+1 212 555", "tel:+1-212-555", "is"),
        ("tel", "is", "+1212555", "sip:1212555@b;user=phone", "is not"),
        ("tel", "is", "1212555", "sip:+1212555@b;user=PHONE", "is"),
        ("tel", "is", "1212555", "sip:1212555@b;user=ip", "absent"),
        ("tel", "is", "1212555", "sip:1212555;ext=9@b;user=phone", "is"),
        ("tel", "is", "12a", "tel:12A;phone-context=x", "is"),
        ("tel", "subdomain-of", "1900", "tel:+1-900-555", "is"),
        ("tel", "subdomain-of", "+1900", "tel:+1-900-555", "is"),
        ("tel", "subdomain-of", "+1900", "tel:1900555;phone-context=x", "is not"),
        ("tel", "subdomain-of", "900", "tel:+1-900-555", "is not"),
        ("tel", "subdomain-of", "1900", "tel:+1-90", "is not"),
        ("user", "is", "alice", "sip:alice@b", "is"),
        ("user", "is", "alice", "sip:Alice@b", "is not"),
        ("user", "is", "alice", "sip:%61lice@b", "is"),
        ("user", "is", "%61lice", "sip:alice@b", "is"),
        ("user", "is", "50%25", "sip:50%25@b", "is"),
        ("user", "is", "50%25", "sip:50%2525@b", "is"),  # plain in the script, escaped twice in the call
        ("user", "is", " alice", "sip:%20alice@b", "is"),
        ("user", "is", "alice", "sip:b", "absent"),
        ("password", "is", "X", "sip:a:x@b", "is not"),
        ("password", "is", "a b", "sip:a:a%20b@b", "is"),
        ("password", "is", "x", "sip:a@b", "absent"),
        ("address-type", "is", "SIPS", "sips:a@b", "is"),
        ("address-type", "is", "sip", "sips:a@b", "is not"),
        ("host", "is", "b", "tel:+1", "absent"),
        ("alias-type", "is", "e164", "sip:a@b", "absent"),
    ],
)
def test_ports_and_numbers(subfield, operator, wanted, from_, said):
    assert of_address(subfield, operator, wanted, from_) == said


STRINGS = [
    ("is", "Lunch", "LUNCH", True),
    ("is", "Lunch", "Lunch?", False),
    ("contains", "UNC", "lunch?", True),
    ("contains", "dinner", "lunch", False),
    ("is", "straße", "STRASSE", True),  # caseless, not lower case
    ("is", "Σ", "ς", True),
    ("is", "ﬁsh", "FISH", True),  # form KC: a ligature
    ("is", "ＡＢＣ", "abc", True),  # wide letters
    ("is", "ᴬ", "a", True),  # KC before case: it is a capital letter only then
    ("is", "\u0301e", "é", False),
    ("is", "e\u0301", "É", True),  # composed or not
    ("contains", "é", "cafe\u0301 noir", True),
    ("is", "²", "2", True),
    ("is", "", "", True),
    ("contains", "", "anything", True),
    ("is", " lunch", "lunch", False),
]


@pytest.mark.parametrize(("operator", "wanted", "seen", "same"), STRINGS)
def test_strings_are_equal_in_form_kc_without_case(operator, wanted, seen, same):
    expected = "is" if same else "is not"
    switch = "<string-switch field='{}'><string {}='{}'>{}</string>{}</string-switch>"
    for field in ("subject", "organization", "user_agent"):
        script = switch.format(field.replace("_", "-"), operator, wanted, REJECT.format(1), REST)
        assert outcome(script, facts(**{field: seen})) == expected
        assert outcome(script, facts()) == "absent"
    if seen:
        assert of_address("display", operator, wanted, f'"{seen}" <sip:a@b>') == expected
        script = ADDRESS.format("display", operator, wanted, REJECT.format(1), REST).replace(
            "'origin'", "'original-destination'"
        )
        assert outcome(script, facts(to=f'"{seen}" <sip:a@b>')) == expected
        assert outcome(script, facts(to="<sip:a@b>")) == "absent"


@pytest.mark.parametrize("field", ["subject", "display"])
def test_no_string_is_there_that_sip_has_not(field):
    script = f"<string-switch field='{field}'><string contains=''>{REJECT.format(1)}</string>{REST}</string-switch>"
    assert outcome(script, facts(subject="" if field == "display" else None)) == "absent"
    script = ADDRESS.format("display", "contains", "", REJECT.format(1), REST).replace("'origin'", "'destination'")
    assert outcome(script, facts(from_='"A" <sip:a@b>')) == "absent"


def test_what_is_too_long_to_compare_is_equal_to_nothing():
    long = "ä" * MAX_FOLDED
    script = f"<string-switch field='subject'><string is='{long}'>{REJECT.format(1)}</string>{REST}</string-switch>"
    assert outcome(script, facts(subject=long)) == "is"
    assert outcome(script, facts(subject=long + "ä")) == "is not"
    part = script.replace(f"is='{long}'", "contains='ÄÄ'")
    assert outcome(part, facts(subject=long * 9)) == "is"


LANGUAGES = [
    ("de-AT-1996", "de-AT-1996", True),
    ("de-AT-1996", "de-at", True),  # a range is a beginning of the tag, before a hyphen
    ("de-AT-1996", "DE", True),
    ("de-AT", "d", False),
    ("de", "de-AT", False),
    ("de", "fr, *", False),  # `*` says nothing
    ("de", "fr, de;q=0", False),
    ("de", "fr, de;q=0.0", False),
    ("de", "fr, de ; q=0.001", True),  # q is not used but for 0
    ("DE", "de", True),
    ("de", "en de", False),
    ("de", "", False),
]


@pytest.mark.parametrize(("tag", "ranges", "same"), LANGUAGES)
def test_languages(tag, ranges, same):
    script = f"<language-switch><language matches='{tag}'>{REJECT.format(1)}</language>{REST}</language-switch>"
    assert outcome(script, facts(accept_language=ranges)) == ("is" if same else "is not")
    assert outcome(script, facts()) == "absent"


PRIORITIES = ["non-urgent", "normal", "urgent", "emergency"]


@pytest.mark.parametrize("operator", ["less", "greater", "equal"])
@pytest.mark.parametrize("wanted", PRIORITIES)
@pytest.mark.parametrize("seen", [*PRIORITIES, "Emergency", " urgent ", None, "", "psst"])
def test_priorities(operator, wanted, seen):
    word = (seen or "normal").strip().lower()
    step = PRIORITIES.index(word if word in PRIORITIES else "normal") - PRIORITIES.index(wanted)
    same = {"less": step < 0, "greater": step > 0, "equal": word == wanted}[operator]
    switch = "<priority-switch><priority {}='{}'>{}</priority>{}</priority-switch>"
    script = switch.format(operator, wanted.upper(), REJECT.format(1), REST)
    assert outcome(script, facts(priority=seen)) == ("is" if same else "is not")


def test_an_unknown_priority_is_equal_to_itself_in_any_case():
    script = f"<priority-switch><priority equal='Psst'>{REJECT.format(1)}</priority>{REST}</priority-switch>"
    assert outcome(script, facts(priority="pSST")) == "is"
    assert outcome(script, facts(priority="normal")) == "is not"


WHOLE = [
    ("sip:alice@example.com", "sip:alice@EXAMPLE.com", True),
    ("sip:alice@example.com", "sip:alice@example.com;x=1", True),
    ("sip:alice@example.com;user=phone", "sip:alice@example.com", False),
    ("sip:alice@example.com", "sip:alice@example.com:5060", False),
    ("sip:alice@example.com", "sip:Alice@example.com", False),
    ("tel:+1-212", "tel:+1(212)", True),
]


@pytest.mark.parametrize(("wanted", "seen", "same"), WHOLE)
@pytest.mark.parametrize("field", ["origin", "destination", "original-destination"])
def test_whole_addresses_go_by_the_rules_of_their_scheme(field, wanted, seen, same):
    script = (
        f"<address-switch field='{field}'><address is='{wanted}'>{REJECT.format(1)}</address>{REST}</address-switch>"
    )
    other = "sip:zoe@example.net"
    call = {"origin": (seen, other, other), "destination": (other, seen, other)}.get(field, (other, other, seen))
    assert outcome(script, facts(from_=call[0], uri=call[1], to=call[2])) == ("is" if same else "is not")


@pytest.mark.parametrize(
    ("outputs", "subject", "status"),
    [
        ("<string contains='a'>{1}</string><string contains='ab'>{2}</string>", "ab", 401),  # the first in order
        ("<string contains='b'>{1}</string><string contains='a'>{2}</string>", "a", 402),
        ("<not-present>{1}</not-present><string contains=''>{2}</string>", None, 401),
        ("<string contains=''>{2}</string><not-present>{1}</not-present>", None, 401),  # wherever it stands
        ("<string contains='x'>{2}</string><otherwise>{1}</otherwise>", None, 401),  # absent is otherwise, too
        ("<not-present/><otherwise>{1}</otherwise>", None, None),  # an empty output is an output
        ("<string is='a'>{1}</string>", "b", None),
        ("<string is='a'/><otherwise>{1}</otherwise>", "a", None),
        ("<not-present>{1}</not-present>", "a", None),
        ("", "a", None),
    ],
)
def test_a_switch_takes_the_first_that_matches_else_otherwise_else_nothing(outputs, subject, status):
    inside = outputs.replace("{1}", REJECT.format(1)).replace("{2}", REJECT.format(2))
    script = program(f"<incoming><string-switch field='subject'>{inside}</string-switch></incoming>")
    _, end = run(script, facts(subject=subject))
    assert end == (Default(None) if status is None else Reject(status, ""))
