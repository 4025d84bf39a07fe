"""Floor 2: what shall happen to a request. Pure: no clock, no chance, no I/O."""
