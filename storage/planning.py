"""Decisions of a migration run over a whole staged object, set by set.

A staged record without an action will be created. `plan` writes an action only where something else happens to it, in this
order: *superseded* (listed again later in the same run), *merged* into another staged record or *matched* to a hub record that
nobody linked yet. Records linked before were marked *updated* when staged.
Every step can be repeated: it looks only at records without an action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from domain.entities import ENTITIES, Kind
from storage import bulk
from storage.runs import RunKey
from storage.tables import stage_name, stage_tables, table_name

_RANKS = {
    "oldest": "source_created_at ASC NULLS LAST, seq ASC",
    "newest": "source_updated_at DESC NULLS LAST, seq DESC",
    "most_complete": "num_nonnulls({fields}) DESC, source_created_at ASC NULLS LAST, seq ASC",
}


@dataclass(frozen=True, slots=True)
class Matching:
    """How records of an object are recognised as the same thing; see `migration.plan_model.PlannedObject`."""

    rules: Sequence[tuple[str, ...]]
    survivor: str = "oldest"
    blank_fill: bool = True
    chosen: Mapping[str, UUID] = field(default_factory=dict)
    """Vendor id to the hub record that a person chose for it."""


@dataclass(frozen=True, slots=True)
class StagedObject:
    """One object of one run, as the SQL below needs it."""

    key: RunKey
    connection_id: UUID
    object: str
    entity: str

    @property
    def table(self) -> str:
        return bulk.quoted(stage_name(self.entity))

    @property
    def hub_table(self) -> str:
        return bulk.quoted(table_name(self.entity))

    @property
    def parameters(self) -> dict[str, Any]:
        return {"t": self.key.tenant_id, "r": self.key.run_id, "o": self.object, "c": self.connection_id}

    def run(self, connection: Connection, sql: str, **more: Any) -> Any:
        """Execute ``sql`` with ``{s}`` = staging table and ``{hub}`` = canonical table filled in."""
        return connection.execute(
            text(sql.replace("{s}", self.table).replace("{hub}", self.hub_table)), self.parameters | more
        )


_MINE = "tenant_id = :t AND run_id = :r AND object = :o"


def plan(connection: Connection, staged: StagedObject, matching: Matching, earlier: Sequence[str] = ()) -> None:
    """Decide what happens to every staged record of an object. One transaction of the caller's.

    ``earlier``: objects of the same entity whose new records a dry run takes for hub records, as they will be by then.
    """
    rules = () if staged.entity == "association" else matching.rules
    _expect_many(connection, many=True)
    seen = _look(connection, staged, rules)
    if seen.repeated:
        _supersede(connection, staged)
    if seen.known:
        _recognise_unchanged(connection, staged)
    if staged.entity == "association":
        return
    if matching.chosen:
        _match_chosen(connection, staged, matching.chosen)
    alike = [_find_alike(connection, number) for number in range(len(rules))]
    if any(alike):
        connection.execute(text("ANALYZE plan_alike"))
        for number, rule in enumerate(rules):
            _merge_within(connection, staged, number, rule, matching.survivor)
        if len(rules) > 1:
            _follow_chains(connection, staged)
        if matching.blank_fill:
            _fill_blanks(connection, staged, matching.survivor)
    if _hub_has_records(connection, staged) or earlier:
        _expect_many(connection, many=actions(connection, staged).get("created", 0) > _FEW)
        _match_same_id(connection, staged)
        for rule in matching.rules:
            _match_hub(connection, staged, rule, earlier)
        _follow_targets(connection, staged)


_FEW = 2_000


def _expect_many(connection: Connection, *, many: bool) -> None:
    """Tell PostgreSQL how to join: staging tables have no statistics, and it takes a million rows for a handful.

    Many rows are hashed. A few are looked up in the hub's indexes.
    """
    connection.execute(
        text(
            "SELECT set_config('work_mem', '256MB', true), set_config('jit', 'off', true), "
            "set_config('enable_nestloop', :nested, true)"
        ),
        {"nested": "off" if many else "on"},
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at all staged rows of an object told. ``repeated``: some record is listed twice; ``known``: some was linked."""

    repeated: bool
    known: bool


