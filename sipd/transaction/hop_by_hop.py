"""The two requests that a hop makes for itself from an INVITE it sent: ACK of a refusal, and CANCEL.

Both are cut from the INVITE's bytes, without parsing it (§17.1.1.3, §9.1).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_NAMES: Final = {b"v": b"via", b"f": b"from", b"t": b"to", b"i": b"call-id"}
"""Full names of the compact forms (§7.3.3)."""

# A head has no CR but that of its line ends: `parse` sees to it.
_FIELDS: Final = re.compile(
    rb"\r\n(via|v|route|from|f|to|t|call-id|i|cseq"
    rb"|accept-contact|a|reject-contact|j|request-disposition|d)[ \t]*:([^\r]*)",
    re.IGNORECASE,
)
_REPEATED: Final = {
    b"route": b"Route",
    b"accept-contact": b"Accept-Contact",
    b"a": b"Accept-Contact",
    b"reject-contact": b"Reject-Contact",
    b"j": b"Reject-Contact",
    b"request-disposition": b"Request-Disposition",
    b"d": b"Request-Disposition",
}
"""What decides on the way beside the Request-URI: a proxy without state must see it again (§9.1, RFC 3841 §5)."""
_FOLD: Final = re.compile(rb"\r\n[ \t]+")
_TO_TAG: Final = re.compile(rb"^(?:to|t)[ \t]*:[^\r\n]*;[ \t]*tag[ \t]*=[ \t]*([^\s;,>]+)", re.I | re.M)


class _Parts(NamedTuple):
    """What an ACK and a CANCEL repeat of their INVITE: values with the blank before them."""

    rest_of_start_line: bytes  # from the blank after the method
    via: bytes  # the topmost
    repeated: list[bytes]  # whole lines, of the Route and of the caller's preferences
    from_: bytes
    to: bytes
    call_id: bytes
    number: bytes  # of the CSeq


def _take_apart(invite: bytes) -> _Parts:
    head = invite[: invite.index(b"\r\n\r\n")]
    if b"\r\n " in head or b"\r\n\t" in head:
        head = _FOLD.sub(b" ", head)
    found: dict[bytes, bytes] = {}
    repeated: list[bytes] = []
    for name, value in _FIELDS.findall(head):
        lower = name.lower()
        if lower in _REPEATED:
            repeated.append(b"%b:%b\r\n" % (_REPEATED[lower], value))
        else:
            found.setdefault(_NAMES.get(lower, lower), value)
    return _Parts(
        head[head.index(b" ") : head.index(b"\r\n")],
        found[b"via"].partition(b",")[0],  # ours is on top and has no quoted parameter
        repeated,
        found[b"from"],
        found[b"to"],
        found[b"call-id"],
        found[b"cseq"].split(None, 1)[0],
    )


def ack_for(invite: bytes, to: str | None) -> bytes:
    """The ACK of a refused INVITE; `to` is the To line of the refusal (§17.1.1.3)."""
    parts = _take_apart(invite)
    to_line = b"To:" + parts.to if to is None else to.encode("utf-8", "surrogateescape")
    return _build(b"ACK", parts, to_line, b"")


def cancel_for(invite: bytes, reason: str = "") -> bytes:
    """The CANCEL of an INVITE we sent, with a Reason header field if given (§9.1, RFC 3326)."""
    parts = _take_apart(invite)
    return _build(b"CANCEL", parts, b"To:" + parts.to, f"Reason: {reason}\r\n".encode() if reason else b"")


def _build(method: bytes, parts: _Parts, to_line: bytes, more: bytes) -> bytes:
    return (
        b"%b%b\r\nVia:%b\r\n%bMax-Forwards: 70\r\nFrom:%b\r\n%b\r\nCall-ID:%b\r\nCSeq: %b %b\r\n%b"
        b"Content-Length: 0\r\n\r\n"
    ) % (
        *(method, parts.rest_of_start_line, parts.via, b"".join(parts.repeated), parts.from_, to_line),
        *(parts.call_id, parts.number, method, more),
    )


def to_tag_of(response: bytes) -> str | None:
    """The To tag of a response's bytes; None: it has none. Only for matching by RFC 2543."""
    found = _TO_TAG.search(response[: response.find(b"\r\n\r\n")])
    return found[1].decode("utf-8", "surrogateescape") if found else None
