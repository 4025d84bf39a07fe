"""Where a 3xx points, and which of that this server tries itself (RFC 3261 §16.7 step 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.core.features import features_of
from sipd.core.preferences import WISHES, preferences_of, preferred
from sipd.core.rights import may_call_out
from sipd.core.routes import local_domain
from sipd.core.sips import may_follow
from sipd.core.tables import Missing
from sipd.errors import BadSyntax
from sipd.hop import Target
from sipd.message import Draft, Response, q_from_text, write_params
from sipd.message.uri import host_key

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Address, Request, Uri

FOLLOWED: Final = frozenset({300, 301, 302})
"""Responses whose contacts are other places for the same request; 305 and 380 mean something else (§21.3)."""

MOST_FOLLOWED: Final = 60
"""Contacts of 3xx that are tried for one request, in all."""

MOST_DEEP: Final = 5
"""How many 3xx may lead from one to the next."""

_LINE: Final = 1000
"""Characters of Contacts in one line, where that many are left."""

Key = tuple["Hashable", ...]


class Found(NamedTuple):
    """What a 3xx came to."""

    targets: tuple[Target, ...]  # to be tried now, best q first
    rest: Response | None  # with the contacts that are left to the caller; None: none is


def uri_key(uri: Uri) -> Key:
    """What a URI is remembered by as one that was tried: where it leads, whatever else it says.

    Coarser than §19.1.4: who redirects to himself with another parameter each time comes round only once.
    """
    if not uri.is_sip:
        return (uri.text,)
    return (uri.scheme, uri.user_unescaped, host_key(uri.host), uri.port, uri.transport)


def to_follow(
    inquiry: Inquiry, tables: Tables, moved: Target, response: Response, tried: dict[Key, int], room: int
) -> Found:
    """Take the contacts of a 3xx apart: what we try ourselves, and what is left of the response.

    Tried: sip and sips URIs (of the request's own scheme: RFC 5630 §5.3), none that
    has expired, and of those that lead out of the house only what the sender,
    or the user whose phone said it, may call (T63, T88); `room` at most. What
    is in `tried` (with how many 3xx led there) is in neither; what is new is
    added to it.
    """
    try:
        contacts = response.contacts
    except BadSyntax:
        return Found((), response)
    answers = answers_for(tables, moved)
    deep = tried.get(uri_key(moved.uri), 0) + 1
    targets: list[tuple[Target, str]] = []
    left: list[Address] = []
    for contact in contacts:
        uri = contact.uri
        key = uri_key(uri)
        if key in tried:
            continue
        if contact.param("expires") == "0" or not _can_be_tried(inquiry, uri):
            left.append(contact)
            continue
        local = local_domain(uri, tables, inquiry.context.places) is not None
        full = deep > MOST_DEEP or len(targets) >= room
        if full or not (local or answers or may_call_out(inquiry, tables)):
            left.append(contact)
            continue
        tried[key] = deep
        targets.append((Target(uri, _q(contact), owner=moved.owner if local else None), write_params(contact.params)))
    kept = _as_wanted(inquiry.request, moved, targets)
    kept.sort(key=lambda target: -target.q)
    return Found(tuple(kept), _with_contacts(response, left) if left else None)


def _as_wanted(request: Request, moved: Target, found: list[tuple[Target, str]]) -> list[Target]:
    """Those of the contacts that the caller wants, by the features their parameters say (RFC 3841 §7.2.4).

    Only where the request was for a user of ours; a wish that can't be read
    is none here: a script, which asks nobody's wishes, let the request pass.
    """
    targets = [target for target, _ in found]
    if moved.owner is None or WISHES.isdisjoint(request.names):
        return targets
    try:
        preferences = preferences_of(request)
    except BadSyntax:
        return targets
    judged = preferred(preferences, [(target, features_of(params)) for target, params in found])
    return [target._replace(qa=qa) for target, qa in judged]


def _can_be_tried(inquiry: Inquiry, uri: Uri) -> bool:
    if not uri.is_sip or uri.headers or uri.param("method") is not None:
        return False
    return may_follow(inquiry.request.uri, uri)


def answers_for(tables: Tables, moved: Target) -> bool:
    """Whether it is a phone of a user of ours, and no stranger's: he answers for where it points (T88)."""
    if moved.owner is None:
        return False
    try:
        return any(binding.uri == moved.uri.text for binding in tables.bindings(moved.owner))
    except Missing:
        return False


def _q(contact: Address) -> int:
    try:
        return q_from_text(contact.param("q") or "1")
    except BadSyntax:
        return 0  # no reason to lose it, and none to prefer it


def _with_contacts(response: Response, contacts: list[Address]) -> Response:
    draft = Draft(response)
    draft.remove("Contact")
    lines = [""]
    for text in map(str, contacts):  # a line each could be more lines than a message may have
        if len(lines[-1]) + len(text) > _LINE:
            lines.append("")
        lines[-1] += f", {text}" if lines[-1] else text
    for line in filter(None, lines):
        draft.append("Contact", line)
    return Response(draft.start_line, draft.names, draft.lines, draft.body)
