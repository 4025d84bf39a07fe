"""Opens everything in order, serves until a signal, closes in the other order.

STARTUP: database, configuration, root directory, listeners, then the tasks of
the main nursery (`serve`). A step that fails says which and why; later ones do
not run.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from sipd import __version__
from sipd.core.inquiry import Context
from sipd.cpl.sources import hosts_from_text
from sipd.errors import SetupError
from sipd.form import COMPILED
from sipd.guard import Guard, NonceWindows
from sipd.hop import SECURE
from sipd.log import LOG
from sipd.metrics import Counters
from sipd.net import Flows, parse_listen
from sipd.net.addresses import primary_address
from sipd.net.fetch import Web
from sipd.net.resolver import Resolver
from sipd.rows import PutBinding, PutLicence
from sipd.seal import Seal
from sipd.server.admission import Admission
from sipd.server.clock import Clock
from sipd.server.debug import CATEGORIES, show_more, tap_of
from sipd.server.diary import Diary
from sipd.server.dispatch import Dispatch
from sipd.server.door import guarded_task
from sipd.server.gauges import gauges_of
from sipd.server.house import House
from sipd.server.limits import limit_network, limit_nonces, limit_rate
from sipd.server.mailing import Mailer
from sipd.server.pins import Pins, drop_dead
from sipd.server.prepared import Prepared
from sipd.server.scheme import check_scheme
from sipd.server.wall import WallClock, awake_or_asleep, bring_back
from sipd.store import VARIABLE, Cache, Writer, first_start, locate, open_store
from sipd.store.local_zone import local_zone, use_zone_files
from sipd.transaction import Transactions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sipd.hop import Flow, Hop
    from sipd.net import Network
    from sipd.net.tls import Tls
    from sipd.server.certificates import Certificates
    from sipd.store import DatabaseUrl, Store

    Say = Callable[[str], None]
    Service = Callable[["House", "DatabaseUrl"], Callable[[], Awaitable[None]] | None]

EXPIRY_SWEEP: Final = 5.0
"""Seconds between two looks for bindings whose time is over."""

STOPPING: Final = 2.0
"""Seconds that closing the database may take at the end."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    database: str | None = None
    database_file: str | None = None
    server: str | None = None
    root: str | None = None
    listen: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    debug: frozenset[str] = frozenset()
    check: bool = False


@dataclass(slots=True)
class Opened:
    """What the steps of a start have opened so far."""

    options: Options
    say: Say
    url: DatabaseUrl
    store: Store
    cache: Cache
    new_users: list[tuple[str, str]] = field(default_factory=list)
    certificates: Certificates | None = None


def main(
    options: Options, say: Say, ready: Callable[[], None] | None = None, services: tuple[Service, ...] = ()
) -> int:
    """Run a server in this process until a signal; the exit status."""
    return trio.run(_main, options, say, ready, services)


async def _main(options: Options, say: Say, ready: Callable[[], None] | None, services: tuple[Service, ...]) -> int:
    gc.disable()  # until `settle_memory`: what is loaded is no garbage, and looking for some takes a fifth longer
    opened = await open_database(options, say)
    try:
        network = open_network(opened)
        house = furnish(opened.cache, Writer(opened.store, opened.cache), network, elapsed=awake_or_asleep)
        show_more(house, debug_of(opened), say)
        if options.check:
            say("sipd: everything could be opened")
            return 0
        async with trio.open_nursery() as main_nursery:  # everything there is; ends with a signal
            await main_nursery.start(serve, house)
            for service in services:
                task = service(house, opened.url)
                if task is not None:
                    main_nursery.start_soon(task)
            if opened.certificates is not None:
                main_nursery.start_soon(opened.certificates.renew)
            settle_memory()
            greet(opened, network)
            if ready is not None:
                ready()
            await signals(house, opened)
            main_nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + STOPPING):  # closing is quick or given up
            await opened.store.close()
    return 0


def import_licence(options: Options, text: str) -> str:
    """Store a licence text in the database; gives how messages name that database."""
    return trio.run(_import_licence, options, text)


async def _import_licence(options: Options, text: str) -> str:
    url = locate(options.database, options.database_file, os.environ, Path.cwd())
    store = open_store(url)
    await store.open()
    try:
        row = PutLicence(sha256(text.encode()).hexdigest(), text, time.time())
        for fault in await store.apply([[row]]):
            if fault is not None:
                raise SetupError(f"{url.shown} did not take the licence: {fault}")
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + STOPPING):  # closing is quick or given up
            await store.close()
    return url.shown


