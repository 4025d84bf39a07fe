"""The contract of a store on Galera, by hand: the tests' MariaDB is then three nodes, all named in its URL.

`python -m pytest -p tests.endure.on_galera tests/store/test_contract.py -k mariadb`
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import tests.mariadb
from tests.endure.galera import Cluster, Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    import trustme


class Whole(Node):
    """The first node, with the others behind it."""

    def __init__(
        self, directory: Path, *, settings: Mapping[str, str | int] | None = None, tls: trustme.CA | None = None
    ) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="galera-"))  # where another user than root may go
        self._place.chmod(0o711)
        self._others = Cluster(self._place)
        super().__init__(self._place, 0, self._others)
        self._others.nodes[0] = self

    def start(self, *, first: bool = True) -> None:
        super().start(first=first)
        for node in self._others.nodes[1:]:
            node.start()

    def stop(self) -> None:
        for node in self._others.nodes[1:]:
            node.stop()
        super().stop()
        shutil.rmtree(self._place)

    def url(self, database: str, *, user: str = tests.mariadb.USER, password: str = tests.mariadb.PASSWORD) -> str:
        one = super().url(database, user=user, password=password)
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self._others.nodes)
        return one.replace(f"127.0.0.1:{self.port}", hosts)


tests.mariadb.MariaDb = Whole  # type: ignore[misc]  # before anybody else has taken it from there
