"""Tests of sipd.message."""
