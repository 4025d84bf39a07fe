"""What an administrator permits, and to whom (RFC 3880 §13), and what a number is (§4.1.1)."""

from __future__ import annotations

import pytest

from sipd.cpl import CplError, compile, compile_on, terms_of
from sipd.cpl.grammar import OPERATIONS
from sipd.cpl.terms import operations_of
from sipd.rows import Settings
from sipd.script import Reject
from tests.cpl.calls import facts, run

PROXY = b"<cpl><incoming>\n<location url='sip:a@b'><proxy/></location></incoming></cpl>"


@pytest.mark.parametrize(
    ("text", "user_class", "permitted"),
    [
        ("all", "", OPERATIONS),
        ("all", "guest", OPERATIONS),
        ("proxy,log  reject", "", {"proxy", "log", "reject"}),
        ("", "", set()),
        ("none", "", None),
        ("all guest:proxy,reject", "guest", {"proxy", "reject"}),
        ("all guest:proxy,reject", "", OPERATIONS),
        ("all guest:proxy,reject", "Guest", OPERATIONS),
        ("guest:proxy guest:log staff:all", "guest", {"proxy", "log"}),
        ("guest:proxy guest:log staff:all", "staff", OPERATIONS),
        ("guest:proxy", "", OPERATIONS),
        ("none staff:all", "staff", OPERATIONS),
        ("none staff:all", "", None),
        ("all guest:none", "guest", None),
        ("all guest:", "guest", set()),
        ("all a:b:proxy", "a:b", {"proxy"}),
    ],
)
def test_operations_are_permitted_to_everybody_or_to_a_class(text, user_class, permitted):
    assert operations_of(text, user_class) == permitted


@pytest.mark.parametrize(
    "text", ["fly", "guest:fly", "all none", "all proxy", "guest:none,proxy", ":proxy", "switch", "ALL", "sub"]
)
def test_what_is_no_permission_is_an_error(text):
    with pytest.raises(ValueError, match=r"operations|stand alone|without a name"):
        operations_of(text)


@pytest.mark.parametrize(("user_class", "codes"), [("", []), ("guest", ["CPL-FORBIDDEN"] * 2), ("kiosk", ["CPL-KIND"])])
def test_a_script_is_compiled_on_the_terms_of_its_owners_class(user_class, codes):
    terms = terms_of(Settings(script_operations="all guest:reject,log kiosk:none"), user_class)
    if not codes:
        compile_on(terms, PROXY)
        return
    with pytest.raises(CplError) as raised:
        compile_on(terms, PROXY)
    assert [finding.code for finding in raised.value.findings] == codes
    assert raised.value.status == (403 if codes == ["CPL-KIND"] else 400)


def test_terms_are_those_of_the_settings():
    terms = terms_of(Settings(script_hosts="www.example.com", phone_users=True, max_script=99))
    assert (terms.hosts, terms.phone_users, terms.max_bytes) == (frozenset({"www.example.com"}), True, 99)
    with pytest.raises(ValueError, match="host"):
        terms_of(Settings(script_hosts="http://x"))


@pytest.mark.parametrize(
    ("uri", "plain", "by_looks"),
    [
        ("sip:+1-212-555-1212@example.com;user=phone", 1, 1),
        ("tel:+1-212-555-1212", 1, 1),
        ("sip:+1-212-555-1212@example.com", 0, 1),
        ("sip:12125551212@example.com", 0, 1),
        ("sip:1(212)555.1212@example.com;user=ip", 0, 1),
        ("sip:1212555121%32@example.com", 0, 1),
        ("sip:+12125551212;ext=1@example.com", 0, 1),
        ("sip:2125551212@example.com", 0, 2),
        ("sip:alice@example.com", 0, 0),
        ("sip:1212555121a@example.com", 0, 0),
        ("sip:+@example.com", 0, 0),
        ("sip:%D9%A1212@example.com", 0, 0),
        ("sip:example.com", 0, 0),
    ],
)
def test_a_user_part_of_digits_is_a_number_only_where_the_server_says_so(uri, plain, by_looks):
    source = (
        b"<cpl><incoming><address-switch field='origin' subfield='tel'><address is='12125551212'>"
        b"<reject status='401'/></address><not-present><reject status='400'/></not-present><otherwise>"
        b"<reject status='402'/></otherwise></address-switch></incoming></cpl>"
    )
    for phone_users, expected in ((False, plain), (True, by_looks)):
        _, end = run(compile(source, phone_users=phone_users), facts(from_=uri))
        assert isinstance(end, Reject)
        assert end.status == 400 + expected
