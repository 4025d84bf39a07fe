"""Credentials meant for us go no further than us (RFC 3261 §20.28, §22.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sipd.core.routes import address_of_record
from sipd.message import unquote

if TYPE_CHECKING:
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables

_NAME: Final = "Proxy-Authorization"
_REALM: Final = re.compile(r'[ \t,]realm[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^ \t,"]+)', re.IGNORECASE)
_BASIC: Final = re.compile(r"[^:]*:\s*Basic\s", re.IGNORECASE)


def consume_credentials(inquiry: Inquiry, tables: Tables) -> None:
    """Take the Proxy-Authorization values for realms of ours off the request that is sent on.

    Those that proved the sender, and those of requests in a dialog, which
    nobody looked at and whose counts are still good. Other proxies' stay (§22.3);
    a password that anybody could read goes nowhere while we ask for such.
    """
    request = inquiry.request
    if _NAME not in request.names:
        return
    user = tables.user(inquiry.identity.user) if inquiry.identity.scheme else None
    ours = {user.realm} if user is not None else _realms_of_sender(inquiry, tables)
    takes_passwords = tables.settings.auth == "basic"
    names, lines = [], []
    for name, line in zip(request.names, request.lines, strict=True):
        if name == _NAME:
            found = _REALM.search(line.partition(":")[2])
            realm = None if found is None else unquote(found.group(1))
            if realm is not None and (realm in ours or tables.domain(realm) is not None):
                continue
            if takes_passwords and _BASIC.match(line):
                continue
        names.append(name)
        lines.append(line)
    if len(names) < len(request.names):
        inquiry.request = request.with_lines(names, lines)


def _realms_of_sender(inquiry: Inquiry, tables: Tables) -> set[str]:
    """What is said to be his realm, where nobody asked who he is: in a dialog."""
    user = tables.user(address_of_record(inquiry.request.from_.uri, tables))
    return set() if user is None else {user.realm}
