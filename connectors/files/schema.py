"""What a survey found, as the schema that the hub plans and maps with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.files.identity import MADE_ID
from connectors.files.infer import ColumnProbe, Hints, Verdict
from connectors.files.jsontable import JsonTable
from connectors.files.library import FileObject
from connectors.files.recognise import HUBSPOT, KEY_PREFIXES, PLAIN, SALESFORCE, associated
from connectors.files.relations import referred
from connectors.files.survey import Survey
from domain.entities import Kind
from domain.records import FieldSchema, ObjectSchema, Option

_CREATED = ("createddate", "createdate", "created", "createdat", "createdon", "creationdate", "dateadded", "erstelltam")
_MODIFIED = (
    *("systemmodstamp", "lastmodifieddate", "lastmodified", "modified", "modifiedat", "modifiedon"),
    *("updated", "updatedat", "updatedon", "lastupdated", "geändertam"),
)
_NAMES = ("name", "subject", "fullname", "title", "dealname", "ticketname", "companyname", "lastname", "casenumber")
_MULTI = re.compile(r"[^;]+(?:;[^;]+)*\Z")


def object_schema(
    found: FileObject,
    survey: Survey,
    hints: Hints,
    prefixes: Mapping[str, str],
    peers: Mapping[tuple[str, ...], str],
) -> ObjectSchema:
    """``prefixes``: Salesforce key prefix to the object of these files that has it. ``peers``: see `relations.peers`."""
    verdicts = {name: probe.verdict(hints) for name, probe in survey.columns.items()}
    fields = [_field(found, survey, probe, verdicts[name], prefixes, peers) for name, probe in survey.columns.items()]
    if survey.identity.made:
        fields.insert(0, FieldSchema(MADE_ID, label="Made id", vendor_type="made_id", required=True, unique=True))
    dates = {f.name for f in fields if f.kind in (Kind.DATE, Kind.TIMESTAMP)}
    return ObjectSchema(
        found.name,
        tuple(fields),
        label=found.name,
        custom=found.recognised.object.endswith("__c"),
        id_field=MADE_ID if survey.identity.made else survey.identity.column or MADE_ID,
        name_field=_named(survey.columns, _NAMES),
        created_field=_named([n for n in survey.columns if n in dates], _CREATED),
        modified_field=_named([n for n in survey.columns if n in dates], _MODIFIED),
        writable=False,
        attributes=_attributes(found, survey, verdicts),
    )


def unreadable_schema(found: FileObject) -> ObjectSchema:
    attributes = {"dialect": PLAIN, "dialect_object": found.name, "files": [], "problem": found.problem}
    return ObjectSchema(found.name, (), label=found.name, readable=False, writable=False, attributes=attributes)


def own_prefixes(objects: Mapping[str, FileObject]) -> dict[str, str]:
    """Key prefix to object name: the known ones, and those that the files' own ids teach (custom objects)."""
    learned = dict(KEY_PREFIXES)
    for name, found in objects.items():
        if found.recognised.dialect != SALESFORCE or not found.recognised.id_column:
            continue
        for part in found.parts:
            index = part.columns.index(found.recognised.id_column)
            learned.update({str(row[index])[:3]: name for row in part.sample[:1]})
    return learned


def hints_of(survey: Survey, delimiters: Sequence[str], settings: Mapping[str, str]) -> Hints:
    """What undecidable columns follow: a person's setting, else other columns' proven order, else the list separator."""
    semicolons = ";" in delimiters
    proven = [probe.dates.order() for probe in survey.columns.values() if probe.dates.alive and probe.dates.is_date]
    orders = [order for order in proven if order in ("dmy", "mdy")]
    common = max(("dmy", "mdy"), key=orders.count) if orders else ("dmy" if semicolons else "mdy")
    return Hints(decimal_comma=semicolons, date_order=settings.get("date_order") or common)


