"""The messages of RFC 4475 and RFC 5118 with what is asked of a parser, and of a proxy and registrar.

One table for the parser's tests and for those that send the messages to a
running server. The server is taken to serve example.com and to know none of
the users; so a valid request may be forwarded, challenged or refused, and any
final answer but those of a broken server will do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent

ANY: Final = frozenset({*range(200, 400), 401, 403, 404, 405, 407, 408, 410, 416, 480, 501, 502, 503, 504, 604})
"""The request is fine: forwarded, or answered with whatever a sound server may say of it."""

DROP: Final[frozenset[int]] = frozenset()
"""Nothing comes back: it was a response, or a message that can't be answered."""

WAIT: Final = frozenset({0})
"""On a stream only: the message is not whole, more is waited for, until the timer closes the connection."""


class Torture(NamedTuple):
    """One message: where it is from, what the parser makes of it, what the server does with it."""

    file: str  # below tests/data
    section: str
    answers: frozenset[int]  # final statuses a server may answer with; ANY, DROP
    parsed: int = 0  # the status `parse` refuses it with; 0: it is accepted
    faulty: tuple[str, ...] = ()  # typed values of an accepted message that raise BadSyntax
    answerable: bool = True  # a refused one has its `.request`
    over_stream: frozenset[int] | None = None  # answers over TCP, where they differ
    more_on_stream: int = 0  # bytes after the message, which a stream takes for the next one
    note: str = ""

    @property
    def data(self) -> bytes:
        """The message, byte for byte."""
        return (HERE / self.file).read_bytes()

    @property
    def is_response(self) -> bool:
        """Whether it is a response."""
        return self.data.startswith(b"SIP/")


def _of(folder: str, rows: list[Torture]) -> list[Torture]:
    return [row._replace(file=f"{folder}/{row.file}.dat") for row in rows]


RFC4475: Final = _of(
    "rfc4475",
    [
        # 3.1.1 valid messages
        Torture("wsinv", "3.1.1.1", ANY),
        Torture("intmeth", "3.1.1.2", ANY),
        Torture("esc01", "3.1.1.3", ANY),
        Torture("escnull", "3.1.1.4", ANY),
        Torture("esc02", "3.1.1.5", ANY),
        Torture("lwsdisp", "3.1.1.6", ANY),
        Torture("longreq", "3.1.1.7", ANY),
        Torture("dblreq", "3.1.1.8", ANY, more_on_stream=450, note="the INVITE after the body is noise in a datagram"),
        Torture("semiuri", "3.1.1.9", ANY),
        Torture("transports", "3.1.1.10", ANY),
        Torture("mpart01", "3.1.1.11", ANY, note="has a Route to 127.0.0.1:5080"),
        Torture("unreason", "3.1.1.12", DROP),
        Torture("noreason", "3.1.1.13", DROP),
        # 3.1.2 invalid messages
        Torture("badinv01", "3.1.2.1", frozenset({400}), parsed=400),
        Torture("clerr", "3.1.2.2", frozenset({400}), parsed=400, over_stream=WAIT),
        Torture("ncl", "3.1.2.3", frozenset({400}), parsed=400),
        Torture("scalar02", "3.1.2.4", frozenset({400}), faulty=("cseq", "max_forwards")),
        Torture("scalarlg", "3.1.2.5", DROP, faulty=("cseq",)),
        Torture("quotbal", "3.1.2.6", frozenset({400}), faulty=("to",)),
        Torture("ltgtruri", "3.1.2.7", frozenset({400}), faulty=("uri",)),
        Torture("lwsruri", "3.1.2.8", frozenset({400}), parsed=400),
        Torture("lwsstart", "3.1.2.9", frozenset({400}), parsed=400),
        Torture("trws", "3.1.2.10", frozenset({400}), parsed=400),
        Torture(
            "escruri", "3.1.2.11", frozenset({400}), note="well-formed; headers in a Request-URI are refused (T64)"
        ),
        Torture("baddate", "3.1.2.12", ANY, note="a proxy does not read Date"),
        Torture(
            "regbadct", "3.1.2.13", frozenset({400, 401}), faulty=("contacts",), note="401: a registrar may ask first"
        ),
        Torture("badaspec", "3.1.2.14", frozenset({400}), faulty=("to",)),
        Torture(
            "baddn",
            "3.1.2.15",
            frozenset({400}),
            parsed=400,
            over_stream=WAIT,
            note="the archive has it without its empty line, which alone is a fault",
        ),
        Torture("badvers", "3.1.2.16", frozenset({505}), parsed=505),
        Torture("mismatch01", "3.1.2.17", frozenset({400})),
        Torture("mismatch02", "3.1.2.18", frozenset({400, 501})),
        Torture("bigcode", "3.1.2.19", DROP, parsed=400, answerable=False),
        # 3.2 transaction layer
        Torture("badbranch", "3.2.1", ANY | {400}, note="400, or matched as RFC 2543 has it"),
        # 3.3 application layer
        Torture("insuf", "3.3.1", frozenset({400}), faulty=("call_id", "from_", "from_tag", "to", "to_tag")),
        Torture("unkscm", "3.3.2", frozenset({416})),
        Torture("novelsc", "3.3.3", frozenset({404, 416})),
        Torture("unksm2", "3.3.4", frozenset({400, 401}), note="To of a REGISTER is a sip or sips URI (§10.3)"),
        Torture("bext01", "3.3.5", frozenset({420})),
        Torture("invut", "3.3.6", ANY),
        Torture("regaut01", "3.3.7", ANY),
        Torture("multi01", "3.3.8", frozenset({400}), parsed=400),
        Torture("mcl01", "3.3.9", frozenset({400}), parsed=400),
        Torture("bcast", "3.3.10", DROP),
        Torture("zeromf", "3.3.11", frozenset({483})),
        Torture("cparam01", "3.3.12", ANY),
        Torture("cparam02", "3.3.13", ANY),
        Torture("regescrt", "3.3.14", ANY),
        Torture("sdp01", "3.3.15", ANY, note="406 is for an end point"),
        # 3.4 backward compatibility
        Torture("inv2543", "3.4.1", ANY, over_stream=frozenset({400}), note="no Content-Length: datagrams only"),
    ],
)
"""The 49 messages of RFC 4475."""

RFC5118: Final = _of(
    "rfc5118",
    [
        Torture("ipv6-good", "4.1", ANY),
        Torture("ipv6-bad", "4.2", frozenset({400}), faulty=("uri",)),
        Torture("port-ambiguous", "4.3", ANY),
        Torture("port-unambiguous", "4.4", ANY),
        Torture("via-received-param-with-delim", "4.5", ANY | {481}),
        Torture("via-received-param-no-delim", "4.5", ANY),
        Torture(
            "ipv6-in-sdp",
            "4.6",
            frozenset({400}),
            parsed=400,
            over_stream=WAIT,
            note="meant to be valid, but the printed Content-Length is 17 more than the body",
        ),
        Torture("mult-ip-in-header", "4.7", ANY | {481}),
        Torture("mult-ip-in-sdp", "4.8", ANY, more_on_stream=8, note="the printed Content-Length is 8 too small"),
        Torture("ipv4-mapped-ipv6", "4.9", ANY, more_on_stream=9, note="the printed Content-Length is 9 too small"),
        Torture("ipv6-bug-abnf-3-colons", "4.10", ANY, note="the third colon is to be tolerated"),
        Torture("ipv6-correct-abnf-2-colons", "4.10", ANY),
    ],
)
"""The 12 messages of RFC 5118."""

TORTURE: Final = RFC4475 + RFC5118
