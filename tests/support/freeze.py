"""Writes the DDL of `storage.tables` to standard output: the start of a frozen SQL file of a revision.

    python -m tests.support.freeze > storage/revisions/versions/0001_initial.sql    (only before the first release)

Afterwards a change of the tables gets a revision of its own; `tests/storage/test_schema.py` says when one is missing.
"""

from __future__ import annotations

import sys
from itertools import chain, groupby
from typing import Any

from sqlalchemy import create_mock_engine
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from storage.partitions import PARTITIONED
from storage.tables import association, entity_tables, metadata

_TOUCH = """
-- An update of a record counts its version and, before the first one, writes out what its links agreed on (link.base NULL
-- means: as the record itself says). A load that does both itself sets app.loading = 'on' in its transaction.
CREATE FUNCTION syncline_touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF current_setting('app.loading', true) = 'on' OR NEW IS NOT DISTINCT FROM OLD THEN
        RETURN NEW;
    END IF;
    UPDATE link
       SET base = to_jsonb(OLD) - '{tenant_id,id,created_at,updated_at,version}'::text[]
     WHERE tenant_id = OLD.tenant_id AND entity_id = OLD.id AND entity = TG_ARGV[0] AND base IS NULL;
    NEW.version := OLD.version + 1;
    NEW.updated_at := now();
    RETURN NEW;
END
$body$;
"""


_ANALYZE = """
-- The application may not own tables, so it may not ANALYZE them (before PostgreSQL 17 nobody else may). After a bulk load it must:
-- without statistics the planner takes a million new rows for a handful and joins them one by one.
CREATE FUNCTION syncline_analyze(target text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET default_statistics_target = 25 AS $body$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relname = target AND n.nspname = 'public' AND c.relkind IN ('r', 'p')
                     AND c.relname <> 'alembic_version') THEN
        RAISE EXCEPTION 'no such table: %', target USING ERRCODE = '42P01';
    END IF;
    EXECUTE format('ANALYZE public.%I', target);
END
$body$;
REVOKE ALL ON FUNCTION syncline_analyze(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION syncline_analyze(text) TO syncline_app;
"""

_DELETE_WAITS = """
-- A bulk load creates records without a foreign key's look-up and lock for each reference (storage.loading): it holds this lock
-- instead, shared with other loads, and a delete waits for it. So no record goes while another that refers to it is on its way in.
CREATE FUNCTION syncline_delete_waits() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(current_setting('app.tenant_id', true), 0));
    RETURN NULL;
END
$body$;
"""

_TENANTS = """
-- Which tenants there are: the one thing that a scheduler has to know across tenants. Ids only; names stay behind row security.
-- Those that are closed are told only to who asks for them.
-- The owner is bound by it, too, but for a policy that lets it list this table (see storage.tenancy).
CREATE FUNCTION syncline_tenants(closed boolean DEFAULT false) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $body$ SELECT tenant_id FROM public.tenant WHERE closed OR closed_at IS NULL ORDER BY tenant_id $body$;
REVOKE ALL ON FUNCTION syncline_tenants(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION syncline_tenants(boolean) TO syncline_app;
"""


def ddl() -> str:
    """Every statement that creates the schema, triggers and default partitions included."""
    statements: list[str] = []
    dialect: Any = PGDialect_psycopg()  # type: ignore[no-untyped-call]

    def collect(statement: Any, *_: Any, **__: Any) -> None:
        statements.append(str(statement.compile(dialect=dialect)).strip())

    # Indexes of a table come in no set order: sort them, so that two runs write the same file.
    metadata.create_all(create_mock_engine("postgresql+psycopg://", collect), checkfirst=False)
    ordered = (
        sorted(group) if indexes else list(group)
        for indexes, group in groupby(
            statements, lambda s: s.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX", "ALTER"))
        )
    )
    statements = list(chain.from_iterable(ordered))
    lines = [statement.replace("\t", "    ").replace(" \n", "\n") + ";" for statement in statements]
    lines += [f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT;" for table in PARTITIONED]
    lines.append("-- Content is compressed already or random: do not try again.")
    lines.append("ALTER TABLE blob_part ALTER COLUMN content SET STORAGE EXTERNAL;")
    lines.append(_TOUCH.strip())
    lines.append(_ANALYZE.strip())
    lines.append(_DELETE_WAITS.strip())
    lines.append(_TENANTS.strip())
    for entity, table in {**entity_tables, "association": association}.items():
        lines.append(
            f"CREATE TRIGGER syncline_touch BEFORE UPDATE ON {table.name}\n"
            f"    FOR EACH ROW EXECUTE FUNCTION syncline_touch('{entity}');"
        )
    for table in entity_tables.values():
        lines.append(
            f"CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON {table.name}\n"
            "    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();"
        )
    return "\n\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(ddl())
