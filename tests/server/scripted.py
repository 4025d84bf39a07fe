"""Scripts in a few words, and a call to who has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.server.phones import DOMAIN

if TYPE_CHECKING:
    from sipd.message import Response
    from tests.server.phones import Phone, World

ALICE, BOB, CAROL = (f"sip:{name}@{DOMAIN}" for name in ("alice", "bob", "carol"))
LOOKUP = '<lookup source="registration"><success>{}</success></lookup>'
BRANCH = "z9hG4bKthecall"


def cpl(inside: str, direction: str = "incoming") -> str:
    return f'<cpl xmlns="urn:ietf:params:xml:ns:cpl"><{direction}>{inside}</{direction}></cpl>'


def to(*phones: Phone, then: str, **more: float) -> str:
    """Locations of these, in this order, and what is done then; `q` of each by its name."""
    for phone in reversed(phones):
        q = f' priority="{more[phone.name]}"' if phone.name in more else ""
        then = f'<location url="{phone.uri}"{q}>{then}</location>'
    return then


def call(world: World, script: str, *, owner: str = "bob", caller: str = "alice", uri: str = BOB, **more) -> Phone:
    """The caller's phone, which has just called a user with this script."""
    world.script(f"{owner}@{DOMAIN}", cpl(script))
    phone = world.phones.get(caller) or world.phone(caller)
    phone.send(phone.request("INVITE", uri, branch=BRANCH, call_id="thecall", **more))
    return phone


def hang_up(phone: Phone, uri: str = BOB) -> None:
    phone.send(phone.request("CANCEL", uri, branch=BRANCH, call_id="thecall"))


def rung(*phones: Phone) -> list[str]:
    return [phone.name for phone in phones if phone.requests("INVITE")]


def contacts(response: Response) -> list[tuple[str, float]]:
    return [(contact.uri.text, float(contact.param("q") or 1)) for contact in response.contacts]
