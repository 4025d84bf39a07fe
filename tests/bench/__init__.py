"""Benchmarks: reports, never tests. Run `python -m tests.bench --help`."""
