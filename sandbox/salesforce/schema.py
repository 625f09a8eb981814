"""Object metadata: fields and objects, and how `standard.py` writes them down, one field a line.

A line is ``Name type flag flag… "Label"``. Types are the vendor's (``string(80)``, ``currency(16,2)``, ``picklist(A;B)``,
``reference(Contact|Lead)``, …) and the groups ``address`` and ``location``, which expand to their components.
Flags: ``required unique extid name ro create calc auto nofilter html restricted rel=Owner of=Name default=x case``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

TEXT_TYPES = frozenset(
    {"string", "textarea", "email", "phone", "url", "picklist", "multipicklist", "combobox", "encryptedstring"}
)
NUMBER_TYPES = frozenset({"int", "double", "currency", "percent"})
COMPOUND_TYPES = frozenset({"address", "location"})
_LENGTHS = {"id": 18, "reference": 18, "email": 80, "phone": 40, "url": 255, "picklist": 255, "multipicklist": 4099}
_LENGTHS["combobox"] = 255


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``length`` in characters; ``of`` names the compound field that this one is a part of."""

    name: str
    type: str
    label: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    required: bool = False
    unique: bool = False
    external_id: bool = False
    case_sensitive: bool = False
    name_field: bool = False
    createable: bool = True
    updateable: bool = True
    calculated: bool = False
    auto_number: bool = False
    filterable: bool = True
    html: bool = False
    restricted: bool = False
    options: tuple[str, ...] = ()
    refers_to: tuple[str, ...] = ()
    relationship: str | None = None
    of: str | None = None
    default: str | None = None

    @property
    def custom(self) -> bool:
        return self.name.endswith(("__c", "__s"))

    @property
    def polymorphic(self) -> bool:
        return len(self.refers_to) > 1


@dataclass(slots=True)
class ObjectType:
    """One object: its fields in the order of describe, and what the API lets one do with it."""

    name: str
    label: str
    plural: str
    prefix: str
    fields: dict[str, Field] = field(default_factory=dict)
    createable: bool = True
    updateable: bool = True
    deletable: bool = True
    bulk: bool = True
    _folded: dict[str, Field] = field(default_factory=dict)

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    def copy(self) -> ObjectType:
        return replace(self, fields=dict(self.fields), _folded=dict(self._folded))

    def add(self, item: Field) -> None:
        self.fields[item.name] = item
        self._folded[item.name.lower()] = item

    def remove(self, name: str) -> None:
        del self._folded[name.lower()]
        del self.fields[name]

    def find(self, name: str) -> Field | None:
        """The field of that name; the API does not mind case."""
        return self.fields.get(name) or self._folded.get(name.lower())

    def relation(self, name: str) -> Field | None:
        """The lookup whose parent is reached as ``name.…``."""
        folded = name.lower()
        return next((f for f in self.fields.values() if (f.relationship or "").lower() == folded), None)

    @property
    def name_field(self) -> Field | None:
        return next((f for f in self.fields.values() if f.name_field), None)

    def parts(self, compound: str) -> list[Field]:
        return [f for f in self.fields.values() if f.of == compound]


SYSTEM = """
CreatedDate datetime ro required "Created Date"
CreatedById reference(User) ro required rel=CreatedBy "Created By ID"
LastModifiedDate datetime ro required "Last Modified Date"
LastModifiedById reference(User) ro required rel=LastModifiedBy "Last Modified By ID"
SystemModstamp datetime ro required "System Modstamp"
"""
_HEAD = re.compile(r"^(\w+)(?:\((.*)\))?$")


def parse_object(header: str, lines: str) -> ObjectType:
    """An object of a header (``Account 001 "Account" "Accounts" flags…``) and its field lines."""
    name, prefix, label, plural, *flags = shlex.split(header)
    result = ObjectType(name, label, plural, prefix)
    result.createable = result.updateable = "ro" not in flags
    result.deletable = "ro" not in flags and "nodelete" not in flags
    result.bulk = "nobulk" not in flags
    result.add(Field("Id", "id", f"{label} ID", length=18, required=True, createable=False, updateable=False))
    if "nodeleted" not in flags:
        result.add(Field("IsDeleted", "boolean", "Deleted", required=True, createable=False, updateable=False))
    for line in lines.strip().splitlines():
        for item in parse_field(line):
            result.add(item)
    for line in SYSTEM.strip().splitlines() if "nosystem" not in flags else ():
        for item in parse_field(line):
            result.add(item)
    return result


def parse_field(line: str) -> Iterator[Field]:
    """The field of one line; compound fields come with their components."""
    name, kind, flags, label = _split(line)
    match = _HEAD.match(kind)
    if match is None:
        raise ValueError(f"field line {line!r}: the type {kind!r} can't be read")
    base, arguments = match.group(1), match.group(2) or ""
    item = _flagged(_typed(Field(name, base, label or label_of(name)), arguments), flags)
    if base in COMPOUND_TYPES:
        yield from (_address if base == "address" else _location)(item)
    else:
        yield item


