"""Mappings as lenses: TOML specs that say, one line a field, how a vendor's object and a canonical entity meet.

`spec` reads and checks the TOML, `compile` turns it into a `Lens` that maps whole columns, `transforms` holds the named
pure functions, `propose` writes a first spec for an object nobody has mapped yet. Nothing here does I/O.
"""
