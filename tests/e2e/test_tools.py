"""What administrators do with the tools holds for phones at once, while the server runs, on both databases."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from tests import wire
from tests.running import HERE, REPOSITORY, free_port, start_sipd
from tests.tools.kamailio_house import make_file


class House:
    """A server on a database, and the tools for it."""

    def __init__(self, database: str, directory) -> None:
        self.database = database
        self.directory = directory
        self.port = free_port()
        self("sipdctl", "db", "init", HERE)
        self.sipd = start_sipd(database, f"udp:{HERE}:{self.port}", f"tcp:{HERE}:{self.port}", cwd=directory)

    def __call__(self, tool: str, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", f"sipd.tools.{tool}", "-D", self.database, *words],
            cwd=self.directory, env={"PYTHONPATH": str(REPOSITORY)}, input=stdin, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def registers(self, user: str, password: str) -> None:
        """He logs in soon after what was done."""
        deadline = time.monotonic() + 5.0
        while True:
            try:
                return wire.register(self.port, user, 5060, password=password)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise

    def rings(self, user: str, phone: socket.socket) -> str:
        """The request line that the phone gets when somebody asks for this address."""
        deadline = time.monotonic() + 5.0
        phone.settimeout(0.2)
        with wire.Asker(self.port) as asker:
            while True:
                asker.ask(wire.request("OPTIONS", f"sip:{user}@{HERE}", asker.port, user="alice"), seconds=0.1)
                try:
                    return phone.recv(65535).decode().partition("\r\n")[0]
                except TimeoutError:
                    assert time.monotonic() < deadline, self.sipd.output


@pytest.fixture(params=["sqlite", "mariadb"])
def house(request, tmp_path):
    if request.param == "sqlite":
        database = f"sqlite:{tmp_path}/sip.sqlite3"
    else:
        server = request.getfixturevalue("mariadb")
        database = server.url(server.new_database())
    made = House(database, tmp_path)
    yield made
    made.sipd.stop()


def test_who_is_added_by_any_of_the_tools_logs_in(house):
    house("addsipuser", "-p", "-", "-r", "the realm", f"alice@{HERE}", stdin="correct-horse\n")
    house.registers("alice", "correct-horse")
    house("sippasswd", "-p", "-", f"alice@{HERE}", stdin="battery-staple\n")
    house.registers("alice", "battery-staple")
    md5 = wire.ha1("carol", HERE, "carols-word")
    house(
        "sipdctl",
        "user",
        "import",
        "-",
        stdin=f"address,password,ha1_md5\nbob@{HERE},bobs-word,\ncarol@{HERE},,{md5}\n",
    )
    house.registers("bob", "bobs-word")
    house.registers("carol", "carols-word")
    md5 = wire.ha1("dave", HERE, "daves-word")
    make_file(
        house.directory / "k.sqlite",
        f"INSERT INTO subscriber (username, domain, ha1) VALUES ('dave', '{HERE}', '{md5}');",
    )
    house("sipdctl", "db", "import-kamailio", "sqlite:k.sqlite")
    house.registers("dave", "daves-word")


def test_a_contact_by_hand_rings_and_so_does_an_alias(house):
    house("sipdctl", "user", "add", f"alice@{HERE}", "level=never")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((HERE, 0))
        contact = f"sip:desk@{HERE}:{phone.getsockname()[1]}"
        house("sipdctl", "ul", "add", f"alice@{HERE}", contact)
        house("sipdctl", "alias", "add", f"team@{HERE}", f"alice@{HERE}")
        for user in ("alice", "team"):
            assert house.rings(user, phone) == f"OPTIONS {contact} SIP/2.0"
