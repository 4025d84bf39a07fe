"""What a made-up call comes to, told by hand; `test_simulation` compares it with the server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sipd.core.behaviour import behaviours
from sipd.core.simulated import SimulatedCall, SimulatedHouse
from sipd.cpl import compile
from sipd.errors import SipError
from sipd.rows import Binding, Settings
from sipd.script import Log
from sipd.server.node import MOST_BRANCHES
from sipd.server.simulation import simulate

if TYPE_CHECKING:
    from sipd.core.simulated import Simulated

BOB, ALICE = "bob@example.com", "alice@example.com"
DESK, CELL = "sip:desk@192.0.2.1", "sip:cell@192.0.2.2"
AT = datetime(2026, 12, 24, 17, 0, tzinfo=UTC)


def call(
    *outcomes: str,
    script: str = "",
    owner: str = BOB,
    registered: tuple[str, ...] = (DESK,),
    complete: bool = False,
    to: str = f"sip:{BOB}",
    proven: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    settings: Settings | None = None,
) -> Simulated:
    contacts = [uri.partition(";q=") for uri in registered]
    bindings = [Binding(BOB, uri, int(float(q or 1) * 1000), float("inf")) for uri, _, q in contacts]
    programs = {owner: compile(f"<cpl>{script}</cpl>".encode())} if script else {}
    house = SimulatedHouse(
        {"example.com": "example.com"}, {BOB: bindings}, programs, settings or Settings(), complete=complete
    )
    made = SimulatedCall(f"sip:{ALICE}", to, to, AT, headers, proven)
    return simulate(house, made, behaviours(outcomes))


RING = '<lookup source="registration"><success><proxy timeout="10">{}</proxy></success></lookup>'


def incoming(inside: str) -> str:
    return f"<incoming>{inside}</incoming>"


def test_without_a_script_the_phone_rings_until_timer_c() -> None:
    told = call()
    assert (told.status, told.at, told.ran) == (487, 185.0, ())
    [ring] = told.rounds
    assert (ring.ordering, ring.owner, [each.uri for each in ring.rung]) == ("by priority", "", [DESK])


def test_groups_of_q_join_after_the_stagger() -> None:
    told = call("noanswer", f"{CELL}=answer@4", registered=(f"{DESK};q=1.0", f"{CELL};q=0.5"))
    assert (told.status, told.at, told.answered_by) == (200, 34.0, CELL)
    assert [(each.uri, each.at, each.until, each.status) for each in told.rounds[0].rung] == [
        (DESK, 0.0, 34.0, 487),
        (CELL, 30.0, 34.0, 200),
    ]


def test_the_path_has_times_values_and_places() -> None:
    told = call("noanswer", "busy", script=incoming(RING.format('<busy><reject status="603"/></busy>')))
    assert [(each.at, each.entry.place) for each in told.steps if each.entry.place] == [
        (0.0, "/cpl/incoming/lookup[1] line 1"),
        (0.0, "/cpl/incoming/lookup[1]/success[1]/proxy[1] line 1"),
        (0.0, "/cpl/incoming/lookup[1]/success[1]/proxy[1] line 1"),
        (0.0, "/cpl/incoming/lookup[1]/success[1]/proxy[1]/busy[1]/reject[1] line 1"),
    ]
    assert (told.status, told.reason, told.rounds[0].outcome) == (603, "Decline", "busy")


def test_outcomes_of_several_proxies_in_turn() -> None:
    again = '<noanswer><location url="sip:vm@192.0.2.9"><proxy/></location></noanswer>'
    told = call("noanswer,answer@3", script=incoming(RING.format(again)))
    assert (told.status, told.at, told.answered_by) == (200, 13.0, "sip:vm@192.0.2.9")
    assert [(ring.number, ring.at, ring.timeout, ring.outcome) for ring in told.rounds] == [
        (1, 0.0, 10.0, "noanswer"),
        (2, 10.0, None, ""),
    ]


def test_one_that_is_silent_fails_after_timer_b() -> None:
    assert (call("silent").status, call("silent").at) == (408, 32.0)


def test_an_outgoing_script_runs_for_the_caller_who_proved_himself() -> None:
    script = '<outgoing><log name="out" comment="calls"><reject status="busy"/></log></outgoing>'
    told = call(script=script, owner=ALICE, proven=ALICE)
    assert (told.status, told.ran) == (486, ((ALICE, "outgoing"),))
    assert [(each.owner, each.effect) for each in told.written] == [
        (ALICE, Log("out", "calls (outgoing, from sip:alice@example.com)"))
    ]
    assert call("answer", script=script, owner=ALICE).status == 200, "who proves nothing has no script of his run"


def test_users_of_whom_nothing_is_said() -> None:
    script = incoming('<location url="sip:carol@example.com"><proxy/></location>')
    assert call("answer", script=script).answered_by == "sip:carol@example.com"
    assert call("answer", script=script, complete=True, proven=ALICE).status == 404
    assert call("answer", to="sip:carol@example.com").answered_by == "sip:carol@example.com"


def test_an_alias_leads_to_its_users() -> None:
    """As in the server: to each with his own script; a user of that name comes first."""
    bindings = {
        f"{name}@example.com": (Binding(f"{name}@example.com", f"sip:{name}@192.0.2.9", expires_at=float("inf")),)
        for name in "xyz"
    }
    programs = {"y@example.com": compile(b"<cpl><incoming><reject status='busy'/></incoming></cpl>")}
    aliases = {"office@example.com": ("x@example.com", "y@example.com"), "z@example.com": ("x@example.com",)}
    house = SimulatedHouse(
        {"example.com": "example.com"}, bindings, programs, Settings(), complete=True, aliases=aliases
    )
    for to, rung in (("office", ["sip:x@192.0.2.9"]), ("z", ["sip:z@192.0.2.9"])):
        uri = f"sip:{to}@example.com"
        told = simulate(house, SimulatedCall(f"sip:{ALICE}", uri, uri, AT, (), ""), behaviours(("answer",)))
        assert (told.status, [one.uri for ring in told.rounds for one in ring.rung if one.status == 200]) == (200, rung)


def test_a_location_that_names_the_owner_is_his_phones_unless_its_outcome_is_told() -> None:
    script = incoming(f'<location url="sip:{BOB}"><proxy/></location>')
    assert call("answer", script=script).answered_by == DESK
    assert call(f"sip:{BOB}=busy", script=script).status == 486


def test_numbers_lead_nowhere_unless_told() -> None:
    script = incoming('<location url="tel:+33123456789"><proxy/></location>')
    assert call("answer", script=script).status == 404
    assert call("tel:+33123456789=answer", script=script).status == 200


def test_a_redirection_has_its_contacts() -> None:
    told = call(script=incoming(f'<location url="{CELL}" priority="0.5"><redirect/></location>'))
    assert (told.status, told.contacts) == (302, (f"<{CELL}>;q=0.5",))


def test_wishes_of_the_caller() -> None:
    told = call("answer", headers=(("Request-Disposition", "redirect"),))
    assert (told.status, told.contacts) == (302, (f"<{DESK}>",))


@pytest.mark.parametrize(
    ("to", "headers"),
    [("sip:", ()), ("not a uri", ()), (f"sip:{BOB}", (("Subject", "a\r\nb"),)), (f"sip:{BOB}>", ())],
)
def test_a_call_that_no_request_can_make(to: str, headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises((SipError, ValueError)):
        call(to=to, headers=headers)


def test_no_more_are_rung_than_the_server_rings_for_one_call() -> None:
    told = call("busy", registered=tuple(f"sip:phone{n}@192.0.2.1" for n in range(MOST_BRANCHES + 1)))
    assert (told.status, len(told.rounds[0].rung)) == (486, MOST_BRANCHES)
