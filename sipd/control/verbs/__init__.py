"""VERBS: everything an administrator can ask for, one file per noun."""

from typing import Final

from sipd.control.verbs import alias, db, domain, kamailio, peer, script, script_history, server, ul, user, user_import
from sipd.control.verbs.base import STAGE, Arguments, Content, Parameter, Plain, Refusal, Stage, Value, Verb, When

VERBS: Final[tuple[Verb, ...]] = (
    *db.VERBS,
    *kamailio.VERBS,
    *domain.VERBS,
    *user.VERBS,
    *user_import.VERBS,
    *alias.VERBS,
    *ul.VERBS,
    *peer.VERBS,
    *script.VERBS,
    *script_history.VERBS,
    *server.VERBS,
)

NOUNS: Final = {
    "db": "the database itself",
    "domain": "local domains",
    "user": "users",
    "alias": "addresses that lead to users, and groups",
    "ul": "user location: who is registered where",
    "peer": "trusted servers: gateways, PBXs, other proxies",
    "script": "users' CPL scripts",
    "server": "the server configuration",
}

__all__ = [
    "NOUNS",
    "STAGE",
    "VERBS",
    "Arguments",
    "Content",
    "Parameter",
    "Plain",
    "Refusal",
    "Stage",
    "Value",
    "Verb",
    "When",
]
