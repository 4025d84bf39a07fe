"""The mail of a `mail` node, made of what its URL says and of the call (RFC 3880 §7.1.1)."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import format_datetime, formataddr, parseaddr
from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.cpl.mailto import BadMailto, address_of

if TYPE_CHECKING:
    from datetime import tzinfo

    from sipd.message import Address
    from sipd.script import Facts, Mail

MAX_WORDS: Final = 200
"""Characters taken of each thing the caller said."""

ADDRESSED: Final = frozenset({"From", "To", "Cc", "Reply-To"})
"""Header fields that hold addresses."""

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


class Letter(NamedTuple):
    """A mail ready to be sent: decoded text, without line breaks in the header fields."""

    recipients: tuple[str, ...]  # addr-specs, each once
    headers: tuple[tuple[str, str], ...]
    body: str  # lines end with \\n

    def data(self) -> bytes:
        """The message as SMTP carries it: ASCII lines ended by CRLF, non-ASCII encoded (RFC 2047, MIME)."""
        from email.message import EmailMessage  # here, as it takes a while to load
        from email.policy import SMTP

        message = EmailMessage(SMTP.clone(cte_type="7bit"))
        message.set_content(self.body)
        # Its own header fields are written here: EmailMessage reads encoded words in a value, line breaks in them too.
        fields = "".join(f"{name}: {_encoded(name, value)}\r\n" for name, value in self.headers)
        return fields.encode("ascii") + message.as_bytes()


def _encoded(name: str, value: str) -> str:
    """The value of a header field in ASCII, folded; text that looks like an encoded word is encoded once more."""
    from email.header import Header

    if name in ADDRESSED and value.isascii():
        return value.replace(", ", ",\r\n ")
    if name in ADDRESSED:  # only the server's own can have more: addr-specs of users are ASCII
        return formataddr(parseaddr(value), "utf-8")
    plain = value.isascii() and "=?" not in value
    return Header(value, "us-ascii" if plain else "utf-8", header_name=name).encode(linesep="\r\n")


def compose(mail: Mail, facts: Facts, *, sender: str, message_id: str, zone: tzinfo = UTC) -> Letter:
    """The mail to send for a call (§7.1.1).

    `sender` is the server's own address, the From whatever the URL says.
    `message_id` is in angle brackets. `zone` is the one the time of the call
    is told in. Reply-To is that of the URL, else the caller as a mail
    address, where he has one.
    """
    subject = f"[CPL] {_clean(facts.subject or '')}".rstrip() if mail.subject is None else mail.subject
    when = facts.now.astimezone(zone)
    reply_to = ", ".join(mail.reply_to) or mail_address(facts.origin)
    headers = (
        ("From", sender),
        ("To", ", ".join(mail.to)),
        ("Cc", ", ".join(mail.cc)),
        ("Reply-To", reply_to),
        ("Subject", subject),
        ("Date", format_datetime(when)),
        ("Message-ID", message_id),
        ("Auto-Submitted", "auto-generated"),  # RFC 3834: nobody's machine answers it
        *mail.headers,
        ("X-CPL-Script", f"{facts.direction} script of {_clean(facts.owner)}"),
        ("X-CPL-Caller", _party(facts.origin)),
    )
    recipients = dict.fromkeys((*mail.to, *mail.cc))
    body = _default_body(facts, when.strftime("%Y-%m-%d %H:%M:%S %Z")) if mail.body is None else mail.body
    return Letter(tuple(recipients), tuple((name, value) for name, value in headers if value), body.rstrip("\n") + "\n")


def _default_body(facts: Facts, when: str) -> str:
    """Who called, when, about what: what §7.1.1 asks for, and which script says so."""
    lines = [
        ("Caller", _party(facts.origin)),
        ("Called", _party(facts.original_destination)),
        ("Time", when),
        ("Subject", _clean(facts.subject or "")),
        ("Priority", _clean(facts.priority or "")),
        ("Organization", _clean(facts.organization or "")),
        ("Script", f"{facts.direction}, of {_clean(facts.owner)}"),
    ]
    return "".join(f"{f'{name}:':<14}{value}\n" for name, value in lines if value)


def mail_address(party: Address) -> str:
    """The mail address that goes with a SIP address: the URI without its scheme; empty where there is none (§7.1.1)."""
    uri = party.uri
    if uri.scheme not in ("sip", "sips") or uri.user is None or uri.host.lower().rstrip(".").endswith(".invalid"):
        return ""
    try:
        return address_of(f"{uri.user_unescaped}@{uri.host}")
    except BadMailto:
        return ""


def _party(party: Address) -> str:
    """`Alice <sip:alice@example.com>`."""
    uri = _clean(party.uri.text)
    return f"{_clean(party.display)} <{uri}>" if party.display else uri


def _clean(text: str) -> str:
    """What the caller said, on one line and not too long."""
    line = _UNPRINTABLE.sub(" ", text).strip()
    return line if len(line) <= MAX_WORDS else line[: MAX_WORDS - 1] + "…"
