import pytest

from sipd.store import MemoryStore, SqliteStore, create
from tests.store.rows import USERS


@pytest.fixture(params=["memory", "sqlite"])
async def store(request, tmp_path):
    """A store of each kind with the domain example.com and the users alice and bob."""
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "sip.sqlite3", patience=0.1)
    await create(made, ["example.com"], more=USERS)
    yield made
    await made.close()


@pytest.fixture
async def sqlite(tmp_path):
    """A store in a file, with the same rows."""
    made = SqliteStore(tmp_path / "sip.sqlite3", patience=0.1)
    await create(made, ["example.com"], more=USERS)
    yield made
    await made.close()
