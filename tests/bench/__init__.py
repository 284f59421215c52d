"""The proof of speed: `python3 tests/bench` prints one table, each row against raw sqlite3 doing the same work."""