def _look(connection: Connection, staged: StagedObject, rules: Sequence[tuple[str, ...]]) -> _Seen:
    """Read the wide staged rows once, several processes of PostgreSQL at a time: what is compared is kept as 64-bit hashes.

    They lie in the temporary table ``plan_keys``: little memory for millions of rows. Equal hashes are confirmed by the values.
    """
    hashes = "".join(
        f", CASE WHEN {_present(rule)} THEN {_key_hash(staged.entity, rule)} END AS k{number}"
        for number, rule in enumerate(rules)
    )
    connection.execute(text("DROP TABLE IF EXISTS pg_temp.plan_keys, pg_temp.plan_alike"))
    staged.run(
        connection,
        f"""
        CREATE TEMP TABLE plan_keys ON COMMIT DROP AS
        SELECT seq, hashtextextended(vendor_id, 0) AS listed, action IS NOT DISTINCT FROM 'updated' AS known{hashes}
        FROM {{s}} WHERE {_MINE}""",
    )
    connection.execute(text("CREATE TEMP TABLE plan_alike (rule int, seq bigint) ON COMMIT DROP"))
    told = connection.execute(
        text("""
        SELECT EXISTS (SELECT FROM plan_keys GROUP BY listed HAVING count(*) > 1) AS repeated,
               EXISTS (SELECT FROM plan_keys WHERE known) AS known""")
    ).one()
    return _Seen(told.repeated, told.known)


def _find_alike(connection: Connection, number: int) -> int:
    """Note in ``plan_alike`` the rows that may agree with another one on a match key; returns how many."""
    return int(
        connection.execute(
            text(f"""
            INSERT INTO plan_alike SELECT {number}, seq FROM plan_keys WHERE k{number} IN (
                SELECT k{number} FROM plan_keys WHERE k{number} IS NOT NULL GROUP BY 1 HAVING count(*) > 1)""")
        ).rowcount
    )


def _supersede(connection: Connection, staged: StagedObject) -> None:
    """Of a record listed several times (shifted pages, overlapping files) the last listing counts."""
    staged.run(
        connection,
        f"""
        WITH twice AS (SELECT vendor_id, max(seq) AS last FROM {{s}} WHERE {_MINE} GROUP BY vendor_id HAVING count(*) > 1)
        UPDATE {{s}} s SET action = 'superseded' FROM twice
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.vendor_id = twice.vendor_id AND s.seq < twice.last
          AND s.action IS DISTINCT FROM 'superseded'""",
    )


def _recognise_unchanged(connection: Connection, staged: StagedObject) -> None:
    """Listings of a repeated record are staged even where they are as known; if the last one is, nothing happens to it."""
    staged.run(
        connection,
        """
        UPDATE {s} s SET action = 'unchanged' FROM link l
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.action = 'updated'
          AND l.tenant_id = :t AND l.connection_id = :c
          AND l.vendor_object = :o AND l.vendor_id = s.vendor_id AND l.fingerprint = s.fingerprint AND l.tombstoned_at IS NULL""",
    )


def key_terms(entity: str, rule: Sequence[str], prefix: str = "") -> list[str]:
    """SQL terms of a match key. Texts compare without regard to case, width and surrounding space.

    Addresses and numbers are normalised by their transforms, and compare as they are so that an index can find them.
    """
    terms = []
    for name in rule:
        column = prefix + bulk.quoted(name)
        textual = ENTITIES[entity].field(name).kind in (Kind.TEXT, Kind.URL)
        terms.append(f"lower(btrim(normalize({column}, NFKC)))" if textual else column)
    return terms


def _key_hash(entity: str, rule: Sequence[str], prefix: str = "") -> str:
    parts = " || chr(31) || ".join(f"{term}::text" for term in key_terms(entity, rule, prefix))
    return f"hashtextextended({parts}, 0)"


def _present(rule: Sequence[str], prefix: str = "") -> str:
    return " AND ".join(f"{prefix}{bulk.quoted(name)} IS NOT NULL" for name in rule)


def _rank(staged: StagedObject, survivor: str) -> str:
    fields = bulk.names([f.name for f in ENTITIES[staged.entity].fields])
    return _RANKS[survivor].format(fields=fields)


