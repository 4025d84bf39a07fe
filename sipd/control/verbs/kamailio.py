"""`sipdctl db import-kamailio`: the users of a Kamailio, with all they have, in one transaction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import trio

from sipd.control.verbs.base import Arguments, Parameter, Plain, Refusal, Verb
from sipd.control.verbs.kamailio_rows import House, Wishes
from sipd.control.verbs.kamailio_source import read_tables, source_url
from sipd.control.verbs.names import carry_out, realm_text, still_as_they_were
from sipd.errors import SetupError

if TYPE_CHECKING:
    from sipd.store import Store


async def take(store: Store, arguments: Arguments) -> Plain:
    """Take over what a Kamailio has: all that can be, or nothing."""
    update, skip = arguments.flag("update"), arguments.flag("skip")
    if update and skip:
        raise Refusal("--update and --skip can't both be", "Say which: change users who are there, or leave them alone")
    url = source_url(_url(arguments))
    dpid = arguments.number("dpid", 0, 2**31 - 1)
    realm = arguments.optional("realm")
    wishes = Wishes(
        update,
        skip,
        arguments.flag("convert"),
        "" if realm is None else realm_text(realm),
        arguments.optional("domain") or "",
        dpid,
        arguments.by,
    )
    arguments.progress("reading", 0, 0)
    tables = await read_tables(url)
    house = House(await store.load_all(lambda: None), tables, wishes, time.time())
    if url.password and arguments.exposed("url-file"):
        house.notes.append("others can read the file with the URL, and it holds a password: chmod 600 it")
    house.take(arguments.progress)
    await trio.lowlevel.checkpoint()
    if house.there and not arguments.flag("dry-run"):
        raise Refusal(
            f"{len(house.there)} users are there already, such as {house.there[0]}",
            "--update changes them, --skip leaves them alone with all they have",
        )
    stored = bool(house.changes) and not arguments.flag("dry-run")
    if stored:
        await still_as_they_were(store, house.changes)
        await carry_out(store, house.changes, arguments.progress)
    return {"from": url.shown, "stored": stored, **house.report()}


def _url(arguments: Arguments) -> str:
    """The URL of the Kamailio's database, from the command line or a file."""
    url, file = arguments.optional("url"), arguments.content("url-file")
    if (url is None) == (not file):
        raise Refusal("which database is not said", "Write its URL, or --url-file FILE with the URL in its first line")
    if url is not None:
        return url
    try:
        return file.decode().strip().partition("\n")[0].strip()
    except UnicodeDecodeError:
        raise SetupError("the URL is not UTF-8") from None


VERBS: Final = (
    Verb(
        "db",
        "import-kamailio",
        "take over the users of a Kamailio, with their contacts, scripts, aliases, domains and the dial plan",
        (
            Parameter("url", "its database: mysql://user@host/kamailio or sqlite:///path/file", "optional"),
            Parameter("url-file", "file whose first line is that URL, when it holds a password", "file-option"),
            Parameter("update", "change users, and replace scripts, that are there already", "flag"),
            Parameter("skip", "leave users alone who are there already, with all they have", "flag"),
            Parameter("convert", "write scripts of the drafts as scripts of RFC 3880", "flag"),
            Parameter("realm", "the realm that all its hashes are for; none: each user's domain", "option"),
            Parameter("domain", "the domain of rows that name none", "option"),
            Parameter("dpid", "which dial plan, where it has several", "option"),
            Parameter("dry-run", "look what would be taken, and store nothing", "flag"),
        ),
        take,
        long=True,
    ),
)
