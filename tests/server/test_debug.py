"""What `-d net` shows: whole messages, and nothing that proves who somebody is (T123)."""

from __future__ import annotations

import pytest

from sipd.hop import Hop
from sipd.server.debug import tap_to


class Flow:
    remote = Hop("UDP", "192.0.2.1", 5060)


def shown(data: bytes) -> str:
    said: list[str] = []
    tap_to(said.append)("in", Flow(), data)  # type: ignore[arg-type]  # it asks for `remote` only
    (text,) = said
    return text


@pytest.mark.parametrize("name", ["Authorization", "Proxy-Authorization", "proxy-authorization "])
@pytest.mark.parametrize(
    "value",
    ["Basic c2VjcmV0OnNlY3JldA==", "\r\n Basic c2VjcmV0", "Digest\r\n\tresponse=c2VjcmV0,\r\n  cnonce=c2VjcmV0"],
)
def test_credentials_are_cut_out_however_they_are_written(name, value):
    text = shown(f"REGISTER sip:a SIP/2.0\r\n{name}: {value}\r\nCall-ID: 1\r\n folded\r\n\r\nbody".encode())
    assert "c2VjcmV0" not in text
    assert f"{name}: ***\nCall-ID: 1\n folded\n\nbody" in text
