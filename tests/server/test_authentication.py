"""Who proves himself to a whole server, and who tries to without being able to (T11, T117)."""

from __future__ import annotations

import pytest
import trio

from sipd.log import EventLog
from sipd.message import parse_auth
from sipd.server.admission import GUESSERS_WAIT
from tests.core.tables import credentials
from tests.server.phones import DOMAIN, open_world

HOME = f"sip:{DOMAIN}"
ALICE = f"sip:alice@{DOMAIN}"


async def challenged(phone, *, aor: str = ALICE, method: str = "REGISTER"):
    """The first challenge that this phone gets."""
    before = len(phone.statuses(method))
    phone.send(phone.request(method, HOME if method == "REGISTER" else aor, to=aor, from_uri=aor))
    await phone.until(lambda: len(phone.statuses(method)) > before)
    return phone.seen[-1].message.first("WWW-Authenticate") or phone.seen[-1].message.first("Proxy-Authenticate")


def registering(phone, challenge, *, aor: str = ALICE, name: str = "alice", count: int = 1, password: str = "", **more):
    """A REGISTER that answers that challenge."""
    text = credentials(
        challenge, "REGISTER", HOME, username=name, password=password or f"pw-{name}", count=count, **more
    )
    return phone.request("REGISTER", HOME, to=aor, from_uri=aor, headers=(("Authorization", text),))


def is_stale(response) -> bool:
    return parse_auth(response.first("WWW-Authenticate")).params.get("stale") == "true"


async def test_a_copy_of_a_register_that_waits_for_its_turn_is_stale(nursery, autojump_clock, monkeypatch):
    """T11: from the look at its nonce-count on nobody else can use it, though the REGISTER has to wait."""
    world = await open_world(nursery, "alice", auth="digest")
    apply = world.store.apply

    async def slowly(groups):
        await trio.sleep(1)
        return await apply(groups)

    monkeypatch.setattr(world.store, "apply", slowly)
    monkeypatch.setattr(world.store, "immediate", False, raising=False)
    alice, foe = world.phone("alice"), world.phone("foe")
    challenge = await challenged(alice)
    alice.send(registering(alice, challenge, count=1))
    alice.send(registering(alice, challenge, count=2))  # waits for the commit of the first
    copy = registering(foe, challenge, count=2)  # his own Contact, her credentials
    foe.send(copy)
    await foe.until(lambda: foe.statuses("REGISTER") == [401])
    assert alice.statuses("REGISTER") == [401], "the copy was decided while hers still waited"
    await alice.until(lambda: alice.statuses("REGISTER") == [401, 200, 200])
    assert is_stale(foe.responses(401)[0])
    assert [binding.uri for binding in world.cache.bindings(f"alice@{DOMAIN}")] == [alice.uri]


async def test_the_same_datagram_again_is_answered_by_its_transaction(nursery, autojump_clock):
    world = await open_world(nursery, "alice", auth="digest")
    alice = world.phone("alice")
    sent = registering(alice, await challenged(alice))
    for _ in range(3):
        alice.send(sent)
    await alice.until(lambda: alice.statuses("REGISTER") == [401, 200, 200, 200])


@pytest.mark.parametrize("life", [300, 3600])
async def test_what_was_sent_once_is_worth_nothing_while_its_nonce_lives(nursery, autojump_clock, life):
    """T11: however long a nonce is good, and to the end of its last second."""
    world = await open_world(nursery, "alice", "bob", auth="digest", nonce_life=life)
    alice, bob, foe = world.phone("alice"), world.phone("bob"), world.phone("foe")
    await trio.sleep(-world.house.wall() % 1 + 0.1)
    challenge = await challenged(alice)
    alice.send(registering(alice, challenge, count=2))
    await alice.status(200)
    await trio.sleep(life + 0.2)
    await logged_in(bob, "bob")  # for which what is too old is forgotten
    foe.send(registering(foe, challenge, count=2))  # his own Contact, her credentials
    foe.send(registering(foe, challenge, count=3))
    await foe.until(lambda: len(foe.statuses("REGISTER")) == 2)
    assert sorted(foe.statuses("REGISTER")) == [200, 401], "only what was not used is good"


