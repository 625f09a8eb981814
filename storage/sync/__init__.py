"""What the two-way engine keeps: lanes, links and their bases, work to push, waits, notices, conflicts, tombstones.

Statements only: plain data in, plain data out, always in the caller's transaction. `sync_engine.postgres` makes a store of them.
"""
