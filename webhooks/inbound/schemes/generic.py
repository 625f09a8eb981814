"""Any other sender: what it posts is data, and the endpoint's settings say how it proves itself and what tells two posts apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Literal, cast

import jsonpath
from jsonpath.selectors import IndexSelector, NameSelector
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator

from connectors.kit.contract import Setting
from domain.errors import RecordRejectedError
from webhooks.inbound import jsonbody
from webhooks.inbound.contract import POST, Carries, Incoming, Item, Posted, Reply, Scheme, Secrets, Verified
from webhooks.inbound.schemes import checks
from webhooks.inbound.schemes.proofs import API_KEY, KEY, PASSWORD, SECRET, USERNAME, AnyProof, HeaderName

Step = NameSelector | IndexSelector
_ABSENT: Final = object()
_ACCEPTED: Final = b'{"status":"accepted"}'


def _one_value(path: str) -> str:
    """Paths lead to one value each: no wildcards, no filters, no patterns to run over what a stranger sends."""
    try:
        compiled = jsonpath.compile(path)
    except jsonpath.JSONPathError as error:
        raise ValueError(f"not a JSONPath: {str(error).splitlines()[0]}") from None
    if not isinstance(compiled, jsonpath.JSONPath) or not compiled.singular_query():
        raise ValueError("has to lead to one value: names and positions only, such as $.lead.email")
    return path


Path = Annotated[str, Field(min_length=1, max_length=200, examples=["$.lead.id"]), AfterValidator(_one_value)]


class Filter(BaseModel):
    """Which posts count: what is at ``path`` equals ``value``, is one of the list ``value``, or is there at all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    op: Literal["equals", "in", "exists"]
    value: JsonValue = None

    @model_validator(mode="after")
    def _fits(self) -> Filter:
        if self.op == "in" and not isinstance(self.value, list):
            raise ValueError("`in` needs a list")
        if self.op == "exists" and not isinstance(self.value, bool | None):
            raise ValueError("`exists` takes true or false")
        return self

    def admits(self, document: Any) -> bool:
        """Does the post pass? 1, 1.0 and true are three values, as in JSON."""
        found = _at(self.path, document)
        if self.op == "exists":
            return (found is not _ABSENT) == (self.value is not False)
        wanted = self.value if isinstance(self.value, list) and self.op == "in" else [self.value]
        return any(type(found) is type(value) and found == value for value in wanted)


class Generic(Scheme):
    """A post is known by the value at ``idempotency_path``, by ``idempotency_header``, or by the digest of its body.

    ``entity`` and ``fields`` (hub field to path in the body) say what becomes of it, ``filters`` which posts count at all; the
    others are acknowledged and yield nothing. ``idempotency_header`` is outside of what an HMAC or a signature covers.
    """

    name: ClassVar[str] = "generic"
    label: ClassVar[str] = "Any other sender"
    docs_url: ClassVar[str] = ""
    carries: ClassVar[Carries] = Carries.DATA
    secrets: ClassVar[tuple[Setting, ...]] = (SECRET, USERNAME, PASSWORD, API_KEY, KEY)
    methods: ClassVar[frozenset[str]] = POST | {"PUT"}

    proof: AnyProof
    format: Literal["json", "form"] = "json"
    idempotency_path: Path | None = None
    idempotency_header: HeaderName | None = None
    kind_path: Path | None = None
    filters: Annotated[tuple[Filter, ...], Field(max_length=20)] = ()
    entity: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] | None = None
    fields: Annotated[dict[str, Path], Field(max_length=200)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_identity(self) -> Generic:
        if self.idempotency_path and self.idempotency_header:
            raise ValueError("give idempotency_path or idempotency_header, not both")
        if self.fields and self.entity is None:
            raise ValueError("fields need an entity")
        return self

    def needed(self) -> tuple[Setting, ...]:
        return self.proof.needs

    def verify(self, request: Incoming, secrets: Secrets, now: datetime) -> Verified:
        checks.only(request, self.methods)
        sent = self.proof.check(request, secrets, now)
        header = request.header(self.idempotency_header) if self.idempotency_header else None
        try:
            key = self._key(header, self._document(request.body), request.body)
        except RecordRejectedError as error:
            raise checks.refusing(error) from None
        return Verified(key, sent)

    def reply(self, request: Incoming) -> Reply:
        del request
        return Reply(202, "application/json", _ACCEPTED)

    def kept_headers(self) -> tuple[str, ...]:
        return (self.idempotency_header,) if self.idempotency_header else ()

    def notices(self, body: bytes, headers: Mapping[str, str]) -> Iterable[Item]:
        document = self._document(body)
        if not all(condition.admits(document) for condition in self.filters):
            return []
        kind = _at(self.kind_path, document) if self.kind_path else None
        key = self._key(headers.get(self.idempotency_header or ""), document, body)
        return [Posted(kind if isinstance(kind, str) else "", document, key)]

    def _document(self, body: bytes) -> Any:
        """The post as JSON, or a form as an object; a field that comes several times is a list. Raises RecordRejectedError."""
        if self.format == "json":
            return jsonbody.load(body)
        found: dict[str, list[str]] = {}
        for name, value in checks.form(body):
            if "\0" in name + value:
                raise jsonbody.nul()
            found.setdefault(name, []).append(value)
        return {name: values[0] if len(values) == 1 else values for name, values in found.items()}

    def _key(self, header: str | None, document: Any, body: bytes) -> str:
        """What tells this post from others. Raises RecordRejectedError where it should hold that and does not."""
        if self.idempotency_header:
            value = header
        elif self.idempotency_path:
            value = jsonbody.text({"": _at(self.idempotency_path, document)}, "")
        else:
            return checks.digest(body)
        if not value:
            raise RecordRejectedError(
                "The post does not say what tells it from others.",
                code="webhook_no_identity",
                remedy=f"The endpoint looks for it at {self.idempotency_path or self.idempotency_header}.",
            )
        return checks.key_of(value)


@lru_cache(maxsize=1_024)
def _steps(path: str) -> tuple[str | int, ...]:
    """The names and positions that a path to one value goes through.

    The library reads paths; following one is done here, since that takes place on every delivery and the library's own way
    makes a match object a step.
    """
    compiled = cast("jsonpath.JSONPath", jsonpath.compile(path))  # as `_one_value` saw to
    chosen = (selector for segment in compiled.segments for selector in segment.selectors)
    return tuple(s.name if isinstance(s, NameSelector) else s.index for s in chosen if isinstance(s, Step))


def value_at(path: str, document: Any) -> Any:
    """What lies at a path of the settings; None where there is nothing."""
    found = _at(path, document)
    return None if found is _ABSENT else found


def _at(path: str, document: Any) -> Any:
    """What lies at a path, or `_ABSENT`. A position in an object is the member that is called so."""
    found = document
    for step in _steps(path):
        if isinstance(found, dict):
            found = found.get(step if isinstance(step, str) else str(step), _ABSENT)
        elif isinstance(found, list) and isinstance(step, int) and -len(found) <= step < len(found):
            found = found[step]
        else:
            return _ABSENT
    return found
