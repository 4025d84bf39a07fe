"""sipd: a SIP registrar, redirect server and forking proxy whose users program their own calls."""

__version__ = "2.0.0.dev0"
