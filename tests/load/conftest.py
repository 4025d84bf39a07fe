"""A server that asks for no passwords and lets anybody have any number of connections, for a whole file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.house import Server
from tests.load.load import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """As big as it gets; what breaks it in one test shows in the next."""
    house = Server(
        tmp_path_factory.mktemp("loaded"), auth="none", max_connections="15000", max_connections_per_source="15000"
    )
    house.prepare()
    house.start()
    yield house
    house.stop()


@pytest.fixture
def honest(server: Server) -> Iterator[Pair]:
    """A caller and a phone that has registered; at the end a call must go through."""
    with Pair(server.port) as pair:
        pair.register()
        pair.calls(20)  # whatever is done once is done
        yield pair
        failed = pair.failed
        pair.calls(5)
        assert pair.failed == failed, "the server serves nobody any more"
