"""What verbs give as JSON: the names in their objects, which stay as they are when others are added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipd.rows import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping


class Shape(NamedTuple):
    """An object with these names, or a list of such objects; `sometimes`: names that may be missing."""

    names: str
    many: bool = False
    sometimes: str = ""


CONTACT: Final = "user contact q expires permanent"
SETTINGS: Final = " ".join(Settings._fields)

SHAPES: Final[Mapping[str, Shape]] = {
    "db init": Shape("database domains"),
    "db upgrade": Shape("database from to upgrade"),
    "db check": Shape("database sound schema users contacts aliases scripts domains servers"),
    "db import-kamailio": Shape("from stored tables skipped notes"),
    "domain add": Shape("domain canonical"),
    "domain list": Shape("domain canonical users", many=True),
    "domain rm": Shape("removed"),
    "user add": Shape("user realm", sometimes="password"),
    "user list": Shape("user realm level role contacts script name", many=True),
    "user show": Shape("user realm level role gateway_class full_name algorithms aliases delegates contacts scripts"),
    "user passwd": Shape("user realm", sometimes="password"),
    "user set": Shape("user level role gateway_class full_name"),
    "user rm": Shape("removed"),
    "user allow": Shape("user delegate"),
    "user deny": Shape("user delegate"),
    "user import": Shape("added updated skipped aliases stored warnings"),
    "user export": Shape("users", sometimes="csv"),
    "alias add": Shape("alias users"),
    "alias list": Shape("alias users", many=True),
    "alias rm": Shape("alias users"),
    "ul show": Shape(f"{CONTACT} received agent", many=True),
    "ul list": Shape(f"{CONTACT} received agent", many=True),
    "ul add": Shape(CONTACT),
    "ul rm": Shape("user removed"),
    "peer add": Shape("peer match gateway_class"),
    "peer list": Shape("peer match gateway_class", many=True),
    "peer rm": Shape("removed"),
    "script put": Shape("user version stored warnings", sometimes="enabled"),
    "script get": Shape("user version modified modified_by media_type enabled script"),
    "script show": Shape(
        "user version modified modified_by bytes sound errors warnings versions_kept", sometimes="enabled what"
    ),
    "script list": Shape("user version modified by enabled sound bytes", many=True),
    "script rm": Shape("removed"),
    "script enable": Shape("user version enabled"),
    "script disable": Shape("user version enabled"),
    "script log": Shape("at name comment", many=True),
    "script history": Shape("version when by what bytes", many=True),
    "script diff": Shape("user from to diff"),
    "script rollback": Shape("user version as_it_was_in warnings"),
    "server show": Shape(SETTINGS),
    "server set": Shape("server", sometimes=SETTINGS),
}
"""Noun and verb -> its shape."""