def _merge_within(
    connection: Connection, staged: StagedObject, number: int, rule: tuple[str, ...], survivor: str
) -> None:
    """Merge staged records that agree on a match key into the survivor of their group. Only rows of ``plan_alike`` may."""
    terms = ", ".join(key_terms(staged.entity, rule))
    staged.run(
        connection,
        f"""
        WITH ranked AS MATERIALIZED (
            SELECT seq, first_value(seq) OVER (PARTITION BY {terms} ORDER BY {_rank(staged, survivor)}) AS best
            FROM {{s}} WHERE {_MINE} AND action IS NULL AND {_present(rule)}
              AND seq IN (SELECT seq FROM plan_alike WHERE rule = {number}))
        UPDATE {{s}} s SET action = 'merged', survivor_seq = ranked.best, rule = :rule FROM ranked
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.seq = ranked.seq AND ranked.seq <> ranked.best""",
        rule="+".join(rule),
    )


def _follow_chains(connection: Connection, staged: StagedObject) -> None:
    """A survivor of one rule may be merged by the next: lead its losers to the final survivor."""
    while staged.run(
        connection,
        """
        UPDATE {s} s SET survivor_seq = p.survivor_seq FROM {s} p
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.action = 'merged'
          AND p.tenant_id = :t AND p.run_id = :r AND p.object = :o AND p.seq = s.survivor_seq AND p.action = 'merged'
          AND p.survivor_seq IS NOT NULL""",
    ).rowcount:
        pass


def _fill_blanks(connection: Connection, staged: StagedObject, survivor: str) -> None:
    """Give each survivor what it lacks from the records merged into it, best ranked first."""
    columns = [
        c.name
        for c in stage_tables[staged.entity].columns
        if c.name in ENTITIES[staged.entity].all_fields
        and c.name not in ("source_created_at", "source_updated_at", "created_by_id", "updated_by_id")
    ]
    rank = _rank(staged, survivor)
    firsts = ", ".join(_first_filled(staged.entity, c, rank) for c in columns)
    assignments = ", ".join(f"{bulk.quoted(c)} = coalesce(s.{bulk.quoted(c)}, x.{bulk.quoted(c)})" for c in columns)
    taken = ", ".join(
        f"CASE WHEN s.{bulk.quoted(c)} IS NULL AND x.{bulk.quoted(c)} IS NOT NULL THEN '{c}' END" for c in columns
    )
    losers = f"{_MINE} AND action = 'merged' AND survivor_seq IS NOT NULL"
    staged.run(
        connection,
        f"""
        WITH x AS (SELECT survivor_seq, {firsts} FROM {{s}} WHERE {losers} GROUP BY survivor_seq),
        custom AS (
            SELECT survivor_seq, jsonb_object_agg(key, value) AS fields FROM (
                SELECT DISTINCT ON (survivor_seq, key) survivor_seq, key, value
                FROM {{s}}, jsonb_each(custom_fields) WHERE {losers} ORDER BY survivor_seq, key, {rank}) best
            GROUP BY survivor_seq)
        UPDATE {{s}} s SET {assignments}, custom_fields = coalesce(custom.fields, '{{}}') || s.custom_fields,
            filled = array_remove(ARRAY[{taken}], NULL) || ARRAY(
                SELECT 'custom_fields.' || k FROM jsonb_object_keys(coalesce(custom.fields, '{{}}')) k
                WHERE NOT s.custom_fields ? k)
        FROM x LEFT JOIN custom USING (survivor_seq)
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.seq = x.survivor_seq""",
    )


def _first_filled(entity: str, column: str, rank: str) -> str:
    """SQL of the best ranked value of a column. Arrays of different lengths do not aggregate, so they go as text."""
    name = bulk.quoted(column)
    if ENTITIES[entity].field(column).kind is Kind.TEXT_LIST:
        first = f"(array_agg(array_to_string({name}, chr(31)) ORDER BY {rank}) FILTER (WHERE {name} IS NOT NULL))[1]"
        return f"string_to_array({first}, chr(31)) AS {name}"
    return f"(array_agg({name} ORDER BY {rank}) FILTER (WHERE {name} IS NOT NULL))[1] AS {name}"


