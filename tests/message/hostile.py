"""Messages of 64 KiB that make a careless parser slow (T20-T22)."""

from __future__ import annotations

from typing import Final

HEAD: Final = (
    b"REGISTER sip:example.com SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    b"Call-ID: 1\r\n"
    b"CSeq: 1 REGISTER\r\n"
)
FIELDS: Final = ("To", "From", "Contact", "Route", "Via", "Authorization", "Content-Type", "CSeq", "Call-ID", "X-Other")
TEXTS: Final = {
    "escaped quotes": b'\\"' * 15000,
    "quotes": b'"' * 30000,
    "quoted, escaped quotes": b'"' + b'\\"' * 15000,
    "parentheses": b"(" * 20000,
    "folds": b"\r\n " * 10000,
    "tabbed folds": b"x\r\n\t\t" * 8000,
    "empty parameters": b";a=" * 15000,
    "parameters": b"<sip:a@b>" + b";a=b" * 12000,
    "quoted parameters": b"<sip:a@b>" + b';a="b"' * 9000,
    "URI parameters": b"<sip:a@b" + b";a" * 20000 + b">",
    "blanks": b"a" + b" " * 50000 + b"b",
    "blanks and semicolons": b"SIP/2.0/UDP h" + b" ;" * 20000,
    "commas": b"," * 40000,
    "short contacts": b"sip:a," * 8000 + b"sip:a",
    "quoted commas": b'",' * 20000,
    "brackets": b"<" * 30000,
    "brackets and quotes": b'<"' * 20000,
    "slashes": b"SIP/" * 10000,
    "colons": b":" * 30000,
    "IPv6": b"sip:[" + b"1:" * 20000 + b"]",
    "percents": b"sip:" + b"%41" * 15000 + b"@example.com",
    "bad percents": b"sip:" + b"%" * 40000 + b"@example.com",
    "at signs": b"sip:" + b"a@" * 20000 + b"example.com",
    "digits": b"9" * 60000,
    "dots": b"sip:a@" + b"a." * 20000,
    "hyphens": b"sip:a@" + b"-" * 40000,
    "controls in quoted-pairs": b'"' + b"\\\x07" * 20000 + b'" <sip:a@b>',
    "no UTF-8": b"\xff" * 50000,
    "a=a,": b'Digest a="b"' + b',a="b"' * 9000,
}


def spread(name: str, text: bytes) -> bytes:
    """The text in one header field, far over the limit of a line."""
    return HEAD + name.encode() + b": " + text[:60000] + b"\r\nContent-Length: 0\r\n\r\n"


def cut_up(name: str, text: bytes) -> bytes:
    """The text over lines of that name, each as long as a line may be."""
    lines = [text[at : at + 8000] for at in range(0, min(len(text), 56000), 8000)]
    return HEAD + b"".join(name.encode() + b": " + line + b"\r\n" for line in lines) + b"Content-Length: 0\r\n\r\n"


MANY_LINES: Final = {
    "20,000 lines": HEAD + b"a:\r\n" * 15000 + b"\r\n",
    "500 Vias": HEAD + b"Via: SIP/2.0/UDP h;branch=z9hG4bK2\r\n" * 500 + b"\r\n",
    "3,000 Routes": HEAD + b"Route: <sip:a;lr>\r\n" * 3000 + b"\r\n",
    "3,000 Routes in a list": HEAD + (b"Route: " + b"<sip:a;lr>," * 700 + b"<sip:a;lr>\r\n") * 4 + b"\r\n",
    "lines without a colon": HEAD + b"nothing\r\n" * 6000 + b"\r\n",
    "unknown names": HEAD + b"".join(b"X-%d: a\r\n" % n for n in range(5000)) + b"\r\n",
    "no end": HEAD + b"a: b\r\n" * 9000,
    "CRLFs": b"\r\n" * 30000 + HEAD + b"\r\n",
    "CRs": b"\r" * 60000,
    "a start line": b"INVITE " + b"sip:" * 15000 + b" SIP/2.0\r\n\r\n",
    "blanks in the start line": b"INVITE" + b" " * 60000 + b"SIP/2.0\r\n\r\n",
}
