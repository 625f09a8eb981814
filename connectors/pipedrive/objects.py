"""The objects that Pipedrive lists, and what each does differently.

https://developers.pipedrive.com/docs/api/v1 (both versions; v2 has no endpoint for leads, notes, files and users)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from connectors.kit.contract import ObjectInfo

V2_PAGE = 500
V1_PAGE = 500
FILES_PAGE = 100
IDS_PER_CALL = 100
DEALS_PER_CALL = 100
"""https://developers.pipedrive.com/docs/api/v1/DealProducts#getDealsProducts"""

Paging = Literal["cursor", "offset", "whole", "by_deal"]
Since = Literal["server", "stop", "none"]


@dataclass(frozen=True, slots=True)
class Part:
    """One listing of an object. ``since``: the server takes ``updated_since``, or we read newest first and stop, or neither."""

    path: str
    paging: Paging
    since: Since
    page: int = V2_PAGE


@dataclass(frozen=True, slots=True)
class Kind:
    """How an object is read and written.

    ``fields``: name and type of the standard fields, ``name:type``; ``ref(x)`` refers to the object x. ``field_list``: where
    its custom fields are described, and ``nested`` whether they come in an object of their own. ``search``: the entity type
    of the search for exact values. ``path``: where one record is (``{id}`` appended); ``update``: the verb that changes one.
    """

    name: str
    label: str
    entity: str | None
    fields: str
    parts: tuple[Part, ...]
    path: str
    update: str | None = None
    field_list: str | None = None
    nested: bool = True
    search: str | None = None
    id_field: str = "id"
    name_field: str | None = "name"
    modified: str | None = "update_time"
    created: str | None = "add_time"
    deleted_field: str | None = "is_deleted"
    lists_deleted: bool = False
    by_ids: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def page_size(self) -> int:
        return self.parts[0].page


def _v2(path: str, since: Since = "server") -> Part:
    return Part(f"/api/v2/{path}", "cursor", since)


def _v1(path: str, since: Since, page: int = V1_PAGE) -> Part:
    return Part(f"/api/v1/{path}", "offset", since, page)


ADDRESS_PARTS: Mapping[str, tuple[str, ...]] = {
    "street": ("route", "street_number"),
    "city": ("locality",),
    "region": ("admin_area_level_1",),
    "postal_code": ("postal_code",),
    "country": ("country",),
}
"""Parts of an address as one field each, and the vendor's words for them."""

_DATES = "add_time:timestamp update_time:timestamp"
_ADDRESS = " ".join(f"{{0}}_{part}:text" for part in ADDRESS_PARTS)
_PERSON = (
    "id:integer name:text first_name:text last_name:text owner_id:ref(users) org_id:ref(organizations) "
    "primary_email:email primary_phone:phone mobile_phone:phone emails:json phones:json im:json job_title:text "
    "birthday:date notes:html label_ids:set visible_to:integer picture_id:integer is_deleted:boolean "
    f"postal_address:address {_ADDRESS.format('postal_address')} {_DATES}"
)
_ORGANIZATION = (
    "id:integer name:text owner_id:ref(users) website:url linkedin:url industry:enum annual_revenue:decimal "
    "employee_count:integer label_ids:set visible_to:integer is_deleted:boolean "
    f"address:address {_ADDRESS.format('address')} {_DATES}"
)
_DEAL = (
    "id:integer title:text owner_id:ref(users) creator_user_id:ref(users) person_id:ref(persons) org_id:ref(organizations) "
    "pipeline_id:ref(pipelines) stage_id:ref(stages) value:decimal currency:text status:text probability:decimal "
    "lost_reason:text expected_close_date:date close_time:timestamp won_time:timestamp lost_time:timestamp "
    "stage_change_time:timestamp label_ids:set origin:text origin_id:text channel:integer channel_id:text "
    "source_lead_id:text arr:decimal mrr:decimal acv:decimal visible_to:integer is_archived:boolean archive_time:timestamp "
    f"is_deleted:boolean is_won:boolean is_closed:boolean {_DATES}"
)
_LEAD = (
    "id:text title:text owner_id:ref(users) creator_id:ref(users) person_id:ref(persons) organization_id:ref(organizations) "
    "amount:decimal currency:text expected_close_date:date label_ids:json source_name:text origin:text origin_id:text "
    "channel:integer channel_id:text source_deal_id:ref(deals) is_archived:boolean was_seen:boolean visible_to:text "
    f"next_activity_id:integer cc_email:text {_DATES}"
)
_ACTIVITY = (
    "id:integer subject:text type:text owner_id:ref(users) creator_user_id:ref(users) deal_id:ref(deals) lead_id:ref(leads) "
    "person_id:ref(persons) org_id:ref(organizations) project_id:integer due_date:date due_time:text duration:text "
    "starts_at:timestamp duration_s:integer busy:boolean done:boolean marked_as_done_time:timestamp location:json "
    "location_text:text participants:json attendees:json conference_meeting_client:text conference_meeting_url:url "
    f"conference_meeting_id:text public_description:text priority:integer note:html is_deleted:boolean {_DATES}"
)
_PRODUCT = (
    "id:integer name:text code:text description:text unit:text tax:decimal category:enum owner_id:ref(users) prices:json "
    "price:decimal currency:text billing_frequency:text billing_frequency_cycles:integer is_linkable:boolean "
    f"visible_to:integer is_deleted:boolean {_DATES}"
)
_LINE = (
    "key:text id:integer deal_id:ref(deals) product_id:ref(products) product_variation_id:integer name:text quantity:decimal "
    "item_price:decimal currency:text discount:decimal discount_type:text sum:decimal tax:decimal tax_method:text "
    "comments:text order_nr:integer is_enabled:boolean billing_frequency:text billing_frequency_cycles:integer "
    f"billing_start_date:date {_DATES}"
)
_NOTE = (
    "id:integer content:html user_id:ref(users) last_update_user_id:ref(users) deal_id:ref(deals) lead_id:ref(leads) "
    "person_id:ref(persons) org_id:ref(organizations) project_id:integer pinned_to_deal_flag:boolean "
    f"pinned_to_person_flag:boolean pinned_to_organization_flag:boolean active_flag:boolean {_DATES}"
)
_FILE = (
    "id:integer name:text file_name:text file_type:text file_size:integer description:text user_id:ref(users) "
    "deal_id:ref(deals) lead_id:ref(leads) person_id:ref(persons) org_id:ref(organizations) product_id:ref(products) "
    "activity_id:ref(activities) project_id:integer remote_location:text remote_id:text inline_flag:boolean "
    f"mail_message_id:text cid:text url:url active_flag:boolean {_DATES}"
)
_USER = (
    "id:integer name:text email:email phone:text active_flag:boolean activated:boolean locale:text timezone_name:text "
    "default_currency:text role_id:integer is_deleted:boolean created:timestamp modified:timestamp last_login:timestamp"
)
_PIPELINE = f"id:integer name:text order_nr:integer is_deal_probability_enabled:boolean is_deleted:boolean {_DATES}"
_STAGE = (
    "id:integer name:text order_nr:integer pipeline_id:ref(pipelines) deal_probability:integer is_deal_rot_enabled:boolean "
    f"days_to_rotten:integer is_deleted:boolean {_DATES}"
)
_TYPE = (
    "id:integer name:text key_string:text icon_key:text color:text order_nr:integer is_custom_flag:boolean "
    f"active_flag:boolean {_DATES}"
)

