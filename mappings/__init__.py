"""Mappings as lenses: TOML specs, compiled to pure functions that work both ways. Sees only `domain` (and pydantic)."""