def _match_chosen(connection: Connection, staged: StagedObject, chosen: Mapping[str, UUID]) -> None:
    """Match what a person matched in the plan, as far as those hub records still exist."""
    staged.run(
        connection,
        """
        UPDATE {s} s SET action = 'matched', target_id = h.id, rule = 'chosen in the plan'
        FROM unnest(CAST(:vendor_ids AS text[]), CAST(:hub_ids AS uuid[])) AS c(vendor_id, hub_id)
        JOIN {hub} h ON h.tenant_id = :t AND h.id = c.hub_id
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.action IS NULL AND s.vendor_id = c.vendor_id""",
        vendor_ids=list(chosen),
        hub_ids=list(chosen.values()),
    )


def _hub_has_records(connection: Connection, staged: StagedObject) -> bool:
    return bool(staged.run(connection, "SELECT EXISTS (SELECT FROM {hub} WHERE tenant_id = :t)").scalar_one())


def _match_same_id(connection: Connection, staged: StagedObject) -> None:
    """The same remote account was migrated through another connection: its records have the ids these would get."""
    staged.run(
        connection,
        """
        UPDATE {s} s SET action = 'matched', target_id = s.id, rule = 'same record' FROM {hub} h
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.action IS NULL AND h.tenant_id = :t AND h.id = s.id""",
    )


def _match_hub(connection: Connection, staged: StagedObject, rule: tuple[str, ...], earlier: Sequence[str]) -> None:
    """Match staged records to the one hub record with the same key.

    *matched*: this connection had not linked it; *merged*: it had, so the source holds a duplicate of a migrated record. Where
    several hub records have the key nobody can tell which is meant: the record is created, with a warning.
    """
    hub_key, stage_key = (
        ", ".join(key_terms(staged.entity, rule, "h.")),
        ", ".join(key_terms(staged.entity, rule, "s.")),
    )
    columns = bulk.names(["tenant_id", "id", *rule])
    standing = "{hub}"
    if earlier:
        standing = f"""(SELECT {columns} FROM {{hub}} UNION ALL SELECT {columns} FROM {{s}} WHERE tenant_id = :t AND run_id = :r
            AND object = ANY(CAST(:earlier AS text[])) AND action IS NULL)"""
    staged.run(
        connection,
        f"""
        WITH found AS (
            SELECT s.seq, (array_agg(h.id))[1] AS id, count(*) AS n FROM {{s}} s JOIN {standing} h
              ON h.tenant_id = :t AND ({hub_key}) = ({stage_key}) AND {_present(rule, "h.")}
            WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.action IS NULL AND {_present(rule, "s.")}
            GROUP BY s.seq),
        judged AS (
            SELECT seq, id, n, EXISTS (SELECT FROM link l WHERE l.tenant_id = :t AND l.entity_id = found.id
                AND l.connection_id = :c AND l.vendor_object = :o) AS linked FROM found)
        UPDATE {{s}} s SET
            action = CASE WHEN n > 1 THEN NULL WHEN linked THEN 'merged' ELSE 'matched' END,
            target_id = CASE WHEN n = 1 THEN judged.id END, rule = :rule,
            warnings = CASE WHEN n = 1 THEN s.warnings ELSE coalesce(s.warnings, '[]') || jsonb_build_array(jsonb_build_object(
                'code', 'ambiguous_match', 'message', 'Several hub records have the same ' || :rule || '; created apart.')) END
        FROM judged WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.seq = judged.seq""",
        rule="+".join(rule),
        **({"earlier": list(earlier)} if earlier else {}),
    )


def _follow_targets(connection: Connection, staged: StagedObject) -> None:
    """Losers of a survivor that turned out to be a hub record belong to that record, too."""
    staged.run(
        connection,
        """
        UPDATE {s} s SET target_id = p.target_id FROM {s} p
        WHERE s.tenant_id = :t AND s.run_id = :r AND s.object = :o AND s.action = 'merged' AND s.survivor_seq IS NOT NULL
          AND p.tenant_id = :t AND p.run_id = :r AND p.object = :o AND p.seq = s.survivor_seq AND p.target_id IS NOT NULL""",
    )


def actions(connection: Connection, staged: StagedObject) -> dict[str, int]:
    """How many staged records end in each action; records without one count as ``created``."""
    rows = staged.run(
        connection, f"SELECT coalesce(action, 'created') AS action, count(*) AS n FROM {{s}} WHERE {_MINE} GROUP BY 1"
    )
    return {row.action: row.n for row in rows}
