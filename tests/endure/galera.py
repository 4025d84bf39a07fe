"""Three MariaDB nodes on this machine that replicate by Galera, each a process that can be killed.

Not for CI: it needs the packages galera-4, rsync and socat beside MariaDB, and
half a minute to come up. rsync must run as another user than root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.endure.databases import ROWS, states
from tests.mariadb import PROGRAM, READY, USERS, MariaDb, template
from tests.running import HERE, Child, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.endure.model import State

PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")

OWNER = "mysql"
"""Who runs the nodes, where we are root: as root the transfer of a whole node by rsync fails."""

UP = 60.0
"""Seconds in which a node must be Synced; the first transfer takes 5 to 8."""


class Node(MariaDb):
    """One of them; `number` from 0."""

    def __init__(self, directory: Path, number: int, cluster: Cluster) -> None:
        self._cluster = cluster
        self.group, self.ist, self.sst = free_port(), free_port(), free_port()
        super().__init__(directory / f"node{number}", settings=self._galera(number))

    def _galera(self, number: int) -> Mapping[str, str | int]:
        options = {
            "gmcast.listen_addr": f"tcp://127.0.0.1:{self.group}",
            "ist.recv_addr": f"127.0.0.1:{self.ist}",
            "ist.recv_bind": f"127.0.0.1:{self.ist}",
            "evs.suspect_timeout": "PT3S",  # with one second two nodes of a busy machine lost each other too
            "evs.inactive_timeout": "PT9S",
            "gcache.size": "64M",
        }
        return {
            "binlog_format": "ROW",
            "log_bin_trust_function_creators": 1,  # else only SUPER may make the triggers of the change log
            "innodb_autoinc_lock_mode": 2,
            "wsrep_on": "ON",
            "wsrep_provider": str(PROVIDER),
            "wsrep_node_name": f"node{number}",
            "wsrep_node_address": f"127.0.0.1:{self.group}",
            "wsrep_sst_method": "rsync",
            "wsrep_sst_receive_address": f"127.0.0.1:{self.sst}",
            "wsrep_provider_options": '"' + ";".join(f"{name}={value}" for name, value in options.items()) + '"',
            "wsrep_sync_wait": 0,
        }

    def start(self, *, first: bool = False) -> None:
        """Join the others, and take over what they have; `first`: begin a new cluster with what is here."""
        new = not self._data.exists()
        if new:
            self.directory.mkdir(parents=True)
            shutil.copytree(template(), self._data)
        self.settings["wsrep_cluster_address"] = self._cluster.address
        defaults = self.directory / "my.cnf"
        lines = [*self.settings.items(), ("datadir", self._data.resolve()), ("tmpdir", self._data.resolve())]
        lines.append(("port", self.port))
        if os.getuid() == 0:
            give(self.directory, OWNER)
            lines.append(("user", OWNER))
        defaults.write_text("[mysqld]\n" + "".join(f"{name}={value}\n" for name, value in lines))
        more = ["--wsrep-new-cluster"] if first else []
        self._child = Child([PROGRAM or "", f"--defaults-file={defaults}", *more], name=self.directory.name)
        self._child.wait_for(READY, seconds=UP)
        if new and first:
            self.run(USERS)
        deadline = time.monotonic() + UP
        while self.state != "Synced":
            assert time.monotonic() < deadline, f"{self.state} after {UP} s\n{self._child.output}"
            self._child.pause(0.1)

    @property
    def state(self) -> str:
        """`Synced` when it takes part, else what it does, or why it can't say."""
        try:
            return self.run("SHOW STATUS LIKE 'wsrep_local_state_comment';").split("\t")[-1].strip()
        except AssertionError as error:
            return str(error)


class Cluster:
    """Three nodes, all of which can be written to."""

    def __init__(self, directory: Path, size: int = 3) -> None:
        missing = [name for name in ("rsync", "socat") if shutil.which(name) is None]
        if missing or not PROVIDER.exists():
            raise FileNotFoundError(f"to be installed first: galera-4 {' '.join(missing)}")
        self.nodes = [Node(directory, number, self) for number in range(size)]
        self._name = ""

    @property
    def address(self) -> str:
        """Where a node finds the others."""
        return "gcomm://" + ",".join(f"{HERE}:{node.group}" for node in self.nodes)

    def start(self) -> None:
        """All up, one after the other, with an empty database."""
        for number, node in enumerate(self.nodes):
            node.start(first=number == 0)
        self.renew()

    def renew(self) -> None:
        """Another database, empty as the first was."""
        self._name = self.nodes[0].new_database()

    def run(self, statements: str) -> str:
        """Carry out SQL at the last node, as its root."""
        return self.nodes[-1].run(statements, self._name)

    @property
    def shown(self) -> str:
        """What all nodes are doing, for the message of a failure."""
        return "\n".join(
            f"{node.directory.name}: {node.state}\n{node.run('SHOW FULL PROCESSLIST;')}"
            for node in self.nodes
            if node.running
        )

    def stop(self) -> None:
        """End all, the last one last."""
        for node in self.nodes:
            node.stop()

    def url(self, first: int = 0) -> str:
        """All nodes in one URL, beginning with that one."""
        nodes = self.nodes[first:] + self.nodes[:first]
        hosts = ",".join(f"{HERE}:{node.port}" for node in nodes)
        return self.nodes[0].url(self._name).replace(f"{HERE}:{self.nodes[0].port}", hosts)

    def contacts(self, number: int = -1) -> dict[str, State]:
        """What that node has, when all that was committed before has come to it."""
        rows = self.nodes[number].run(f"SET SESSION wsrep_sync_wait = 1; {ROWS};", self._name).splitlines()
        return states((aor, uri, params) for aor, uri, params in (row.split("\t") for row in rows))


def give(directory: Path, owner: str) -> None:
    """Let that user have all of it, and pass through what is above."""
    who = pwd.getpwnam(owner)
    for place in (directory, *directory.rglob("*")):
        os.chown(place, who.pw_uid, who.pw_gid, follow_symlinks=False)
