"""The mail that a mail node sends: RFC 3880 §7.1.1, rule by rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest

from sipd.cpl.letter import Letter, compose, mail_address
from sipd.cpl.mailto import read_mailto
from sipd.message import parse_address
from tests.cpl.calls import facts

if TYPE_CHECKING:
    from datetime import tzinfo

    from sipd.script import Facts

ALICE = '"Alice Ä" <sip:alice@example.com;user=phone>;tag=1'
WHEN = datetime(2026, 12, 24, 17, 30, 5, tzinfo=UTC)


def call(**headers: Any) -> Facts:
    return facts(from_=ALICE, to="<sip:bob@example.com>", **headers)._replace(now=WHEN)


def letter(url: str, made: Facts, zone: tzinfo = UTC) -> Letter:
    return compose(read_mailto(url), made, sender="sipd <cpl@example.com>", message_id="<1@example.com>", zone=zone)


def header(made: Letter, name: str) -> str | None:
    return dict(made.headers).get(name)


@pytest.mark.parametrize(
    ("url", "said", "subject"),
    [
        ("mailto:bob@example.com", "Lunch?", "[CPL] Lunch?"),
        ("mailto:bob@example.com", None, "[CPL]"),
        ("mailto:bob@example.com?subject=Missed", "Lunch?", "Missed"),
        ("mailto:bob@example.com", "a\r\nBcc: x@y", "[CPL] a Bcc: x@y"),
        ("mailto:bob@example.com", "\x00\u2028\u202e\udc80", "[CPL]"),
        ("mailto:bob@example.com", "x" * 500, "[CPL] " + "x" * 199 + "…"),
    ],
)
def test_the_subject_is_that_of_the_url_else_cpl_and_that_of_the_call(url, said, subject):
    assert header(letter(url, call(subject=said)), "Subject") == subject


def test_from_is_the_servers_address_whatever_the_url_says():
    made = letter("mailto:bob@example.com?from=boss@example.com", call())
    assert header(made, "From") == "sipd <cpl@example.com>"
    assert "boss@example.com" not in str(made)


@pytest.mark.parametrize(
    ("from_", "address"),
    [
        ("sip:alice@example.com", "alice@example.com"),
        ('"A" <sips:alice@example.com:5061;transport=tcp?x=y>', "alice@example.com"),
        ("sip:al%69ce@example.com", "alice@example.com"),
        ("sip:%22a%20b%22@example.com", '"a b"@example.com'),
        ("sip:+1-212@example.com;user=phone", "+1-212@example.com"),
        ("sip:example.com", ""),
        ("tel:+12125551212", ""),
        ("sip:anonymous@anonymous.invalid", ""),
        ("sip:a%0d%0aBcc:x@example.com", ""),
        ("sip:a%80@example.com", ""),
    ],
)
def test_the_caller_as_a_mail_address(from_, address):
    assert mail_address(parse_address(f"<{from_}>" if "<" not in from_ else from_)) == address


def test_reply_to_is_that_of_the_url_else_the_caller_else_there_is_none():
    assert header(letter("mailto:bob@example.com?reply-to=me@x,you@x", call()), "Reply-To") == "me@x, you@x"
    assert header(letter("mailto:bob@example.com", call()), "Reply-To") == "alice@example.com"
    unknown = call()._replace(origin=parse_address("<tel:+12125551212>"))
    assert header(letter("mailto:bob@example.com", unknown), "Reply-To") is None


def test_the_body_names_caller_time_subject_and_priority_unless_the_url_has_one():
    zone = timezone(timedelta(hours=1), "CET")
    made = letter("mailto:bob@example.com", call(subject="Lunch?", priority="urgent"), zone)
    assert made.body == (
        "Caller:       Alice Ä <sip:alice@example.com;user=phone>\n"
        "Called:       sip:bob@example.com\n"
        "Time:         2026-12-24 18:30:05 CET\n"
        "Subject:      Lunch?\n"
        "Priority:     urgent\n"
        "Script:       incoming, of bob@example.com\n"
    )
    assert header(made, "Date") == "Thu, 24 Dec 2026 18:30:05 +0100"
    assert "Priority" not in letter("mailto:bob@example.com", call()).body
    assert letter("mailto:bob@example.com?body=a%0D%0Ab", call(subject="x")).body == "a\nb\n"


def test_a_caller_cannot_write_lines_of_the_body():
    made = letter("mailto:bob@example.com", call(subject="x\nPriority: emergency", organization="\x1b[31m"))
    assert made.body.count("\n") == 6
    assert "\x1b" not in made.body


def test_recipients_are_those_of_to_and_cc_each_once():
    made = letter("mailto:a@x,b@x?cc=a@x,c@x", call())
    assert made.recipients == ("a@x", "b@x", "c@x")
    assert (header(made, "To"), header(made, "Cc")) == ("a@x, b@x", "a@x, c@x")


def test_it_says_that_a_machine_wrote_it_and_for_whom():
    made = letter("mailto:bob@example.com?keywords=cpl&body=x", call())
    assert header(made, "Auto-Submitted") == "auto-generated"
    assert header(made, "X-CPL-Script") == "incoming script of bob@example.com"
    assert header(made, "X-CPL-Caller") == "Alice Ä <sip:alice@example.com;user=phone>"
    assert header(made, "Keywords") == "cpl"


def test_its_bytes_are_ascii_and_say_the_same():
    made = letter("mailto:bob@example.com?subject=caf%C3%A9", call(subject="Ä"))
    data = made.data()
    assert data.isascii()
    assert b"\n" not in data.replace(b"\r\n", b"")
    read = message_from_bytes(data, policy=policy.default)
    assert read["Subject"] == "café"
    assert read["To"] == "bob@example.com"
    assert read["Message-ID"] == "<1@example.com>"
    assert read.get_content().replace("\r\n", "\n") == made.body
    assert [name for name, _ in read.items() if name in dict(made.headers)] == [name for name, _ in made.headers]


@pytest.mark.parametrize("word", ["=?utf-8?b?DQpCY2M6IHhAeQ==?=", "=?utf-8?q?=0D=0ABcc:_x@y?=", "a\r\nBcc: x@y"])
def test_nobody_writes_a_header_field_of_the_mail(word):
    made = call(subject=word, priority=word, organization=word)
    made = made._replace(origin=made.origin._replace(display=word), owner=word)
    for url in ("mailto:bob@example.com", "mailto:bob@example.com?subject==?utf-8?q?=250D=250ABcc:_x@y?="):
        composed = letter(url, made)
        data = composed.data()
        names = [
            line.partition(b":")[0].decode() for line in data.partition(b"\r\n\r\n")[0].splitlines() if line[0] > 32
        ]
        assert names == [*dict(composed.headers), "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
        assert message_from_bytes(data, policy=policy.compat32)["Bcc"] is None


def test_a_name_of_the_sender_may_be_of_any_letters():
    composed = compose(
        read_mailto("mailto:bob@example.com"), call(), sender="Zürich <cpl@example.com>", message_id="<1@x>"
    )
    read = message_from_bytes(composed.data(), policy=policy.default)
    assert (read["From"].addresses[0].display_name, read["From"].addresses[0].addr_spec) == (
        "Zürich",
        "cpl@example.com",
    )


def test_long_values_are_folded_not_broken():
    url = (
        "mailto:bob@example.com?subject="
        + "a%20" * 100
        + "a"
        + "&body="
        + "%C3%A4" * 600
        + "&cc="
        + "c" * 60
        + "@"
        + "d." * 90
        + "d"
    )
    data = letter(url, call()).data()
    assert max(len(line) for line in data.split(b"\r\n")) <= 998
    assert message_from_bytes(data, policy=policy.default)["Subject"] == "a " * 100 + "a"
