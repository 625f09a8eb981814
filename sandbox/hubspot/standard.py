"""The vendor's own objects and the properties of them that matter here, as compact text.

A property is ``name type label flags``; ``type`` is one of the types below, ``flags`` some of ``ro`` (read only), ``calc``,
``hidden``, ``unique``, ``owner``. Options follow ``=``, separated by ``;`` (``value`` or ``value:Label``).
"""

from __future__ import annotations

from sandbox.hubspot.schema import Group, ObjectType, Option, Property

_TYPES = {
    "text": ("string", "text"),
    "area": ("string", "textarea"),
    "html": ("string", "html"),
    "phone": ("string", "phonenumber"),
    "number": ("number", "number"),
    "date": ("date", "date"),
    "datetime": ("datetime", "date"),
    "select": ("enumeration", "select"),
    "radio": ("enumeration", "radio"),
    "multi": ("enumeration", "checkbox"),
    "bool": ("bool", "booleancheckbox"),
    "flag": ("enumeration", "booleancheckbox"),
}
_EVERYWHERE = """
hs_object_id number Record ID|ro
hs_object_source text Record creation source|ro
hs_object_source_id text Record creation source ID|ro
hs_object_source_label text Record source|ro
hs_object_source_user_id number Record creation source user ID|ro hidden
hs_created_by_user_id number Created by user ID|ro
hs_updated_by_user_id number Updated by user ID|ro
hs_merged_object_ids multi Merged record IDs|ro hidden
hs_unique_creation_key text Unique creation key|ro hidden
hubspot_owner_id select Owner|owner
hubspot_owner_assigneddate datetime Owner assigned date|ro
hubspot_team_id select HubSpot team|ro
hs_all_owner_ids multi All owner IDs|ro hidden
"""
_ADDRESS = """
address text Street address
city text City
state text State/Region
zip text Postal code
country text Country/Region
"""
LIFECYCLE = (
    "subscriber:Subscriber;lead:Lead;marketingqualifiedlead:Marketing Qualified Lead;"
    "salesqualifiedlead:Sales Qualified Lead;opportunity:Opportunity;customer:Customer;evangelist:Evangelist;other:Other"
)
INDUSTRIES = (
    "ACCOUNTING;AIRLINES_AVIATION;AUTOMOTIVE;BANKING;CHEMICALS;COMPUTER_SOFTWARE;CONSTRUCTION;CONSUMER_GOODS;"
    "EDUCATION_MANAGEMENT;FOOD_BEVERAGES;HOSPITAL_HEALTH_CARE;INFORMATION_TECHNOLOGY_AND_SERVICES;INSURANCE;"
    "LOGISTICS_AND_SUPPLY_CHAIN;MACHINERY;NON_PROFIT_ORGANIZATION_MANAGEMENT;RETAIL;TELECOMMUNICATIONS;UTILITIES;WHOLESALE"
)
LEAD_STATUSES = (
    "NEW:New;OPEN:Open;IN_PROGRESS:In Progress;OPEN_DEAL:Open Deal;UNQUALIFIED:Unqualified;"
    "ATTEMPTED_TO_CONTACT:Attempted to Contact;CONNECTED:Connected;BAD_TIMING:Bad Timing"
)
_CONTACT = f"""
email text Email|unique
firstname text First Name
lastname text Last Name
salutation text Salutation
jobtitle text Job Title
company text Company Name
phone phone Phone Number
mobilephone phone Mobile Phone Number
fax text Fax Number
website text Website URL
{_ADDRESS}
date_of_birth text Date of birth
lifecyclestage radio Lifecycle Stage={LIFECYCLE}
hs_lead_status radio Lead Status={LEAD_STATUSES}
hs_language select Preferred language=en:English;de:German;fr:French;es:Spanish;ja:Japanese
hs_additional_emails multi Additional email addresses|ro
hs_email_domain text Email Domain|ro calc
hs_email_optout flag Unsubscribed from all email|ro=true:Yes;false:No
hs_full_name_or_email text Full name or email|ro calc
associatedcompanyid number Primary Associated Company ID
num_associated_deals number Number of Associated Deals|ro calc
hs_analytics_source select Original Source|ro=ORGANIC_SEARCH;PAID_SEARCH;DIRECT_TRAFFIC;REFERRALS;OFFLINE
notes_last_contacted datetime Last Contacted|ro
message area Message
numemployees select Number of employees=1-5;5-25;25-50;50-100;100-500;500-1000;1000+
annualrevenue text Annual Revenue
hs_marketable_status select Marketing contact status|ro=true:Marketing contact;false:Non-marketing contact
"""
_COMPANY = f"""
name text Company name
domain text Company Domain Name
website text Website URL
phone phone Phone Number
{_ADDRESS}
address2 text Street Address 2
industry select Industry={INDUSTRIES}
type select Type=PROSPECT:Prospect;PARTNER:Partner;RESELLER:Reseller;VENDOR:Vendor;OTHER:Other
description area Description
numberofemployees number Number of Employees
annualrevenue number Annual Revenue
founded_year text Year Founded
lifecyclestage radio Lifecycle Stage={LIFECYCLE}
hs_lead_status radio Lead Status={LEAD_STATUSES}
hs_additional_domains multi Additional Domains|ro
hs_parent_company_id number Parent Company|ro
num_associated_contacts number Number of Associated Contacts|ro calc
linkedin_company_page text LinkedIn Company Page
timezone text Time Zone
"""
_DEAL = """
dealname text Deal Name
pipeline select Pipeline
dealstage radio Deal Stage
amount number Amount
deal_currency_code select Currency=USD:US Dollar;EUR:Euro;GBP:Pound;JPY:Yen;CHF:Franc
closedate datetime Close Date
dealtype radio Deal Type=newbusiness:New Business;existingbusiness:Existing Business
description area Deal Description
hs_priority select Priority=low:Low;medium:Medium;high:High
hs_next_step text Next step
hs_deal_stage_probability number Deal probability|ro calc
hs_is_closed bool Is Deal Closed?|ro calc
hs_is_closed_won bool Is Closed Won|ro calc
hs_forecast_amount number Forecast amount|ro calc
closed_lost_reason area Closed Lost Reason
closed_won_reason area Closed Won Reason
num_associated_contacts number Number of Associated Contacts|ro calc
"""
_TICKET = """
subject text Ticket name
content area Ticket description
hs_pipeline select Pipeline
hs_pipeline_stage select Ticket status
hs_ticket_priority select Priority=LOW:Low;MEDIUM:Medium;HIGH:High;URGENT:Urgent
hs_ticket_category multi Category=PRODUCT_ISSUE:Product Issue;BILLING_ISSUE:Billing Issue;\
FEATURE_REQUEST:Feature Request;GENERAL_INQUIRY:General Inquiry
hs_resolution area Resolution
source_type select Source=CHAT:Chat;EMAIL:Email;FORM:Form;PHONE:Phone
closed_date datetime Close date
"""
_PRODUCT = """
name text Name
description area Product description
price number Unit price
hs_sku text SKU
hs_cost_of_goods_sold number Unit cost
hs_product_type select Product type=inventory:Inventory;non_inventory:Non-inventory;service:Service
hs_recurring_billing_period text Term
recurringbillingfrequency select Billing frequency=weekly;monthly;quarterly;annually
hs_url text URL
"""
_LINE_ITEM = """
name text Name
description area Description
price number Unit price
quantity number Quantity
amount number Net price|ro calc
discount number Unit discount
hs_discount_percentage number Discount percentage
hs_product_id number Product ID
hs_sku text SKU
hs_line_item_currency_code select Currency=USD:US Dollar;EUR:Euro;GBP:Pound;JPY:Yen;CHF:Franc
hs_position_on_quote number Position
recurringbillingfrequency select Billing frequency=weekly;monthly;quarterly;annually
hs_recurring_billing_period text Term
"""
_QUOTE = """
hs_title text Quote name
hs_expiration_date date Expiration date
hs_status select Quote status=DRAFT:Draft;APPROVAL_NOT_NEEDED:Published;PENDING_APPROVAL:Pending Approval;\
APPROVED:Approved;REJECTED:Rejected
hs_currency select Currency=USD:US Dollar;EUR:Euro;GBP:Pound;JPY:Yen;CHF:Franc
hs_quote_amount number Quote amount|ro
hs_quote_number text Quote number|ro
hs_terms html Terms
hs_language select Language=en;de;fr;es;ja
"""
_ENGAGEMENT = """
hs_timestamp datetime Activity date
hs_attachment_ids multi Attached file IDs
hs_engagement_source text Engagement source|ro hidden
hs_body_preview area Body preview|ro
"""
_NOTE = _ENGAGEMENT + "hs_note_body html Note body\n"
_CALL = (
    _ENGAGEMENT
    + """
hs_call_title text Call title
hs_call_body html Call notes
hs_call_duration number Call duration
hs_call_from_number text From number
hs_call_to_number text To number
hs_call_direction select Call direction=INBOUND:Inbound;OUTBOUND:Outbound
hs_call_status select Call status=BUSY;CALLING_CRM_USER;CANCELED;COMPLETED;CONNECTING;FAILED;IN_PROGRESS;NO_ANSWER;\
QUEUED;RINGING
hs_call_disposition select Call outcome=9d9162e7-6cf3-4944-bf63-4dff82258764:Busy;\
f240bbac-87c9-4f6e-bf70-924b57d47db7:Connected;a4c4c377-d246-4b32-a13b-75a56a4cd0ff:Left live message;\
b2cf5968-551e-4856-9783-52b3da59a7d0:Left voicemail;73a0d17f-1163-4015-bdd5-ec830791da20:No answer;\
17b47fee-58de-441e-a44c-c6300d46f273:Wrong number
hs_call_recording_url text Recording URL
"""
)
_EMAIL = (
    _ENGAGEMENT
    + """
hs_email_subject text Email subject
hs_email_text area Email body
hs_email_html html Email HTML
hs_email_direction select Email direction=EMAIL:Outgoing;INCOMING_EMAIL:Incoming;FORWARDED_EMAIL:Forwarded
hs_email_status select Email send status=BOUNCED;FAILED;SCHEDULED;SENDING;SENT
hs_email_headers area Email headers
hs_email_from_email text Email from address|ro calc
hs_email_to_email text Email to address|ro calc
hs_email_message_id text Message ID
hs_email_thread_id text Thread ID
"""
)
_MEETING = (
    _ENGAGEMENT
    + """
hs_meeting_title text Meeting name
hs_meeting_body html Meeting description
hs_internal_meeting_notes area Internal notes
hs_meeting_start_time datetime Start time
hs_meeting_end_time datetime End time
hs_meeting_location text Location
hs_meeting_external_url text External URL
hs_meeting_outcome select Outcome=SCHEDULED:Scheduled;COMPLETED:Completed;RESCHEDULED:Rescheduled;NO_SHOW:No show;\
CANCELED:Canceled
"""
)
_TASK = (
    _ENGAGEMENT
    + """
hs_task_subject text Task title
hs_task_body html Task notes
hs_task_status select Task status=NOT_STARTED:Not started;IN_PROGRESS:In progress;WAITING:Waiting;DEFERRED:Deferred;\
COMPLETED:Completed
hs_task_priority select Priority=NONE;LOW:Low;MEDIUM:Medium;HIGH:High
hs_task_type select Task type=TODO:To-do;CALL:Call;EMAIL:Email
hs_task_completion_date datetime Completed at|ro
hs_task_is_completed number Is completed|ro calc
hs_task_reminders text Reminders
"""
)