def _split(line: str) -> tuple[str, str, list[str], str | None]:
    """``Name type(with spaces; allowed) flags "Label"`` in its four parts."""
    line, label = line.strip(), None
    if line.endswith('"'):
        start = line.rindex('"', 0, -1)
        line, label = line[:start].strip(), line[start + 1 : -1]
    name, rest = line.split(None, 1)
    end = rest.index(")") + 1 if "(" in rest.split()[0] else len(rest.split()[0])
    return name, rest[:end], rest[end:].split(), label


def label_of(name: str) -> str:
    """``Billing_State__c`` and ``BillingState`` both read ``Billing State``."""
    plain = re.sub(r"__[cs]$", "", name).replace("_", " ")
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", plain)
    return re.sub(r"\bId$", "ID", plain)


def _typed(item: Field, arguments: str) -> Field:
    kind = item.type
    if kind in {"picklist", "multipicklist", "combobox"}:
        options = tuple(o.strip() for o in arguments.split(";") if o.strip())
        return replace(item, options=options, length=_LENGTHS[kind])
    if kind == "reference":
        return replace(item, refers_to=tuple(arguments.split("|")), length=18)
    if kind in {"currency", "double", "percent"}:
        precision, scale = (int(n) for n in (arguments or "18,2").split(","))
        return replace(item, precision=precision, scale=scale)
    if kind == "textarea":
        length = int(arguments or 255)
        return replace(item, length=length, filterable=length <= 255)
    if kind == "base64":
        return replace(item, filterable=False)
    return replace(item, length=int(arguments) if arguments else _LENGTHS.get(kind, 0))


_FLAGS: dict[str, dict[str, bool]] = {
    "required": {"required": True},
    "unique": {"unique": True},
    "extid": {"external_id": True},
    "case": {"case_sensitive": True},
    "name": {"name_field": True},
    "ro": {"createable": False, "updateable": False},
    "create": {"updateable": False},
    "calc": {"calculated": True, "createable": False, "updateable": False},
    "auto": {"auto_number": True, "createable": False, "updateable": False},
    "nofilter": {"filterable": False},
    "html": {"html": True},
    "restricted": {"restricted": True},
}
_VALUED = {"rel": "relationship", "of": "of", "default": "default"}


def _flagged(item: Field, flags: list[str]) -> Field:
    for flag in flags:
        key, _, value = flag.partition("=")
        changes: dict[str, object] = {_VALUED[key]: value} if value else dict(_FLAGS[flag])
        item = replace(item, **changes)  # type: ignore[arg-type]
    if item.type == "boolean":
        item = replace(item, default=item.default or "false", required=True)
    return item


_ADDRESS_PARTS = (
    ("Street", "textarea", 255),
    ("City", "string", 40),
    ("State", "string", 80),
    ("PostalCode", "string", 20),
)


def _address(item: Field) -> Iterator[Field]:
    """``BillingAddress`` and its components, which alone can be written."""
    stem = item.name.removesuffix("Address")
    for part, kind, length in _ADDRESS_PARTS:
        yield Field(stem + part, kind, label_of(stem + part), length=length, of=item.name)
    yield Field(stem + "Country", "string", label_of(stem + "Country"), length=80, of=item.name)
    for part in ("Latitude", "Longitude"):
        yield Field(stem + part, "double", label_of(stem + part), precision=18, scale=15, of=item.name)
    accuracy = ("Address", "NearAddress", "Block", "Street", "Zip", "City", "County", "State", "Unknown")
    name = stem + "GeocodeAccuracy"
    yield Field(name, "picklist", label_of(name), length=40, options=accuracy, restricted=True, of=item.name)
    yield replace(item, createable=False, updateable=False)


def _location(item: Field) -> Iterator[Field]:
    """``Location__c`` and its two coordinates ``Location__Latitude__s``, ``Location__Longitude__s``."""
    stem = item.name.removesuffix("c")
    for part in ("Latitude", "Longitude"):
        label = f"{item.label} ({part})"
        yield Field(f"{stem}{part}__s", "double", label, precision=18, scale=15, of=item.name)
    yield replace(item, createable=False, updateable=False)


def person_name() -> Iterator[Field]:
    """The parts of a person's name, and the whole that the vendor builds of them."""
    salutations = ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.", "Mx.")
    yield Field("LastName", "string", "Last Name", length=80, required=True, of="Name")
    yield Field("FirstName", "string", "First Name", length=40, of="Name")
    yield Field("Salutation", "picklist", "Salutation", length=40, options=salutations, of="Name")
    yield Field(
        "Name", "string", "Full Name", length=121, name_field=True, required=True, createable=False, updateable=False
    )
