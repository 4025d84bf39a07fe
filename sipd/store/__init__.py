"""Floor 3: the database. Rows, changes of them, and the tables in memory that decisions read."""

from sipd.store.backends import BACKENDS, open_store
from sipd.store.base import WHOLE, Conflict, Key, Refused, Snapshot, Store
from sipd.store.cache import Cache, choose, domain_key
from sipd.store.first_start import create, first_start
from sipd.store.locate import VARIABLE, locate, server_root
from sipd.store.memory import MemoryStore
from sipd.store.secrets import random_password, user_row, with_password
from sipd.store.sqlite import SqliteStore
from sipd.store.url import DatabaseUrl, hidden, parse_url
from sipd.store.writer import Writer

__all__ = [
    "BACKENDS",
    "VARIABLE",
    "WHOLE",
    "Cache",
    "Conflict",
    "DatabaseUrl",
    "Key",
    "MemoryStore",
    "Refused",
    "Snapshot",
    "SqliteStore",
    "Store",
    "Writer",
    "choose",
    "create",
    "domain_key",
    "first_start",
    "hidden",
    "locate",
    "open_store",
    "parse_url",
    "random_password",
    "server_root",
    "user_row",
    "with_password",
]
