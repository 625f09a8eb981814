"""What every stand-in vendor shares: a clock, a journal, faults, requests and replies as values, an HTTP face, controls."""
