"""A plan file: what is written is read back, what is edited has its effect, what is wrong is named by line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.entities import Kind
from domain.errors import ConfigurationError, PlanChangedError
from domain.records import AccountInfo, Catalog, FieldSchema, ObjectSchema, Option
from migration.audit_model import Audit, FieldAudit, ObjectAudit, SourceUser, UnreadObject
from migration.plan import HubUser, PlanOptions, build_plan, match_owners
from migration.plan_model import FieldUse, Phase, Plan, SkipReason, Survivor
from migration.plan_reading import approved_text

HUB_USER = UUID("018f0000-0000-7000-8000-000000000001")


def _object(name: str, *fields: FieldSchema | str, **more: object) -> ObjectSchema:
    made = tuple(f if isinstance(f, FieldSchema) else FieldSchema(f) for f in ("Id", *fields))
    return ObjectSchema(name, made, label=name, id_field="Id", **more)  # type: ignore[arg-type]


def _reference(name: str, *targets: str) -> FieldSchema:
    return FieldSchema(name, Kind.REFERENCE, refers_to=targets)


def catalog() -> Catalog:
    stages = (
        Option("Prospecting", attributes={"probability": 10, "is_won": False, "is_closed": False}),
        Option("Closed Won", attributes={"probability": 100.0, "is_won": True, "is_closed": True}),
    )
    objects = (
        _object("Contact", "LastName", FieldSchema("Email", Kind.EMAIL), _reference("AccountId", "Account"),
                FieldSchema("Shoe_Size__c", Kind.DECIMAL, custom=True), FieldSchema("Fax", Kind.PHONE)),
        _object("OpportunityContactRole", _reference("ContactId", "Contact"), _reference("OpportunityId", "Opportunity")),
        _object("Opportunity", "Name", FieldSchema("StageName", options=stages), _reference("AccountId", "Account")),
        _object("Account", "Name", _reference("ParentId", "Account"), _reference("OwnerId", "User")),
        _object("User", "Name", FieldSchema("Email", Kind.EMAIL)),
        _object("Lead", "LastName", "Company"),
        _object("Case", "Subject", readable=False),
    )  # fmt: skip
    return Catalog({o.name: o for o in objects})


def audit(**counts: int) -> Audit:
    def audited(schema: ObjectSchema) -> ObjectAudit:
        count = counts.get(schema.name, 100)
        fields = tuple(FieldAudit(f.name, f.kind, records=count, filled=count // 2) for f in schema.fields)
        return ObjectAudit(schema.name, count=count, fields=fields)

    readable = [s for s in catalog().objects.values() if s.readable]
    return Audit(
        "salesforce", "00D1", datetime(2026, 1, 2, tzinfo=UTC), catalog().fingerprint(),
        tuple(audited(s) for s in readable), unread=(UnreadObject("Case", "The connected user may not read it."),),
        users=(SourceUser("005A", "Ann@Example.com", "Ann"), SourceUser("005B", "bob@example.com", "Bob", is_active=False)),
    )  # fmt: skip


def make(options: PlanOptions | None = None, **counts: int) -> Plan:
    account = AccountInfo("00D1", "Acme", country="DE", currency="EUR", time_zone="Europe/Berlin")
    return build_plan(audit(**counts), catalog(), account, [HubUser(HUB_USER, "ann@example.com")], options)


@pytest.fixture
def plan() -> Plan:
    return make(Lead=0)


class TestProposal:
    def test_order_is_users_master_data_transactions_associations_and_parents_first(self, plan: Plan) -> None:
        names = [o.object for o in plan.objects]
        assert names == ["User", "Account", "Contact", "Opportunity", "OpportunityContactRole"]
        assert [o.phase for o in plan.objects] == [
            Phase.USERS, Phase.MASTER_DATA, Phase.MASTER_DATA, Phase.TRANSACTIONS, Phase.ASSOCIATIONS
        ]  # fmt: skip
        assert ("Account",) in plan.cycles

    def test_left_behind_with_a_reason(self, plan: Plan) -> None:
        assert {s.object: s.reason for s in plan.skipped} == {"Lead": SkipReason.EMPTY, "Case": SkipReason.UNREADABLE}

    def test_choice_of_objects(self) -> None:
        plan = make(PlanOptions(without=frozenset({"Opportunity"})))
        assert next(s for s in plan.skipped if s.object == "Opportunity").reason is SkipReason.CHOICE

    def test_every_field_is_mapped_custom_or_ignored_with_reason(self, plan: Plan) -> None:
        for planned in plan.objects:
            assert {f.name for f in planned.fields} == set(catalog().objects[planned.object].field_names)
            for field in planned.fields:
                assert field.to if field.use is FieldUse.MAPPED else not field.to
                assert field.why if field.use is FieldUse.IGNORED else True
        uses = {f.name: f.use for f in plan.object("Contact").fields}
        assert uses["Email"] is FieldUse.MAPPED
        assert uses["Shoe_Size__c"] is FieldUse.CUSTOM

    def test_match_rules_default_to_the_entity(self, plan: Plan) -> None:
        assert plan.object("Contact").match_rules == (("email", "last_name"),)
        assert plan.object("OpportunityContactRole").match_rules == ()

    def test_defaults_come_from_the_account(self, plan: Plan) -> None:
        context = plan.context
        assert (context.default_country, context.default_currency, context.time_zone) == ("DE", "EUR", "Europe/Berlin")

    def test_what_an_account_tells_badly_is_not_taken(self) -> None:
        account = AccountInfo("00D1", country="Germany", currency="Euro", time_zone="Berlin")
        assert build_plan(audit(), catalog(), account).context.default_country == "US"

    def test_stages_with_probabilities_as_found(self, plan: Plan) -> None:
        (pipeline,) = plan.pipelines
        assert pipeline.found_in == "Opportunity.StageName"
        assert [(s.name, s.probability, s.is_won) for s in pipeline.stages] == [
            ("Prospecting", 10, False), ("Closed Won", 100, True)
        ]  # fmt: skip

    def test_owners_match_by_email_whatever_its_case(self, plan: Plan) -> None:
        assert [(o.vendor_id, o.hub_user_id, o.action) for o in plan.owners] == [
            ("005A", HUB_USER, "match"), ("005B", None, "create")
        ]  # fmt: skip

    def test_an_address_of_two_hub_users_matches_neither(self) -> None:
        users = [HubUser(HUB_USER, "ann@example.com"), HubUser(UUID(int=2), "ANN@example.com ")]
        assert match_owners(audit().users, users)[0].hub_user_id is None

    def test_users_without_address_never_match(self) -> None:
        assert match_owners([SourceUser("005C")], [HubUser(HUB_USER, "")])[0].hub_user_id is None

    def test_files_of_a_dialect_get_its_mapping_and_names(self) -> None:
        def named(name: str, known_as: str) -> ObjectSchema:
            return replace(
                catalog().objects[known_as], name=name, attributes={"dialect": "salesforce", "dialect_object": known_as}
            )

        files = Catalog({n: named(n, k) for n, k in (("people 2024", "Contact"), ("firms", "Account"))})
        found = tuple(ObjectAudit(name, count=1) for name in files.objects)
        plan = build_plan(replace(audit(), vendor="files", objects=found, unread=()), files, AccountInfo("files"))
        assert [o.object for o in plan.objects] == ["firms", "people 2024"]
        assert plan.object("people 2024").mapping == "salesforce/Contact"
        assert plan.object("people 2024").spec.fields["account_id"].objects == ("firms",)
        assert Plan.from_toml(plan.to_toml(), "p.toml").object("people 2024") == plan.object("people 2024")

    def test_custom_objects_are_proposed_and_the_vendors_own_left_behind(self) -> None:
        custom = _object("Widget__c", "Name", FieldSchema("Colour__c", custom=True), custom=True)
        objects = Catalog({"Widget__c": custom, "AsyncApexJob": _object("AsyncApexJob", "Status")})
        found = tuple(ObjectAudit(name, count=3) for name in objects.objects)
        plan = build_plan(replace(audit(), objects=found, unread=()), objects, AccountInfo("00D1"))
        assert [(o.object, o.entity, o.mapping) for o in plan.objects] == [("Widget__c", "custom_record", "inline")]
        assert [(s.object, s.reason) for s in plan.skipped] == [("AsyncApexJob", SkipReason.SYSTEM)]
        assert Plan.from_toml(plan.to_toml(), "p.toml") == plan


class TestRoundTrip:
    def test_what_is_written_is_read_back(self, plan: Plan) -> None:
        again = Plan.from_toml(plan.to_toml(), "plan.toml")
        assert again == plan
        assert again.checksum == plan.checksum

    def test_stored_json_is_read_back(self, plan: Plan) -> None:
        assert Plan.from_json(plan.approve().to_json()) == plan
        assert Plan.from_json(plan.approve().to_json()).is_approved

    def test_writing_twice_gives_the_same_file(self, plan: Plan) -> None:
        text = plan.to_toml()
        assert Plan.from_toml(text, "plan.toml").to_toml() == text

    @pytest.mark.parametrize(
        "name",
        [
            'quote " and \\',
            "tab\there",
            "ünï 🦊",
            "''' fence",
            "a\nline",
            "\nfirst",
            "''' and\nline",
            "\r\nx",
            "x = [1]",
        ],
    )
    def test_any_name_survives(self, plan: Plan, name: str) -> None:
        odd = replace(plan, display_name=name, owners=(replace(plan.owners[0], name=name), *plan.owners[1:]))
        assert Plan.from_toml(odd.to_toml(), "plan.toml") == odd

    def test_override_is_kept_and_has_its_effect(self) -> None:
        override = '[fields]\ndepartment = "Shoe_Size__c"\n'
        plan = make(PlanOptions(overrides={"Contact": override}))
        again = Plan.from_toml(plan.to_toml(), "plan.toml")
        assert again == plan
        shoe = next(f for f in again.object("Contact").fields if f.name == "Shoe_Size__c")
        assert shoe.to == ("department",)


class TestApproval:
    def test_a_fresh_plan_is_not_approved(self, plan: Plan) -> None:
        with pytest.raises(PlanChangedError, match="not been approved") as caught:
            plan.require_approved()
        assert caught.value.code == "plan_not_approved"

    def test_approving_the_file_keeps_comments_and_approves_its_content(self, plan: Plan) -> None:
        text = plan.to_toml().replace("[plan]", "# talked to Ann about this\n[plan]")
        approved = approved_text(text, "plan.toml")
        assert "# talked to Ann about this" in approved
        Plan.from_toml(approved, "plan.toml").require_approved()

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('survivor = "oldest"', 'survivor = "newest"'),
            ("blank_fill = true", "blank_fill = false"),
            ('country = "DE"', 'country = "AT"'),
            ("migrate = true", "migrate = false"),
            (f'hub_user = "{HUB_USER}"', 'hub_user = "create"'),
            ('Fax = {use = "mapped"', 'Fax = {use = "ignored"'),
            ('remote_account = "00D1"', 'remote_account = "00D2"'),
        ],
    )
    def test_any_edit_after_approval_is_noticed(self, plan: Plan, old: str, new: str) -> None:
        text = plan.approve().to_toml()
        assert old in text
        edited = Plan.from_toml(text.replace(old, new, 1), "plan.toml")
        with pytest.raises(PlanChangedError, match="changed after it was approved"):
            edited.require_approved()

    def test_layout_is_no_edit(self, plan: Plan) -> None:
        text = plan.approve().to_toml()
        Plan.from_toml(text.replace("\n\n", "\n\n# a remark\n\n"), "plan.toml").require_approved()


class TestEditing:
    def edit(self, plan: Plan, old: str, new: str) -> Plan:
        text = plan.to_toml()
        assert old in text
        return Plan.from_toml(text.replace(old, new, 1), "plan.toml")

    def test_leaving_an_object_behind(self, plan: Plan) -> None:
        edited = self.edit(plan, "migrate = true", "migrate = false")
        assert [o.object for o in edited.objects] == [o.object for o in plan.objects][1:]
        assert next(s for s in edited.skipped if s.object == "User").reason is SkipReason.CHOICE

    def test_taking_an_empty_object_along(self, plan: Plan) -> None:
        text = plan.to_toml()
        at = text.index('object = "Lead"')
        edited = Plan.from_toml(text[:at] + text[at:].replace("migrate = false", "migrate = true", 1), "plan.toml")
        assert edited.object("Lead").phase is Phase.MASTER_DATA

    def test_an_unreadable_object_cannot_be_taken_along(self, plan: Plan) -> None:
        text = plan.to_toml()
        at = text.index('object = "Case"')
        edited = text[:at] + text[at:].replace("migrate = false", "migrate = true", 1)
        line = edited[: edited.index("migrate = true", at)].count("\n") + 1
        with pytest.raises(ConfigurationError, match=rf"plan\.toml, line {line}: .*Case has no mapping"):
            Plan.from_toml(edited, "plan.toml")

    def test_ignoring_a_custom_field(self, plan: Plan) -> None:
        edited = self.edit(
            plan, 'Shoe_Size__c = {use = "custom"', 'Shoe_Size__c = {use = "ignored", why = "nobody needs it"'
        )
        assert edited.object("Contact").spec.ignore["Shoe_Size__c"] == "nobody needs it"
        assert edited.to_toml() == Plan.from_toml(edited.to_toml(), "plan.toml").to_toml()

    def test_keeping_a_mapped_field_as_custom(self, plan: Plan) -> None:
        edited = self.edit(plan, 'Fax = {use = "mapped"', 'Fax = {use = "custom"')
        contact = edited.object("Contact")
        assert "fax" not in contact.spec.fields
        fax = next(f for f in contact.fields if f.name == "Fax")
        assert (fax.use, fax.to) == (FieldUse.CUSTOM, ())
        assert Plan.from_toml(edited.to_toml(), "plan.toml") == edited

    def test_mapping_a_field_needs_an_override(self, plan: Plan) -> None:
        with pytest.raises(ConfigurationError, match="nothing says to what") as caught:
            self.edit(plan, 'Shoe_Size__c = {use = "custom"', 'Shoe_Size__c = {use = "mapped"')
        assert "override" in caught.value.remedy

    def test_the_id_cannot_be_left_out(self, plan: Plan) -> None:
        with pytest.raises(ConfigurationError, match="record's id"):
            self.edit(plan, 'Id = {use = "mapped"', 'Id = {use = "ignored"')

    def test_match_rules_and_survivor(self, plan: Plan) -> None:
        edited = self.edit(plan, '[["email", "last_name"]]', '[["email"], ["phone", "last_name"]]')
        assert edited.object("Contact").match_rules == (("email",), ("phone", "last_name"))
        assert (
            self.edit(plan, 'survivor = "oldest"', 'survivor = "most_complete"').objects[0].survivor
            is Survivor.MOST_COMPLETE
        )

    @pytest.mark.parametrize(
        ("old", "new", "field", "problem"),
        [
            ('survivor = "oldest"', 'survivor = "eldest"', "survivor", "oldest"),
            ("blank_fill = true", 'blank_fill = "yes"', "blank_fill", "boolean"),
            ("migrate = true", "migrat = true", "migrat", "."),
            ('country = "DE"', 'country = "Germany"', "country", "ISO 3166"),
            ('time_zone = "Europe/Berlin"', 'time_zone = "Berlin"', "time_zone", "does not exist"),
            (f'hub_user = "{HUB_USER}"', 'hub_user = "Ann"', "hub_user", "no id"),
            ('[["email", "last_name"]]', '[["mail"]]', "match_rules", "'mail'"),
            ('mapping = "salesforce/Account"', 'mapping = "salesforce/Acount"', "mapping", "no shipped mapping"),
            ('entity = "account"', 'entity = "contact"', "entity", "leads to"),
            ('use = "custom"', 'use = "costum"', "use", "custom"),
        ],
    )
    def test_errors_name_file_line_and_field(self, plan: Plan, old: str, new: str, field: str, problem: str) -> None:
        text = plan.to_toml()
        assert old in text
        line = text[: text.index(old)].count("\n") + 1
        with pytest.raises(ConfigurationError, match=problem) as caught:
            Plan.from_toml(text.replace(old, new, 1), "my plan.toml")
        message = str(caught.value)
        if field != "migrat":  # two things are wrong there: the unknown key and the one that is missing
            assert f"my plan.toml, line {line}:" in message
        assert field in message

    def test_broken_toml_names_the_line(self) -> None:
        with pytest.raises(ConfigurationError, match=r"plan\.toml: this is not valid TOML: .*line 2"):
            Plan.from_toml("[plan]\nvendor = \n", "plan.toml")

    def test_an_object_twice(self, plan: Plan) -> None:
        with pytest.raises(ConfigurationError, match="second time"):
            self.edit(plan, 'object = "Account"', 'object = "Contact"')

    def test_a_wrong_override_names_object_and_line(self, plan: Plan) -> None:
        text = plan.to_toml().replace(
            'mapping = "salesforce/Contact"',
            "mapping = \"salesforce/Contact\"\noverride = '''\n[fields]\nlast_nam = \"LastName\"\n'''",
            1,
        )
        with pytest.raises(ConfigurationError, match=r"\(Contact, override\), line 2: .*last_nam"):
            Plan.from_toml(text, "plan.toml")