def standard_objects() -> dict[str, ObjectType]:
    """A fresh copy of the vendor's own objects by name."""
    return {item.name: item for item in _made()}


def _made() -> list[ObjectType]:
    contacts = ObjectType("contacts", "0-1", "contact", modified_name="lastmodifieddate")
    contacts.one_of = contacts.shown = ("email", "firstname", "lastname")
    companies = ObjectType("companies", "0-2", "company", one_of=("name", "domain"), shown=("domain", "name"))
    deals = ObjectType("deals", "0-3", "deal", required=("dealname", "dealstage"))
    deals.shown = ("amount", "closedate", "dealname", "dealstage", "pipeline")
    tickets = ObjectType("tickets", "0-5", "ticket", required=("hs_pipeline_stage",))
    tickets.shown = (
        "content", "hs_pipeline", "hs_pipeline_stage", "hs_ticket_category", "hs_ticket_priority", "subject",
    )  # fmt: skip
    products = ObjectType("products", "0-7", "product", required=("name",))
    products.shown = ("description", "hs_cost_of_goods_sold", "hs_sku", "name", "price")
    lines = ObjectType("line_items", "0-8", "line_item", shown=("hs_product_id", "quantity"))
    quotes = ObjectType("quotes", "0-14", "quote", required=("hs_title", "hs_expiration_date"))
    _fill((contacts, _CONTACT), (companies, _COMPANY), (deals, _DEAL), (tickets, _TICKET))
    _fill((products, _PRODUCT), (lines, _LINE_ITEM), (quotes, _QUOTE))
    return [contacts, companies, deals, tickets, products, lines, quotes, *_engagements()]


