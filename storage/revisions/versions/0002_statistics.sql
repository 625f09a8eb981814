-- The application may not own tables, so it may not ANALYZE them (before PostgreSQL 17 nobody else may). After a bulk load it must:
-- without statistics the planner takes a million new rows for a handful and joins them one by one.
CREATE FUNCTION syncline_analyze(target text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET default_statistics_target = 25 AS $body$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relname = target AND n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname <> 'alembic_version') THEN
        RAISE EXCEPTION 'no such table: %', target USING ERRCODE = '42P01';
    END IF;
    EXECUTE format('ANALYZE public.%I', target);
END
$body$;
REVOKE ALL ON FUNCTION syncline_analyze(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION syncline_analyze(text) TO syncline_app;
