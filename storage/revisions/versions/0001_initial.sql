CREATE TABLE api_key (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    secret_hash BYTEA NOT NULL,
    role TEXT NOT NULL,
    scopes TEXT[],
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT api_key_pkey PRIMARY KEY (tenant_id, id)
);

CREATE TABLE member (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    email TEXT NOT NULL,
    name TEXT DEFAULT '' NOT NULL,
    role TEXT NOT NULL,
    status TEXT DEFAULT 'invited' NOT NULL,
    issuer TEXT,
    subject TEXT,
    invited_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    joined_at TIMESTAMP WITH TIME ZONE,
    removed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT member_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT member_tenant_id_email_key UNIQUE (tenant_id, email),
    CONSTRAINT member_tenant_id_issuer_subject_key UNIQUE (tenant_id, issuer, subject)
);

CREATE TABLE idempotency_key (
    tenant_id UUID NOT NULL,
    caller TEXT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    request_hash BYTEA NOT NULL,
    attempt UUID NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    status INTEGER,
    headers JSONB,
    key_id TEXT,
    wrapped_key BYTEA,
    ciphertext BYTEA,
    CONSTRAINT idempotency_key_pkey PRIMARY KEY (tenant_id, caller, key)
);

CREATE INDEX idempotency_key_tenant_id_expires_at_idx ON idempotency_key (tenant_id, expires_at);

CREATE TABLE rate_bucket (
    tenant_id UUID NOT NULL,
    caller TEXT NOT NULL,
    tokens FLOAT NOT NULL,
    granted FLOAT NOT NULL,
    refilled_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT rate_bucket_pkey PRIMARY KEY (tenant_id, caller)
);

CREATE UNLOGGED TABLE failed_sign_in (
    tenant_id UUID NOT NULL,
    network TEXT COLLATE "C" NOT NULL,
    tries FLOAT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT failed_sign_in_pkey PRIMARY KEY (tenant_id, network)
);

CREATE INDEX failed_sign_in_tenant_id_at_idx ON failed_sign_in (tenant_id, at);

CREATE TABLE api_usage (
    tenant_id UUID NOT NULL,
    day DATE NOT NULL,
    caller TEXT NOT NULL,
    calls BIGINT NOT NULL,
    CONSTRAINT api_usage_pkey PRIMARY KEY (tenant_id, day, caller)
);

CREATE TABLE audit_log (
    tenant_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_id TEXT NOT NULL,
    detail JSONB DEFAULT '{}' NOT NULL,
    request_id TEXT,
    previous BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT audit_log_pkey PRIMARY KEY (tenant_id, seq)
);

CREATE INDEX audit_log_tenant_id_action_seq_idx ON audit_log (tenant_id, action, seq);

CREATE INDEX audit_log_tenant_id_actor_seq_idx ON audit_log (tenant_id, actor, seq);

CREATE INDEX audit_log_tenant_id_at_seq_idx ON audit_log (tenant_id, at, seq);

CREATE INDEX audit_log_tenant_id_target_kind_target_id_seq_idx ON audit_log (tenant_id, target_kind, target_id, seq);

CREATE TABLE audit_head (
    tenant_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    CONSTRAINT audit_head_pkey PRIMARY KEY (tenant_id)
);

CREATE TABLE secret (
    tenant_id UUID NOT NULL,
    owner_id UUID NOT NULL,
    generation BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    wrapped_key BYTEA NOT NULL,
    ciphertext BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT secret_pkey PRIMARY KEY (tenant_id, owner_id, generation)
);

CREATE TABLE inbound_endpoint (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    scheme TEXT NOT NULL,
    connection_id UUID,
    settings JSONB DEFAULT '{}' NOT NULL,
    status TEXT DEFAULT 'active' NOT NULL,
    hinted_at TIMESTAMP WITH TIME ZONE,
    purged JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT inbound_endpoint_pkey PRIMARY KEY (tenant_id, id)
);

CREATE UNIQUE INDEX inbound_endpoint_name_key ON inbound_endpoint (tenant_id, name) WHERE status <> 'removed';

