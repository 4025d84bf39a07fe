"""Data the tests read, and the programs that made it."""