def _field(
    found: FileObject,
    survey: Survey,
    probe: ColumnProbe,
    verdict: Verdict,
    prefixes: Mapping[str, str],
    peers: Mapping[tuple[str, ...], str],
) -> FieldSchema:
    name, dialect = probe.name, found.recognised.dialect
    is_id = survey.identity.column == name and survey.identity.mode == "column"
    kind, vendor_type, multiple = verdict.kind, verdict.vendor_type, False
    refers: tuple[str, ...] = ()
    told = _tree_targets(found, name) or _targets(dialect, probe, prefixes)
    if is_id:
        kind, vendor_type = Kind.TEXT, "id"
    elif targets := (told or _named_targets(found, name, kind, peers)):
        kind, vendor_type, refers = Kind.REFERENCE, "reference", targets
        multiple = dialect == HUBSPOT and name.endswith("s")
    elif dialect != PLAIN and kind is Kind.TEXT and _is_multiple(probe):
        kind, vendor_type, multiple = Kind.TEXT_LIST, "list:;", True
    return FieldSchema(
        name,
        kind,
        label=name,
        vendor_type=vendor_type,
        custom=name.endswith("__c"),
        required=is_id,
        unique=is_id,
        options=_options(probe, kind, survey.rows),
        multiple=multiple,
        refers_to=refers,
        inferred=bool(refers) and not told,
    )


def _tree_targets(found: FileObject, name: str) -> tuple[str, ...]:
    trees = [part for part in found.parts if isinstance(part, JsonTable)]
    return tuple(sorted({target for tree in trees for target in tree.refers.get(name, ())}))


def _targets(dialect: str, probe: ColumnProbe, prefixes: Mapping[str, str]) -> tuple[str, ...]:
    """The objects whose ids a column holds."""
    if dialect == HUBSPOT:
        target = associated(probe.name)
        return (target,) if target else ()
    if dialect != SALESFORCE or "vendor_id" not in probe.alive or not probe.prefixes or probe.name.lower() == "id":
        return ()
    names = {prefixes.get(prefix, "") for prefix in probe.prefixes}
    return () if "" in names else tuple(sorted(names))


def _named_targets(found: FileObject, name: str, kind: Kind, peers: Mapping[tuple[str, ...], str]) -> tuple[str, ...]:
    """Files without a dialect say by a column's name what it refers to."""
    plain = found.recognised.dialect == PLAIN and kind in (Kind.TEXT, Kind.INTEGER)
    return referred(name, found.name, peers) if plain else ()


def _is_multiple(probe: ColumnProbe) -> bool:
    """A multi-select column: its texts are few values joined by semicolons, and the values recur in other texts."""
    if not probe.options or not any(";" in option for option in probe.options):
        return False
    tokens = [token for option in probe.options for token in option.split(";")]
    return all(map(_MULTI.match, probe.options)) and len(set(tokens)) < len(tokens)


def _options(probe: ColumnProbe, kind: Kind, rows: int) -> tuple[Option, ...]:
    """The distinct values of a column that repeats a few: names of people in a small file are no picklist."""
    if (
        kind not in (Kind.TEXT, Kind.TEXT_LIST)
        or not probe.options
        or 4 * len(probe.options) > probe.filled
        or not rows
    ):
        return ()
    values = {t for o in probe.options for t in o.split(";")} if kind is Kind.TEXT_LIST else probe.options
    return tuple(Option(value, value) for value in sorted(values))


def _named(columns: Sequence[str] | Mapping[str, Any], wanted: Sequence[str]) -> str | None:
    plain = {re.sub(r"[\W_]", "", name.lower()): name for name in reversed(list(columns))}
    return next((plain[name] for name in wanted if name in plain), None)


def _attributes(found: FileObject, survey: Survey, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    warnings = [w for part in found.parts for w in part.notes.get("warnings", ())]
    warnings += [f"Column “{name}”: {verdict.doubt}." for name, verdict in verdicts.items() if verdict.doubt]
    about_ids = (survey.identity.explained(), survey.repeats.explained()) if survey.records else ("It has no rows.",)
    warnings += filter(None, about_ids)
    return {
        "dialect": found.recognised.dialect,
        "dialect_object": found.recognised.object,
        "files": [part.label for part in found.parts],
        "count": survey.records,
        "rejected": survey.rejected,
        "deleted": survey.deleted,
        "blank_rows": survey.blank,
        "fill": {name: probe.filled for name, probe in survey.columns.items()},
        "identity": survey.identity.mode,
        "read_as": {part.label: {k: v for k, v in part.notes.items() if k != "warnings"} for part in found.parts},
        "warnings": warnings,
    }
