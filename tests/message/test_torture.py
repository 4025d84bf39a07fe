"""RFC 4475 and RFC 5118: what the parser makes of each message (T14)."""

from __future__ import annotations

import pytest

from sipd.errors import BadSyntax, SipError
from sipd.message import Framer, Message, Request, Response, parse, response_to
from tests.data.torture import HERE, RFC4475, RFC5118, TORTURE, WAIT, Torture
from tests.fuzz_message import LAZY

each = pytest.mark.parametrize("row", TORTURE, ids=lambda row: f"{row.section}-{row.file}")
rows = {row.file.partition("/")[2].removesuffix(".dat"): row for row in TORTURE}


def read_or_refused(data: bytes) -> Message | None:
    try:
        return parse(data)
    except BadSyntax as fault:
        return fault.request


def refusal_of(item: bytes) -> int:
    try:
        parse(item, stream=True)
    except SipError as fault:
        return fault.status
    return 0


def test_every_message_of_the_rfcs_has_its_row() -> None:
    assert (len(RFC4475), len(RFC5118)) == (49, 12)
    assert {row.file for row in TORTURE} == {
        str(path.relative_to(HERE)) for folder in ("rfc4475", "rfc5118") for path in (HERE / folder).iterdir()
    }


@each
def test_the_parser_accepts_or_refuses_as_the_rfc_asks(row: Torture) -> None:
    if row.parsed:
        with pytest.raises(BadSyntax) as refusal:
            parse(row.data)
        assert refusal.value.status == row.parsed
        assert (refusal.value.request is not None) == row.answerable
        return
    message = parse(row.data)
    assert isinstance(message, Response) == row.is_response
    names = [*LAZY, "uri"] if isinstance(message, Request) else LAZY
    faulty = []
    for name in names:
        try:
            getattr(message, name)
        except BadSyntax:
            faulty.append(name)
    assert sorted(faulty) == sorted(row.faulty)


@each
def test_what_is_accepted_comes_back_byte_for_byte(row: Torture) -> None:
    if not row.parsed:
        length = len(row.data) - row.more_on_stream
        assert bytes(parse(row.data)) == row.data[:length]


@each
def test_what_must_be_answered_can_be_answered(row: Torture) -> None:
    if row.is_response:
        return
    request = read_or_refused(row.data)
    assert isinstance(request, Request)
    answer = response_to(request, 400, to_tag="torture")
    assert answer.values("Via") == request.values("Via")
    assert answer.reply_via is not None
    if not row.parsed:
        assert bytes(parse(bytes(answer), stream=True)) == bytes(answer)


@each
def test_on_a_stream_it_is_framed_or_waited_for_or_broken(row: Torture) -> None:
    framer = Framer()
    items = framer.feed(row.data)
    if row.over_stream is WAIT:
        assert (items, framer.partial, framer.broken) == ([], True, False)
    elif row.more_on_stream:
        assert items[0] == row.data[: -row.more_on_stream]
    else:
        (item,) = items
        # What the datagram parser took is refused only where the table has the stream differ.
        status = refusal_of(item)
        assert status == (min(row.over_stream) if row.over_stream else row.parsed)
        assert not framer.broken or status


def test_the_short_tortuous_invite_is_read_right() -> None:
    message = parse(rows["wsinv"].data)
    assert isinstance(message, Request)
    assert message.via.branch == "390skdjuw"
    assert len(message.values("Via")) == 3
    assert message.to_tag == "1918181833n"
    assert message.from_.display == 'J Rosenberg \\"'
    assert message.from_tag == "98asjd8"
    assert (message.max_forwards, message.cseq.number) == (68, 9)
    assert message.contacts[0].display == 'Quoted string ""'
    assert message.contacts[0].params == (("newparam", "newvalue"), ("secondparam", None), ("q", "0.33"))
    assert message.first("Subject") == ""
    assert message.first("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.values("UnknownHeaderWithUnusualValue") == [";;,,;;,;"]


def test_the_wide_range_of_characters_is_kept() -> None:
    message = parse(rows["intmeth"].data)
    assert isinstance(message, Request)
    assert message.method == message.cseq.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.from_.display == "token1~` token2'+_ token3*%!.-"
    assert message.from_.param("fromparam''~+*_!.-%") == "работающий"
    assert message.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"


def test_escapes_are_resolved_once_and_only_in_uris() -> None:
    message = parse(rows["esc01"].data)
    assert isinstance(message, Request)
    assert message.uri.user_unescaped == "sips:user@example.com"
    assert message.to.uri.user_unescaped == "user"
    assert message.contacts[0].uri.param("n%61me") == "v%61lue%25%34%31"
    assert parse(rows["escnull"].data).to.uri.user_unescaped == "null-\0-null"
    assert len(parse(rows["esc02"].data).contacts) == 2


def test_a_semicolon_in_the_user_part_is_part_of_it() -> None:
    message = parse(rows["semiuri"].data)
    assert isinstance(message, Request)
    assert message.uri.user_unescaped == "user;par=u@example.net"
    assert message.uri.host == "example.com"


def test_unquoted_commas_in_display_names_are_refused() -> None:
    whole = parse(rows["baddn"].data + b"\r\n")
    for name in ("from_", "to"):
        with pytest.raises(BadSyntax):
            getattr(whole, name)


def test_parameters_without_brackets_are_the_header_s() -> None:
    assert parse(rows["cparam01"].data).contacts[0].params == (("unknownparam", None),)
    assert parse(rows["cparam02"].data).contacts[0].uri.params == (("unknownparam", None),)
    assert parse(rows["regescrt"].data).contacts[0].uri.headers == "Route=%3Csip:sip.example.com%3E"


@pytest.mark.parametrize("name", ["via-received-param-with-delim", "via-received-param-no-delim"])
def test_received_is_read_with_and_without_brackets(name: str) -> None:
    assert parse(rows[name].data).via.received == "2001:db8::9:255"


@pytest.mark.parametrize("name", ["ipv6-bug-abnf-3-colons", "ipv6-correct-abnf-2-colons"])
def test_a_third_colon_is_tolerated(name: str) -> None:
    message = parse(rows[name].data)
    assert isinstance(message, Request)
    assert message.uri.host == "2001:db8::192.0.2.1"


def test_the_port_is_what_follows_the_bracket() -> None:
    ambiguous, unambiguous = parse(rows["port-ambiguous"].data), parse(rows["port-unambiguous"].data)
    assert isinstance(ambiguous, Request)
    assert isinstance(unambiguous, Request)
    assert (ambiguous.uri.host, ambiguous.uri.port) == ("2001:db8::10:5070", None)
    assert (unambiguous.uri.host, unambiguous.uri.port) == ("2001:db8::10", 5070)
