"""Text that is safe to print."""

from __future__ import annotations


def clean(text: str) -> str:
    """The text with its controls made visible: what phones say must not steer the terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
