"""The reference page of mappings, written from the code so that it cannot lag behind it."""

from __future__ import annotations

from domain.entities import ENTITIES, Kind
from mappings.model import ASSOCIATION, fields_of
from mappings.spec import shipped
from mappings.transforms import DEFAULTS, REGISTRY
from mappings.transforms.base import Option, Transform

_INTRO = """# Mappings

A mapping says how one object of a vendor and one canonical entity meet: one line a field, both directions. It is TOML, with
transforms by name and without expressions. This page is generated from the code by `python -m mappings.reference`.

```toml
[spec]
vendor = "salesforce"       # whose object it is
object = "Contact"
entity = "contact"          # a canonical entity, or "association" for junction objects
id = "Id"                   # the vendor's id field; id_via = "salesforce_reference" completes 15-character ids
version = "SystemModstamp"  # the field that changes with every change

[fields]                    # [association] for junction objects: from_id, to_id, label, is_primary
first_name = "FirstName"    # the default transform of the canonical field's kind
email = { from = "Email", on_error = "reject" }
source = { from = "LeadSource", via = "picklist", values = { Web = "web" }, default = "unknown" }
account_id = { from = "AccountId", objects = ["Account"] }
source_created_at = { from = "CreatedDate", direction = "in" }

[constants]
language = "en"             # the same for every record

[only]
IsDeleted = ["false", "0"]  # other records are left out, and counted as such (blank passes)

[creates]                   # hub records with one of these values are made of this object; none: nothing is
kind = ["task", "call"]

[fallback]                  # written from a canonical field where it would be blank, because the vendor asks for it
Title = "body"

[ignore]
PhotoUrl = "an address that needs the vendor's session"

[custom]
unmapped = "custom_fields"  # or "ignore", with a reason
rename = { Foo__c = "foo" }

[[links]]                   # lookups that become associations
label = "what"
from = "WhatId"
objects = ["*"]             # any object
except_prefixes = ["001"]
separator = ";"             # when the field lists several ids
```

## What a line may say

| setting | meaning |
|---|---|
| `from` | the source field, or a list of them for transforms that read several |
| `via` | the transform; without it, the default of the field's kind |
| `direction` | `both` (default), `in` (only read) or `out` (only written) |
| `on_error` | `keep` (default) or `reject`: see below |
| `blank` | source values that mean nothing, such as `["N/A", "-"]` |
| `default` | canonical value where the source is blank |
| `values` | table of vendor value = canonical value (`picklist`, `multi_picklist`) |
| `objects` | vendor objects that a reference may point to; `"*"` for any |

A value that cannot be read leaves its field blank, is kept in `custom_fields` under its source name, and is reported as a warning.
With `on_error = "reject"`, and for fields that every record needs, it makes the record a dead letter instead.

## What becomes of the other fields

Source fields that no line names go to `custom_fields`, typed by the source's own schema: numbers as numbers, yes/no as booleans,
dates as ISO 8601, sets as lists. Blank ones are left out. Compound fields that only repeat others, and file contents, are left
out by themselves. A custom lookup is kept and becomes an association as well. NUL characters and halves of surrogate pairs,
which no database stores, are removed with a warning.

When a raw value was kept beside its field, and the field still holds what was read, the raw value is what goes back to the vendor.

## What a tenant may override

An override has the same sections; each line adds or replaces the line of its name. `[remove]` lists lines to take out:

```toml
[fields]
language = "Language__c"

[remove]
fields = ["fax"]
links = ["queue"]
```
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _option(name: str, option: Option) -> str:
    choices = f" ({', '.join(f'`{c}`' for c in option.choices)})" if option.choices else ""
    return f"`{name}`: {option.doc}{choices}{', required' if option.required else ''}"


def _transform(transform: Transform) -> str:
    kinds = ", ".join(sorted(k.value for k in transform.kinds))
    options = "<br>".join(_option(n, o) for n, o in transform.options.items()) or "—"
    return f"| `{transform.name}` | {kinds} | {_cell(transform.doc)} | {_cell(options)} | {_cell(transform.loss)} |"


def page() -> str:
    """The whole page as Markdown."""
    lines = [_INTRO, "## Transforms\n", "*Loss* is what does not survive reading and writing back.\n"]
    lines += ["| name | makes | meaning | options | loss |", "|---|---|---|---|---|"]
    lines += [_transform(t) for t in sorted(REGISTRY.values(), key=lambda t: t.name)]
    lines += ["\n## Default transforms\n", "| kind | transform |", "|---|---|"]
    lines += [f"| {kind.value} | `{DEFAULTS[kind]}` |" for kind in Kind]
    lines += ["\n## Canonical fields\n", "Required ones are bold, references name their entity.\n"]
    for entity in (*ENTITIES, ASSOCIATION):
        names = []
        for field in fields_of(entity).values():
            shown = f"**{field.name}**" if field.required else field.name
            names.append(f"{shown} ({field.refers_to or field.kind.value})")
        lines.append(f"- `{entity}`: {', '.join(names)}")
    lines += ["\n## Shipped mappings\n", "| vendor | object | entity |", "|---|---|---|"]
    lines += [f"| {s.vendor} | {s.object} | {s.entity} |" for s in shipped()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
