"""Pipelines of deals and tickets, and their stages.

https://developers.hubspot.com/docs/guides/api/crm/pipelines
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.hubspot.times import iso


@dataclass(slots=True)
class Stage:
    """``metadata``: ``probability`` and ``isClosed`` of a deal's stage, ``ticketState`` of a ticket's; all texts."""

    id: str
    label: str
    order: int
    metadata: dict[str, str]
    at: int = 0
    archived: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "displayOrder": self.order,
            "metadata": dict(self.metadata),
            "id": self.id,
            "createdAt": iso(self.at),
            "updatedAt": iso(self.at),
            "archived": self.archived,
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
        }


@dataclass(slots=True)
class Pipeline:
    id: str
    label: str
    order: int = 0
    stages: dict[str, Stage] = field(default_factory=dict)
    at: int = 0
    archived: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "displayOrder": self.order,
            "id": self.id,
            "stages": [stage.as_json() for stage in self.stages.values()],
            "createdAt": iso(self.at),
            "updatedAt": iso(self.at),
            "archived": self.archived,
        }


def deal_stage(stage_id: str, label: str, order: int, probability: str) -> Stage:
    closed = "true" if probability in {"0.0", "1.0"} else "false"
    return Stage(stage_id, label, order, {"isClosed": closed, "probability": probability})


def standard_pipelines() -> dict[str, dict[str, Pipeline]]:
    """What a portal has from the start. The ids of the first sales pipeline are words, those of the service one numbers."""
    sales = Pipeline("default", "Sales Pipeline")
    for order, (stage_id, label, probability) in enumerate(
        (
            ("appointmentscheduled", "Appointment Scheduled", "0.2"),
            ("qualifiedtobuy", "Qualified To Buy", "0.4"),
            ("presentationscheduled", "Presentation Scheduled", "0.6"),
            ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
            ("contractsent", "Contract Sent", "0.9"),
            ("closedwon", "Closed Won", "1.0"),
            ("closedlost", "Closed Lost", "0.0"),
        )
    ):
        sales.stages[stage_id] = deal_stage(stage_id, label, order, probability)
    support = Pipeline("0", "Support Pipeline")
    for order, label in enumerate(("New", "Waiting on contact", "Waiting on us", "Closed"), start=1):
        state = "CLOSED" if label == "Closed" else "OPEN"
        support.stages[str(order)] = Stage(
            str(order), label, order - 1, {"ticketState": state, "isClosed": str(state == "CLOSED").lower()}
        )
    return {"deals": {sales.id: sales}, "tickets": {support.id: support}}
