"""Which columns of files without a known dialect hold the ids of another file's records.

Names decide: ``account_id`` refers to ``accounts.csv``, ``Parent Company ID`` to the file of companies or accounts. A
missed one would silently cut records apart; of a wrong guess the values tell, which a plan holds against the ids of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from connectors.files.identity import id_candidates
from connectors.files.library import FileObject
from connectors.files.recognise import PLAIN

_ALIKE = (
    {"account", "company", "organization", "organisation", "customer", "client", "firma"},
    {"contact", "person", "people"},
    {"opportunity", "deal"},
    {"user", "owner"},
)
_ID_WORDS = {"id", "uuid", "guid", "key"}
_ITSELF = {("parent",)}


def words(name: str) -> tuple[str, ...]:
    """``AccountID``, ``account_id`` and ``Account Id`` as (account, id)."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(re.sub(r"[\W_]+", " ", spaced).lower().split())


def singular(word: str) -> str:
    """Of an English noun; good enough for the names of files."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def peers(objects: Iterable[FileObject]) -> dict[tuple[str, ...], str]:
    """What each plain object with an id column is called in the singular, also by words of the same meaning."""
    named = {_nouns(o.recognised.object): o.name for o in objects if _has_id(o)}
    known = dict(named)
    for group in _ALIKE:
        present = [noun for noun in named if len(noun) == 1 and noun[0] in group]
        if len(present) == 1:
            known.update({(word,): named[present[0]] for word in group if (word,) not in named})
    return known


def referred(column: str, own: str, known: Mapping[tuple[str, ...], str]) -> tuple[str, ...]:
    """The object whose ids ``column`` of object ``own`` holds, as its name tells; () when it tells none."""
    *nouns, last = words(column) or ("",)
    if last not in _ID_WORDS or not nouns:
        return ()
    if tuple(nouns) in _ITSELF:
        return (own,) if own in known.values() else ()
    tails = (tuple(singular(noun) for noun in nouns[at:]) for at in range(len(nouns)))
    found, qualified = next(((known[t], len(t) < len(nouns)) for t in tails if t in known), ("", False))
    return (found,) if found and (found != own or qualified) else ()


def _nouns(name: str) -> tuple[str, ...]:
    return tuple(singular(word) for word in words(name) if not word.isdigit() and word not in ("export", "all"))


def _has_id(found: FileObject) -> bool:
    if found.problem or found.recognised.dialect != PLAIN or not found.parts:
        return False
    return bool(id_candidates(found.parts[0].columns, found.parts[0].stem))
