"""A server to attack, over real sockets: one for a whole file, so what one attack broke the next one shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.attack.foe import Foe
from tests.e2e.house import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As it comes: digest, nobody trusted."""
    house = Server(tmp_path_factory.mktemp("attacked"))
    house.prepare()
    house.start()
    yield house
    house.stop()


@pytest.fixture
def foe(server: Server) -> Iterator[Foe]:
    """Somebody who means no good; afterwards the server must answer others as before."""
    with Foe(server.port) as made:
        yield made
        made.others_are_served()
