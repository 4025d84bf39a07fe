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
from sipd.core.gruu import contacts_of_instance, is_gruu
from sipd.core.outbound import one_of_each_instance
from sipd.core.preferences import ASKED, BEST, NO_WISHES, disposition_of, wanted
from sipd.errors import BadSyntax, SipError, TemporarilyUnavailable
from sipd.hop import WEB, Target, Way
from sipd.message import parse_uri, q_from_text, q_to_text
from sipd.trace import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sipd.core.decision import Decision
    from sipd.core.inquiry import Inquiry
    from sipd.core.preferences import Order
    from sipd.core.tables import Tables
    from sipd.message import Response
    from sipd.rows import Binding


def groups(targets: Iterable[Target], spread: int = 50, order: Order = "") -> list[list[Target]]:
    """Targets in the order to try them: best q first, near-equal q together.

    Each inner list holds the targets whose q is at most `spread` thousandths
    below its best, in the order they came within equal q; none is empty. §16.6.
    Of such a group those come first that the caller prefers (RFC 3841 §7.2.4);
    in the order `parallel` all are one group, in `sequential` each is one (§9.1).
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
    if any(target.qa != BEST for group in made for target in group):
        made = [part for group in made for part in _by_qa(group)]
    if not order:
        return made
    ordered = [target for group in made for target in group]
    return [[target] for target in ordered] if order == "sequential" else [ordered] if ordered else []


def _by_qa(group: list[Target]) -> list[list[Target]]:
    values = sorted({target.qa for target in group}, reverse=True)
    return [[target for target in group if target.qa == qa] for qa in values]


def target_set(bindings: Iterable[Binding], wall: float) -> list[Target]:
    """The targets of the bindings that have not expired, one for each phone: see `one_of_each_instance`."""
    live = [(binding, BEST) for binding in bindings if binding.expires_at > wall]
    try:
        return _targets(live)
    except BadSyntax:
        return _targets([(binding, qa) for binding, qa in live if has_uri(binding)])


def looked_up(inquiry: Inquiry, tables: Tables, owner: str) -> list[Target]:
    """What a script of `owner` finds when it looks for his registrations (RFC 3880 §5.2).

    Of a GRUU those it means. Where it is the owner who is called, those the
    caller wants, as without a script (RFC 3841 §7.2); wishes that can't be
    read are none.
    """
    bindings, request = tables.bindings(owner), inquiry.request
    if inquiry.callee != owner:
        return target_set(bindings, inquiry.wall)
    if len(bindings) == 1 and not inquiry.uri.params and (not request.extras or ASKED.isdisjoint(request.extras)):
        return target_set(bindings, inquiry.wall)
    try:
        live = live_bindings(inquiry, tables, owner)
    except SipError:  # a GRUU of nobody who is there
        return []
    try:
        return _targets(wanted(request, live))
    except BadSyntax:
        return target_set(live, inquiry.wall)


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


def has_uri(binding: Binding) -> bool:
    """Whether its Contact can be read: others write rows, too, and one that is bad must not hide the good ones."""
    try:
        parse_uri(binding.uri)
    except BadSyntax:
        return False
    return True


def _as_wanted(binding: Binding, qa: int) -> Target:
    target = target_of(binding)
    return target if qa == BEST else target._replace(qa=qa)


def redirect(targets: Sequence[Target]) -> Respond:
    """302 with these as contacts, the best first (§8.3); an order of the caller's is put into q (RFC 3841 §7.2.4)."""
    ordered = sorted(targets, key=_rank)
    if any(target.qa != BEST for target in ordered):
        ranks = sorted({_rank(target) for target in ordered})
        ordered = [target._replace(q=1000 - 1000 * ranks.index(_rank(target)) // len(ranks)) for target in ordered]
    contacts = tuple(
        ("Contact", f"<{target.uri.text}>" if target.q == 1000 else f"<{target.uri.text}>;q={q_to_text(target.q)}")
        for target in ordered
    )
    return Respond(302, headers=contacts)


def _rank(target: Target) -> tuple[int, int]:
    return -target.q, -target.qa


def contacts_of(response: Response, owner: str | None = None) -> tuple[Target, ...]:
    """The Contacts of a 3xx as targets of `owner`, best q first; none when they can't be read (§8.1.3.4)."""
    try:
        contacts = response.contacts
        found = [Target(contact.uri, q_from_text(contact.param("q") or "1"), owner=owner) for contact in contacts]
    except BadSyntax:
        return ()
    return tuple(sorted(found, key=lambda target: -target.q))


def locate(inquiry: Inquiry, tables: Tables) -> Decision:
    """Where the URI sought leads: its user's live bindings, or itself when it is foreign. Raises 480 for no binding."""
    request, callee = inquiry.request, inquiry.callee
    if not callee:
        return forward(inquiry, (Target(inquiry.uri),))
    live = live_bindings(inquiry, tables, callee)
    if not live:
        inquiry.trace.append(Step("locate", callee, "no binding"))
        raise TemporarilyUnavailable
    asked = bool(request.extras) and not ASKED.isdisjoint(request.extras)
    targets = _targets(wanted(request, live)) if asked or live[1:] else [target_of(live[0])]
    if not targets:
        inquiry.trace.append(Step("locate", callee, "none as wanted"))
        raise TemporarilyUnavailable
    if request.method == "ACK":
        return Relay(targets[0])
    disposition = disposition_of(request) if asked else NO_WISHES
    rung = [target for target in targets if target.action == "proxy"]
    if not rung or ((tables.settings.mode == "redirect" or disposition.redirect) and not is_gruu(inquiry.uri)):
        inquiry.trace.append(Step("locate", callee, "redirect"))
        return redirect(targets)
    if not disposition.fork:
        rung = sorted(rung, key=_rank)[:1]
    inquiry.trace.append(Step("locate", callee, "proxy"))
    quick = len(rung) == 1 and request.method != "INVITE" and not rung[0].others
    return Proxy(tuple(rung), quick, callee, disposition)


def live_bindings(inquiry: Inquiry, tables: Tables, callee: str) -> list[Binding]:
    """The bindings that the URI sought means and that have not expired: the callee's, or of one phone of his.

    A GRUU is never redirected (RFC 5627 §6.1). Raises 404 and 480 as a GRUU asks for it.
    """
    live = [one for one in tables.bindings(callee) if one.expires_at > inquiry.wall and has_uri(one)]
    return contacts_of_instance(inquiry, tables, live) if is_gruu(inquiry.uri) else live


def _targets(chosen: Sequence[tuple[Binding, int]]) -> list[Target]:
    if len(chosen) > 1 and any(binding.instance for binding, _ in chosen):
        return list(one_of_each_instance(chosen, _as_wanted))
    return [_as_wanted(binding, qa) for binding, qa in chosen]


def forward(inquiry: Inquiry, targets: tuple[Target, ...]) -> Decision:
    """Send on to one place; only a new INVITE needs a task for that."""
    inquiry.trace.append(Step("forward", targets[0].uri.text, "proxy"))
    if inquiry.request.method == "ACK":
        return Relay(targets[0])
    return Proxy(targets, quick=inquiry.in_dialog or inquiry.request.method != "INVITE")