CREATE TABLE inbox (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    dedupe_key TEXT COLLATE "C" NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE,
    headers JSONB,
    body BYTEA NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    next_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT,
    reason TEXT,
    counts JSONB,
    processed_at TIMESTAMP WITH TIME ZONE,
    traceparent TEXT,
    CONSTRAINT inbox_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX inbox_endpoint_outcome_idx ON inbox (tenant_id, endpoint_id, outcome, id) WHERE outcome IS NOT NULL;

CREATE INDEX inbox_outcome_idx ON inbox (tenant_id, outcome, id) WHERE outcome IS NOT NULL;

CREATE INDEX inbox_pending_idx ON inbox (tenant_id, endpoint_id, id) WHERE status = 'pending';

CREATE UNIQUE INDEX inbox_dedupe_key ON inbox (tenant_id, endpoint_id, dedupe_key);

CREATE TABLE posted_record (
    tenant_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    entity TEXT NOT NULL,
    entity_id UUID NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT posted_record_pkey PRIMARY KEY (tenant_id, endpoint_id, entity_id)
);

CREATE TABLE posted_event (
    tenant_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    dedupe_key TEXT COLLATE "C" NOT NULL,
    inbox_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT posted_event_pkey PRIMARY KEY (tenant_id, endpoint_id, dedupe_key)
);

CREATE INDEX posted_event_tenant_id_inbox_id_idx ON posted_event (tenant_id, inbox_id);

CREATE TABLE route (
    tenant_id UUID NOT NULL,
    vendor TEXT NOT NULL,
    remote_account TEXT COLLATE "C" NOT NULL,
    routed_tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT route_pkey PRIMARY KEY (tenant_id, vendor, remote_account, routed_tenant_id, connection_id)
);

CREATE INDEX route_tenant_id_routed_tenant_id_connection_id_idx ON route (tenant_id, routed_tenant_id, connection_id);

CREATE TABLE job (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    params JSONB NOT NULL,
    status TEXT DEFAULT 'queued' NOT NULL,
    progress JSONB DEFAULT '{}' NOT NULL,
    result JSONB,
    error JSONB,
    created_by JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT 0 NOT NULL,
    cancel_requested BOOLEAN DEFAULT false NOT NULL,
    generation BIGINT DEFAULT 0 NOT NULL,
    lease_owner TEXT,
    lease_until TIMESTAMP WITH TIME ZONE,
    traceparent TEXT DEFAULT coalesce(current_setting('app.traceparent', true), ''),
    CONSTRAINT job_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX job_tenant_id_kind_id_idx ON job (tenant_id, kind, id);

CREATE INDEX job_tenant_id_status_id_idx ON job (tenant_id, status, id);

CREATE INDEX job_unfinished_idx ON job (tenant_id, id) WHERE status IN ('queued', 'running');

CREATE TABLE mapping_version (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    object TEXT NOT NULL,
    version INTEGER NOT NULL,
    text TEXT NOT NULL,
    author TEXT NOT NULL,
    reason TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT mapping_version_pkey PRIMARY KEY (tenant_id, connection_id, object, version)
);

CREATE TABLE sign_in (
    tenant_id UUID NOT NULL,
    state_hash BYTEA NOT NULL,
    id UUID NOT NULL,
    key_id TEXT NOT NULL,
    wrapped_key BYTEA NOT NULL,
    ciphertext BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT sign_in_pkey PRIMARY KEY (tenant_id, state_hash)
);

CREATE TABLE event (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    type TEXT NOT NULL,
    type_version INTEGER DEFAULT 1 NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    subject UUID,
    cause TEXT,
    data JSONB NOT NULL,
    emitted BOOLEAN DEFAULT true NOT NULL,
    told BOOLEAN DEFAULT false NOT NULL,
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    xid BIGINT DEFAULT (pg_current_xact_id()::text)::bigint NOT NULL,
    traceparent TEXT DEFAULT coalesce(current_setting('app.traceparent', true), ''),
    CONSTRAINT event_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX event_cause_idx ON event (tenant_id, cause, occurred_at) WHERE told;

CREATE INDEX event_emitted_idx ON event (tenant_id, xid, seq) WHERE emitted;

CREATE INDEX event_tenant_id_occurred_at_idx ON event (tenant_id, occurred_at);

CREATE TABLE event_relay (
    tenant_id UUID NOT NULL,
    low BIGINT NOT NULL,
    high BIGINT NOT NULL,
    change_seq BIGINT DEFAULT 0 NOT NULL,
    event_seq BIGINT DEFAULT 0 NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT event_relay_pkey PRIMARY KEY (tenant_id)
);

CREATE TABLE change_purge (
    tenant_id UUID NOT NULL,
    xid BIGINT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT change_purge_pkey PRIMARY KEY (tenant_id)
);

CREATE TABLE webhook_subscription (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    types TEXT[] NOT NULL,
    ordered BOOLEAN DEFAULT true NOT NULL,
    bulk TEXT DEFAULT 'summary' NOT NULL,
    rate_per_s INTEGER DEFAULT 50 NOT NULL,
    status TEXT DEFAULT 'active' NOT NULL,
    status_reason TEXT,
    since_xid BIGINT NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    failing_since TIMESTAMP WITH TIME ZONE,
    paused_until TIMESTAMP WITH TIME ZONE,
    next_at TIMESTAMP WITH TIME ZONE,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT webhook_subscription_pkey PRIMARY KEY (tenant_id, id)
);

CREATE TABLE migration_plan (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    text TEXT NOT NULL,
    checksum TEXT NOT NULL,
    approved TEXT,
    approved_by TEXT,
    approved_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT migration_plan_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX migration_plan_tenant_id_connection_id_id_idx ON migration_plan (tenant_id, connection_id, id);

CREATE TABLE suppression_key (
    tenant_id UUID NOT NULL,
    key_id TEXT NOT NULL,
    wrapped_key BYTEA NOT NULL,
    ciphertext BYTEA NOT NULL,
    CONSTRAINT suppression_key_pkey PRIMARY KEY (tenant_id)
);

CREATE TABLE suppression (
    tenant_id UUID NOT NULL,
    digest BYTEA NOT NULL,
    kind TEXT NOT NULL,
    erasure_id UUID NOT NULL,
    policy TEXT DEFAULT 'refuse' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT suppression_pkey PRIMARY KEY (tenant_id, digest)
);

CREATE TABLE erasure (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    status TEXT NOT NULL,
    vendors TEXT NOT NULL,
    key_id TEXT,
    wrapped_key BYTEA,
    ciphertext BYTEA,
    report JSONB,
    report_hash BYTEA,
    outcomes JSONB,
    requested_by TEXT NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT erasure_pkey PRIMARY KEY (tenant_id, id)
);

CREATE TABLE retention (
    tenant_id UUID NOT NULL,
    kind TEXT NOT NULL,
    days INTEGER,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT retention_pkey PRIMARY KEY (tenant_id, kind)
);

CREATE TABLE consent (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    who TEXT NOT NULL,
    scopes TEXT[] NOT NULL,
    text_version TEXT NOT NULL,
    given_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    withdrawn_at TIMESTAMP WITH TIME ZONE,
    withdrawn_by TEXT,
    CONSTRAINT consent_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX consent_tenant_id_connection_id_idx ON consent (tenant_id, connection_id);

CREATE UNLOGGED TABLE stage_user (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    name TEXT,
    first_name TEXT,
    last_name TEXT,
    username TEXT,
    title TEXT,
    department TEXT,
    time_zone TEXT,
    locale TEXT,
    email TEXT,
    phone TEXT,
    is_active BOOLEAN,
    manager_id TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_user_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_user_decided_idx ON stage_user (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_account (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    name TEXT,
    domain TEXT,
    website TEXT,
    phone TEXT,
    fax TEXT,
    industry TEXT,
    kind TEXT,
    rating TEXT,
    source TEXT,
    ownership TEXT,
    number TEXT,
    currency TEXT,
    description TEXT,
    employees BIGINT,
    annual_revenue NUMERIC,
    tags TEXT[],
    billing_street TEXT,
    billing_city TEXT,
    billing_region TEXT,
    billing_postal_code TEXT,
    billing_country TEXT,
    shipping_street TEXT,
    shipping_city TEXT,
    shipping_region TEXT,
    shipping_postal_code TEXT,
    shipping_country TEXT,
    parent_id TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_account_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_account_decided_idx ON stage_account (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_contact (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    salutation TEXT,
    first_name TEXT,
    middle_name TEXT,
    last_name TEXT,
    suffix TEXT,
    title TEXT,
    email TEXT,
    phone TEXT,
    mobile_phone TEXT,
    fax TEXT,
    home_phone TEXT,
    department TEXT,
    source TEXT,
    description TEXT,
    time_zone TEXT,
    language TEXT,
    birth_date DATE,
    email_opt_out BOOLEAN,
    do_not_call BOOLEAN,
    tags TEXT[],
    mailing_street TEXT,
    mailing_city TEXT,
    mailing_region TEXT,
    mailing_postal_code TEXT,
    mailing_country TEXT,
    other_street TEXT,
    other_city TEXT,
    other_region TEXT,
    other_postal_code TEXT,
    other_country TEXT,
    account_id TEXT,
    reports_to_id TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_contact_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_contact_decided_idx ON stage_contact (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_lead (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    salutation TEXT,
    first_name TEXT,
    middle_name TEXT,
    last_name TEXT,
    suffix TEXT,
    title TEXT,
    email TEXT,
    phone TEXT,
    mobile_phone TEXT,
    company TEXT,
    status TEXT,
    source TEXT,
    rating TEXT,
    industry TEXT,
    description TEXT,
    currency TEXT,
    website TEXT,
    employees BIGINT,
    annual_revenue NUMERIC,
    email_opt_out BOOLEAN,
    do_not_call BOOLEAN,
    tags TEXT[],
    mailing_street TEXT,
    mailing_city TEXT,
    mailing_region TEXT,
    mailing_postal_code TEXT,
    mailing_country TEXT,
    is_converted BOOLEAN,
    converted_at TIMESTAMP WITH TIME ZONE,
    converted_account_id TEXT,
    converted_contact_id TEXT,
    converted_opportunity_id TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_lead_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_lead_decided_idx ON stage_lead (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_pipeline (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    name TEXT,
    position BIGINT,
    is_default BOOLEAN,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_pipeline_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_pipeline_decided_idx ON stage_pipeline (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_stage (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    name TEXT,
    pipeline_id TEXT,
    position BIGINT,
    probability NUMERIC,
    is_won BOOLEAN,
    is_closed BOOLEAN,
    forecast_category TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_stage_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_stage_decided_idx ON stage_stage (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_campaign (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    name TEXT,
    kind TEXT,
    status TEXT,
    description TEXT,
    currency TEXT,
    start_date DATE,
    end_date DATE,
    budget NUMERIC,
    actual_cost NUMERIC,
    expected_revenue NUMERIC,
    is_active BOOLEAN,
    parent_id TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_campaign_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_campaign_decided_idx ON stage_campaign (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_opportunity (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    name TEXT,
    kind TEXT,
    source TEXT,
    next_step TEXT,
    description TEXT,
    currency TEXT,
    forecast_category TEXT,
    loss_reason TEXT,
    amount NUMERIC,
    probability NUMERIC,
    expected_revenue NUMERIC,
    close_date DATE,
    is_closed BOOLEAN,
    is_won BOOLEAN,
    pipeline_id TEXT,
    stage_id TEXT,
    account_id TEXT,
    contact_id TEXT,
    campaign_id TEXT,
    tags TEXT[],
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_opportunity_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_opportunity_decided_idx ON stage_opportunity (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_stage_change (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    opportunity_id TEXT,
    stage_id TEXT,
    stage_name TEXT,
    forecast_category TEXT,
    currency TEXT,
    amount NUMERIC,
    probability NUMERIC,
    expected_revenue NUMERIC,
    close_date DATE,
    changed_at TIMESTAMP WITH TIME ZONE,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_stage_change_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_stage_change_decided_idx ON stage_stage_change (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_product (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    name TEXT,
    code TEXT,
    sku TEXT,
    family TEXT,
    description TEXT,
    currency TEXT,
    unit TEXT,
    unit_price NUMERIC,
    is_active BOOLEAN,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_product_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_product_decided_idx ON stage_product (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_price (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    product_id TEXT,
    price_book TEXT,
    currency TEXT,
    unit_price NUMERIC,
    is_active BOOLEAN,
    is_standard BOOLEAN,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_price_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_price_decided_idx ON stage_price (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_line_item (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    opportunity_id TEXT,
    product_id TEXT,
    price_id TEXT,
    name TEXT,
    description TEXT,
    currency TEXT,
    quantity NUMERIC,
    unit_price NUMERIC,
    list_price NUMERIC,
    discount NUMERIC,
    total NUMERIC,
    service_date DATE,
    position BIGINT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_line_item_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_line_item_decided_idx ON stage_line_item (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_ticket (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    subject TEXT,
    number TEXT,
    description TEXT,
    status TEXT,
    priority TEXT,
    origin TEXT,
    kind TEXT,
    reason TEXT,
    is_closed BOOLEAN,
    closed_at TIMESTAMP WITH TIME ZONE,
    is_escalated BOOLEAN,
    account_id TEXT,
    contact_id TEXT,
    parent_id TEXT,
    pipeline_id TEXT,
    stage_id TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_ticket_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_ticket_decided_idx ON stage_ticket (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_activity (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    kind TEXT,
    subject TEXT,
    body TEXT,
    body_format TEXT,
    status TEXT,
    priority TEXT,
    direction TEXT,
    location TEXT,
    outcome TEXT,
    starts_at TIMESTAMP WITH TIME ZONE,
    ends_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    reminder_at TIMESTAMP WITH TIME ZONE,
    due_date DATE,
    duration_s BIGINT,
    is_all_day BOOLEAN,
    is_closed BOOLEAN,
    is_private BOOLEAN,
    account_id TEXT,
    contact_id TEXT,
    lead_id TEXT,
    opportunity_id TEXT,
    ticket_id TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_activity_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_activity_decided_idx ON stage_activity (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_communication (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    kind TEXT,
    subject TEXT,
    body TEXT,
    body_format TEXT,
    direction TEXT,
    status TEXT,
    thread_key TEXT,
    message_key TEXT,
    participants JSONB,
    sent_at TIMESTAMP WITH TIME ZONE,
    received_at TIMESTAMP WITH TIME ZONE,
    opened_at TIMESTAMP WITH TIME ZONE,
    duration_s BIGINT,
    account_id TEXT,
    contact_id TEXT,
    lead_id TEXT,
    opportunity_id TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_communication_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_communication_decided_idx ON stage_communication (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_calendar_event (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    subject TEXT,
    description TEXT,
    location TEXT,
    status TEXT,
    time_zone TEXT,
    ical_uid TEXT,
    recurrence TEXT,
    meeting_url TEXT,
    visibility TEXT,
    starts_at TIMESTAMP WITH TIME ZONE,
    ends_at TIMESTAMP WITH TIME ZONE,
    original_starts_at TIMESTAMP WITH TIME ZONE,
    is_all_day BOOLEAN,
    is_cancelled BOOLEAN,
    attendees JSONB,
    organizer JSONB,
    series_id TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_calendar_event_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_calendar_event_decided_idx ON stage_calendar_event (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_invoice (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    number TEXT,
    status TEXT,
    currency TEXT,
    description TEXT,
    total NUMERIC,
    tax NUMERIC,
    balance NUMERIC,
    issued_on DATE,
    due_on DATE,
    account_id TEXT,
    contact_id TEXT,
    lines JSONB,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_invoice_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_invoice_decided_idx ON stage_invoice (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_order (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    number TEXT,
    status TEXT,
    kind TEXT,
    currency TEXT,
    description TEXT,
    total NUMERIC,
    tax NUMERIC,
    ordered_on DATE,
    ends_on DATE,
    account_id TEXT,
    contact_id TEXT,
    opportunity_id TEXT,
    lines JSONB,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_order_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_order_decided_idx ON stage_order (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_payment (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    number TEXT,
    status TEXT,
    method TEXT,
    currency TEXT,
    description TEXT,
    amount NUMERIC,
    paid_at TIMESTAMP WITH TIME ZONE,
    account_id TEXT,
    invoice_id TEXT,
    order_id TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_payment_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_payment_decided_idx ON stage_payment (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_attachment (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    name TEXT,
    content_type TEXT,
    extension TEXT,
    description TEXT,
    sha256 TEXT,
    kind TEXT,
    version_label TEXT,
    size_bytes BIGINT,
    is_latest BOOLEAN,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_attachment_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_attachment_decided_idx ON stage_attachment (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_custom_record (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    object_name TEXT,
    name TEXT,
    owner_id TEXT,
    created_by_id TEXT,
    updated_by_id TEXT,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_custom_record_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE INDEX stage_custom_record_decided_idx ON stage_custom_record (tenant_id, run_id, object, seq) WHERE action IS NOT NULL;

CREATE UNLOGGED TABLE stage_association (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    vendor_id TEXT NOT NULL,
    id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    vendor_version TEXT,
    action TEXT,
    target_id UUID,
    survivor_seq BIGINT,
    rule TEXT,
    filled TEXT[],
    warnings JSONB,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    from_id TEXT,
    to_id TEXT,
    label TEXT,
    is_primary BOOLEAN,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT stage_association_pkey PRIMARY KEY (tenant_id, run_id, object, seq)
);

CREATE UNLOGGED TABLE stage_link (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    seq BIGINT NOT NULL,
    label TEXT NOT NULL,
    vendor_objects TEXT[] NOT NULL,
    vendor_id TEXT NOT NULL,
    CONSTRAINT stage_link_pkey PRIMARY KEY (tenant_id, run_id, object, seq, label, vendor_id)
);

CREATE TABLE stream (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    object TEXT NOT NULL,
    entity TEXT NOT NULL,
    pushes BOOLEAN DEFAULT true NOT NULL,
    writes TEXT[] DEFAULT '{}' NOT NULL,
    id_order TEXT DEFAULT 'ascii' NOT NULL,
    settings JSONB DEFAULT '{}' NOT NULL,
    cursor JSONB,
    resync JSONB,
    counts JSONB DEFAULT '{}' NOT NULL,
    deletes JSONB DEFAULT '{}' NOT NULL,
    status TEXT DEFAULT 'idle' NOT NULL,
    reason JSONB,
    generation BIGINT DEFAULT 0 NOT NULL,
    lease_owner TEXT,
    lease_since TIMESTAMP WITH TIME ZONE,
    lease_until TIMESTAMP WITH TIME ZONE,
    verified_at TIMESTAMP WITH TIME ZONE,
    not_before TIMESTAMP WITH TIME ZONE,
    failures INTEGER DEFAULT 0 NOT NULL,
    polled_at TIMESTAMP WITH TIME ZONE,
    poll_asked_at TIMESTAMP WITH TIME ZONE,
    compare_at TIMESTAMP WITH TIME ZONE,
    hinted_at TIMESTAMP WITH TIME ZONE,
    hinted_generation BIGINT,
    hinted_as TEXT,
    hints INTEGER DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT stream_pkey PRIMARY KEY (tenant_id, connection_id, object)
);

CREATE INDEX stream_tenant_id_entity_idx ON stream (tenant_id, entity);

CREATE TABLE stream_run (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    object TEXT NOT NULL,
    kind TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE NOT NULL,
    counts JSONB NOT NULL,
    calls INTEGER NOT NULL,
    complete BOOLEAN NOT NULL,
    stopped TEXT,
    code TEXT,
    CONSTRAINT stream_run_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX stream_run_tenant_id_connection_id_object_id_idx ON stream_run (tenant_id, connection_id, object, id);

CREATE INDEX stream_run_tenant_id_ended_at_idx ON stream_run (tenant_id, ended_at);

CREATE TABLE push_work (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    object TEXT NOT NULL,
    entity TEXT NOT NULL,
    entity_id UUID NOT NULL,
    token BIGINT GENERATED BY DEFAULT AS IDENTITY,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT 'epoch' NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    state TEXT DEFAULT 'due' NOT NULL,
    traceparent TEXT DEFAULT coalesce(current_setting('app.traceparent', true), '') NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT push_work_pkey PRIMARY KEY (tenant_id, connection_id, object, entity_id)
);

CREATE INDEX push_work_due_idx ON push_work (tenant_id, connection_id, object, due_at, token) WHERE state <> 'waiting';

CREATE TABLE push_wait (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    wait_id UUID NOT NULL,
    wait_entity TEXT NOT NULL,
    object TEXT NOT NULL,
    entity TEXT NOT NULL,
    entity_id UUID NOT NULL,
    CONSTRAINT push_wait_pkey PRIMARY KEY (tenant_id, connection_id, wait_id, object, entity_id)
);

CREATE TABLE vendor_wait (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    wait_id TEXT COLLATE "C" NOT NULL,
    wait_object TEXT NOT NULL,
    object TEXT NOT NULL,
    vendor_id TEXT COLLATE "C" NOT NULL,
    CONSTRAINT vendor_wait_pkey PRIMARY KEY (tenant_id, connection_id, wait_id, wait_object, object, vendor_id)
);

CREATE TABLE sync_intent (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    object TEXT NOT NULL,
    entity_id UUID NOT NULL,
    sent JSONB NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    generation BIGINT NOT NULL,
    CONSTRAINT sync_intent_pkey PRIMARY KEY (tenant_id, connection_id, object, entity_id)
);

CREATE TABLE sync_notice (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    object TEXT NOT NULL,
    vendor_id TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    deleted BOOLEAN DEFAULT false NOT NULL,
    traceparent TEXT DEFAULT coalesce(current_setting('app.traceparent', true), '') NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT sync_notice_pkey PRIMARY KEY (tenant_id, connection_id, object, vendor_id),
    CONSTRAINT sync_notice_tenant_id_id_key UNIQUE (tenant_id, id)
);

CREATE INDEX sync_notice_at_idx ON sync_notice (tenant_id, connection_id, object, at);

CREATE TABLE tombstone (
    tenant_id UUID NOT NULL,
    entity TEXT NOT NULL,
    entity_id UUID NOT NULL,
    snapshot JSONB NOT NULL,
    version BIGINT NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_by UUID,
    reason TEXT NOT NULL,
    CONSTRAINT tombstone_pkey PRIMARY KEY (tenant_id, entity, entity_id)
);

CREATE TABLE conflict (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    object TEXT NOT NULL,
    entity TEXT NOT NULL,
    entity_id UUID NOT NULL,
    vendor_id TEXT COLLATE "C" NOT NULL,
    field TEXT NOT NULL,
    status TEXT NOT NULL,
    rule TEXT NOT NULL,
    winner TEXT,
    hub_value JSONB,
    vendor_value JSONB,
    opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    resolution TEXT,
    resolved_by TEXT,
    CONSTRAINT conflict_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX conflict_tenant_id_connection_id_opened_at_id_idx ON conflict (tenant_id, connection_id, opened_at, id);

CREATE INDEX conflict_tenant_id_entity_id_idx ON conflict (tenant_id, entity_id);

CREATE INDEX conflict_tenant_id_opened_at_id_idx ON conflict (tenant_id, opened_at, id);

CREATE INDEX conflict_tenant_id_status_opened_at_idx ON conflict (tenant_id, status, opened_at);

CREATE UNIQUE INDEX conflict_open_key ON conflict (tenant_id, connection_id, object, vendor_id, field) WHERE status = 'open';

CREATE TABLE crm_user (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT,
    first_name TEXT,
    last_name TEXT,
    username TEXT,
    title TEXT,
    department TEXT,
    time_zone TEXT,
    locale TEXT,
    email TEXT,
    phone TEXT,
    is_active BOOLEAN,
    manager_id UUID,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_user_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_user_tenant_id_email_idx ON crm_user (tenant_id, email) WHERE email IS NOT NULL;

CREATE INDEX crm_user_tenant_id_manager_id_idx ON crm_user (tenant_id, manager_id) WHERE manager_id IS NOT NULL;

CREATE INDEX crm_user_tenant_id_owner_id_idx ON crm_user (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_user_tenant_id_updated_at_id_idx ON crm_user (tenant_id, updated_at, id);

CREATE TABLE crm_account (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT,
    domain TEXT,
    website TEXT,
    phone TEXT,
    fax TEXT,
    industry TEXT,
    kind TEXT,
    rating TEXT,
    source TEXT,
    ownership TEXT,
    number TEXT,
    currency TEXT,
    description TEXT,
    employees BIGINT,
    annual_revenue NUMERIC,
    tags TEXT[],
    billing_street TEXT,
    billing_city TEXT,
    billing_region TEXT,
    billing_postal_code TEXT,
    billing_country TEXT,
    shipping_street TEXT,
    shipping_city TEXT,
    shipping_region TEXT,
    shipping_postal_code TEXT,
    shipping_country TEXT,
    parent_id UUID,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_account_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_account_tenant_id_domain_idx ON crm_account (tenant_id, domain) WHERE domain IS NOT NULL;

CREATE INDEX crm_account_tenant_id_name_domain_idx ON crm_account (tenant_id, name, domain);

CREATE INDEX crm_account_tenant_id_owner_id_idx ON crm_account (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_account_tenant_id_parent_id_idx ON crm_account (tenant_id, parent_id) WHERE parent_id IS NOT NULL;

CREATE INDEX crm_account_tenant_id_updated_at_id_idx ON crm_account (tenant_id, updated_at, id);

CREATE TABLE crm_contact (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    salutation TEXT,
    first_name TEXT,
    middle_name TEXT,
    last_name TEXT,
    suffix TEXT,
    title TEXT,
    email TEXT,
    phone TEXT,
    mobile_phone TEXT,
    fax TEXT,
    home_phone TEXT,
    department TEXT,
    source TEXT,
    description TEXT,
    time_zone TEXT,
    language TEXT,
    birth_date DATE,
    email_opt_out BOOLEAN,
    do_not_call BOOLEAN,
    tags TEXT[],
    mailing_street TEXT,
    mailing_city TEXT,
    mailing_region TEXT,
    mailing_postal_code TEXT,
    mailing_country TEXT,
    other_street TEXT,
    other_city TEXT,
    other_region TEXT,
    other_postal_code TEXT,
    other_country TEXT,
    account_id UUID,
    reports_to_id UUID,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_contact_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_contact_tenant_id_account_id_idx ON crm_contact (tenant_id, account_id) WHERE account_id IS NOT NULL;

CREATE INDEX crm_contact_tenant_id_email_last_name_idx ON crm_contact (tenant_id, email, last_name) WHERE email IS NOT NULL;

CREATE INDEX crm_contact_tenant_id_last_name_idx ON crm_contact (tenant_id, last_name) WHERE last_name IS NOT NULL;

CREATE INDEX crm_contact_tenant_id_owner_id_idx ON crm_contact (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_contact_tenant_id_phone_idx ON crm_contact (tenant_id, phone) WHERE phone IS NOT NULL;

CREATE INDEX crm_contact_tenant_id_reports_to_id_idx ON crm_contact (tenant_id, reports_to_id) WHERE reports_to_id IS NOT NULL;

CREATE INDEX crm_contact_tenant_id_updated_at_id_idx ON crm_contact (tenant_id, updated_at, id);

CREATE TABLE crm_lead (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    salutation TEXT,
    first_name TEXT,
    middle_name TEXT,
    last_name TEXT,
    suffix TEXT,
    title TEXT,
    email TEXT,
    phone TEXT,
    mobile_phone TEXT,
    company TEXT,
    status TEXT,
    source TEXT,
    rating TEXT,
    industry TEXT,
    description TEXT,
    currency TEXT,
    website TEXT,
    employees BIGINT,
    annual_revenue NUMERIC,
    email_opt_out BOOLEAN,
    do_not_call BOOLEAN,
    tags TEXT[],
    mailing_street TEXT,
    mailing_city TEXT,
    mailing_region TEXT,
    mailing_postal_code TEXT,
    mailing_country TEXT,
    is_converted BOOLEAN,
    converted_at TIMESTAMP WITH TIME ZONE,
    converted_account_id UUID,
    converted_contact_id UUID,
    converted_opportunity_id UUID,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_lead_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_lead_tenant_id_company_idx ON crm_lead (tenant_id, company) WHERE company IS NOT NULL;

CREATE INDEX crm_lead_tenant_id_converted_account_id_idx ON crm_lead (tenant_id, converted_account_id) WHERE converted_account_id IS NOT NULL;

CREATE INDEX crm_lead_tenant_id_converted_contact_id_idx ON crm_lead (tenant_id, converted_contact_id) WHERE converted_contact_id IS NOT NULL;

CREATE INDEX crm_lead_tenant_id_converted_opportunity_id_idx ON crm_lead (tenant_id, converted_opportunity_id) WHERE converted_opportunity_id IS NOT NULL;

CREATE INDEX crm_lead_tenant_id_email_last_name_idx ON crm_lead (tenant_id, email, last_name) WHERE email IS NOT NULL;

CREATE INDEX crm_lead_tenant_id_owner_id_idx ON crm_lead (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_lead_tenant_id_updated_at_id_idx ON crm_lead (tenant_id, updated_at, id);

CREATE TABLE crm_pipeline (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT,
    position BIGINT,
    is_default BOOLEAN,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_pipeline_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_pipeline_tenant_id_owner_id_idx ON crm_pipeline (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_pipeline_tenant_id_updated_at_id_idx ON crm_pipeline (tenant_id, updated_at, id);

CREATE TABLE crm_stage (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT,
    pipeline_id UUID,
    position BIGINT,
    probability NUMERIC,
    is_won BOOLEAN,
    is_closed BOOLEAN,
    forecast_category TEXT,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_stage_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_stage_tenant_id_owner_id_idx ON crm_stage (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_stage_tenant_id_pipeline_id_idx ON crm_stage (tenant_id, pipeline_id) WHERE pipeline_id IS NOT NULL;

CREATE INDEX crm_stage_tenant_id_updated_at_id_idx ON crm_stage (tenant_id, updated_at, id);

CREATE TABLE crm_campaign (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT,
    kind TEXT,
    status TEXT,
    description TEXT,
    currency TEXT,
    start_date DATE,
    end_date DATE,
    budget NUMERIC,
    actual_cost NUMERIC,
    expected_revenue NUMERIC,
    is_active BOOLEAN,
    parent_id UUID,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_campaign_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_campaign_tenant_id_owner_id_idx ON crm_campaign (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_campaign_tenant_id_parent_id_idx ON crm_campaign (tenant_id, parent_id) WHERE parent_id IS NOT NULL;

CREATE INDEX crm_campaign_tenant_id_updated_at_id_idx ON crm_campaign (tenant_id, updated_at, id);

CREATE TABLE crm_opportunity (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT,
    kind TEXT,
    source TEXT,
    next_step TEXT,
    description TEXT,
    currency TEXT,
    forecast_category TEXT,
    loss_reason TEXT,
    amount NUMERIC,
    probability NUMERIC,
    expected_revenue NUMERIC,
    close_date DATE,
    is_closed BOOLEAN,
    is_won BOOLEAN,
    pipeline_id UUID,
    stage_id UUID,
    account_id UUID,
    contact_id UUID,
    campaign_id UUID,
    tags TEXT[],
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_opportunity_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_opportunity_tenant_id_account_id_idx ON crm_opportunity (tenant_id, account_id) WHERE account_id IS NOT NULL;

CREATE INDEX crm_opportunity_tenant_id_campaign_id_idx ON crm_opportunity (tenant_id, campaign_id) WHERE campaign_id IS NOT NULL;

CREATE INDEX crm_opportunity_tenant_id_close_date_idx ON crm_opportunity (tenant_id, close_date) WHERE close_date IS NOT NULL;

CREATE INDEX crm_opportunity_tenant_id_contact_id_idx ON crm_opportunity (tenant_id, contact_id) WHERE contact_id IS NOT NULL;

CREATE INDEX crm_opportunity_tenant_id_owner_id_idx ON crm_opportunity (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_opportunity_tenant_id_pipeline_id_idx ON crm_opportunity (tenant_id, pipeline_id) WHERE pipeline_id IS NOT NULL;

CREATE INDEX crm_opportunity_tenant_id_stage_id_idx ON crm_opportunity (tenant_id, stage_id) WHERE stage_id IS NOT NULL;

CREATE INDEX crm_opportunity_tenant_id_updated_at_id_idx ON crm_opportunity (tenant_id, updated_at, id);

CREATE TABLE crm_stage_change (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    opportunity_id UUID,
    stage_id UUID,
    stage_name TEXT,
    forecast_category TEXT,
    currency TEXT,
    amount NUMERIC,
    probability NUMERIC,
    expected_revenue NUMERIC,
    close_date DATE,
    changed_at TIMESTAMP WITH TIME ZONE,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_stage_change_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_stage_change_tenant_id_opportunity_id_idx ON crm_stage_change (tenant_id, opportunity_id);

CREATE INDEX crm_stage_change_tenant_id_owner_id_idx ON crm_stage_change (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_stage_change_tenant_id_stage_id_idx ON crm_stage_change (tenant_id, stage_id) WHERE stage_id IS NOT NULL;

CREATE INDEX crm_stage_change_tenant_id_updated_at_id_idx ON crm_stage_change (tenant_id, updated_at, id);

CREATE TABLE crm_product (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT,
    code TEXT,
    sku TEXT,
    family TEXT,
    description TEXT,
    currency TEXT,
    unit TEXT,
    unit_price NUMERIC,
    is_active BOOLEAN,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_product_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_product_tenant_id_code_idx ON crm_product (tenant_id, code) WHERE code IS NOT NULL;

CREATE INDEX crm_product_tenant_id_owner_id_idx ON crm_product (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_product_tenant_id_updated_at_id_idx ON crm_product (tenant_id, updated_at, id);

CREATE TABLE crm_price (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    product_id UUID,
    price_book TEXT,
    currency TEXT,
    unit_price NUMERIC,
    is_active BOOLEAN,
    is_standard BOOLEAN,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_price_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_price_tenant_id_owner_id_idx ON crm_price (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_price_tenant_id_product_id_idx ON crm_price (tenant_id, product_id);

CREATE INDEX crm_price_tenant_id_updated_at_id_idx ON crm_price (tenant_id, updated_at, id);

CREATE TABLE crm_line_item (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    opportunity_id UUID,
    product_id UUID,
    price_id UUID,
    name TEXT,
    description TEXT,
    currency TEXT,
    quantity NUMERIC,
    unit_price NUMERIC,
    list_price NUMERIC,
    discount NUMERIC,
    total NUMERIC,
    service_date DATE,
    position BIGINT,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_line_item_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_line_item_tenant_id_opportunity_id_idx ON crm_line_item (tenant_id, opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX crm_line_item_tenant_id_owner_id_idx ON crm_line_item (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_line_item_tenant_id_price_id_idx ON crm_line_item (tenant_id, price_id) WHERE price_id IS NOT NULL;

CREATE INDEX crm_line_item_tenant_id_product_id_idx ON crm_line_item (tenant_id, product_id) WHERE product_id IS NOT NULL;

CREATE INDEX crm_line_item_tenant_id_updated_at_id_idx ON crm_line_item (tenant_id, updated_at, id);

CREATE TABLE crm_ticket (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    subject TEXT,
    number TEXT,
    description TEXT,
    status TEXT,
    priority TEXT,
    origin TEXT,
    kind TEXT,
    reason TEXT,
    is_closed BOOLEAN,
    closed_at TIMESTAMP WITH TIME ZONE,
    is_escalated BOOLEAN,
    account_id UUID,
    contact_id UUID,
    parent_id UUID,
    pipeline_id UUID,
    stage_id UUID,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_ticket_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_ticket_tenant_id_account_id_idx ON crm_ticket (tenant_id, account_id) WHERE account_id IS NOT NULL;

CREATE INDEX crm_ticket_tenant_id_contact_id_idx ON crm_ticket (tenant_id, contact_id) WHERE contact_id IS NOT NULL;

CREATE INDEX crm_ticket_tenant_id_owner_id_idx ON crm_ticket (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_ticket_tenant_id_parent_id_idx ON crm_ticket (tenant_id, parent_id) WHERE parent_id IS NOT NULL;

CREATE INDEX crm_ticket_tenant_id_pipeline_id_idx ON crm_ticket (tenant_id, pipeline_id) WHERE pipeline_id IS NOT NULL;

CREATE INDEX crm_ticket_tenant_id_stage_id_idx ON crm_ticket (tenant_id, stage_id) WHERE stage_id IS NOT NULL;

CREATE INDEX crm_ticket_tenant_id_updated_at_id_idx ON crm_ticket (tenant_id, updated_at, id);

CREATE TABLE crm_activity (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    kind TEXT,
    subject TEXT,
    body TEXT,
    body_format TEXT,
    status TEXT,
    priority TEXT,
    direction TEXT,
    location TEXT,
    outcome TEXT,
    starts_at TIMESTAMP WITH TIME ZONE,
    ends_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    reminder_at TIMESTAMP WITH TIME ZONE,
    due_date DATE,
    duration_s BIGINT,
    is_all_day BOOLEAN,
    is_closed BOOLEAN,
    is_private BOOLEAN,
    account_id UUID,
    contact_id UUID,
    lead_id UUID,
    opportunity_id UUID,
    ticket_id UUID,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_activity_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_activity_tenant_id_account_id_idx ON crm_activity (tenant_id, account_id) WHERE account_id IS NOT NULL;

CREATE INDEX crm_activity_tenant_id_contact_id_idx ON crm_activity (tenant_id, contact_id) WHERE contact_id IS NOT NULL;

CREATE INDEX crm_activity_tenant_id_kind_starts_at_idx ON crm_activity (tenant_id, kind, starts_at);

CREATE INDEX crm_activity_tenant_id_lead_id_idx ON crm_activity (tenant_id, lead_id) WHERE lead_id IS NOT NULL;

CREATE INDEX crm_activity_tenant_id_opportunity_id_idx ON crm_activity (tenant_id, opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX crm_activity_tenant_id_owner_id_idx ON crm_activity (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_activity_tenant_id_ticket_id_idx ON crm_activity (tenant_id, ticket_id) WHERE ticket_id IS NOT NULL;

CREATE INDEX crm_activity_tenant_id_updated_at_id_idx ON crm_activity (tenant_id, updated_at, id);

CREATE TABLE crm_communication (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    kind TEXT,
    subject TEXT,
    body TEXT,
    body_format TEXT,
    direction TEXT,
    status TEXT,
    thread_key TEXT,
    message_key TEXT,
    participants JSONB,
    sent_at TIMESTAMP WITH TIME ZONE,
    received_at TIMESTAMP WITH TIME ZONE,
    opened_at TIMESTAMP WITH TIME ZONE,
    duration_s BIGINT,
    account_id UUID,
    contact_id UUID,
    lead_id UUID,
    opportunity_id UUID,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_communication_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_communication_tenant_id_account_id_idx ON crm_communication (tenant_id, account_id) WHERE account_id IS NOT NULL;

CREATE INDEX crm_communication_tenant_id_contact_id_idx ON crm_communication (tenant_id, contact_id) WHERE contact_id IS NOT NULL;

CREATE INDEX crm_communication_tenant_id_lead_id_idx ON crm_communication (tenant_id, lead_id) WHERE lead_id IS NOT NULL;

CREATE INDEX crm_communication_tenant_id_message_key_idx ON crm_communication (tenant_id, message_key) WHERE message_key IS NOT NULL;

CREATE INDEX crm_communication_tenant_id_opportunity_id_idx ON crm_communication (tenant_id, opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX crm_communication_tenant_id_owner_id_idx ON crm_communication (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_communication_tenant_id_thread_key_idx ON crm_communication (tenant_id, thread_key) WHERE thread_key IS NOT NULL;

CREATE INDEX crm_communication_tenant_id_updated_at_id_idx ON crm_communication (tenant_id, updated_at, id);

CREATE TABLE crm_calendar_event (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    subject TEXT,
    description TEXT,
    location TEXT,
    status TEXT,
    time_zone TEXT,
    ical_uid TEXT,
    recurrence TEXT,
    meeting_url TEXT,
    visibility TEXT,
    starts_at TIMESTAMP WITH TIME ZONE,
    ends_at TIMESTAMP WITH TIME ZONE,
    original_starts_at TIMESTAMP WITH TIME ZONE,
    is_all_day BOOLEAN,
    is_cancelled BOOLEAN,
    attendees JSONB,
    organizer JSONB,
    series_id UUID,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_calendar_event_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_calendar_event_tenant_id_ical_uid_idx ON crm_calendar_event (tenant_id, ical_uid) WHERE ical_uid IS NOT NULL;

CREATE INDEX crm_calendar_event_tenant_id_owner_id_idx ON crm_calendar_event (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_calendar_event_tenant_id_series_id_idx ON crm_calendar_event (tenant_id, series_id) WHERE series_id IS NOT NULL;

CREATE INDEX crm_calendar_event_tenant_id_starts_at_idx ON crm_calendar_event (tenant_id, starts_at) WHERE starts_at IS NOT NULL;

CREATE INDEX crm_calendar_event_tenant_id_updated_at_id_idx ON crm_calendar_event (tenant_id, updated_at, id);

CREATE TABLE crm_invoice (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    number TEXT,
    status TEXT,
    currency TEXT,
    description TEXT,
    total NUMERIC,
    tax NUMERIC,
    balance NUMERIC,
    issued_on DATE,
    due_on DATE,
    account_id UUID,
    contact_id UUID,
    lines JSONB,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_invoice_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_invoice_tenant_id_account_id_idx ON crm_invoice (tenant_id, account_id) WHERE account_id IS NOT NULL;

CREATE INDEX crm_invoice_tenant_id_contact_id_idx ON crm_invoice (tenant_id, contact_id) WHERE contact_id IS NOT NULL;

CREATE INDEX crm_invoice_tenant_id_number_idx ON crm_invoice (tenant_id, number) WHERE number IS NOT NULL;

CREATE INDEX crm_invoice_tenant_id_owner_id_idx ON crm_invoice (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_invoice_tenant_id_updated_at_id_idx ON crm_invoice (tenant_id, updated_at, id);

CREATE TABLE crm_order (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    number TEXT,
    status TEXT,
    kind TEXT,
    currency TEXT,
    description TEXT,
    total NUMERIC,
    tax NUMERIC,
    ordered_on DATE,
    ends_on DATE,
    account_id UUID,
    contact_id UUID,
    opportunity_id UUID,
    lines JSONB,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_order_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_order_tenant_id_account_id_idx ON crm_order (tenant_id, account_id) WHERE account_id IS NOT NULL;

CREATE INDEX crm_order_tenant_id_contact_id_idx ON crm_order (tenant_id, contact_id) WHERE contact_id IS NOT NULL;

CREATE INDEX crm_order_tenant_id_number_idx ON crm_order (tenant_id, number) WHERE number IS NOT NULL;

CREATE INDEX crm_order_tenant_id_opportunity_id_idx ON crm_order (tenant_id, opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX crm_order_tenant_id_owner_id_idx ON crm_order (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_order_tenant_id_updated_at_id_idx ON crm_order (tenant_id, updated_at, id);

CREATE TABLE crm_payment (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    number TEXT,
    status TEXT,
    method TEXT,
    currency TEXT,
    description TEXT,
    amount NUMERIC,
    paid_at TIMESTAMP WITH TIME ZONE,
    account_id UUID,
    invoice_id UUID,
    order_id UUID,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_payment_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_payment_tenant_id_account_id_idx ON crm_payment (tenant_id, account_id) WHERE account_id IS NOT NULL;

CREATE INDEX crm_payment_tenant_id_invoice_id_idx ON crm_payment (tenant_id, invoice_id) WHERE invoice_id IS NOT NULL;

CREATE INDEX crm_payment_tenant_id_order_id_idx ON crm_payment (tenant_id, order_id) WHERE order_id IS NOT NULL;

CREATE INDEX crm_payment_tenant_id_owner_id_idx ON crm_payment (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_payment_tenant_id_updated_at_id_idx ON crm_payment (tenant_id, updated_at, id);

CREATE TABLE crm_attachment (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT,
    content_type TEXT,
    extension TEXT,
    description TEXT,
    sha256 TEXT,
    kind TEXT,
    version_label TEXT,
    size_bytes BIGINT,
    is_latest BOOLEAN,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_attachment_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_attachment_tenant_id_owner_id_idx ON crm_attachment (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_attachment_tenant_id_sha256_idx ON crm_attachment (tenant_id, sha256) WHERE sha256 IS NOT NULL;

CREATE INDEX crm_attachment_tenant_id_updated_at_id_idx ON crm_attachment (tenant_id, updated_at, id);

CREATE TABLE crm_custom_record (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    object_name TEXT,
    name TEXT,
    owner_id UUID,
    created_by_id UUID,
    updated_by_id UUID,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_custom_record_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX crm_custom_record_tenant_id_object_name_name_idx ON crm_custom_record (tenant_id, object_name, name);

CREATE INDEX crm_custom_record_tenant_id_owner_id_idx ON crm_custom_record (tenant_id, owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX crm_custom_record_tenant_id_updated_at_id_idx ON crm_custom_record (tenant_id, updated_at, id);

CREATE TABLE crm_association (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    from_entity TEXT NOT NULL,
    from_id UUID NOT NULL,
    to_entity TEXT NOT NULL,
    to_id UUID NOT NULL,
    label TEXT DEFAULT '' NOT NULL,
    is_primary BOOLEAN,
    source_created_at TIMESTAMP WITH TIME ZONE,
    source_updated_at TIMESTAMP WITH TIME ZONE,
    custom_fields JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    version BIGINT DEFAULT 1 NOT NULL,
    CONSTRAINT crm_association_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT crm_association_tenant_id_from_entity_from_id_to_entity_ee11 UNIQUE (tenant_id, from_entity, from_id, to_entity, to_id, label)
);

CREATE INDEX crm_association_tenant_id_to_entity_to_id_idx ON crm_association (tenant_id, to_entity, to_id);

CREATE TABLE tenant (
    tenant_id UUID NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT tenant_pkey PRIMARY KEY (tenant_id)
);

CREATE TABLE connection (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    vendor TEXT NOT NULL,
    name TEXT NOT NULL,
    remote_account TEXT,
    settings JSONB DEFAULT '{}' NOT NULL,
    base_url TEXT,
    status TEXT DEFAULT 'new' NOT NULL,
    status_message TEXT,
    verified_at TIMESTAMP WITH TIME ZONE,
    quota_used BIGINT,
    quota_limit BIGINT,
    quota_at TIMESTAMP WITH TIME ZONE,
    healthy BOOLEAN DEFAULT true NOT NULL,
    unhealthy_reasons JSONB DEFAULT '[]' NOT NULL,
    health_since TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT connection_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT connection_tenant_id_name_key UNIQUE (tenant_id, name)
);

CREATE TABLE custom_field (
    tenant_id UUID NOT NULL,
    entity TEXT NOT NULL,
    object_name TEXT DEFAULT '' NOT NULL,
    name TEXT NOT NULL,
    label TEXT,
    kind TEXT NOT NULL,
    options JSONB,
    connection_id UUID,
    vendor_object TEXT,
    vendor_field TEXT,
    run_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT custom_field_pkey PRIMARY KEY (tenant_id, entity, object_name, name)
);

CREATE TABLE link (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    vendor_object TEXT NOT NULL,
    vendor_id TEXT COLLATE "C" NOT NULL,
    entity TEXT NOT NULL,
    entity_id UUID NOT NULL,
    base JSONB,
    base_version BIGINT DEFAULT 1 NOT NULL,
    vendor_version TEXT,
    fingerprint BYTEA,
    origin TEXT NOT NULL,
    run_id UUID,
    repeated BOOLEAN DEFAULT false NOT NULL,
    tombstoned_at TIMESTAMP WITH TIME ZONE,
    revision BIGINT DEFAULT 0 NOT NULL,
    sent JSONB,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT link_pkey PRIMARY KEY (tenant_id, connection_id, vendor_object, vendor_id)
);

CREATE INDEX link_entity_id_idx ON link (entity_id, tenant_id);

CREATE INDEX link_run_id_idx ON link (tenant_id, run_id) WHERE run_id IS NOT NULL;

CREATE TABLE pending_reference (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    waiting_object TEXT NOT NULL,
    waiting_id TEXT NOT NULL,
    vendor_id TEXT NOT NULL,
    vendor_objects TEXT[] NOT NULL,
    entity TEXT NOT NULL,
    entity_id UUID NOT NULL,
    field TEXT NOT NULL,
    run_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pending_reference_pkey PRIMARY KEY (tenant_id, connection_id, waiting_object, waiting_id, field)
);

CREATE INDEX pending_reference_tenant_id_entity_id_idx ON pending_reference (tenant_id, entity_id);

CREATE INDEX pending_reference_tenant_id_run_id_idx ON pending_reference (tenant_id, run_id);

CREATE TABLE redirect (
    tenant_id UUID NOT NULL,
    entity TEXT NOT NULL,
    from_id UUID NOT NULL,
    to_id UUID NOT NULL,
    run_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT redirect_pkey PRIMARY KEY (tenant_id, entity, from_id)
);

CREATE TABLE field_history (
    tenant_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    id UUID NOT NULL,
    entity TEXT NOT NULL,
    entity_id UUID NOT NULL,
    field TEXT NOT NULL,
    "old" JSONB,
    "new" JSONB,
    origin TEXT NOT NULL,
    connection_id UUID,
    rule TEXT,
    run_id UUID,
    version BIGINT,
    CONSTRAINT field_history_pkey PRIMARY KEY (tenant_id, at, id)
)
 PARTITION BY RANGE (at);

CREATE INDEX field_history_tenant_id_entity_id_field_at_idx ON field_history (tenant_id, entity_id, field, at);

CREATE INDEX field_history_tenant_id_run_id_idx ON field_history (tenant_id, run_id);

CREATE TABLE change (
    tenant_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    id UUID NOT NULL,
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    entity TEXT NOT NULL,
    entity_id UUID,
    kind TEXT NOT NULL,
    fields TEXT[],
    version BIGINT,
    connection_id UUID,
    detail JSONB,
    xid BIGINT DEFAULT (pg_current_xact_id()::text)::bigint NOT NULL,
    traceparent TEXT DEFAULT coalesce(current_setting('app.traceparent', true), ''),
    CONSTRAINT change_pkey PRIMARY KEY (tenant_id, at, id)
)
 PARTITION BY RANGE (at);

CREATE INDEX change_tenant_id_seq_idx ON change (tenant_id, seq);

CREATE INDEX change_tenant_id_xid_seq_idx ON change (tenant_id, xid, seq);

CREATE TABLE outbox (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    queue TEXT NOT NULL,
    key TEXT,
    payload JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    available_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    claimed_by TEXT,
    claimed_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT outbox_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX outbox_tenant_id_queue_available_at_idx ON outbox (tenant_id, queue, available_at);

CREATE TABLE dead_letter (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID,
    run_id UUID,
    object TEXT,
    vendor_id TEXT,
    entity TEXT,
    entity_id UUID,
    stage TEXT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    field TEXT,
    place TEXT,
    payload JSONB,
    mapped JSONB,
    fingerprint TEXT NOT NULL,
    fault TEXT DEFAULT 'data' NOT NULL,
    attempts INTEGER DEFAULT 1 NOT NULL,
    first_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    resolution TEXT,
    original JSONB,
    edited_at TIMESTAMP WITH TIME ZONE,
    key TEXT NOT NULL,
    CONSTRAINT dead_letter_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT dead_letter_tenant_id_key_key UNIQUE (tenant_id, key)
);

CREATE INDEX dead_letter_tenant_id_connection_id_object_vendor_id_idx ON dead_letter (tenant_id, connection_id, object, vendor_id);

CREATE INDEX dead_letter_tenant_id_entity_id_idx ON dead_letter (tenant_id, entity_id);

CREATE INDEX dead_letter_tenant_id_last_at_idx ON dead_letter (tenant_id, last_at);

CREATE INDEX dead_letter_tenant_id_run_id_idx ON dead_letter (tenant_id, run_id);

CREATE INDEX dead_letter_tenant_id_status_code_id_idx ON dead_letter (tenant_id, status, code, id);

CREATE INDEX dead_letter_tenant_id_status_fault_id_idx ON dead_letter (tenant_id, status, fault, id);

CREATE INDEX dead_letter_tenant_id_status_fingerprint_id_idx ON dead_letter (tenant_id, status, fingerprint, id);

CREATE INDEX dead_letter_tenant_id_status_id_idx ON dead_letter (tenant_id, status, id);

CREATE INDEX dead_letter_tenant_id_status_stage_id_idx ON dead_letter (tenant_id, status, stage, id);

CREATE TABLE migration_run (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    kind TEXT NOT NULL,
    plan JSONB NOT NULL,
    plan_checksum TEXT NOT NULL,
    catalog JSONB,
    status TEXT NOT NULL,
    phase TEXT,
    error JSONB,
    totals JSONB DEFAULT '{}' NOT NULL,
    options JSONB DEFAULT '{}' NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    lease_owner TEXT,
    lease_until TIMESTAMP WITH TIME ZONE,
    generation BIGINT DEFAULT 0 NOT NULL,
    certificate JSONB,
    CONSTRAINT migration_run_pkey PRIMARY KEY (tenant_id, id)
);

CREATE INDEX migration_run_tenant_id_connection_id_started_at_idx ON migration_run (tenant_id, connection_id, started_at);

CREATE TABLE migration_chunk (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    phase TEXT NOT NULL,
    seq BIGINT NOT NULL,
    cursor JSONB,
    last BOOLEAN DEFAULT false NOT NULL,
    first_row BIGINT,
    rows BIGINT DEFAULT 0 NOT NULL,
    counts JSONB DEFAULT '{}' NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT migration_chunk_pkey PRIMARY KEY (tenant_id, run_id, object, phase, seq)
);

CREATE TABLE migration_journal (
    tenant_id UUID NOT NULL,
    run_id UUID NOT NULL,
    entity TEXT NOT NULL,
    entity_id UUID NOT NULL,
    object TEXT NOT NULL,
    vendor_id TEXT NOT NULL,
    action TEXT NOT NULL,
    before JSONB,
    before_link JSONB,
    version_after BIGINT,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT migration_journal_pkey PRIMARY KEY (tenant_id, run_id, entity, entity_id, object, vendor_id)
);

CREATE TABLE blob (
    tenant_id UUID NOT NULL,
    sha256 TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT blob_pkey PRIMARY KEY (tenant_id, sha256)
);

CREATE TABLE webhook_delivery (
    tenant_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    event_id UUID NOT NULL,
    type TEXT NOT NULL,
    seq BIGINT GENERATED ALWAYS AS IDENTITY,
    subject UUID,
    status TEXT DEFAULT 'pending' NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    lease UUID,
    lease_until TIMESTAMP WITH TIME ZONE,
    traceparent TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT webhook_delivery_pkey PRIMARY KEY (tenant_id, subscription_id, event_id),
    CONSTRAINT webhook_delivery_tenant_id_subscription_id_fkey FOREIGN KEY(tenant_id, subscription_id) REFERENCES webhook_subscription (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT webhook_delivery_tenant_id_event_id_fkey FOREIGN KEY(tenant_id, event_id) REFERENCES event (tenant_id, id)
);

CREATE INDEX webhook_delivery_due_idx ON webhook_delivery (tenant_id, subscription_id, seq) WHERE status = 'pending';

CREATE INDEX webhook_delivery_newest_idx ON webhook_delivery (tenant_id, subscription_id, created_at, seq);

CREATE INDEX webhook_delivery_order_idx ON webhook_delivery (tenant_id, subscription_id, subject, seq) WHERE status = 'pending';

CREATE INDEX webhook_delivery_status_idx ON webhook_delivery (tenant_id, subscription_id, status, created_at, seq);

CREATE INDEX webhook_delivery_tenant_id_created_at_idx ON webhook_delivery (tenant_id, created_at);

CREATE INDEX webhook_delivery_tenant_id_event_id_idx ON webhook_delivery (tenant_id, event_id);

CREATE INDEX webhook_delivery_type_idx ON webhook_delivery (tenant_id, subscription_id, type, created_at, seq);

CREATE TABLE webhook_bulk (
    tenant_id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    run_id UUID NOT NULL,
    object TEXT NOT NULL,
    entity TEXT NOT NULL,
    after TEXT COLLATE "C" DEFAULT '' NOT NULL,
    again BOOLEAN DEFAULT false NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT webhook_bulk_pkey PRIMARY KEY (tenant_id, subscription_id, run_id, object),
    CONSTRAINT webhook_bulk_tenant_id_subscription_id_fkey FOREIGN KEY(tenant_id, subscription_id) REFERENCES webhook_subscription (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE credential (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    key_id TEXT NOT NULL,
    wrapped_key BYTEA NOT NULL,
    ciphertext BYTEA NOT NULL,
    generation BIGINT DEFAULT 1 NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT credential_pkey PRIMARY KEY (tenant_id, connection_id),
    CONSTRAINT credential_tenant_id_connection_id_fkey FOREIGN KEY(tenant_id, connection_id) REFERENCES connection (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE blob_part (
    tenant_id UUID NOT NULL,
    sha256 TEXT NOT NULL,
    part INTEGER NOT NULL,
    content BYTEA NOT NULL,
    CONSTRAINT blob_part_pkey PRIMARY KEY (tenant_id, sha256, part),
    CONSTRAINT blob_part_tenant_id_sha256_fkey FOREIGN KEY(tenant_id, sha256) REFERENCES blob (tenant_id, sha256) ON DELETE CASCADE,
    CONSTRAINT blob_part_part_size_check CHECK (octet_length(content) <= 1048576)
);

CREATE TABLE webhook_attempt (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    subscription_id UUID NOT NULL,
    event_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    ms INTEGER NOT NULL,
    http_status INTEGER,
    error TEXT,
    excerpt TEXT,
    CONSTRAINT webhook_attempt_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT webhook_attempt_tenant_id_subscription_id_event_id_fkey FOREIGN KEY(tenant_id, subscription_id, event_id) REFERENCES webhook_delivery (tenant_id, subscription_id, event_id) ON DELETE CASCADE
);

ALTER TABLE crm_account ADD CONSTRAINT crm_account_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_account ADD CONSTRAINT crm_account_tenant_id_parent_id_fkey FOREIGN KEY(tenant_id, parent_id) REFERENCES crm_account (tenant_id, id) ON DELETE SET NULL (parent_id);

ALTER TABLE crm_activity ADD CONSTRAINT crm_activity_tenant_id_account_id_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES crm_account (tenant_id, id) ON DELETE SET NULL (account_id);

ALTER TABLE crm_activity ADD CONSTRAINT crm_activity_tenant_id_contact_id_fkey FOREIGN KEY(tenant_id, contact_id) REFERENCES crm_contact (tenant_id, id) ON DELETE SET NULL (contact_id);

ALTER TABLE crm_activity ADD CONSTRAINT crm_activity_tenant_id_lead_id_fkey FOREIGN KEY(tenant_id, lead_id) REFERENCES crm_lead (tenant_id, id) ON DELETE SET NULL (lead_id);

ALTER TABLE crm_activity ADD CONSTRAINT crm_activity_tenant_id_opportunity_id_fkey FOREIGN KEY(tenant_id, opportunity_id) REFERENCES crm_opportunity (tenant_id, id) ON DELETE SET NULL (opportunity_id);

ALTER TABLE crm_activity ADD CONSTRAINT crm_activity_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_activity ADD CONSTRAINT crm_activity_tenant_id_ticket_id_fkey FOREIGN KEY(tenant_id, ticket_id) REFERENCES crm_ticket (tenant_id, id) ON DELETE SET NULL (ticket_id);

ALTER TABLE crm_attachment ADD CONSTRAINT crm_attachment_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_calendar_event ADD CONSTRAINT crm_calendar_event_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_calendar_event ADD CONSTRAINT crm_calendar_event_tenant_id_series_id_fkey FOREIGN KEY(tenant_id, series_id) REFERENCES crm_calendar_event (tenant_id, id) ON DELETE SET NULL (series_id);

ALTER TABLE crm_campaign ADD CONSTRAINT crm_campaign_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_campaign ADD CONSTRAINT crm_campaign_tenant_id_parent_id_fkey FOREIGN KEY(tenant_id, parent_id) REFERENCES crm_campaign (tenant_id, id) ON DELETE SET NULL (parent_id);

ALTER TABLE crm_communication ADD CONSTRAINT crm_communication_tenant_id_account_id_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES crm_account (tenant_id, id) ON DELETE SET NULL (account_id);

ALTER TABLE crm_communication ADD CONSTRAINT crm_communication_tenant_id_contact_id_fkey FOREIGN KEY(tenant_id, contact_id) REFERENCES crm_contact (tenant_id, id) ON DELETE SET NULL (contact_id);

ALTER TABLE crm_communication ADD CONSTRAINT crm_communication_tenant_id_lead_id_fkey FOREIGN KEY(tenant_id, lead_id) REFERENCES crm_lead (tenant_id, id) ON DELETE SET NULL (lead_id);

ALTER TABLE crm_communication ADD CONSTRAINT crm_communication_tenant_id_opportunity_id_fkey FOREIGN KEY(tenant_id, opportunity_id) REFERENCES crm_opportunity (tenant_id, id) ON DELETE SET NULL (opportunity_id);

ALTER TABLE crm_communication ADD CONSTRAINT crm_communication_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_contact ADD CONSTRAINT crm_contact_tenant_id_account_id_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES crm_account (tenant_id, id) ON DELETE SET NULL (account_id);

ALTER TABLE crm_contact ADD CONSTRAINT crm_contact_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_contact ADD CONSTRAINT crm_contact_tenant_id_reports_to_id_fkey FOREIGN KEY(tenant_id, reports_to_id) REFERENCES crm_contact (tenant_id, id) ON DELETE SET NULL (reports_to_id);

ALTER TABLE crm_custom_record ADD CONSTRAINT crm_custom_record_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_invoice ADD CONSTRAINT crm_invoice_tenant_id_account_id_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES crm_account (tenant_id, id) ON DELETE SET NULL (account_id);

ALTER TABLE crm_invoice ADD CONSTRAINT crm_invoice_tenant_id_contact_id_fkey FOREIGN KEY(tenant_id, contact_id) REFERENCES crm_contact (tenant_id, id) ON DELETE SET NULL (contact_id);

ALTER TABLE crm_invoice ADD CONSTRAINT crm_invoice_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_lead ADD CONSTRAINT crm_lead_tenant_id_converted_account_id_fkey FOREIGN KEY(tenant_id, converted_account_id) REFERENCES crm_account (tenant_id, id) ON DELETE SET NULL (converted_account_id);

ALTER TABLE crm_lead ADD CONSTRAINT crm_lead_tenant_id_converted_contact_id_fkey FOREIGN KEY(tenant_id, converted_contact_id) REFERENCES crm_contact (tenant_id, id) ON DELETE SET NULL (converted_contact_id);

ALTER TABLE crm_lead ADD CONSTRAINT crm_lead_tenant_id_converted_opportunity_id_fkey FOREIGN KEY(tenant_id, converted_opportunity_id) REFERENCES crm_opportunity (tenant_id, id) ON DELETE SET NULL (converted_opportunity_id);

ALTER TABLE crm_lead ADD CONSTRAINT crm_lead_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_line_item ADD CONSTRAINT crm_line_item_tenant_id_opportunity_id_fkey FOREIGN KEY(tenant_id, opportunity_id) REFERENCES crm_opportunity (tenant_id, id) ON DELETE SET NULL (opportunity_id);

ALTER TABLE crm_line_item ADD CONSTRAINT crm_line_item_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_line_item ADD CONSTRAINT crm_line_item_tenant_id_price_id_fkey FOREIGN KEY(tenant_id, price_id) REFERENCES crm_price (tenant_id, id) ON DELETE SET NULL (price_id);

ALTER TABLE crm_line_item ADD CONSTRAINT crm_line_item_tenant_id_product_id_fkey FOREIGN KEY(tenant_id, product_id) REFERENCES crm_product (tenant_id, id) ON DELETE SET NULL (product_id);

ALTER TABLE crm_opportunity ADD CONSTRAINT crm_opportunity_tenant_id_account_id_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES crm_account (tenant_id, id) ON DELETE SET NULL (account_id);

ALTER TABLE crm_opportunity ADD CONSTRAINT crm_opportunity_tenant_id_campaign_id_fkey FOREIGN KEY(tenant_id, campaign_id) REFERENCES crm_campaign (tenant_id, id) ON DELETE SET NULL (campaign_id);

ALTER TABLE crm_opportunity ADD CONSTRAINT crm_opportunity_tenant_id_contact_id_fkey FOREIGN KEY(tenant_id, contact_id) REFERENCES crm_contact (tenant_id, id) ON DELETE SET NULL (contact_id);

ALTER TABLE crm_opportunity ADD CONSTRAINT crm_opportunity_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_opportunity ADD CONSTRAINT crm_opportunity_tenant_id_pipeline_id_fkey FOREIGN KEY(tenant_id, pipeline_id) REFERENCES crm_pipeline (tenant_id, id) ON DELETE SET NULL (pipeline_id);

ALTER TABLE crm_opportunity ADD CONSTRAINT crm_opportunity_tenant_id_stage_id_fkey FOREIGN KEY(tenant_id, stage_id) REFERENCES crm_stage (tenant_id, id) ON DELETE SET NULL (stage_id);

ALTER TABLE crm_order ADD CONSTRAINT crm_order_tenant_id_account_id_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES crm_account (tenant_id, id) ON DELETE SET NULL (account_id);

ALTER TABLE crm_order ADD CONSTRAINT crm_order_tenant_id_contact_id_fkey FOREIGN KEY(tenant_id, contact_id) REFERENCES crm_contact (tenant_id, id) ON DELETE SET NULL (contact_id);

ALTER TABLE crm_order ADD CONSTRAINT crm_order_tenant_id_opportunity_id_fkey FOREIGN KEY(tenant_id, opportunity_id) REFERENCES crm_opportunity (tenant_id, id) ON DELETE SET NULL (opportunity_id);

ALTER TABLE crm_order ADD CONSTRAINT crm_order_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_payment ADD CONSTRAINT crm_payment_tenant_id_account_id_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES crm_account (tenant_id, id) ON DELETE SET NULL (account_id);

ALTER TABLE crm_payment ADD CONSTRAINT crm_payment_tenant_id_invoice_id_fkey FOREIGN KEY(tenant_id, invoice_id) REFERENCES crm_invoice (tenant_id, id) ON DELETE SET NULL (invoice_id);

ALTER TABLE crm_payment ADD CONSTRAINT crm_payment_tenant_id_order_id_fkey FOREIGN KEY(tenant_id, order_id) REFERENCES crm_order (tenant_id, id) ON DELETE SET NULL (order_id);

ALTER TABLE crm_payment ADD CONSTRAINT crm_payment_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_pipeline ADD CONSTRAINT crm_pipeline_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_price ADD CONSTRAINT crm_price_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_price ADD CONSTRAINT crm_price_tenant_id_product_id_fkey FOREIGN KEY(tenant_id, product_id) REFERENCES crm_product (tenant_id, id) ON DELETE SET NULL (product_id);

ALTER TABLE crm_product ADD CONSTRAINT crm_product_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_stage ADD CONSTRAINT crm_stage_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_stage ADD CONSTRAINT crm_stage_tenant_id_pipeline_id_fkey FOREIGN KEY(tenant_id, pipeline_id) REFERENCES crm_pipeline (tenant_id, id) ON DELETE SET NULL (pipeline_id);

ALTER TABLE crm_stage_change ADD CONSTRAINT crm_stage_change_tenant_id_opportunity_id_fkey FOREIGN KEY(tenant_id, opportunity_id) REFERENCES crm_opportunity (tenant_id, id) ON DELETE SET NULL (opportunity_id);

ALTER TABLE crm_stage_change ADD CONSTRAINT crm_stage_change_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_stage_change ADD CONSTRAINT crm_stage_change_tenant_id_stage_id_fkey FOREIGN KEY(tenant_id, stage_id) REFERENCES crm_stage (tenant_id, id) ON DELETE SET NULL (stage_id);

ALTER TABLE crm_ticket ADD CONSTRAINT crm_ticket_tenant_id_account_id_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES crm_account (tenant_id, id) ON DELETE SET NULL (account_id);

ALTER TABLE crm_ticket ADD CONSTRAINT crm_ticket_tenant_id_contact_id_fkey FOREIGN KEY(tenant_id, contact_id) REFERENCES crm_contact (tenant_id, id) ON DELETE SET NULL (contact_id);

ALTER TABLE crm_ticket ADD CONSTRAINT crm_ticket_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

ALTER TABLE crm_ticket ADD CONSTRAINT crm_ticket_tenant_id_parent_id_fkey FOREIGN KEY(tenant_id, parent_id) REFERENCES crm_ticket (tenant_id, id) ON DELETE SET NULL (parent_id);

ALTER TABLE crm_ticket ADD CONSTRAINT crm_ticket_tenant_id_pipeline_id_fkey FOREIGN KEY(tenant_id, pipeline_id) REFERENCES crm_pipeline (tenant_id, id) ON DELETE SET NULL (pipeline_id);

ALTER TABLE crm_ticket ADD CONSTRAINT crm_ticket_tenant_id_stage_id_fkey FOREIGN KEY(tenant_id, stage_id) REFERENCES crm_stage (tenant_id, id) ON DELETE SET NULL (stage_id);

ALTER TABLE crm_user ADD CONSTRAINT crm_user_tenant_id_manager_id_fkey FOREIGN KEY(tenant_id, manager_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (manager_id);

ALTER TABLE crm_user ADD CONSTRAINT crm_user_tenant_id_owner_id_fkey FOREIGN KEY(tenant_id, owner_id) REFERENCES crm_user (tenant_id, id) ON DELETE SET NULL (owner_id);

CREATE INDEX webhook_attempt_tenant_id_subscription_id_event_id_at_idx ON webhook_attempt (tenant_id, subscription_id, event_id, at);

CREATE TABLE change_default PARTITION OF change DEFAULT;

CREATE TABLE field_history_default PARTITION OF field_history DEFAULT;

-- Content is compressed already or random: do not try again.

ALTER TABLE blob_part ALTER COLUMN content SET STORAGE EXTERNAL;

-- An update of a record counts its version and, before the first one, writes out what its links agreed on (link.base NULL
-- means: as the record itself says). A load that does both itself sets app.loading = 'on' in its transaction.
CREATE FUNCTION syncline_touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF current_setting('app.loading', true) = 'on' OR NEW IS NOT DISTINCT FROM OLD THEN
        RETURN NEW;
    END IF;
    UPDATE link
       SET base = to_jsonb(OLD) - '{tenant_id,id,created_at,updated_at,version}'::text[]
     WHERE tenant_id = OLD.tenant_id AND entity_id = OLD.id AND entity = TG_ARGV[0] AND base IS NULL;
    NEW.version := OLD.version + 1;
    NEW.updated_at := now();
    RETURN NEW;
END
$body$;

-- The application may not own tables, so it may not ANALYZE them (before PostgreSQL 17 nobody else may). After a bulk load it must:
-- without statistics the planner takes a million new rows for a handful and joins them one by one.
CREATE FUNCTION syncline_analyze(target text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET default_statistics_target = 25 AS $body$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE c.relname = target AND n.nspname = 'public' AND c.relkind IN ('r', 'p')
                     AND c.relname <> 'alembic_version') THEN
        RAISE EXCEPTION 'no such table: %', target USING ERRCODE = '42P01';
    END IF;
    EXECUTE format('ANALYZE public.%I', target);
END
$body$;
REVOKE ALL ON FUNCTION syncline_analyze(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION syncline_analyze(text) TO syncline_app;

-- A bulk load creates records without a foreign key's look-up and lock for each reference (storage.loading): it holds this lock
-- instead, shared with other loads, and a delete waits for it. So no record goes while another that refers to it is on its way in.
CREATE FUNCTION syncline_delete_waits() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(current_setting('app.tenant_id', true), 0));
    RETURN NULL;
END
$body$;

-- Which tenants there are: the one thing that a scheduler has to know across tenants. Ids only; names stay behind row security.
-- Those that are closed are told only to who asks for them.
-- The owner is bound by it, too, but for a policy that lets it list this table (see storage.tenancy).
CREATE FUNCTION syncline_tenants(closed boolean DEFAULT false) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $body$ SELECT tenant_id FROM public.tenant WHERE closed OR closed_at IS NULL ORDER BY tenant_id $body$;
REVOKE ALL ON FUNCTION syncline_tenants(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION syncline_tenants(boolean) TO syncline_app;

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_user
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('user');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_account
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('account');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_contact
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('contact');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_lead
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('lead');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_pipeline
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('pipeline');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_stage
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('stage');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_campaign
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('campaign');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_opportunity
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('opportunity');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_stage_change
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('stage_change');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_product
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('product');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_price
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('price');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_line_item
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('line_item');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_ticket
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('ticket');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_activity
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('activity');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_communication
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('communication');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_calendar_event
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('calendar_event');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_invoice
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('invoice');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_order
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('order');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_payment
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('payment');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_attachment
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('attachment');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_custom_record
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('custom_record');

CREATE TRIGGER syncline_touch BEFORE UPDATE ON crm_association
    FOR EACH ROW EXECUTE FUNCTION syncline_touch('association');

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_user
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_account
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_contact
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_lead
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_pipeline
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_stage
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_campaign
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_opportunity
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_stage_change
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_product
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_price
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_line_item
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_ticket
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_activity
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_communication
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_calendar_event
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_invoice
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_order
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_payment
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_attachment
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();

CREATE TRIGGER syncline_delete_waits BEFORE DELETE ON crm_custom_record
    FOR EACH STATEMENT EXECUTE FUNCTION syncline_delete_waits();
