"""Settings written as text: what no server could use is refused with what it may be."""

from __future__ import annotations

import pytest

from sipd.errors import SetupError
from sipd.store.options import settings_from_texts


@pytest.mark.parametrize("value", ["sip:a.example;lr", "<sip:a.example>", "<tel:+1;lr>", "<sip:a.example;lr>, b", "x"])
def test_a_service_route_without_lr_is_refused(value):
    """RFC 3608 §5: it is what every phone puts into Route."""
    with pytest.raises(SetupError, match="service_route can't be"):
        settings_from_texts([f"service_route={value}"])


@pytest.mark.parametrize("value", ["", "<sip:a.example;lr>", "<sip:a.example;lr>, <sips:b.example:5071;lr>"])
def test_a_service_route_is_as_in_route(value):
    assert settings_from_texts([f"service_route={value}"]) == {"service_route": value}


@pytest.mark.parametrize("value", ["bad domain", "a..b", ".", "e164.arpa/x", "x" * 64, "a." * 100 + "b"])
def test_enum_is_a_domain(value):
    with pytest.raises(SetupError, match="enum can't be"):
        settings_from_texts([f"enum={value}"])


@pytest.mark.parametrize("value", ["", "e164.arpa", "e164.arpa.", "_enum.Example-1.com"])
def test_enum_is_a_domain_or_nothing(value):
    assert settings_from_texts([f"enum={value}"]) == {"enum": value}