def _engagements() -> list[ObjectType]:
    known = {"created_name": "hs_createdate", "required": ("hs_timestamp",)}
    tasks = ObjectType("tasks", "0-27", "task", **known)  # type: ignore[arg-type]
    notes = ObjectType("notes", "0-46", "note", **known)  # type: ignore[arg-type]
    meetings = ObjectType("meetings", "0-47", "meeting_event", **known)  # type: ignore[arg-type]
    calls = ObjectType("calls", "0-48", "call", **known)  # type: ignore[arg-type]
    emails = ObjectType("emails", "0-49", "email", **known)  # type: ignore[arg-type]
    _fill((tasks, _TASK), (notes, _NOTE), (meetings, _MEETING), (calls, _CALL), (emails, _EMAIL))
    return [tasks, notes, meetings, calls, emails]


def _fill(*described: tuple[ObjectType, str]) -> None:
    for item, text in described:
        group = f"{item.singular}information"
        item.groups[group] = Group(group, f"{item.singular.capitalize()} information")
        add_properties(item, text, group)
        add_everywhere(item, group)


def add_everywhere(item: ObjectType, group: str) -> None:
    """The properties that every object has, a custom one, too; its two moments under the names that it has for them."""
    add_properties(item, _EVERYWHERE, group)
    for name, label in ((item.created_name, "Create Date"), (item.modified_name, "Last Modified Date")):
        item.properties[name] = Property(name, label, "datetime", "date", group, read_only=True)


def add_properties(item: ObjectType, text: str, group: str) -> None:
    for line in text.strip().splitlines():
        if line.strip():
            made = parse_property(line, group)
            item.properties[made.name] = made


def parse_property(line: str, group: str) -> Property:
    """One line of the text above."""
    head, _, options = line.partition("=")
    head, _, flags = head.partition("|")
    name, kind, label = head.strip().split(" ", 2)
    kind, field_type = _TYPES[kind]
    marks = set(flags.split())
    made = Property(name, label, kind, field_type, group, _options(options))
    made.read_only, made.calculated = "ro" in marks, "calc" in marks
    made.hidden, made.unique = "hidden" in marks, "unique" in marks
    made.referenced = "OWNER" if "owner" in marks else ""
    if made.type == "bool":
        made.options = _options("true:Yes;false:No")
    return made


def _options(text: str) -> list[Option]:
    pairs = [part.partition(":") for part in text.split(";") if part]
    return [Option(value, label or value, order=number) for number, (value, _, label) in enumerate(pairs)]
