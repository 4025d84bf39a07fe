"""Where the certificates of a server come from."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import trio

from sipd.errors import SetupError
from sipd.hop import Hop
from sipd.log import LOG
from sipd.net import self_made
from sipd.rows import PutDomain, PutSettings, Settings
from sipd.server.certificates import LOOK, Certificates, configured, own_names, place_of
from sipd.store import Cache, MemoryStore, create
from sipd.store.url import DatabaseUrl, parse_url
from tests.net.certificates import Authority

HOPS = [Hop("TLS", "192.0.2.1", 5061)]


@pytest.fixture(autouse=True)
def quiet_before():
    """Events of one kind are thinned out: each test begins anew."""
    LOG._spoken.clear()


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


async def cache_with(**settings) -> Cache:
    store = MemoryStore()
    await create(store, ["example.com"], settings=Settings(**settings))
    await store.open()
    cache = Cache(store)
    await cache.fill()
    return cache


def test_a_certificate_and_its_key_are_named_in_the_same_order():
    files = configured(Settings(tls_certificate="a.pem /etc/b.pem", tls_key="a.key b.key", tls_ca="ca.pem"))
    assert [tuple(map(str, pair)) for pair in files.certificates] == [("a.pem", "a.key"), ("/etc/b.pem", "b.key")]
    assert files.authorities == Path("ca.pem")
    assert not files.is_self_made


def test_without_a_key_file_the_keys_are_with_the_certificates():
    files = configured(Settings(tls_certificate="a.pem b.pem"))
    assert [tuple(map(str, pair)) for pair in files.certificates] == [("a.pem", "a.pem"), ("b.pem", "b.pem")]
    assert files.authorities is None


def test_a_key_too_few_is_said():
    with pytest.raises(SetupError, match="tls_key names 1 files, tls_certificate 2"):
        configured(Settings(tls_certificate="a.pem b.pem", tls_key="a.key"))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:///var/lib/sipd/calls.sqlite3", "/var/lib/sipd/calls.tls.pem"),
        ("sql://u:p@host/sip", "sipd.tls.pem"),
        ("memory:", None),
    ],
)
def test_our_own_one_is_kept_beside_the_database_or_in_the_server_root(url: str, place: str | None):
    parsed: DatabaseUrl = parse_url(url, base=Path("/"))
    assert place_of(parsed) == (None if place is None else Path(place))


def test_our_own_one_has_every_name_that_phones_may_use():
    hops = [*HOPS, Hop("TLS", "0.0.0.0", 5061), Hop("TLS", "::1", 5061)]
    names = own_names(Settings(host_name="Sip.example.com"), ["example.com", "127.0.0.1"], hops)
    assert names[:3] == ["sip.example.com", "192.0.2.1", "::1"]
    assert {"127.0.0.1", "example.com"} < set(names)
    assert len(names) == len(set(names))


async def test_without_a_certificate_one_is_made_and_said(tmp_path, capsys):
    place = tmp_path / "sipd.tls.pem"
    certificates = Certificates(await cache_with(), HOPS, place)
    assert certificates.tls.files.is_self_made
    said = capsys.readouterr().err
    assert "event=certificate_made" in said
    assert str(tmp_path / "sipd.tls.crt") in said
    assert "trust" in said
    Certificates(await cache_with(), HOPS, place)
    assert capsys.readouterr().err == "", "the next start has it already"


async def test_one_that_is_not_to_be_kept_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    certificates = Certificates(await cache_with(), HOPS, None)
    assert certificates.tls.files.is_self_made
    assert list(tmp_path.iterdir()) == []


async def test_loading_anew_takes_what_the_settings_name_now(authority, tmp_path):
    cache = await cache_with(tls_certificate=str(authority.signed("a.example").chain))
    certificates = Certificates(cache, HOPS, tmp_path / "own.pem")
    named = authority.signed("b.example")
    cache.apply([PutSettings(cache.settings._replace(tls_certificate=str(named.chain), tls_client="required"))])
    await certificates.reload()
    assert certificates.tls.files.certificates == (named,)
    assert certificates.tls.files.client == "required"


async def test_what_can_not_be_loaded_leaves_the_old_one(authority, tmp_path):
    """T100."""
    old = authority.signed("a.example")
    cache = await cache_with(tls_certificate=str(old.chain))
    certificates = Certificates(cache, HOPS, None)
    cache.apply([PutSettings(cache.settings._replace(tls_certificate=str(tmp_path / "missing.pem")))])
    with pytest.raises(SetupError, match=r"missing\.pem"):
        await certificates.reload()
    assert certificates.tls.files.certificates == (old,)


async def test_a_new_domain_is_in_the_next_one(tmp_path):
    cache = await cache_with()
    certificates = Certificates(cache, HOPS, tmp_path / "own.pem")
    before = (tmp_path / "own.pem").read_bytes()
    await certificates.reload()
    assert (tmp_path / "own.pem").read_bytes() == before
    cache.apply([PutDomain("new.example", "example.com")])
    await certificates.reload()
    assert (tmp_path / "own.pem").read_bytes() != before


async def test_one_that_expires_soon_is_spoken_of(authority, capsys):
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3)
    cache = await cache_with(tls_certificate=str(authority.signed("a.example", not_after=soon).chain))
    Certificates(cache, HOPS, None)
    assert (
        f'event=certificate_expires text="the certificate of this server expires on {soon:%F}"'
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("names", "host_name", "said"),
    [
        (["example.com"], "", "192.0.2.1"),
        (["example.com", "192.0.2.1"], "", None),
        (["example.com"], "Example.com.", None),
        (["*.example.com"], "sip.example.com", "sip.example.com"),
    ],
)
async def test_a_name_of_ours_that_no_certificate_proves_is_spoken_of(authority, capsys, names, host_name, said):
    """RFC 5922 §7.5: what we write into Record-Route must be in the certificate."""
    cache = await cache_with(tls_certificate=str(authority.signed(*names).chain), host_name=host_name)
    Certificates(cache, [*HOPS, Hop("UDP", "192.0.2.9", 5060)], None)
    text = capsys.readouterr().err
    assert ("event=certificate_for_others" in text) is (said is not None)
    assert said is None or f"sipd calls itself {said}, which its certificate does not prove" in text


async def test_our_own_one_is_renewed_while_the_server_runs(tmp_path, autojump_clock, monkeypatch):
    """Once a day somebody looks. The thread that reads files looks idle to the virtual clock: so it is none here."""

    async def here(function):
        await trio.lowlevel.checkpoint()
        return function()

    monkeypatch.setattr(trio.to_thread, "run_sync", here)
    place = tmp_path / "own.pem"
    certificates = Certificates(await cache_with(), HOPS, place)
    long_ago = datetime.datetime.now(datetime.UTC) - self_made.LIFE - datetime.timedelta(days=1)
    place.unlink()
    self_made.ensure(place, ["192.0.2.1"], long_ago)
    expired = place.read_bytes()
    with trio.move_on_after(LOOK + 1):
        await certificates.renew()
    assert place.read_bytes() != expired
    assert certificates.tls.expires > datetime.datetime.now(datetime.UTC)


@pytest.mark.parametrize("is_own", [True, False])
async def test_what_is_wrong_is_said_every_day(authority, tmp_path, autojump_clock, monkeypatch, capsys, is_own):
    async def here(function):
        await trio.lowlevel.checkpoint()
        return function()

    monkeypatch.setattr(trio.to_thread, "run_sync", here)
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3)
    named = authority.signed("192.0.2.1", not_after=soon)
    place = tmp_path / "there" / "own.pem"
    place.parent.mkdir()
    certificates = Certificates(await cache_with(tls_certificate="" if is_own else str(named.chain)), HOPS, place)
    if is_own:
        for file in place.parent.iterdir():
            file.unlink()
        place.parent.rmdir()
    capsys.readouterr()
    with trio.move_on_after(2.5 * LOOK):
        await certificates.renew()
    said = "certificate_not_renewed" if is_own else "certificate_expires"
    assert capsys.readouterr().err.count(f"event={said}") == 2
