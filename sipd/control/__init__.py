"""Floor 5: what administrators can ask of the database and of a running server."""