async def open_database(options: Options, say: Say) -> Opened:
    """Find the database, make it where it is ours to make, and load it."""
    root = None if options.root is None else Path(options.root)
    url = locate(options.database, options.database_file, os.environ, Path.cwd(), root=root)
    os.environ.pop(VARIABLE, None)  # it may hold a password: programs that we start need not have it
    for warning in url.warnings:
        LOG.event("warning", text=warning)
    store = open_store(url, serving=not options.check, name=options.server or "")
    new_users: list[tuple[str, str]] = []
    if not await store.exists():
        if options.check:
            raise SetupError(f"there is no database at {url.shown}", "A start without --check makes one.")
        new_users = await first_start(store, local_hosts())
    await store.open()
    cache = Cache(store, options.server or "")
    await cache.fill()
    cache.override(options.settings)
    use_zone_files(os.environ)
    zone = local_zone(os.environ)
    if zone.complaint and not cache.settings.time_zone:
        LOG.event("warning", text=zone.complaint)
    cache.use_zone(zone.name)
    check_scheme(cache)
    change_to(options.root or cache.settings.root)
    return Opened(options, say, url, store, cache, new_users)


def change_to(root: str) -> None:
    """Make the server root the working directory; empty: stay."""
    if not root:
        return
    try:
        os.chdir(root)
    except OSError as fault:
        raise SetupError(
            f"can't change to the server root {root}: {fault.strerror}", "Make it, or name another with -s."
        ) from fault


def local_hosts() -> list[str]:
    """The names and addresses that the first start makes local domains of, the main one first."""
    hosts = ["localhost", "127.0.0.1"]
    return list(dict.fromkeys([*hosts, primary_address(socket.AF_INET), socket.gethostname()]))


def open_network(opened: Opened) -> Flows:
    """Bind every listener, or none."""
    settings = opened.cache.settings
    texts = opened.options.listen or tuple(settings.listen.split())
    if not texts:
        raise SetupError("nothing to listen on", "Set it: sipdctl server set listen=udp:0.0.0.0:5060")
    hops = [parse_listen(text) for text in texts]
    network = Flows(tls=open_certificates(opened, hops))
    for hop in hops:
        network.listen(hop, settings.host_name or None)
    if settings.host_name:
        network.add_name(settings.host_name)
    limit_network(network, opened.cache)
    network.on_event = log_event
    network.tap = tap_of(opened.say, debug_of(opened))
    return network


def open_certificates(opened: Opened, hops: Sequence[Hop]) -> Tls | None:
    """What TLS needs; None where nothing listens for it."""
    if not any(hop.transport in SECURE for hop in hops):
        return None
    from sipd.server.certificates import Certificates, place_of  # a large library, for those who need it

    opened.certificates = Certificates(opened.cache, hops, None if opened.options.check else place_of(opened.url))
    return opened.certificates.tls


def log_event(event: str, hop: Hop, detail: str) -> None:
    """One line for what befell a connection; a peer that just went is not worth one."""
    if detail not in ("ended", "idle", "closed"):
        LOG.event(event, source=hop, detail=detail)


def debug_of(opened: Opened) -> set[str]:
    """The categories to show: the database's where it names any, else those of -d."""
    named = set(opened.cache.settings.debug.split()) or set(opened.options.debug)
    return set(CATEGORIES) if "all" in named else named


def furnish(
    cache: Cache,
    writer: Writer,
    network: Network,
    now: Callable[[], float] | None = None,
    wall: Callable[[], float] = time.time,
    resolver: Resolver | None = None,
    elapsed: Callable[[], float] | None = None,
) -> House:
    """A House from its equals; `serve` brings it to life. `elapsed`: what jumps of `wall` are known by; none: `now`."""
    settings = cache.settings
    seal = Seal(cache.secret_key)
    if now is None:  # the clock itself, as trio.current_time() asks it each time: this is called a lot
        now = trio.lowlevel.current_clock().current_time
    clock = WallClock(wall, elapsed or now, log_jump)
    guard = Guard(NonceWindows(not_before=f"{int(wall()):08x}"))
    counters = Counters()
    resolver = resolver or Resolver(listening=lambda: network.listening)
    house = House(
        tables=cache,
        writer=writer,
        network=network,
        resolver=resolver,
        transactions=Transactions(now, capacity=settings.max_transactions),
        seal=seal,
        admission=Admission(guard, LOG),
        context=Context(seal, guard, network, clock.how_far_ahead),
        now=now,
        wall=clock,
        start_task=_no_nursery,
        counters=counters,
        diary=Diary(writer, lambda: cache.settings.script_log_lines, now, counters, LOG),
        mailer=Mailer(lambda: cache.settings, now, counters, LOG),
        web=Web(resolver.dns, lambda: hosts_from_text(cache.settings.script_hosts), lambda: cache.settings.tls_ca),
    )
    house.explain.resize(settings.traces)
    dispatch = Dispatch(house)
    house.gauges = gauges_of(house, dispatch)
    network.receive = dispatch.receive
    pins = Pins(network, lambda: cache.settings.flow_timer)
    cache.watch(pins.heed)
    cache.watch(house.runs.heed)
    cache.watch(dispatch.notifier.heed)

    def flow_failed(flow: Flow) -> None:
        dispatch.flow_failed(flow)
        pins.lost(house, flow)

    network.on_failed = flow_failed
    pins.heed([PutBinding(binding) for binding in cache.bindings_with_flow()])
    limit_rate(house.admission.rate, cache)
    limit_nonces(guard.nonces, cache, clock)
    return house


