"""ACK and CANCEL repeat what §17.1.1.3 and §9.1 name of the INVITE, and nothing else."""

import pytest

from sipd.message import Request, parse
from sipd.transaction.hop_by_hop import ack_for, cancel_for, to_tag_of

INVITE = (
    b"INVITE sip:bob@biloxi.example;x=1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP proxy.example;branch=z9hG4bKnew\r\n"
    b"Via: SIP/2.0/UDP pc33.atlanta.example;branch=z9hG4bKold\r\n"
    b"Route: <sip:one.example;lr>, <sip:two.example;lr>\r\n"
    b"Max-Forwards: 12\r\n"
    b"Require: 100rel\r\n"
    b'From: "A, B" <sip:alice@atlanta.example>;tag=88\r\n'
    b"To: Bob <sip:bob@biloxi.example>\r\n"
    b"Route: <sip:three.example;lr>\r\n"
    b"Call-ID: 987@x\r\n"
    b"CSeq: 0986 INVITE\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 4\r\n\r\nTo: "
)


def lines(data: bytes) -> list[bytes]:
    return data.split(b"\r\n")


def test_ack() -> None:
    assert lines(ack_for(INVITE, "To: Bob <sip:bob@biloxi.example>;tag=z")) == [
        b"ACK sip:bob@biloxi.example;x=1 SIP/2.0",
        b"Via: SIP/2.0/UDP proxy.example;branch=z9hG4bKnew",
        b"Route: <sip:one.example;lr>, <sip:two.example;lr>",
        b"Route: <sip:three.example;lr>",
        b"Max-Forwards: 70",
        b'From: "A, B" <sip:alice@atlanta.example>;tag=88',
        b"To: Bob <sip:bob@biloxi.example>;tag=z",
        b"Call-ID: 987@x",
        b"CSeq: 0986 ACK",
        b"Content-Length: 0",
        b"",
        b"",
    ]


def test_ack_of_a_response_without_to_has_the_one_of_the_invite() -> None:
    assert b"To: Bob <sip:bob@biloxi.example>" in lines(ack_for(INVITE, None))


def test_cancel_has_the_to_of_the_invite_and_a_reason_if_given() -> None:
    cancel = lines(cancel_for(INVITE, 'SIP;cause=200;text="Call completed elsewhere"'))
    assert cancel[0] == b"CANCEL sip:bob@biloxi.example;x=1 SIP/2.0"
    assert b"To: Bob <sip:bob@biloxi.example>" in cancel
    assert b"CSeq: 0986 CANCEL" in cancel
    assert b'Reason: SIP;cause=200;text="Call completed elsewhere"' in cancel
    assert not any(line.startswith((b"Require", b"Contact", b"Content-Type")) for line in cancel)
    assert b"Reason" not in cancel_for(INVITE)


def test_the_callers_preferences_are_repeated_as_they_decide_on_the_way() -> None:
    """RFC 3841 §5: a stateless proxy then sends an ACK and a CANCEL where it sent the INVITE."""
    wishes = b"a: *;audio;require\r\nReject-Contact: *;video\r\nAccept-Contact:*;text\r\nd: no-fork\r\n"
    invite = INVITE.replace(b"Require:", wishes + b"Require:")
    for made in (parse(ack_for(invite, None)), parse(cancel_for(invite))):
        assert made.values("Accept-Contact") == ["*;audio;require", "*;text"]
        assert made.values("Reject-Contact") == ["*;video"]
        assert made.values("Request-Disposition") == ["no-fork"]


@pytest.mark.parametrize("name", ["compact", "folded", "lower", "spaces"])
def test_other_spellings_are_read_too(name: str) -> None:
    invite = {
        "compact": INVITE.replace(b"Via:", b"v:")
        .replace(b"From:", b"f:")
        .replace(b"To:", b"t:", 1)
        .replace(b"Call-ID:", b"i:"),
        "folded": INVITE.replace(b"From: ", b"From:\r\n ").replace(b"CSeq: 0986", b"CSeq:\r\n\t 0986"),
        "lower": INVITE.replace(b"CSeq", b"cseq").replace(b"Route", b"ROUTE").replace(b"Via", b"via"),
        "spaces": INVITE.replace(b"CSeq:", b"CSeq \t:").replace(b"Via:", b"Via :"),
    }[name]
    plain = parse(cancel_for(INVITE))
    cancel = parse(cancel_for(invite))
    assert isinstance(cancel, Request)
    assert isinstance(plain, Request)
    assert (cancel.cseq, cancel.via, cancel.call_id, cancel.from_, cancel.to) == (
        plain.cseq,
        plain.via,
        plain.call_id,
        plain.from_,
        plain.to,
    )
    assert cancel.values("Route") == plain.values("Route")
    assert len(cancel.values("Via")) == 1


def test_bytes_that_are_not_text_survive() -> None:
    odd = INVITE.replace(b"Bob", b"B\xff\xc3\xb6b")
    assert b"To: B\xff\xc3\xb6b <sip:bob@biloxi.example>" in lines(cancel_for(odd))
    assert b"To: \xff" in lines(ack_for(odd, "To: \udcff"))


@pytest.mark.parametrize(
    ("line", "tag"),
    [
        (b"To: <sip:b@x>;tag=9", "9"),
        (b"t : <sip:b@x;tag=no>;y=1 ; TAG = z.1;q", "z.1"),
        (b"To: <sip:b@x>", None),
        (b"X-To: <sip:b@x>;tag=8", None),
    ],
)
def test_to_tag_of_a_response(line: bytes, tag: str | None) -> None:
    assert to_tag_of(b"SIP/2.0 486 Busy\r\n" + line + b"\r\nCall-ID: 1\r\n\r\nTo: <sip:b@x>;tag=body") == tag