_ALL = (
    Kind("users", "User", "user", _USER, (Part("/api/v1/users", "whole", "none"),), "/api/v1/users",
         modified="modified", created="created"),
    Kind("pipelines", "Pipeline", "pipeline", _PIPELINE, (_v2("pipelines", "none"),), "/api/v2/pipelines", "PATCH"),
    Kind("stages", "Stage", "stage", _STAGE, (_v2("stages", "none"),), "/api/v2/stages", "PATCH"),
    Kind("activity_types", "Activity type", None, _TYPE, (Part("/api/v1/activityTypes", "whole", "none"),),
         "/api/v1/activityTypes", deleted_field=None),
    Kind("organizations", "Organization", "account", _ORGANIZATION, (_v2("organizations"),), "/api/v2/organizations",
         "PATCH", "/api/v2/organizationFields", search="organization", by_ids=True),
    Kind("persons", "Person", "contact", _PERSON, (_v2("persons"),), "/api/v2/persons", "PATCH", "/api/v2/personFields",
         search="person", by_ids=True),
    Kind("leads", "Lead", "lead", _LEAD, (_v1("leads", "server"), _v1("leads/archived", "stop")), "/api/v1/leads",
         "PATCH", "/api/v2/dealFields", nested=False, search="lead", name_field="title", deleted_field=None),
    Kind("products", "Product", "product", _PRODUCT, (_v2("products"),), "/api/v2/products", "PATCH",
         "/api/v2/productFields", search="product", by_ids=True),
    Kind("deals", "Deal", "opportunity", _DEAL, (_v2("deals"), _v2("deals/archived")), "/api/v2/deals", "PATCH",
         "/api/v2/dealFields", search="deal", name_field="title", lists_deleted=True, by_ids=True),
    Kind("deal_products", "Deal product", "line_item", _LINE, (Part("/api/v2/deals/products", "by_deal", "none"),),
         "/api/v2/deals/{deal}/products", "PATCH", id_field="key", deleted_field=None),
    Kind("activities", "Activity", "activity", _ACTIVITY, (_v2("activities"),), "/api/v2/activities", "PATCH",
         "/api/v2/activityFields", name_field="subject", by_ids=True),
    Kind("notes", "Note", "activity", _NOTE, (_v1("notes", "server"),), "/api/v1/notes", "PUT", name_field=None,
         deleted_field="active_flag"),
    Kind("files", "File", "attachment", _FILE, (_v1("files", "stop", FILES_PAGE),), "/api/v1/files",
         deleted_field="active_flag"),
)  # fmt: skip

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
"""Every object by name, in the order in which they refer to each other."""

OBJECT_INFOS = tuple(
    ObjectInfo(k.name, k.entity, writable=k.update is not None, page_size=k.page_size, batch_size=1) for k in _ALL
)
FILE_OBJECTS = ("files",)
