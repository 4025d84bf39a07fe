"""Telephone numbers that nobody here answers to: where ENUM leads (RFC 6116, RFC 3824)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipd.core.decision import Proxy
from sipd.core.identity import demand
from sipd.core.location import redirect
from sipd.core.privacy import is_anonymous
from sipd.core.rights import is_of_ours, may_call_out
from sipd.core.tables import Missing
from sipd.hop import Target
from sipd.message import parse_uri
from sipd.trace import Step

if TYPE_CHECKING:
    from sipd.core.decision import Decision
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Uri

SOURCE: Final = "enum"
"""The kind of row that `Missing` names: by number, the URIs it is known under."""

_APART: Final = 100  # thousandths of q between two URIs: each is tried when the one before has failed
_E164: Final = re.compile(r"\+[0-9]{2,15}", re.ASCII)
_SEPARATORS: Final = str.maketrans("", "", "-.()")


def e164(uri: Uri) -> str:
    """The number in full, `+` and digits, of a tel URI or one with user=phone; "" for any other (RFC 6116 §3.7)."""
    if uri.scheme != "tel" and not (uri.is_sip and uri.param("user") == "phone"):
        return ""
    number = uri.user_unescaped.partition(";")[0].translate(_SEPARATORS)
    return number if _E164.fullmatch(number) else ""


def plain_number(uri: Uri) -> tuple[str, str]:
    """The number of a tel URI without visual separators, and its phone-context (RFC 3966 §5)."""
    return uri.user_unescaped.partition(";")[0].translate(_SEPARATORS), uri.param("phone-context") or ""


def by_number(inquiry: Inquiry, tables: Tables) -> Decision | None:
    """Where ENUM leads for a number of no user here; None: nowhere, or it is not asked.

    Where it leads is outside mostly, so it is asked for those who may call
    there (T63): one of ours who has not proved it yet gets 407, a stranger
    nothing. Raises Missing for a number not looked up in this call.
    """
    number = e164(inquiry.uri) if tables.settings.enum else ""
    if not number or number in inquiry.path or inquiry.request.method in ("ACK", "REGISTER"):
        return None
    if not inquiry.path and not may_call_out(inquiry, tables):  # else a user of ours led here, and answers for it
        return _ask_who(inquiry, tables)
    found = (inquiry.looked_up or {}).get((SOURCE, number))
    if found is None:
        raise Missing(SOURCE, number)
    inquiry.trace.append(Step("enum", number, " ".join(found) or "not listed"))
    if not found:
        return None
    targets = tuple(Target(parse_uri(text), max(1000 - _APART * at, 0), owner=number) for at, text in enumerate(found))
    return redirect(targets) if tables.settings.mode == "redirect" else Proxy(targets)


def _ask_who(inquiry: Inquiry, tables: Tables) -> Decision | None:
    sender = inquiry.request.from_.uri
    if tables.settings.auth != "none" and (is_of_ours(sender, tables) or is_anonymous(sender)):
        return demand(inquiry, tables)
    return None
