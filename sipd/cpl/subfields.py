"""What a switch looks at in a call: values of the Facts, None when the call has none (RFC 3880 §4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipd.cpl.matching import digits_of, fold, host_name, language_ranges, plain_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from sipd.message import Uri
    from sipd.script import Facts


def _origin(facts: Facts) -> Uri:
    return facts.origin.uri


def _destination(facts: Facts) -> Uri:
    return facts.destination


def _original_destination(facts: Facts) -> Uri:
    return facts.original_destination.uri


_NUMBER: Final = re.compile(r"\+?[0-9]+")

FIELDS: Final[dict[str, Callable[[Facts], Uri]]] = {
    "origin": _origin,
    "destination": _destination,
    "original-destination": _original_destination,
}
"""The addresses of a call (§4.1.1): From, Request-URI, To."""


def _user(uri: Uri) -> str | None:
    return None if uri.user is None else plain_user(uri.user)


def _host(uri: Uri) -> str | None:
    return host_name(uri.host) if uri.host else None


def _port(uri: Uri) -> str | None:
    # A URI without a port is not one with 5060 (§4.1.1).
    return None if uri.port is None else str(uri.port)


def _tel(uri: Uri) -> str | None:
    if uri.user is None:
        return None
    if uri.scheme != "tel" and (uri.param("user") or "").lower() != "phone":
        return None
    return digits_of(uri.user.partition(";")[0]) or None


def _tel_by_looks(uri: Uri) -> str | None:
    """As `_tel`, and what looks like a number is one (§4.1.1 leaves that to the server)."""
    number = _tel(uri)
    if number is not None or uri.user is None:
        return number
    digits = digits_of(uri.user.partition(";")[0])
    return digits if _NUMBER.fullmatch(digits) is not None else None


def _password(uri: Uri) -> str | None:
    return None if uri.password is None else plain_user(uri.password)


def _scheme(uri: Uri) -> str | None:
    return uri.scheme


def _never(uri: Uri) -> str | None:
    del uri
    return None


SUBFIELDS: Final[dict[str, Callable[[Uri], str | None]]] = {
    "address-type": _scheme,
    "user": _user,
    "host": _host,
    "port": _port,
    "tel": _tel,
    "password": _password,
    "alias-type": _never,  # of H.323 only (appendix B.1)
}
"""Parts of an address; `display` is not here, for it is no part of the URI."""


def _origin_display(facts: Facts) -> str | None:
    return None if facts.origin.display is None else fold(facts.origin.display)


def _original_destination_display(facts: Facts) -> str | None:
    display = facts.original_destination.display
    return None if display is None else fold(display)


def absent(facts: Facts) -> str | None:
    """Of what a call in SIP never has."""
    del facts
    return None


DISPLAYS: Final[dict[str, Callable[[Facts], str | None]]] = {
    "origin": _origin_display,
    "destination": absent,  # a Request-URI has no display name (§4.1.1)
    "original-destination": _original_destination_display,
}


def subfield_of(field: str, subfield: str, phone_users: bool = False) -> Callable[[Facts], str | None]:
    """How to look at that part of that address; both are known names.

    With `phone_users` a user part of digits is a telephone number even
    without user=phone.
    """
    if subfield == "display":
        return DISPLAYS[field]
    part = _tel_by_looks if phone_users and subfield == "tel" else SUBFIELDS[subfield]
    if field == "origin":  # each written out, as every call of a function costs
        return lambda facts: part(facts.origin.uri)
    if field == "destination":
        return lambda facts: part(facts.destination)
    return lambda facts: part(facts.original_destination.uri)


def _subject(facts: Facts) -> str | None:
    return None if facts.subject is None else fold(facts.subject)


def _organization(facts: Facts) -> str | None:
    return None if facts.organization is None else fold(facts.organization)


def _user_agent(facts: Facts) -> str | None:
    return None if facts.user_agent is None else fold(facts.user_agent)


STRINGS: Final[dict[str, Callable[[Facts], str | None]]] = {
    "subject": _subject,
    "organization": _organization,
    "user-agent": _user_agent,
    "display": absent,  # never present in SIP (§4.2.1)
}
"""Fields of string-switch, folded for comparing."""


def languages(facts: Facts) -> frozenset[str] | None:
    """The language ranges the caller named (§4.3.1)."""
    return None if facts.accept_language is None else language_ranges(facts.accept_language)


def priority(facts: Facts) -> str:
    """The call's priority in lower case: normal when it names none (§4.5), so it is always present."""
    named = facts.priority
    return "normal" if named is None else named.strip(" \t").lower() or "normal"
