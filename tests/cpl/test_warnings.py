"""Warnings: what is legal and surely not meant."""

from __future__ import annotations

import pytest

from sipd.cpl import CODES, compile_on, terms_of
from sipd.rows import Settings
from tests.cpl.calls import program

SWITCH = "<incoming><{0}-switch {1}>{2}</{0}-switch></incoming>"


def address(subfield: str, *outputs: str) -> str:
    part = f"field='origin' subfield='{subfield}'" if subfield else "field='origin'"
    return SWITCH.format("address", part, "".join(f"<address {each}/>" for each in outputs))


def string(*outputs: str) -> str:
    return SWITCH.format("string", "field='subject'", "".join(f"<string {each}/>" for each in outputs))


def language(*tags: str) -> str:
    return SWITCH.format("language", "", "".join(f"<language matches='{tag}'/>" for tag in tags))


def priority(*outputs: str) -> str:
    return SWITCH.format("priority", "", "".join(f"<priority {each}/>" for each in outputs))


def after_location(text: str) -> str:
    return f"<incoming><location url='sip:a@b'>{text}</location></incoming>"


WARNED: list[tuple[str, list[str]]] = [
    ("", ["CPL-NO-ACTION"]),
    ("<incoming/>", []),
    ("<subaction id='a'/><subaction id='b'><sub ref='a'/></subaction><incoming/>", ["CPL-UNUSED-SUBACTION"] * 2),
    ("<subaction id='a'/><subaction id='b'><sub ref='a'/></subaction><incoming><sub ref='b'/></incoming>", []),
    # outputs that are left nothing
    (address("user", "is='a'", "is='b'", "is='a'"), ["CPL-UNREACHABLE"]),
    (address("host", "subdomain-of='example.com'", "is='a.EXAMPLE.com'"), ["CPL-UNREACHABLE"]),
    (address("host", "subdomain-of='example.com'", "subdomain-of='b.example.com'"), ["CPL-UNREACHABLE"]),
    (address("host", "is='example.com'", "subdomain-of='example.com'"), []),
    (address("host", "is='::1'", "is='0::1'"), ["CPL-UNREACHABLE"]),
    (address("tel", "subdomain-of='1'", "is='+1-900'"), ["CPL-UNREACHABLE"]),
    (address("tel", "subdomain-of='+1'", "subdomain-of='1900'"), []),
    (address("display", "contains='BOSS'", "is='the boss'"), ["CPL-UNREACHABLE"]),
    (address("port", "is='5060'", "is='05060'"), ["CPL-UNREACHABLE"]),
    (address("", "is='sip:a@b'", "is='sip:a@b'"), ["CPL-UNREACHABLE"]),
    (address("", "is='sip:a@b;x=1'", "is='sip:a@b'"), []),
    (string("contains=''", "is='a'"), ["CPL-UNREACHABLE"]),
    (string("is='a'", "contains='a'"), []),
    (language("en-US", "en"), ["CPL-UNREACHABLE"]),
    (language("en", "en-US"), []),
    (priority("less='urgent'", "equal='normal'"), ["CPL-UNREACHABLE"]),
    (priority("less='urgent'", "greater='normal'"), []),
    (priority("equal='x'", "equal='X'"), ["CPL-UNREACHABLE"]),
    (priority("less='emergency'", "equal='emergency'", "greater='non-urgent'"), ["CPL-UNREACHABLE"]),
    # values no call can have
    (priority("less='non-urgent'"), ["CPL-NEVER"]),
    (priority("greater='emergency'"), ["CPL-NEVER"]),
    (address("port", "is='65536'"), ["CPL-NEVER"]),
    (address("host", "is='sip:a@b'"), ["CPL-NEVER"]),
    (address("tel", "is='bob'"), ["CPL-NEVER"]),
    (SWITCH.format("string", "field='display'", "<string is='a'/>"), ["CPL-NEVER"]),
    ("<incoming><address-switch field='destination' subfield='display'/></incoming>", ["CPL-NEVER", "CPL-NO-EFFECT"]),
    (address("alias-type", "is='a'"), ["CPL-NEVER"]),
    (SWITCH.format("address", "field='origin'", "<not-present/>"), ["CPL-UNREACHABLE"]),
    (SWITCH.format("address", "field='origin' subfield='user'", "<not-present/>"), []),
    (SWITCH.format("priority", "", "<not-present/>"), []),  # §4.5: it may be included
    (address("password", "is='a'"), ["CPL-PASSWORD"]),
    # locations
    ("<incoming><proxy/></incoming>", ["CPL-EMPTY-SET"]),
    ("<outgoing><proxy/></outgoing>", []),
    ("<incoming><redirect/></incoming>", ["CPL-EMPTY-SET"]),
    ("<outgoing><remove-location><redirect/></remove-location></outgoing>", ["CPL-EMPTY-SET"]),
    (after_location("<proxy><default><redirect/></default></proxy>"), ["CPL-EMPTY-SET"]),
    (after_location("<proxy ordering='first-only'><default><redirect/></default></proxy>"), []),
    (after_location("<proxy recurse='no'><default><redirect/></default></proxy>"), []),
    ("<incoming><lookup source='registration'><success><proxy/></success></lookup></incoming>", []),
    ("<incoming><lookup source='registration'><notfound><proxy/></notfound></lookup></incoming>", ["CPL-EMPTY-SET"]),
    ("<incoming><location url='https://x/'><redirect/></location></incoming>", ["CPL-REDIRECT-ONLY"]),
    # what changes nothing
    (SWITCH.format("string", "field='subject'", ""), ["CPL-NO-EFFECT"]),
    (SWITCH.format("language", "", "<otherwise/>"), ["CPL-NO-EFFECT"]),
    (SWITCH.format("language", "", "<not-present/>"), []),
    (priority("less='urgent'", "equal='urgent'", "greater='urgent'"), []),
    (SWITCH.format("priority", "", "<priority less='urgent'/><priority greater='normal'/><otherwise/>"),
     ["CPL-UNREACHABLE"]),
    (SWITCH.format("priority", "", "<priority less='urgent'/><priority equal='urgent'/><otherwise/>"), []),
    (SWITCH.format("priority", "", "<priority equal='normal'/><priority less='normal'/><priority greater='normal'/>"
                   "<otherwise/>"), []),  # of an unknown priority
    (after_location("<reject status='busy'/>"), ["CPL-NO-EFFECT"]),
    (after_location("<log><reject status='busy'/></log>"), ["CPL-NO-EFFECT"]),
    (after_location("<proxy><default><reject status='busy'/></default></proxy>"), []),
    (after_location("<location url='sip:c@d' clear='yes'/>"), ["CPL-NO-EFFECT"]),
    (after_location("<location url='sip:c@d'/>"), []),
    (after_location("<remove-location><redirect/></remove-location>"), ["CPL-NO-EFFECT", "CPL-EMPTY-SET"]),
    (after_location("<remove-location location='sip:a@b'/>"), []),
    ("<incoming><remove-location/></incoming>", ["CPL-NO-EFFECT"]),
    ("<outgoing><remove-location/></outgoing>", []),
    # an outgoing call's own destination
    ("<outgoing><location url='sip:a@b'><proxy/></location></outgoing>", ["CPL-DESTINATION"]),
    ("<outgoing><location url='sip:a@b'><location url='sip:c@d'/></location></outgoing>", ["CPL-DESTINATION"]),
    ("<outgoing><location url='sip:a@b' clear='yes'><proxy/></location></outgoing>", []),
    ("<outgoing><location url='sip:a@b' clear='yes'><location url='sip:c@d'/></location></outgoing>", []),
    ("<outgoing><remove-location><location url='sip:a@b'/></remove-location></outgoing>", []),
    ("<outgoing><proxy><default><location url='sip:a@b'/></default></proxy></outgoing>", []),
    ("<outgoing><priority-switch><priority less='urgent'><location url='sip:a@b'/></priority></priority-switch>"
     "</outgoing>",
     ["CPL-DESTINATION"]),
    # refusals that ask for a password
    ("<incoming><reject status='401'/></incoming>", ["CPL-STATUS"]),
    ("<incoming><reject status='407'/></incoming>", ["CPL-STATUS"]),
    ("<incoming><reject status='403'/></incoming>", []),
    # mails
    ("<incoming><mail url='mailto:a@b'/></incoming>", []),
    ("<incoming><mail url='mailto:a@b?from=c@d'/></incoming>", ["CPL-MAIL-FROM"]),
    # outputs of proxy
    (after_location("<proxy/>"), []),
    (after_location("<proxy><busy/></proxy>"), ["CPL-NO-OUTPUT"]),
    (after_location("<proxy timeout='9'/>"), ["CPL-NO-OUTPUT"]),
    (after_location("<proxy><redirection/><default/></proxy>"), ["CPL-UNREACHABLE"]),
    (after_location("<proxy recurse='no'><redirection/><default/></proxy>"), []),
    (after_location("<proxy><busy/><noanswer/><failure/><default/></proxy>"), ["CPL-UNREACHABLE"]),
    (after_location("<proxy recurse='no'><busy/><noanswer/><failure/><default/></proxy>"), []),
    (after_location("<proxy timeout='3600'><default/></proxy>"), ["CPL-CLAMPED"]),
]  # fmt: skip


@pytest.mark.parametrize(("script", "codes"), WARNED)
def test_what_is_warned_about(script, codes):
    warnings = program(script).warnings
    assert [warning.code for warning in warnings] == codes
    assert all(warning.severity == "warning" and warning.line == 1 for warning in warnings)


def test_a_mail_where_the_server_sends_none_is_warned_about():
    source = b"<cpl><incoming><mail url='mailto:a@b'/></incoming></cpl>"
    off, on = terms_of(Settings(mail_server="")), terms_of(Settings(mail_server="mail.example.com"))
    assert [warning.code for warning in compile_on(off, source).warnings] == ["CPL-NO-MAIL"]
    assert compile_on(on, source).warnings == ()


def test_every_warning_there_is_has_been_shown():
    shown = {code for _, codes in WARNED for code in codes}
    elsewhere = {"CPL-DOCTYPE", "CPL-NAMESPACE-UNUSED", "CPL-NO-MAIL"}
    time = {"CPL-DTSTART", "CPL-GAP", "CPL-IGNORED"}
    warnings = list(CODES)[list(CODES).index("CPL-DOCTYPE") :]
    assert set(warnings) - shown - elsewhere - time == set()
