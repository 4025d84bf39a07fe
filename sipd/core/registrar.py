"""REGISTER -> Commit, or the answer at once (RFC 3261 §10.3, RFC 3327, 3608, 5626 §6, 5627 §5).

Reads the settled bindings: while a change of this address-of-record waits to
be committed `Missing` is raised, so REGISTERs of one user are decided one
after another without a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sipd.core import uploads
from sipd.core.contacts import Bindings, updated
from sipd.core.dates import date_value
from sipd.core.decision import Commit, Respond
from sipd.core.gruu import latest_of, parameters
from sipd.core.location import has_uri
from sipd.core.outbound import instance_key, supports
from sipd.core.ways import is_direct
from sipd.errors import BadExtension
from sipd.message import parse_route, q_to_text, quote
from sipd.trace import Step

if TYPE_CHECKING:
    from sipd.core.decision import Decision
    from sipd.core.inquiry import Inquiry
    from sipd.core.tables import Tables
    from sipd.message import Request
    from sipd.rows import Binding


def register(inquiry: Inquiry, tables: Tables) -> Decision | None:
    """The answer to a REGISTER that ADMIT let through, with the changes it asks for; None for what is not for us."""
    request = inquiry.request
    aor = inquiry.callee  # as `may_register` has found; of a REGISTER for elsewhere there is none
    if request.method != "REGISTER" or not aor:
        return None
    if "Path" in request.names:
        _check_path(request)
    if "Contact" not in request.names and not uploads.is_upload(request):
        live = [one for one in tables.bindings(aor) if one.expires_at > inquiry.wall and has_uri(one)]
        return _answer(inquiry, tables, aor, Bindings(live, []), None)
    settled = [one for one in tables.settled_bindings(aor) if one.expires_at > inquiry.wall and has_uri(one)]
    made = updated(inquiry, tables, aor, settled)
    script = uploads.receive(inquiry, tables, aor)
    if isinstance(script, Respond):
        return script  # nothing of the REGISTER is carried out
    changes = made.changes if script is None else [*made.changes, *inquiry.zones, script]
    response = _answer(inquiry, tables, aor, made, script)
    inquiry.trace.append(Step("register", aor, "commit" if changes else "unchanged"))
    if not changes and not tables.shared:  # else it is made sure that no other server knows more
        return response
    return Commit(tuple(changes), response, aor)


def _check_path(request: Request) -> None:
    """The client must know that others put themselves on its way: else 420 (RFC 3327 §5.3). Raises BadSyntax."""
    if not supports(request, "path"):
        raise BadExtension(headers=(("Unsupported", "path"),))
    for value in request.values("Path"):
        parse_route(value)


def _answer(inquiry: Inquiry, tables: Tables, aor: str, made: Bindings, script: uploads.ScriptChange | None) -> Respond:
    """200 with every binding as it is after the commit, Date, and the stored script when it is wanted (step 8).

    Further Path as it came (RFC 3327 §5.3), Service-Route (RFC 3608 §6.3), GRUUs for those who know them, and
    whether the flow is bound as outbound asks for (RFC 5626 §6).
    """
    request, settings, wall = inquiry.request, tables.settings, inquiry.wall
    headers = [("Contact", contact_value(binding, wall)) for binding in made.current]
    if "Supported" in request.names:
        if any(binding.instance for binding in made.current) and supports(request, "gruu"):
            headers = _with_gruus(inquiry, made.current)
        if made.outbound and supports(request, "outbound"):
            headers.append(("Require", "outbound"))
            if settings.flow_timer and is_direct(request):
                headers.append(("Flow-Timer", str(settings.flow_timer)))
    headers.append(("Date", date_value(int(inquiry.clock_time))))
    if "Path" in request.names:
        headers.extend(("Path", value) for value in request.values("Path"))
    if settings.service_route:
        headers.append(("Service-Route", settings.service_route))
    headers.extend(ANSWER_HEADERS)
    return uploads.with_script(inquiry, tables, aor, Respond(200, headers=tuple(headers)), script)


ANSWER_HEADERS: Final = (("Supported", "outbound, path"), *uploads.ACCEPT_HEADERS)
"""Said in every answer; gruu is not among the extensions, by RFC 5627 §5.2."""


def _with_gruus(inquiry: Inquiry, current: list[Binding]) -> list[tuple[str, str]]:
    latest, seal, wall = latest_of(current), inquiry.context.seal, inquiry.wall
    return [
        (
            "Contact",
            contact_value(binding, wall)
            + (parameters(binding, latest[instance_key(binding.instance)], seal) if binding.instance else ""),
        )
        for binding in current
    ]


def contact_value(binding: Binding, wall: float) -> str:
    """A binding as the 200 lists it, with the seconds it still has."""
    text = f"<{binding.uri}>;expires={max(1, round(binding.expires_at - wall))}"
    if binding.q != 1000:
        text = f"{text};q={q_to_text(binding.q)}"
    if binding.action != "proxy":
        text = f"{text};action={binding.action}"
    if binding.instance:
        text = f"{text};+sip.instance={quote(binding.instance)}"
        if binding.reg_id:
            text = f"{text};reg-id={binding.reg_id}"
    return text + binding.params if binding.params else text