def log_jump(seconds: float) -> None:
    """One line for a clock that was set."""
    text = "the machine's clock was set; registrations keep the time they have left"
    LOG.event("clock_set", seconds=f"{seconds:+.0f}", text=text)


def _no_nursery(task: Callable[[], Awaitable[None]]) -> None:
    raise RuntimeError("the house is not being served")


def settle_memory() -> None:
    """What is loaded stays: the collector need not look at it, and at the rest only in small pieces.

    Calls leave no cycles (a test counts them), so collecting is for accidents;
    and a look at many objects at once would hold up every call. What the start
    itself leaves is little: to look for it among all that was loaded costs a tenth of a second.
    """
    gc.enable()
    gc.freeze()
    gc.set_threshold(5_000, 1_000, 1_000)


async def serve(house: House, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Everything that runs: writer, cache, clock, calls, listeners. Until cancelled."""
    async with trio.open_nursery() as nursery:  # the server's own tasks: one that fails takes it down, loudly
        await nursery.start(house.writer.run)
        await nursery.start(house.tables.watch_outside)
        nursery.start_soon(sweep, house)
        nursery.start_soon(bring_back, house)
        nursery.start_soon(Prepared(house).run)
        nursery.start_soon(house.mailer.run)
        drop_dead(house, house.tables.bindings_with_flow())
        async with trio.open_nursery() as calls:  # the task of every call, each guarded

            def start_task(task: Callable[[], Awaitable[None]]) -> None:
                calls.start_soon(guarded_task, "call", task, house.counters, house.log)

            house.start_task = start_task
            nursery.start_soon(Clock(house.transactions, house.now, house.counters, house.log).run)
            await nursery.start(house.network.run)
            task_status.started()
            await trio.sleep_forever()


async def sweep(house: House) -> None:
    """Remove bindings whose time is over, a few at a time."""
    while True:
        await trio.sleep(EXPIRY_SWEEP)
        house.writer.drop_expired(house.wall())


def greet(opened: Opened, network: Flows) -> None:
    """Say what a new user wants to know: where we listen, how to log in, what to try."""
    say = opened.say
    where = " ".join(str(hop) for hop in network.listening)
    form = ", compiled" if COMPILED else ""
    say(f"sipd-{__version__}{form} on {opened.url.shown} ({opened.url.where})")
    say(f"listening on {where}")
    if opened.new_users:
        for line in first_words(opened.new_users, network.listening[0], opened.url):
            say(line)


def first_words(users: list[tuple[str, str]], hop: Hop, url: DatabaseUrl) -> list[str]:
    """What the first start tells: the two users, how to log a phone in, three things to try."""
    (alice, _), (bob, _) = users
    domain = alice.partition("@")[2]
    host = hop.host
    if host in ("0.0.0.0", "::"):
        host = next((name for name in local_hosts() if name[0].isdigit() and not name.startswith("127.")), "127.0.0.1")
    tool = tool_command() if url.embedded or url.where == VARIABLE else f"{tool_command()} -D {url.shown}"
    lines = [
        "",
        "Two users were made; their passwords are shown this once:",
        *(f"    {aor:<24} password {password}" for aor, password in users),
        "",
        "Log a phone in:",
        f"    user name {alice.partition('@')[0]}, domain {domain} (or {host}), the password above,",
        f"    registrar and outbound proxy {host}:{hop.port}, transport UDP or TCP",
        "",
    ]
    if url.scheme == "memory":  # no other program can reach it
        return lines
    return [
        *lines,
        "Try next:",
        *(
            f"    {f'{tool} {words}':<60} {what}"
            for words, what in (
                (f"call {alice} {bob}", "a test call, with its ladder"),
                (f"user add carol@{domain}", "a third user"),
                ("explain last", "why the last call went as it did"),
            )
        ),
        "",
    ]


def tool_command() -> str:
    """How to call sipdctl from here: by its name, or where our own program lies when that is not on the path."""
    beside = Path(sys.argv[0]).with_name("sipdctl")
    if shutil.which("sipdctl") or not beside.is_file():
        return "sipdctl"
    return os.path.relpath(beside)


async def signals(house: House, opened: Opened) -> None:
    """Wait for SIGTERM or SIGINT; SIGHUP loads the database anew."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        async for number in received:
            if number != signal.SIGHUP:
                return
            try:
                await house.tables.reload()
                if opened.certificates is not None:
                    await opened.certificates.reload()
                opened.say("sipd: reloaded")
            except Exception as fault:  # the door, here for a reload: whatever broke, the old one stays (T100)
                LOG.event("reload_failed", text=fault)
