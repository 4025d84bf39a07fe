"""A phone in a browser registers over WebSocket, calls a phone on UDP and is called by it: RFC 7118 from end to end."""

from __future__ import annotations

import ssl
from functools import partial

import pytest
import trio

from tests.e2e.browser import OFFER, browser
from tests.e2e.house import DOMAIN, USERS, Server
from tests.e2e.phones import Baresip

ANSWER = OFFER.replace(b"o=- 1 1", b"o=- 2 2")


def trusting(server: Server) -> ssl.SSLContext:
    """What a browser does that was told to trust the certificate the server made for itself."""
    return ssl.create_default_context(cafile=str(server.directory / "sipd.tls.crt"))


@pytest.fixture
def web_server(start_server) -> Server:
    server: Server = start_server(tls=True)
    return server


async def in_thread(what, *words, **more):
    """The driver of the other phone blocks; the page goes on meanwhile."""
    return await trio.to_thread.run_sync(partial(what, *words, **more))


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_a_browser_and_a_udp_phone_call_each_other(web_server, secure):
    server = web_server
    context = trusting(server) if secure else None
    port = server.wss_port if secure else server.ws_port
    with Baresip("bob", server.port) as bob:
        await in_thread(bob.register)
        async with browser(port, "alice", USERS["alice"], context) as alice:
            response = await alice.register()
            assert response.status == 200, response
            assert alice.host in (response.first("Contact") or "")

            # She calls, and he hangs up: his BYE must find the page.
            calling = trio.Event()
            dialogs = []

            async def call() -> None:
                dialogs.append(await alice.call(f"sip:bob@{DOMAIN}"))
                calling.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                assert (await in_thread(bob.event, "incoming"))["peer"] == f"sip:alice@{DOMAIN}"
                bob.do("answer")
                await calling.wait()
            await in_thread(bob.event, "established")
            bob.do("hangup")
            assert (await alice.request("BYE")).call_id == dialogs[0][0].call_id
            await in_thread(bob.event, "closed")

            # She calls again, and hangs up herself.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                await in_thread(bob.event, "incoming")
                bob.do("answer")
            await in_thread(bob.event, "established")
            assert (await alice.hang_up(dialogs[1][0])).status == 200
            await in_thread(bob.event, "closed")

            # He calls, by her address: the INVITE comes over her connection, and so do ACK and BYE.
            bob.do("dial", uri=f"sip:alice@{DOMAIN}")
            invite = await alice.request("INVITE")
            assert invite.via.transport == ("WSS" if secure else "WS")
            assert alice.host in invite.request_uri
            await alice.answer(invite, 180)
            await in_thread(bob.event, "ringing")
            await alice.answer(invite, 200, ANSWER)
            await in_thread(bob.event, "established")
            assert (await alice.request("ACK")).call_id == invite.call_id
            bob.do("hangup")
            assert (await alice.request("BYE")).call_id == invite.call_id
            await in_thread(bob.event, "closed")

            # The same, and she hangs up.
            bob.do("dial", uri=f"sip:alice@{DOMAIN}")
            invite = await alice.request("INVITE")
            await alice.answer(invite, 200, ANSWER)
            await alice.request("ACK")
            assert (await alice.hang_up(alice.called(invite))).status == 200
            await in_thread(bob.event, "closed")


async def test_a_page_that_was_closed_is_called_no_more(web_server):
    with Baresip("bob", web_server.port) as bob:
        await in_thread(bob.register)
        async with browser(web_server.ws_port, "alice", USERS["alice"]) as alice:
            assert (await alice.register()).status == 200
        bob.do("dial", uri=f"sip:alice@{DOMAIN}")
        text = (await in_thread(bob.event, "closed"))["text"]
        assert text.startswith(("430", "480")), text  # at once: nobody looks for a host under .invalid


async def test_a_wrong_password_registers_no_page(web_server):
    async with browser(web_server.ws_port, "alice", "guessed") as mallory:
        assert (await mallory.register()).status == 401
    assert "invalid" not in web_server.ctl("ul", "show")
