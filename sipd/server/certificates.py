"""The server's certificates: those of the settings, or one made by ourselves; loaded anew on SIGHUP, and in time."""

from __future__ import annotations

import datetime
import socket
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import trio

from sipd.errors import SetupError
from sipd.hop import SECURE
from sipd.log import LOG
from sipd.net import self_made
from sipd.net.addresses import WILDCARDS, primary_address
from sipd.net.names import plain_name
from sipd.net.tls import Certificate, Tls, TlsFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sipd.hop import Hop
    from sipd.rows import Settings
    from sipd.store import Cache, DatabaseUrl

FILE: Final = "sipd.tls.pem"
"""What the one made by ourselves is called, beside or after the name of the database."""

LOOK: Final = 86400.0
"""Seconds between looks at whether a certificate expires."""

WARNED: Final = datetime.timedelta(days=14)
"""How long before the end of a certificate it is spoken of."""


class Certificates:
    """Makes the server's `tls` from its settings, and loads it anew."""

    def __init__(self, cache: Cache, hops: Sequence[Hop], place: Path | None) -> None:
        """`hops` are where we listen, `place` is the file for a certificate made by ourselves; None: it is not kept.

        Raises SetupError with the file and what is wrong with it.
        """
        self._cache = cache
        self._hops = hops
        self._place = place
        with self._files() as files:
            self.tls = Tls(files)
        self._say_what_is_wrong()

    async def reload(self) -> None:
        """Loads what the settings name now. Raises SetupError when that can't be: then nothing changed (T100)."""
        await trio.to_thread.run_sync(self._load)  # reading the system's authorities takes 50 ms
        self._say_what_is_wrong()

    async def renew(self) -> None:
        """Makes another certificate when ours has expired, and warns when one is about to; until cancelled."""
        while True:
            await trio.sleep(LOOK)
            try:
                if self.tls.files.is_self_made:
                    await self.reload()
                else:
                    self._say_when_it_ends()
            except SetupError as fault:
                LOG.event("certificate_not_renewed", text=fault)

    def _load(self) -> None:
        with self._files() as files:
            self.tls.load(files)

    @contextmanager
    def _files(self) -> Iterator[TlsFiles]:
        settings = self._cache.settings
        if settings.tls_certificate:
            yield configured(settings)
        elif self._place is not None:
            yield self._self_made(settings, self._place)
        else:
            with TemporaryDirectory() as directory:  # they are read at once, and nobody needs them afterwards
                yield self._self_made(settings, Path(directory) / FILE)

    def _self_made(self, settings: Settings, path: Path) -> TlsFiles:
        names = own_names(settings, self._cache.domains, self._hops)
        if self_made.ensure(path, names, datetime.datetime.now(datetime.UTC)):
            LOG.event(
                "certificate_made",
                file=path.with_suffix(".crt"),
                text="phones have to be told to trust it; or name a real one in tls_certificate",
            )
        return TlsFiles((Certificate(path, path),), authorities_of(settings), settings.tls_client, is_self_made=True)

    def _say_what_is_wrong(self) -> None:
        self._say_when_it_ends()
        for name in self._called():
            if plain_name(name) not in self.tls.names:  # RFC 5922 §7.5
                text = f"sipd calls itself {name}, which its certificate does not prove: set host_name to a name in it"
                LOG.event("certificate_for_others", text=text)

    def _called(self) -> list[str]:
        """By what names others find us in what we send over TLS."""
        if self._cache.settings.host_name:
            return [self._cache.settings.host_name]
        hosts = [hop.host for hop in self._hops if hop.transport in SECURE]
        return [primary_address(WILDCARDS[host]) if host in WILDCARDS else host for host in dict.fromkeys(hosts)]

    def _say_when_it_ends(self) -> None:
        left = self.tls.expires - datetime.datetime.now(datetime.UTC)
        if left < WARNED:
            LOG.event("certificate_expires", text=f"the certificate of this server expires on {self.tls.expires:%F}")


def place_of(url: DatabaseUrl) -> Path | None:
    """The file for a certificate made by ourselves: beside the database, or in the server root; None: nowhere."""
    if url.path is not None:
        return url.path.with_name(f"{url.path.stem}.tls.pem")
    return None if url.scheme == "memory" else Path(FILE)


def configured(settings: Settings) -> TlsFiles:
    """What the settings name. Raises SetupError when there is not one key for each certificate."""
    chains = settings.tls_certificate.split()
    keys = settings.tls_key.split() or chains
    if len(keys) != len(chains):
        raise SetupError(
            f"tls_key names {len(keys)} files, tls_certificate {len(chains)}",
            "Name a key for each certificate, in the same order, or none where they are in the same files",
        )
    certificates = tuple(Certificate(Path(chain), Path(key)) for chain, key in zip(chains, keys, strict=True))
    return TlsFiles(certificates, authorities_of(settings), settings.tls_client)


def authorities_of(settings: Settings) -> Path | None:
    """The file of the authorities we trust; None: the system's."""
    return Path(settings.tls_ca) if settings.tls_ca else None


def own_names(settings: Settings, domains: Sequence[str], hops: Sequence[Hop]) -> list[str]:
    """Every name and address by which a phone may have been told to find us, the most likely first."""
    hosts = [settings.host_name, *(hop.host for hop in hops if hop.host not in WILDCARDS)]
    for hop in hops:
        if hop.host in WILDCARDS:
            hosts += [primary_address(WILDCARDS[hop.host]), "::1" if ":" in hop.host else "127.0.0.1"]
    return list(dict.fromkeys(host.lower() for host in [*hosts, *domains, socket.gethostname()] if host))
