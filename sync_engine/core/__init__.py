"""Pure decisions of the engine: no I/O, nothing but the domain."""
