"""A company as companies are: several addresses a person, numbers in every form, names with blanks, deals without people."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from sandbox.kit.clock import ANCHOR
from sandbox.pipedrive.store import Row, Store

GIVEN = ("Ada", "Bjørn", "Chloë", "Dmitri", "Élodie", "Farid", "Grace", "Hana", "Igor", "Jürgen", "Kateryna", "Li")
FAMILY = ("Lovelace", "Ångström", "van der Berg", "O'Neill", "García", "Šimić", "Nakamura", "Okafor", "Smith", "Weiß")
FIRMS = ("Nordwind GmbH", "Blue Harbour Ltd", "Café Noir", "ACME & Sons", "Óbidos SA", "Kestrel, Inc.", "  Padded Oy ")
PHONES = ("+49 30 901820", "(415) 555-0132", "0151 23456789", "ext 12", "020 7946 0018", "+1-212-555-0199 x7")
STAGES = (("Qualified", 10), ("Proposal", 40), ("Negotiation", 80))


class Seeder:
    """Fills a store. The same seed and number of contacts give the same company, whenever it is made."""

    def __init__(self, store: Store, contacts: int, seed: int) -> None:
        self.store = store
        self.contacts = contacts
        self.rng = random.Random(seed)
        self.keys: dict[str, str] = {}

    def run(self) -> None:
        self._fields()
        self._people_of_the_company()
        self._pipelines()
        for n in range(max(self.contacts // 5, 2)):
            self._put("organizations", self._organization(n))
        for n in range(self.contacts):
            self._put("persons", self._person(n))
        self._sales()
        self._gone()

    def _put(self, name: str, values: Row) -> Row:
        at = (ANCHOR - timedelta(minutes=self.rng.randrange(1, 500_000))).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.store.add(name, {"add_time": at, "update_time": at, **values})

    def _pick(self, name: str) -> Any:
        return self.rng.choice(list(self.store.table(name).values()))["id"]

    def _fields(self) -> None:
        for name, label, kind, options in (
            ("persons", "Segment", "enum", ("A", "B", "C")),
            ("persons", "Interests", "set", ("Tea", "Chess", "Sailing")),
            ("persons", "Mentor", "people", ()),
            ("persons", "Badge", "varchar", ()),
            ("organizations", "Account manager", "user", ()),
            ("organizations", "Rating", "double", ()),
            ("deals", "Budget", "monetary", ()),
            ("deals", "Contract", "daterange", ()),
            ("deals", "Call at", "time", ()),
            ("deals", "Delivery address", "address", ()),
            ("deals", "Signed on", "date", ()),
            ("deals", "Partner", "org", ()),
            ("products", "Warranty", "enum", ("1 year", "2 years")),
        ):  # fmt: skip
            self.keys[label] = self.store.add_field(name, label, kind, options)["field_code"]

    def _option(self, name: str, label: str) -> Any:
        field = next(f for f in self.store.fields[name] if f["field_name"] == label)
        return self.rng.choice(field["options"])["id"]

    def _people_of_the_company(self) -> None:
        for n, name in enumerate(("Tuuli Tamm", "Max Muster", "Former Colleague")):
            stamp = "2023-01-02 08:00:00"
            self.store.add("users", {
                "name": name, "email": f"user{n + 1}@sandbox.example", "phone": None, "active_flag": n != 2,
                "activated": True, "locale": "en_GB", "timezone_name": "Europe/Tallinn", "default_currency": "EUR",
                "role_id": 1, "created": stamp, "modified": stamp, "is_deleted": False,
            })  # fmt: skip
        for n, (key, name) in enumerate(
            (("call", "Call"), ("meeting", "Meeting"), ("task", "Task"), ("site_visit", "Site visit"))
        ):
            self.store.add("activity_types", {
                "name": name, "key_string": key, "icon_key": key, "order_nr": n, "active_flag": True, "is_custom_flag": n == 3,
            })  # fmt: skip

    def _pipelines(self) -> None:
        for order, name in enumerate(("Sales", "Renewals")):
            pipeline = self._put(
                "pipelines", {"name": name, "order_nr": order, "is_deal_probability_enabled": order == 0}
            )
            for place, (stage, probability) in enumerate(STAGES):
                self._put("stages", {
                    "name": stage, "order_nr": place, "pipeline_id": pipeline["id"], "deal_probability": probability,
                    "is_deal_rot_enabled": False, "days_to_rotten": None,
                })  # fmt: skip

    def _organization(self, n: int) -> Row:
        typed = {"value": "Hauptstraße 1, 10827 Berlin, Germany", "country": "Germany", "admin_area_level_1": "Berlin",
                 "locality": "Berlin", "route": "Hauptstraße", "street_number": "1", "postal_code": "10827"}  # fmt: skip
        return {
            "name": f"{self.rng.choice(FIRMS)} {n}", "owner_id": self.rng.choice((1, 2, 3)), "visible_to": 3,
            "label_ids": [], "website": self.rng.choice((None, "https://example.com", "example.org")), "linkedin": None,
            "address": self.rng.choice((None, typed, {"value": "somewhere by the sea"})), "industry": None,
            "annual_revenue": self.rng.choice((None, 120_000)), "employee_count": self.rng.choice((None, 7)),
            "custom_fields": {self.keys["Account manager"]: 2, self.keys["Rating"]: 4.5},
        }  # fmt: skip

    def _person(self, n: int) -> Row:
        given, family = self.rng.choice(GIVEN), self.rng.choice(FAMILY)
        emails = [{"value": f"{given.lower()}.{n}@example.com", "primary": True, "label": "work"}]
        if n % 4 == 0:
            emails.insert(0, {"value": f"home{n}@example.org", "primary": False, "label": "home"})
        phones = [{"value": self.rng.choice(PHONES), "primary": True, "label": "work"}]
        if n % 5 == 0:
            phones.append({"value": "+372 5555 1234", "primary": False, "label": "mobile"})
        return {
            "name": f"{given} {family}" if n % 9 else f"  {family} ", "first_name": given if n % 9 else None,
            "last_name": family, "owner_id": self.rng.choice((1, 2, 3)), "visible_to": 3, "label_ids": [],
            "org_id": None if n % 7 == 0 else self._pick("organizations"), "emails": [] if n % 11 == 0 else emails,
            "phones": phones if n % 3 else [], "im": [], "job_title": self.rng.choice((None, "CTO", "Buyer")),
            "birthday": "1990-02-28" if n % 6 == 0 else None, "notes": None, "picture_id": None,
            "postal_address": None, "custom_fields": {
                self.keys["Segment"]: self._option("persons", "Segment") if n % 2 else None,
                self.keys["Interests"]: [self._option("persons", "Interests")] if n % 3 == 0 else None,
                self.keys["Mentor"]: self._pick("persons") if n % 10 == 9 else None,
                self.keys["Badge"]: f"B-{n}",
            },
        }  # fmt: skip

    def _sales(self) -> None:
        for n in range(max(self.contacts // 20, 3)):
            self._put("products", {
                "name": f"Product {n}", "code": f"P-{n:03d}", "unit": "pcs", "tax": 0, "owner_id": 1, "description": None,
                "category": None, "is_linkable": True, "visible_to": 3, "custom_fields": {},
                "prices": [{"product_id": n + 1, "price": 9.5 + n, "currency": "EUR", "cost": 1, "direct_cost": None}],
            })  # fmt: skip
        for n in range(max(self.contacts // 3, 6)):
            self._deal(n)
        for n in range(max(self.contacts // 8, 4)):
            self._put("leads", {
                "title": f"Lead {n}", "owner_id": 1, "creator_id": 1, "label_ids": [], "person_id": self._pick("persons"),
                "organization_id": None, "source_name": "API", "origin": "ManuallyCreated", "is_archived": n % 4 == 3,
                "was_seen": True, "value": {"amount": 100 + n, "currency": "EUR"} if n % 2 else None,
                "expected_close_date": None, "visible_to": "3", "next_activity_id": None,
            })  # fmt: skip
        for n in range(max(self.contacts // 2, 6)):
            self._activity(n)
        for n in range(max(self.contacts // 4, 4)):
            self._note(n)
            if n % 3 == 0:
                self._file(n)

    def _deal(self, n: int) -> None:
        stage = self.rng.choice(list(self.store.table("stages").values()))
        status = ("open", "won", "lost")[n % 3]
        deal = self._put("deals", {
            "title": f"Deal {n}", "owner_id": self.rng.choice((1, 2, 3)), "creator_user_id": 1, "status": status,
            "person_id": self._pick("persons") if n % 4 else None, "org_id": self._pick("organizations"),
            "pipeline_id": stage["pipeline_id"], "stage_id": stage["id"], "value": 1000.5 + n,
            "currency": self.rng.choice(("EUR", "USD", "SEK")), "probability": None, "label_ids": [], "visible_to": 3,
            "lost_reason": "Price" if status == "lost" else None, "expected_close_date": "2025-09-30" if n % 2 else None,
            "won_time": "2025-06-01T10:00:00Z" if status == "won" else None, "is_archived": n % 10 == 7,
            "custom_fields": {
                self.keys["Budget"]: {"value": 5000, "currency": "USD"} if n % 2 else None,
                self.keys["Contract"]: {"value": "2025-01-01", "until": "2025-12-31"} if n % 3 == 0 else None,
                self.keys["Call at"]: {"value": "14:30:00", "timezone_id": 1} if n % 5 == 0 else None,
                self.keys["Signed on"]: "2025-02-03" if status == "won" else None,
                self.keys["Partner"]: self._pick("organizations") if n % 6 == 0 else None,
            },
        })  # fmt: skip
        if n % 2 == 0:
            self._put("deal_products", {
                "deal_id": deal["id"], "product_id": self._pick("products"), "name": "Product", "quantity": 2,
                "item_price": 9.5, "currency": deal["currency"], "discount": 10, "discount_type": "percentage", "sum": 17.1,
                "tax": 0, "tax_method": "none", "comments": None, "order_nr": 1, "is_enabled": True,
            })  # fmt: skip

    def _activity(self, n: int) -> None:
        self._put("activities", {
            "subject": f"Activity {n}", "type": ("call", "meeting", "task", "site_visit")[n % 4], "owner_id": 1,
            "creator_user_id": 1, "deal_id": self._pick("deals") if n % 2 else None, "lead_id": None,
            "person_id": self._pick("persons"), "org_id": None, "due_date": "2025-06-20",
            "due_time": "09:30:00" if n % 3 else None, "duration": "00:45:00" if n % 3 else None, "busy": True,
            "done": n % 2 == 0, "marked_as_done_time": None, "priority": None, "note": "<b>Bring</b> samples<br>and tea",
            "location": {"value": "Harbour 1"} if n % 4 == 1 else None, "public_description": None,
        })  # fmt: skip

    def _note(self, n: int) -> None:
        at = (ANCHOR - timedelta(hours=n + 1)).strftime("%Y-%m-%d %H:%M:%S")
        self.store.add("notes", {
            "content": f"<p>Spoke about <i>renewal</i> {n} &amp; prices</p>", "user_id": 1, "last_update_user_id": None,
            "deal_id": self._pick("deals") if n % 2 else None, "person_id": self._pick("persons"), "org_id": None,
            "lead_id": None, "pinned_to_deal_flag": False, "add_time": at, "update_time": at,
        })  # fmt: skip

    def _file(self, n: int) -> None:
        content = f"contract {n}\n".encode() * (n + 1)
        at = (ANCHOR - timedelta(hours=n + 1)).strftime("%Y-%m-%d %H:%M:%S")
        row = self.store.add("files", {
            "name": f"Contract {n}.txt", "file_name": f"contract_{n}_5f2.txt", "file_type": "txt", "file_size": len(content),
            "user_id": 1, "deal_id": self._pick("deals"), "person_id": None, "org_id": None, "product_id": None,
            "activity_id": None, "lead_id": None, "remote_location": "s3", "remote_id": "", "inline_flag": False,
            "description": None, "add_time": at, "update_time": at,
        })  # fmt: skip
        self.store.blobs[str(row["id"])] = content

    def _gone(self) -> None:
        """A deleted deal and a person that was merged into another: no list tells of the person."""
        for name in ("persons", "deals"):
            gone = self._put(name, {**next(iter(self.store.table(name).values())), "id": 10_000_000})
            gone["is_deleted"] = True
