"""The whole OpenAPI document, fuzzed: nothing that anybody sends gets a server error, and answers are what the document says."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from bootstrap.wiring import Hub
from domain.access import SYSTEM_TENANT
from storage import api_keys
from storage.database import Database
from tests.api.samples import ENDLESS, Operation, operations

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def refused(ctx: Any, response: Any, case: Any) -> None:
    """What the document does not allow is refused; 413 is a refusal, too, which schemathesis does not count as one.

    Told of body and path alone: names in the query that nobody knows are passed over, and the key that it leaves away is
    brought all the same.
    """
    wrong = {place for place, part in case.meta.components.items() if part.mode is GenerationMode.NEGATIVE}
    if response.status_code != 413 and wrong & {ParameterLocation.BODY, ParameterLocation.PATH}:
        negative_data_rejection(ctx, response, case)


REFUSED: dict[GenerationMode, list[Any]] = {
    GenerationMode.POSITIVE: [response_headers_conformance],
    GenerationMode.NEGATIVE: [refused],
}
FUZZED = [o for o in operations() if o.id not in ENDLESS]
NARROW = [o for o in FUZZED if o.described.get("parameters") or o.described.get("requestBody")]
"""Operations of which something can be asked that the document does not allow."""
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
"""Cases of each operation: few in the suite; FUZZ_EXAMPLES=100 looks longer."""


@pytest.fixture(scope="session")
def fuzzed_api(hub: Hub) -> Any:
    generous = Hub(hub.settings.model_copy(update={"calls_at_once": 1_000_000, "calls_per_minute": 1_000_000}))
    generous.__dict__.update(db=hub.db, vault=hub.vault, urls=hub.urls)
    return schemathesis.openapi.from_asgi("/openapi.json", create_app(generous))


@pytest.fixture(scope="session")
def root_key(db: Database) -> str:
    with db.tenant(SYSTEM_TENANT) as conn:
        return api_keys.create(conn, name="fuzz", role="system_admin", created_by="tests")[1]


@pytest.mark.parametrize(
    ("operation", "mode"),
    [(o, GenerationMode.POSITIVE) for o in FUZZED] + [(o, GenerationMode.NEGATIVE) for o in NARROW],
    ids=lambda value: getattr(value, "id", None) or str(value),
)
def test_answers_are_as_the_document_says(
    operation: Operation, mode: GenerationMode, fuzzed_api: Any, root_key: str
) -> None:
    """With what the document allows, and with what it does not: that is refused, and never by an error of the server."""

    @given(case=fuzzed_api[operation.path][operation.method.upper()].as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def answers(case: Any) -> None:
        case.headers.pop("Syncline-Tenant", None)  # random ones are all alike: there is no such tenant
        if "wait" in (case.query or {}):
            case.query["wait"] = 0  # how long it waits has tests of its own
        case.call_and_validate(headers={"Authorization": f"Bearer {root_key}"}, checks=[*CHECKS, *REFUSED[mode]])

    answers()
