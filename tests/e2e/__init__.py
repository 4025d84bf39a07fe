"""sipd as it is run, with real phones over real sockets."""
