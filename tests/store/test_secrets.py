"""Passwords: enough chance in the random ones, hashes only in the rows."""

import hashlib
import math

from sipd.rows import User
from sipd.store import MemoryStore, first_start, random_password, user_row, with_password
from sipd.store.secrets import LETTERS


def test_a_random_password_has_64_bits_and_no_look_alikes():
    passwords = {random_password() for _ in range(200)}
    assert len(passwords) == 200
    assert len(set(LETTERS)) == len(LETTERS) == 32
    for password in passwords:
        letters = password.replace("-", "")
        assert len(letters) * math.log2(len(LETTERS)) >= 64
        assert not set(letters) & set("l1o0IO")


def test_the_six_hashes_of_a_user():
    row = user_row("Jörg@example.com", "realm", "päss")
    md5 = [hashlib.md5(f"{name}:realm:päss".encode()).hexdigest() for name in ("Jörg", "Jörg@example.com")]
    sha = [hashlib.sha256(f"{name}:realm:päss".encode()).hexdigest() for name in ("Jörg", "Jörg@example.com")]
    long = [
        hashlib.new("sha512_256", f"{name}:realm:päss".encode()).hexdigest() for name in ("Jörg", "Jörg@example.com")
    ]
    made = User("Jörg@example.com", "realm", md5[0], md5[1], sha[0], sha[1])
    assert row == made._replace(ha1_sha512_256=long[0], ha1_sha512_256_full=long[1])
    assert "päss" not in repr(row)


def test_the_hash_of_rfc_2617():
    """Its example in section 3.5: user Mufasa."""
    row = user_row("Mufasa@host", "testrealm@host.com", "Circle Of Life")
    assert row.ha1_md5 == "939e7578ed9e3c518a452acee763bce9"


def test_a_new_password_changes_nothing_else():
    old = user_row("a@example.com", "realm", "first")._replace(level="never", full_name="A")
    new = with_password(old, "second")
    assert new == user_row("a@example.com", "realm", "second")._replace(level="never", full_name="A")


async def test_the_first_start_makes_two_users_of_the_first_host():
    store = MemoryStore()
    made = await first_start(store, ["SIP.Example.com.", "192.0.2.1", "192.0.2.1"])
    found = await store.load_all()
    assert [aor for aor, _ in made] == ["alice@sip.example.com", "bob@sip.example.com"]
    assert found.users == [user_row(aor, "sip.example.com", password) for aor, password in made]
    assert dict(found.domains) == {"sip.example.com": "sip.example.com", "192.0.2.1": "sip.example.com"}
    assert len(found.settings) == 1
    assert len(set(found.secret_key)) > 8