async def test_a_longer_life_for_nonces_brings_none_back(nursery, autojump_clock):
    world = await open_world(nursery, "alice", "bob", auth="digest", nonce_life=300)
    alice, bob, foe = world.phone("alice"), world.phone("bob"), world.phone("foe")
    challenge = await challenged(alice)
    alice.send(registering(alice, challenge))
    await alice.status(200)
    await trio.sleep(1000)
    await logged_in(bob, "bob")
    world.settings(nonce_life=3600)
    foe.send(registering(foe, challenge))
    await foe.until(lambda: foe.statuses("REGISTER") == [401])
    await logged_in(alice, "alice")  # what is asked for now is good


async def logged_in(phone, name: str) -> None:
    aor, before = f"sip:{name}@{DOMAIN}", len(phone.responses(200))
    phone.send(registering(phone, await challenged(phone, aor=aor), aor=aor, name=name))
    await phone.until(lambda: len(phone.responses(200)) > before)


# -- guessing (T117) ----------------------------------------------------------------------------------------


async def guessed(phone, challenge, times: int, **more) -> list[float]:
    """Sends that many wrong passwords, each once the last was refused; the seconds each refusal took."""
    took = []
    for _ in range(times):
        begun, before = trio.current_time(), len(phone.responses(401))
        phone.send(registering(phone, challenge, password="wrong", **more))
        await phone.until(lambda before=before: len(phone.responses(401)) > before)
        took.append(trio.current_time() - begun)
    return took


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_after_five_failures_each_answer_takes_a_second(nursery, autojump_clock, name):
    """The same for a name that nobody has (T67)."""
    world = await open_world(nursery, "alice", auth="digest")
    foe = world.phone("foe")
    aor = f"sip:{name}@{DOMAIN}"
    challenge = await challenged(foe, aor=aor)
    took = await guessed(foe, challenge, 7, aor=aor, name=name)
    assert took == pytest.approx([0, 0, 0, 0, *[GUESSERS_WAIT] * 3])
    assert world.house.transactions.servers == 0, "nothing is kept of it"


async def test_who_fails_now_and_then_is_not_kept_waiting(nursery, autojump_clock):
    """Behind one address many may mistype their passwords in a day."""
    world = await open_world(nursery, "alice", auth="digest")
    alice = world.phone("alice")
    for _ in range(60):
        assert await guessed(alice, await challenged(alice), 1) == pytest.approx([0])
        await trio.sleep(301)


async def test_guesses_all_at_once_are_no_faster(nursery, autojump_clock):
    """Five are looked at, then one a second, be the right one among the others or not."""
    world = await open_world(nursery, "alice", auth="digest")
    foe = world.phone("foe")
    challenge = await challenged(foe)
    for _ in range(20):
        foe.send(registering(foe, challenge, password="wrong"))
    foe.send(registering(foe, challenge))
    await foe.until(lambda: len(foe.responses(401)) == 22)
    assert world.cache.bindings(f"alice@{DOMAIN}") == ()
    looked_at = [response for response in foe.responses(401)[1:] if not is_stale(response)]
    assert len(looked_at) == 5
    await trio.sleep(1)
    foe.send(registering(foe, challenge, count=2))
    await foe.status(200)  # who knows it after all is let in


async def test_many_names_with_one_password_are_slow_too(nursery, autojump_clock):
    world = await open_world(nursery, "alice", auth="digest")
    foe = world.phone("foe")
    challenge = await challenged(foe)
    for n in range(50):
        foe.send(registering(foe, challenge, name=f"u{n}", aor=f"sip:u{n}@{DOMAIN}"))
    foe.send(registering(foe, challenge))
    await foe.until(lambda: len(foe.responses(401)) == 52)
    assert is_stale(foe.responses(401)[-1])
    assert world.cache.bindings(f"alice@{DOMAIN}") == ()


