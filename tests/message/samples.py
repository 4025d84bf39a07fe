"""Ordinary messages, as phones and proxies send them."""

from __future__ import annotations

from typing import Final

INVITE: Final = (
    b"INVITE sip:bob@example.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bK-d8754z-1234567890;rport\r\n"
    b"Max-Forwards: 70\r\n"
    b'From: "Alice" <sip:alice@example.com>;tag=9fxced76sl\r\n'
    b"To: Bob <sip:bob@example.com>\r\n"
    b"Call-ID: 3848276298220188511@192.0.2.10\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Contact: <sip:alice@192.0.2.10:5062;transport=udp>\r\n"
    b"Allow: INVITE, ACK, CANCEL, OPTIONS, BYE\r\n"
    b"User-Agent: testphone/1.0\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 150\r\n\r\n" + b"v" * 150
)

ACK: Final = INVITE.replace(b"INVITE sip", b"ACK sip").replace(b"1 INVITE", b"1 ACK")

REGISTER: Final = (
    b"REGISTER sip:example.com SIP/2.0\r\n"
    b"v: SIP/2.0/TCP [2001:db8::9]:5060;branch=z9hG4bKnashds7;rport\r\n"
    b"f: <sip:bob@example.com>;tag=456248\r\n"
    b"t: <sip:bob@example.com>\r\n"
    b"i: 843817637684230@998sdasdh09\r\n"
    b"CSeq: 1826 REGISTER\r\n"
    b'm: <sip:bob@192.0.2.4>;q=0.7;expires=60;+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"\r\n'
    b'm: Bob <sip:bob@192.0.2.5;transport=tcp>, <tel:+1-201-555-0123>;methods="INVITE,BYE"\r\n'
    b'Authorization: Digest username="bob", realm="example.com", nonce="84a4cc6f3082121f32b42a2187831a9e",\r\n'
    b' uri="sip:example.com", response="7587245234b3434cc3412213e5f113a5", qop=auth, nc=00000001, cnonce="0a\\"4f"\r\n'
    b"Supported: path, outbound, gruu\r\n"
    b"Expires: 7200\r\n"
    b"Timestamp: 54\r\n"
    b"l: 0\r\n\r\n"
)

BYE: Final = (
    b"BYE sip:alice@192.0.2.10 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa, SIP/2.0/TLS example.org:5061;branch=z9hG4bKb\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bKc;received=192.0.2.4\r\n"
    b'Route: <sip:192.0.2.2;lr>, "Edge, west" <sip:192.0.2.3:5070;lr>\r\n'
    b"From: <sip:bob@example.com>;tag=a6c85cf\r\n"
    b'To: "Alice, the \\"first\\"" <sip:alice@example.com;user=phone?a=b>;tag=1928301774\r\n'
    b"Call-ID: a84b4c76e66710\r\n"
    b"CSeq: 231 BYE\r\n"
    b"Max-Forwards: 69\r\n"
    b'Reason: Q.850;cause=16;text="Normal, call clearing"\r\n'
    b"Content-Length: 0\r\n\r\n"
)

OK: Final = (
    b"SIP/2.0 200 OK\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;received=192.0.2.9;rport=5070\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bK-d8754z\r\n"
    b"Record-Route: <sip:192.0.2.1;lr>\r\n"
    b"From: Alice <sip:alice@example.com>;tag=9fxced76sl\r\n"
    b"To: Bob <sip:bob@example.com>;tag=8321234356\r\n"
    b"Call-ID: 3848276298220188511@192.0.2.10\r\n"
    b"CSeq: 1 INVITE\r\n"
    b"Contact: <sip:bob@192.0.2.4>\r\n"
    b"Content-Type: application/sdp\r\n"
    b"Content-Length: 4\r\n\r\nv=0\n"
)

SAMPLES: Final = [INVITE, ACK, REGISTER, BYE, OK]
