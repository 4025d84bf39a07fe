"""Where a user can be reached: bindings -> target set, in groups of equal q (RFC 3261 §16.5, §16.6).

A user whose live bindings say both, some `action=proxy` and some
`action=redirect`, is rung at the former and the latter stay unused: a caller
who gets through needs no addresses. Only when all say redirect is the caller
told where to go himself; likewise where the server's mode is redirect, or the
caller asks for it (Request-Disposition: redirect, RFC 3841 §9.1).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sipd.core.decision import Proxy, Relay, Respond
from sipd.errors import BadSyntax, TemporarilyUnavailable
from sipd.hop import WEB, Target, Way
from sipd.message import parse_uri, q_from_text, q_to_text
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sipd.core.decision import Decision
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Response
    from sipd.rows import Binding


def groups(targets: Iterable[Target], spread: int = 50) -> list[list[Target]]:
    """Targets in the order to try them: best q first, near-equal q together.

    Each inner list holds the targets whose q is at most `spread` thousandths
    below its best, in the order they came within equal q; none is empty. §16.6.
    """
    if spread < 0:
        raise ValueError("a negative spread")
    if isinstance(targets, tuple) and len(targets) == 1:
        return [[targets[0]]]
    made: list[list[Target]] = []
    best = 0
    for target in sorted(targets, key=lambda target: -target.q):
        if made and best - target.q <= spread:
            made[-1].append(target)
        else:
            made.append([target])
            best = target.q
    return made


def target_set(bindings: Iterable[Binding], wall: float) -> list[Target]:
    """The targets of the bindings that have not expired."""
    return [target_of(binding) for binding in bindings if binding.expires_at > wall]


@lru_cache(maxsize=4096)
def target_of(binding: Binding) -> Target:
    """The target that a binding stands for; one of an outbound phone is reached by its flow or not at all."""
    received = Way.from_text(binding.received) if binding.received else None
    return Target(
        parse_uri(binding.uri),
        binding.q,
        binding.path,
        received,
        binding.action,
        binding.aor,
        received is not None and (binding.reg_id > 0 or received.remote.transport in WEB),
        binding.key,
    )


def redirect(targets: Sequence[Target]) -> Respond:
    """302 with these as contacts, the best first (§8.3)."""
    ordered = sorted(targets, key=lambda target: -target.q)
    contacts = tuple(
        ("Contact", f"<{target.uri.text}>" if target.q == 1000 else f"<{target.uri.text}>;q={q_to_text(target.q)}")
        for target in ordered
    )
    return Respond(302, headers=contacts)


def contacts_of(response: Response) -> tuple[Target, ...]:
    """The Contacts of a 3xx as targets, best q first; none when they can't be read (§8.1.3.4)."""
    try:
        contacts = response.contacts
        found = [Target(contact.uri, q_from_text(contact.param("q") or "1")) for contact in contacts]
    except BadSyntax:
        return ()
    return tuple(sorted((target for target in found if target.uri.is_sip), key=lambda target: -target.q))


def locate(inquiry: Inquiry, tables: Tables) -> Decision:
    """Where the URI sought leads: its user's live bindings, or itself when it is foreign. Raises 480 for no binding."""
    request, callee = inquiry.request, inquiry.callee
    if not callee:
        return forward(inquiry, (Target(inquiry.uri),))
    targets = target_set(tables.bindings(callee), inquiry.wall)
    if not targets:
        inquiry.trace.append(Step("locate", callee, "no binding"))
        raise TemporarilyUnavailable
    if request.method == "ACK":
        return Relay(targets[0])
    rung = [target for target in targets if target.action == "proxy"]
    if not rung or tables.settings.mode == "redirect" or _asks_for_redirect(inquiry):
        inquiry.trace.append(Step("locate", callee, "redirect"))
        return redirect(targets)
    inquiry.trace.append(Step("locate", callee, "proxy"))
    return Proxy(tuple(rung), quick=len(rung) == 1 and request.method != "INVITE", owner=callee)


def forward(inquiry: Inquiry, targets: tuple[Target, ...]) -> Decision:
    """Send on to one place; only a new INVITE needs a task for that."""
    inquiry.trace.append(Step("forward", targets[0].uri.text, "proxy"))
    if inquiry.request.method == "ACK":
        return Relay(targets[0])
    return Proxy(targets, quick=inquiry.in_dialog or inquiry.request.method != "INVITE")


def _asks_for_redirect(inquiry: Inquiry) -> bool:
    request = inquiry.request
    if "Request-Disposition" not in request.names:
        return False
    return any(value.strip(" \t").lower() == "redirect" for value in request.values("Request-Disposition"))
