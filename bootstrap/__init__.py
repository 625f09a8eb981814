"""Settings and wiring: the only place where real objects are built."""
