from __future__ import annotations

import ssl

import pytest

from sipd.net.tls_words import REASONS, VERIFICATIONS, words_of


def failure(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] of OpenSSL")
    error.reason = reason
    return error


def verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "of OpenSSL")
    error.verify_code, error.verify_message = code, "some reason"
    return error


@pytest.mark.parametrize("reason", REASONS)
def test_a_known_reason_has_words(reason):
    assert words_of(failure(reason)) == REASONS[reason]


def test_an_unknown_reason_is_shown_as_it_is():
    assert words_of(failure("DECRYPTION_FAILED_OR_BAD_RECORD_MAC")) == "decryption failed or bad record mac"


@pytest.mark.parametrize("code", VERIFICATIONS)
def test_a_verification_has_words(code):
    assert words_of(verification(code)) == VERIFICATIONS[code]


def test_an_unknown_verification_is_shown_as_it_is():
    assert words_of(verification(77)) == "its certificate is not good: some reason"