async def test_the_user_himself_is_never_shut_out(nursery, autojump_clock):
    """Not from elsewhere; nor where the guesses come from, if he had logged in there before."""
    world = await open_world(nursery, "alice", "bob", auth="digest")
    bob = world.phone("bob", host="10.0.9.9")
    challenge = await challenged(bob, aor=f"sip:bob@{DOMAIN}")
    bob.send(registering(bob, challenge, name="bob", aor=f"sip:bob@{DOMAIN}"))
    await bob.status(200)
    foe = world.phone("foe", host="10.0.9.9", port=5099)
    for name in ("alice", "bob"):
        for _ in range(60):
            foe.send(registering(foe, challenge, password="wrong", name=name, aor=f"sip:{name}@{DOMAIN}"))
    bob.send(registering(bob, challenge, name="bob", aor=f"sip:bob@{DOMAIN}", count=2))
    alice = world.phone("alice")
    alice.send(registering(alice, await challenged(alice)))
    await alice.status(200)
    await bob.until(lambda: bob.statuses("REGISTER") == [401, 200, 200])


@pytest.mark.parametrize("spelling", ["alice@{}", "alice@{}.", "alice@{upper}", "alice"])
async def test_other_spellings_of_a_name_are_no_further_guesses(nursery, autojump_clock, spelling):
    world = await open_world(nursery, "alice", auth="digest")
    foe = world.phone("foe")
    challenge = await challenged(foe)
    await guessed(foe, challenge, 5)
    name = spelling.format(DOMAIN, upper=DOMAIN.upper())
    foe.send(registering(foe, challenge, name=name, password="wrong"))
    before = trio.current_time()
    await foe.until(lambda: len(foe.responses(401)) == 7)
    assert trio.current_time() - before == pytest.approx(GUESSERS_WAIT)


async def test_answers_that_wait_are_bounded(nursery, autojump_clock, monkeypatch):
    """[T120]"""
    monkeypatch.setattr("sipd.server.dispatch.MOST_DELAYED", 3)
    world = await open_world(nursery, "alice", auth="digest")
    foe = world.phone("foe")
    challenge = await challenged(foe)
    for _ in range(20):
        foe.send(registering(foe, challenge, password="wrong"))
    await trio.sleep(5)
    assert len(foe.responses(401)) == 1 + 4 + 3
    assert world.house.gauges["challenges_delayed"].size() == 0


async def test_a_failure_is_one_line_of_a_form_that_stays(nursery, autojump_clock, monkeypatch):
    world = await open_world(nursery, "alice", auth="digest")
    lines: list[str] = []
    monkeypatch.setattr(world.house.admission, "_log", EventLog(lines.append, trio.current_time))
    foe = world.phone("foe")
    name = 'x" source=192.0.2.1\\r event=login_failed'
    await guessed(foe, await challenged(foe), 1)
    await guessed(foe, await challenged(foe), 1, name=name)
    said = [line.partition(" ")[2] for line in lines]
    assert said[0] == f"event=login_failed source={foe.hop.host} username=alice n=1\n"
    assert said[1].startswith(f'event=login_failed source={foe.hop.host} username="x\\" source')
    assert len(said) == 2


async def test_who_fails_all_day_hides_no_other_line(nursery, autojump_clock, monkeypatch):
    """The log thins out what comes too often, so one source must not be what comes too often (T117)."""
    world = await open_world(nursery, "alice", auth="digest")
    lines: list[str] = []
    monkeypatch.setattr(world.house.admission, "_log", EventLog(lines.append, trio.current_time))
    foe, other = world.phone("foe"), world.phone("other")
    challenge = await challenged(foe)
    for n in range(300):
        foe.send(registering(foe, challenge, name=f"u{n}", password="wrong"))
        await trio.sleep(0.11)
    await guessed(other, challenge, 1)
    assert sum(f"source={foe.hop.host} " in line for line in lines) == 20 + 28
    assert f"event=login_failed source={other.hop.host} username=alice n=1\n" in lines[-1]
    assert not any("suppressed" in line for line in lines)
