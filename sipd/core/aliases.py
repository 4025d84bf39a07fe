"""Addresses that are no user's and lead to one, or to several at once: rows of `aliases`.

A user of that very name comes first. An alias leads to users, never to
another alias: so none can go in a circle by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipd.core.decision import Proxy
from sipd.core.location import redirect
from sipd.core.numbers import plain_number
from sipd.core.routes import joined
from sipd.errors import LoopDetected, NotFound
from sipd.hop import Target
from sipd.message import escaped_user, sip_uri
from sipd.trace import Step

if TYPE_CHECKING:
    from sipd.core.decision import Decision
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Uri


def follow_alias(inquiry: Inquiry, tables: Tables) -> Decision | None:
    """Where an alias leads that is no user's name: to him whose it is, or to all of a group, each with his own script.

    For one user `uri` and `callee` become his; for several it is a Proxy to
    their addresses, or a 302 with them. Raises 482 for a group gone through already.
    """
    alias = inquiry.callee or _of_number(inquiry, tables)
    users = tables.alias(alias) if alias else ()
    if not users:
        return None
    inquiry.trace.append(Step("alias", alias, ", ".join(users)))
    scheme = inquiry.uri.scheme if inquiry.uri.is_sip else "sip"
    if len(users) == 1:
        inquiry.callee, inquiry.uri = users[0], _address(users[0], scheme)
        return None
    if inquiry.request.method == "ACK":
        raise NotFound  # an ACK is for one
    if alias in inquiry.path:
        raise LoopDetected
    targets = tuple(Target(_address(user, scheme), owner=alias) for user in users)
    return redirect(targets) if tables.settings.mode == "redirect" else Proxy(targets)


def _address(aor: str, scheme: str) -> Uri:
    user, _, domain = aor.rpartition("@")
    return sip_uri(domain, user=escaped_user(user), scheme=scheme)


def _of_number(inquiry: Inquiry, tables: Tables) -> str:
    """The alias that a tel URI may be: the number at the domain of its context, of the caller, of this server.

    Empty where there is none of these.
    """
    uri = inquiry.uri
    if uri.scheme != "tel":
        return ""
    number, context = plain_number(uri)
    caller = inquiry.identity.user.rpartition("@")[2]
    hosts = (context,) if context and context[0] != "+" else (caller, tables.settings.host_name)
    for host in hosts:
        domain = tables.domain(host) if host else None
        alias = joined(number, domain) if domain is not None else ""
        if alias and tables.alias(alias):
            return alias
    return ""
