"""Answers (§8.2.6) and changed copies (§16.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipd.errors import BadSyntax
from sipd.message import Draft, Message, Request, parse, response_to
from tests.data.torture import TORTURE
from tests.message.samples import BYE, INVITE, REGISTER, SAMPLES


def request(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def test_an_answer_copies_what_it_must_as_it_came() -> None:
    asked = request(BYE)
    answer = response_to(asked, 481, headers=[("Server", "x")], body=b"text", content_type="text/plain")
    assert bytes(answer) == (
        b"SIP/2.0 481 Call/Transaction Does Not Exist\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa, SIP/2.0/TLS example.org:5061;branch=z9hG4bKb\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bKc;received=192.0.2.4\r\n"
        b"From: <sip:bob@example.com>;tag=a6c85cf\r\n"
        b'To: "Alice, the \\"first\\"" <sip:alice@example.com;user=phone?a=b>;tag=1928301774\r\n'
        b"Call-ID: a84b4c76e66710\r\n"
        b"CSeq: 231 BYE\r\n"
        b"Server: x\r\n"
        b"Content-Type: text/plain\r\n"
        b"Content-Length: 4\r\n\r\ntext"
    )


@pytest.mark.parametrize(
    ("to", "status", "expected"),
    [
        (b"Bob <sip:bob@example.com>", 200, "Bob <sip:bob@example.com>;tag=new"),
        (b"sip:bob@example.com ", 404, "sip:bob@example.com;tag=new"),
        (b"sip:bob@example.com", 100, "sip:bob@example.com"),
        (b"<sip:bob@example.com>;TAG=old", 200, "<sip:bob@example.com>;TAG=old"),
        (b"sip:bob@example.com;tag=old", 200, "sip:bob@example.com;tag=old"),
        (b'"Bob;tag=x <sip:bob@example.com>', 400, '"Bob;tag=x <sip:bob@example.com>;tag=new'),
        (b'"Bob <sip:bob@example.com>', 400, '"Bob <sip:bob@example.com>;tag=new'),
    ],
)
def test_a_to_without_tag_gets_one_but_in_a_100(to: bytes, status: int, expected: str) -> None:
    asked = request(INVITE.replace(b"Bob <sip:bob@example.com>", to))
    assert response_to(asked, status, to_tag="new").first("To") == expected


def test_a_100_has_the_timestamp() -> None:
    assert response_to(request(REGISTER), 100).first("Timestamp") == "54"
    assert response_to(request(REGISTER), 200).first("Timestamp") is None


def test_of_doubled_fields_the_first_is_answered() -> None:
    with pytest.raises(BadSyntax) as fault:
        parse(INVITE.replace(b"CSeq", b"To: <sip:evil@example.com>\r\nCSeq"))
    assert fault.value.request is not None
    assert response_to(fault.value.request, 400).values("To") == ["Bob <sip:bob@example.com>"]


@pytest.mark.parametrize("given_", [{"to_tag": "a\r\nb"}, {"reason": "a\nb"}, {"headers": [("A", "\0")]}])
def test_no_line_is_forged_by_an_answer(given_: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        response_to(request(INVITE), 200, **given_)  # type: ignore[arg-type]


def accepted() -> list[Message]:
    found: list[Message] = [parse(data) for data in SAMPLES]
    return found + [parse(row.data) for row in TORTURE if not row.parsed]


EDITS = [
    ("prepend", "Via", "SIP/2.0/UDP h;branch=z9hG4bKnew"),
    ("prepend", "Record-Route", "<sip:h;lr>"),
    ("append", "X-New", "1"),
    ("replace", "Max-Forwards", "7"),
    ("replace", "Contact", "<sip:new@h>"),
    ("remove", "Contact", None),
    ("remove", "User-Agent", None),
    ("remove_first_value", "Route", None),
    ("remove_first_value", "Via", None),
    ("remove_first_value", "Subject", None),
]


@given(st.sampled_from(accepted()), st.lists(st.sampled_from(EDITS), max_size=4))
def test_an_edit_changes_its_own_lines_and_no_other_byte(message: Message, edits: list[tuple[str, str, str]]) -> None:
    draft = Draft(message)
    for edit, *arguments in edits:
        getattr(draft, edit)(*[argument for argument in arguments if argument is not None])
    touched = {name for _, name, _ in edits}

    def untouched(names: list[str], lines: list[str]) -> list[str]:
        return [line for name, line in zip(names, lines, strict=True) if name not in touched]

    assert untouched(draft.names, draft.lines) == untouched(message.names, message.lines)
    head = "\r\n".join([message.start_line, *draft.lines])
    assert bytes(draft) == head.encode("utf-8", "surrogateescape") + b"\r\n\r\n" + message.body
    if not edits:
        assert bytes(draft) == bytes(message)


def test_edits_do_what_they_say() -> None:
    draft = Draft(parse(BYE))
    assert draft.remove_first_value("Route") == "<sip:192.0.2.2;lr>"
    assert draft.remove_first_value("Route") == '"Edge, west" <sip:192.0.2.3:5070;lr>'
    assert draft.remove_first_value("Route") is None
    draft.prepend("v", "SIP/2.0/UDP h")
    draft.prepend("Route", "<sip:a;lr>")
    draft.replace("via", "SIP/2.0/UDP only")
    draft.replace("X-New", "1")
    draft.remove("Reason")
    draft.start_line = "BYE sip:h SIP/2.0"
    draft.body = b"four"
    assert draft.body == b"four"
    message = parse(bytes(draft))
    assert message.lines[0] == "Route: <sip:a;lr>"
    assert message.values("Via") == ["SIP/2.0/UDP only"]
    assert (message.first("X-New"), message.first("Reason"), message.first("Content-Length")) == ("1", None, "4")
    assert message.body == b"four"


def test_a_draft_leaves_the_message_as_it_is() -> None:
    message = parse(BYE)
    draft = Draft(message)
    draft.remove("Via")
    draft.replace("To", "x")
    assert bytes(message) == BYE


@pytest.mark.parametrize("edit", ["prepend", "append", "replace"])
def test_no_line_is_forged_by_an_edit(edit: str) -> None:
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        getattr(Draft(parse(INVITE)), edit)("Subject", "a\r\nVia: b")
