"""Alembic revisions: how the schema came to be. What they created is never edited, only followed by another one."""
