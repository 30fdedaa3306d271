"""The tables as SQL. Made from `models.py` by `python -m server.store.makeschema`."""

from __future__ import annotations

SECRETS = (
    'CREATE TABLE IF NOT EXISTS "credential" ("account" TEXT NOT NULL PRIMARY KEY, "access_token" BLOB NOT NULL, "refresh_token" BLOB, "id_token" BLOB, "expires_at" INTEGER, "refreshed_at" INTEGER NOT NULL, "refreshing" TEXT)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "account_copy" ("account" TEXT NOT NULL PRIMARY KEY, "profile" TEXT NOT NULL)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "secret" ("name" TEXT NOT NULL PRIMARY KEY, "value" BLOB NOT NULL)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "login" ("digest" TEXT NOT NULL PRIMARY KEY, "created_at" INTEGER NOT NULL, "used_at" INTEGER NOT NULL, "method" TEXT NOT NULL, "verified" INTEGER NOT NULL)',  # noqa: E501
)

USAGE = (
    'CREATE TABLE IF NOT EXISTS "account" ("id" TEXT NOT NULL PRIMARY KEY, "label" TEXT, "email" TEXT NOT NULL, "plan" TEXT, "upstream_id" TEXT, "user_id" TEXT, "workspace" TEXT, "workspace_name" TEXT, "status" TEXT NOT NULL, "status_reason" TEXT, "blocked_until" INTEGER, "paused_until" INTEGER, "covered" TEXT, "priority" INTEGER NOT NULL, "policy" TEXT NOT NULL, "created_at" INTEGER NOT NULL, "updated_at" INTEGER NOT NULL)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "removed_account" ("id" TEXT NOT NULL PRIMARY KEY, "name" TEXT NOT NULL, "removed_at" INTEGER NOT NULL)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "snapshot" ("id" INTEGER NOT NULL PRIMARY KEY, "account" TEXT NOT NULL, "source" TEXT NOT NULL, "window" TEXT NOT NULL, "used_percent" REAL NOT NULL, "window_minutes" INTEGER, "resets_at" INTEGER, "credits" REAL, "plan" TEXT, "observed_at" INTEGER NOT NULL)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "snapshot_account_window_observed_at" ON "snapshot" ("account", "window", "observed_at")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "allowance_now" ("account" TEXT NOT NULL PRIMARY KEY, "windows" TEXT NOT NULL, "credits" TEXT, "reset_credits" INTEGER)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "sticky_session" ("key" TEXT NOT NULL, "kind" TEXT NOT NULL, "account" TEXT NOT NULL, "created_at" INTEGER NOT NULL, "used_at" INTEGER NOT NULL, PRIMARY KEY ("kind", "key"))',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "sticky_session_account" ON "sticky_session" ("account")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "sticky_session_used_at" ON "sticky_session" ("used_at")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "api_key" ("id" TEXT NOT NULL PRIMARY KEY, "name" TEXT NOT NULL, "prefix" TEXT NOT NULL, "hash" TEXT NOT NULL, "active" INTEGER NOT NULL, "allowed_models" TEXT, "accounts" TEXT, "expires_at" INTEGER, "used_at" INTEGER, "created_at" INTEGER NOT NULL)',  # noqa: E501
    'CREATE UNIQUE INDEX IF NOT EXISTS "api_key_hash" ON "api_key" ("hash")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "key_limit" ("id" INTEGER NOT NULL PRIMARY KEY, "key" TEXT NOT NULL, "measure" TEXT NOT NULL, "window" TEXT NOT NULL, "model" TEXT, "maximum" INTEGER NOT NULL, "used" INTEGER NOT NULL, "resets_at" INTEGER NOT NULL)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "key_limit_key" ON "key_limit" ("key")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "request_log" ("id" TEXT NOT NULL PRIMARY KEY, "response_id" TEXT, "session_id" TEXT, "account" TEXT, "key" TEXT, "endpoint" TEXT NOT NULL, "model" TEXT, "effort" TEXT, "tier" TEXT, "status" TEXT NOT NULL, "error_code" TEXT, "error_message" TEXT, "http_status" INTEGER, "reason" TEXT, "attempts" TEXT NOT NULL, "input" INTEGER, "cached" INTEGER, "output" INTEGER, "reasoning" INTEGER, "cost" INTEGER, "first_event_ms" INTEGER, "duration_ms" INTEGER, "client" TEXT, "started_at" INTEGER NOT NULL)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "request_log_response_id" ON "request_log" ("response_id")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "request_log_started_at" ON "request_log" ("started_at")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "request_log_account_started_at" ON "request_log" ("account", "started_at")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "request_log_key_started_at" ON "request_log" ("key", "started_at")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "request_log_failed" ON "request_log" ("started_at") WHERE ("status" = \'error\')',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "request_log_session_id_started_at" ON "request_log" ("session_id", "started_at")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "setting" ("name" TEXT NOT NULL PRIMARY KEY, "value" TEXT NOT NULL)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "source_file" ("id" INTEGER NOT NULL PRIMARY KEY, "provider" TEXT NOT NULL, "name" TEXT NOT NULL, "path" TEXT NOT NULL, "inode" INTEGER NOT NULL, "size" INTEGER NOT NULL, "mtime_ns" INTEGER NOT NULL, "offset" INTEGER NOT NULL, "fingerprint" TEXT NOT NULL, "state" TEXT NOT NULL, "archived" INTEGER NOT NULL, "missing" INTEGER NOT NULL, "calls" INTEGER NOT NULL, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "skipped" INTEGER NOT NULL, "warnings" TEXT NOT NULL, "indexed_at" INTEGER NOT NULL)',  # noqa: E501
    'CREATE UNIQUE INDEX IF NOT EXISTS "source_file_provider_name" ON "source_file" ("provider", "name")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "source_file_archived" ON "source_file" ("id") WHERE "archived"',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "session" ("id" INTEGER NOT NULL PRIMARY KEY, "key" TEXT NOT NULL, "provider" TEXT NOT NULL, "source" INTEGER, "thread" TEXT NOT NULL, "parent" TEXT, "forked" INTEGER NOT NULL, "inherited" INTEGER NOT NULL, "guessed" INTEGER NOT NULL, "kind" TEXT NOT NULL, "role" TEXT, "project" TEXT, "cwd" TEXT, "branch" TEXT, "client" TEXT, "client_version" TEXT, "terminal" TEXT, "started_at" INTEGER, "ended_at" INTEGER)',  # noqa: E501
    'CREATE UNIQUE INDEX IF NOT EXISTS "session_key" ON "session" ("key")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "session_thread" ON "session" ("thread")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "session_parent" ON "session" ("parent")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "project" ("id" INTEGER NOT NULL PRIMARY KEY, "key" TEXT NOT NULL, "root" TEXT NOT NULL)',  # noqa: E501
    'CREATE UNIQUE INDEX IF NOT EXISTS "project_key" ON "project" ("key")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "thread" ("id" TEXT NOT NULL PRIMARY KEY, "title" TEXT, "title_source" TEXT, "project" TEXT, "provider" TEXT NOT NULL, "started_at" INTEGER, "last_at" INTEGER)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "thread_last_at" ON "thread" ("last_at")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "call" ("id" TEXT NOT NULL, "provider" TEXT NOT NULL, "session" INTEGER, "turn_id" TEXT, "model" TEXT, "effort" TEXT, "tier" TEXT, "initiator" TEXT NOT NULL, "started_at" INTEGER NOT NULL, "duration_ms" INTEGER, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "cache_written" INTEGER NOT NULL, "cache_written_1h" INTEGER NOT NULL DEFAULT 0, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "running" INTEGER, "context_window" INTEGER, "cost" INTEGER, "credits" INTEGER, "price_status" TEXT NOT NULL, "source" INTEGER, "offset" INTEGER, "account" TEXT, "seen" INTEGER NOT NULL)',  # noqa: E501
    'CREATE UNIQUE INDEX IF NOT EXISTS "call_id" ON "call" ("id")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "call_started_at" ON "call" ("started_at")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "call_session_started_at" ON "call" ("session", "started_at")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "call_seen" ON "call" ("provider", "started_at", "seen") WHERE ("seen" != 1)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "ledger_note" ("name" TEXT NOT NULL PRIMARY KEY, "value" TEXT NOT NULL)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "daily_usage" ("day" TEXT NOT NULL, "heading" TEXT NOT NULL, "provider" TEXT NOT NULL, "name" TEXT NOT NULL, "calls" INTEGER NOT NULL, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "cost" INTEGER NOT NULL, "unpriced" INTEGER NOT NULL, PRIMARY KEY ("heading", "day", "provider", "name"))',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "slice" ("calls" INTEGER NOT NULL, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "cost" INTEGER NOT NULL, "credits" INTEGER, "credited" INTEGER NOT NULL, "unpriced" INTEGER NOT NULL, "unpriced_tokens" INTEGER NOT NULL, "estimated" INTEGER NOT NULL, "estimated_tokens" INTEGER NOT NULL, "duration" INTEGER, "first_at" INTEGER NOT NULL, "last_at" INTEGER NOT NULL, "max_context" INTEGER, "bloat" INTEGER NOT NULL, "grown" INTEGER NOT NULL, "misses" INTEGER NOT NULL, "least_cache" INTEGER, "spikes" INTEGER NOT NULL, "most_reasoning" INTEGER, "dear" INTEGER NOT NULL, "idle" INTEGER NOT NULL, "session" INTEGER NOT NULL, "quarter" INTEGER NOT NULL, "model" TEXT NOT NULL, "effort" TEXT NOT NULL, "account" TEXT NOT NULL, "price_status" TEXT NOT NULL, "provider" TEXT NOT NULL, "archived" INTEGER NOT NULL, PRIMARY KEY ("session", "quarter", "model", "effort", "account", "price_status", "provider"))',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "slice_quarter_session" ON "slice" ("quarter", "session")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "slice_quarter_provider_archived_calls_input_output" ON "slice" ("quarter", "provider", "archived", "calls", "input", "output")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "stretch" ("id" INTEGER NOT NULL PRIMARY KEY, "calls" INTEGER NOT NULL, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "cost" INTEGER NOT NULL, "credits" INTEGER, "credited" INTEGER NOT NULL, "unpriced" INTEGER NOT NULL, "unpriced_tokens" INTEGER NOT NULL, "estimated" INTEGER NOT NULL, "estimated_tokens" INTEGER NOT NULL, "duration" INTEGER, "first_at" INTEGER NOT NULL, "last_at" INTEGER NOT NULL, "max_context" INTEGER, "bloat" INTEGER NOT NULL, "grown" INTEGER NOT NULL, "misses" INTEGER NOT NULL, "least_cache" INTEGER, "spikes" INTEGER NOT NULL, "most_reasoning" INTEGER, "dear" INTEGER NOT NULL, "idle" INTEGER NOT NULL, "day" INTEGER NOT NULL, "session" INTEGER NOT NULL, "model" TEXT NOT NULL, "effort" TEXT NOT NULL, "project" TEXT NOT NULL, "account" TEXT NOT NULL, "price_status" TEXT NOT NULL, "provider" TEXT NOT NULL, "archived" INTEGER NOT NULL)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "stretch_day_session_archived" ON "stretch" ("day", "session", "archived")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "stretch_session_day_archived" ON "stretch" ("session", "day", "archived")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "archived_session" ("session" INTEGER NOT NULL PRIMARY KEY)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "archived_usage" ("heading" TEXT NOT NULL, "day" TEXT NOT NULL, "provider" TEXT NOT NULL, "name" TEXT NOT NULL, "calls" INTEGER NOT NULL, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "cost" INTEGER NOT NULL, "unpriced" INTEGER NOT NULL, PRIMARY KEY ("heading", "day", "provider", "name"))',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "thread_usage" ("calls" INTEGER NOT NULL, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "cost" INTEGER NOT NULL, "credits" INTEGER, "credited" INTEGER NOT NULL, "unpriced" INTEGER NOT NULL, "unpriced_tokens" INTEGER NOT NULL, "estimated" INTEGER NOT NULL, "estimated_tokens" INTEGER NOT NULL, "duration" INTEGER, "first_at" INTEGER NOT NULL, "last_at" INTEGER NOT NULL, "max_context" INTEGER, "bloat" INTEGER NOT NULL, "grown" INTEGER NOT NULL, "misses" INTEGER NOT NULL, "least_cache" INTEGER, "spikes" INTEGER NOT NULL, "most_reasoning" INTEGER, "dear" INTEGER NOT NULL, "idle" INTEGER NOT NULL, "thread" TEXT NOT NULL, "everything" INTEGER NOT NULL, "active" INTEGER NOT NULL, "provider" TEXT NOT NULL, "sessions" INTEGER NOT NULL, "subagents" INTEGER NOT NULL, "reviews" INTEGER NOT NULL, "model" TEXT NOT NULL, "effort" TEXT NOT NULL, PRIMARY KEY ("thread", "everything"))',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "thread_usage_last_at" ON "thread_usage" ("last_at")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "session_usage" ("session" INTEGER NOT NULL PRIMARY KEY, "provider" TEXT NOT NULL, "archived" INTEGER NOT NULL, "calls" INTEGER NOT NULL, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "cost" INTEGER NOT NULL, "credits" INTEGER, "unpriced" INTEGER NOT NULL)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "quarter_usage" ("quarter" INTEGER NOT NULL, "provider" TEXT NOT NULL, "archived" INTEGER NOT NULL, "calls" INTEGER NOT NULL, "tokens" INTEGER NOT NULL, PRIMARY KEY ("quarter", "provider", "archived"))',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "quarter_usage_quarter_provider_archived_calls_tokens" ON "quarter_usage" ("quarter", "provider", "archived", "calls", "tokens")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "day_sessions" ("day" INTEGER NOT NULL, "provider" TEXT NOT NULL, "archived" INTEGER NOT NULL, "sessions" INTEGER NOT NULL, PRIMARY KEY ("day", "provider", "archived"))',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "heading_usage" ("heading" TEXT NOT NULL, "name" TEXT NOT NULL, "provider" TEXT NOT NULL, "archived" INTEGER NOT NULL, "sessions" INTEGER NOT NULL, "calls" INTEGER NOT NULL, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "cost" INTEGER NOT NULL, "credits" INTEGER NOT NULL, "rated" INTEGER NOT NULL, "unpriced" INTEGER NOT NULL, "unpriced_tokens" INTEGER NOT NULL, "estimated" INTEGER NOT NULL, PRIMARY KEY ("heading", "name", "provider", "archived"))',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "telemetry_event" ("id" INTEGER NOT NULL PRIMARY KEY, "key" BLOB NOT NULL, "name" TEXT NOT NULL, "kind" TEXT, "provider" TEXT NOT NULL, "session_id" TEXT, "at" INTEGER NOT NULL, "service" TEXT, "version" TEXT, "model" TEXT, "user" TEXT, "terminal" TEXT, "tool" TEXT, "call_id" TEXT, "decision" TEXT, "success" INTEGER, "status" INTEGER, "duration_ms" INTEGER, "count" INTEGER NOT NULL, "attributes" TEXT NOT NULL, "ending" TEXT, "failed" INTEGER NOT NULL DEFAULT 0)',  # noqa: E501
    'CREATE UNIQUE INDEX IF NOT EXISTS "telemetry_event_key" ON "telemetry_event" ("key")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "telemetry_event_at" ON "telemetry_event" ("at")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "telemetry_event_name_at" ON "telemetry_event" ("name", "at")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "telemetry_event_session_id_at" ON "telemetry_event" ("session_id", "at")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "telemetry_event_provider_at" ON "telemetry_event" ("provider", "at") WHERE ("ending" IS NOT NULL)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "telemetry_event_call_id_session_id" ON "telemetry_event" ("call_id", "session_id") WHERE ("call_id" IS NOT NULL)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "telemetry_usage" ("key" BLOB NOT NULL PRIMARY KEY, "provider" TEXT NOT NULL, "session_id" TEXT, "at" INTEGER NOT NULL, "model" TEXT, "user" TEXT, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "cache_written" INTEGER NOT NULL, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "ttft_ms" INTEGER, "call" TEXT)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "telemetry_usage_at" ON "telemetry_usage" ("at")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "telemetry_usage_call" ON "telemetry_usage" ("call")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "telemetry_usage_alone" ON "telemetry_usage" ("provider", "at", "session_id", "model", "user", "input", "cached", "output") WHERE ("call" IS NULL)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "telemetry_session" ("session_id" TEXT NOT NULL PRIMARY KEY, "provider" TEXT NOT NULL, "kind" TEXT NOT NULL, "prompts" INTEGER NOT NULL, "prompt_length" INTEGER, "sandbox" TEXT, "first_at" INTEGER NOT NULL, "last_at" INTEGER NOT NULL)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "telemetry_session_first_at" ON "telemetry_session" ("first_at")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "telemetry_count" ("day" TEXT NOT NULL, "kind" TEXT NOT NULL, "name" TEXT NOT NULL, "count" INTEGER NOT NULL, "last_at" INTEGER NOT NULL, PRIMARY KEY ("kind", "name", "day"))',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "telemetry_slice" ("provider" TEXT NOT NULL, "heading" TEXT NOT NULL, "quarter" INTEGER NOT NULL, "name" TEXT NOT NULL, "count" INTEGER NOT NULL, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "output" INTEGER NOT NULL, PRIMARY KEY ("provider", "heading", "quarter", "name"))',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "telemetry_talk" ("session_id" TEXT NOT NULL, "quarter" INTEGER NOT NULL, "user" TEXT NOT NULL, "terminal" TEXT NOT NULL, "provider" TEXT NOT NULL, "prompts" INTEGER NOT NULL, "calls" INTEGER NOT NULL, "timed" INTEGER NOT NULL, "duration" INTEGER NOT NULL, "results" INTEGER NOT NULL, "tool_ms" INTEGER NOT NULL, PRIMARY KEY ("session_id", "quarter", "user", "terminal"))',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "telemetry_talk_provider_quarter" ON "telemetry_talk" ("provider", "quarter")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "telemetry_histogram" ("provider" TEXT NOT NULL, "series" TEXT NOT NULL, "unit" INTEGER NOT NULL, "quarter" INTEGER NOT NULL, "counts" BLOB NOT NULL, PRIMARY KEY ("provider", "series", "unit", "quarter"))',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "fact_file" ("source" INTEGER NOT NULL PRIMARY KEY, "name" TEXT NOT NULL, "offset" INTEGER NOT NULL, "fingerprint" TEXT NOT NULL, "state" TEXT NOT NULL)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "fact_call" ("source" INTEGER NOT NULL, "number" INTEGER NOT NULL, "offset" INTEGER NOT NULL, "at" INTEGER NOT NULL, "call" TEXT, PRIMARY KEY ("source", "number"))',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "fact" ("source" INTEGER NOT NULL, "number" INTEGER NOT NULL, "type" TEXT NOT NULL, "name" TEXT NOT NULL, "category" TEXT NOT NULL, "count" INTEGER NOT NULL, "first_at" INTEGER NOT NULL, "last_at" INTEGER NOT NULL, PRIMARY KEY ("source", "number", "type", "name"))',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "fact_type_name" ON "fact" ("type", "name")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "tool_run" ("source" INTEGER NOT NULL, "offset" INTEGER NOT NULL, "part" INTEGER NOT NULL, "number" INTEGER NOT NULL, "function" TEXT NOT NULL, "root" TEXT, "child" TEXT, "operation" TEXT, "told" INTEGER NOT NULL, "outputs" INTEGER NOT NULL, "tokens" INTEGER, "missing" TEXT, PRIMARY KEY ("source", "offset", "part"))',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "tool_run_root_child" ON "tool_run" ("root", "child")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "tool_run_source_number" ON "tool_run" ("source", "number")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "file_read" ("source" INTEGER NOT NULL, "offset" INTEGER NOT NULL, "path" TEXT NOT NULL, "part" INTEGER NOT NULL, "number" INTEGER NOT NULL, "label" TEXT NOT NULL, "reader" TEXT NOT NULL, "tokens" INTEGER, PRIMARY KEY ("source", "offset", "path"))',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "file_read_path" ON "file_read" ("path")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "file_read_source_number" ON "file_read" ("source", "number")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "file_change" ("source" INTEGER NOT NULL, "offset" INTEGER NOT NULL, "path" TEXT NOT NULL, "number" INTEGER NOT NULL, "label" TEXT NOT NULL, "extension" TEXT NOT NULL, PRIMARY KEY ("source", "offset", "path"))',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "file_change_path" ON "file_change" ("path")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "file_change_source_number" ON "file_change" ("source", "number")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "failed_run" ("source" INTEGER NOT NULL, "offset" INTEGER NOT NULL, "key" INTEGER NOT NULL, "since" INTEGER NOT NULL, "at" INTEGER NOT NULL, PRIMARY KEY ("source", "offset", "key"))',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "failed_run_key" ON "failed_run" ("key")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "fact_touched" ("source" INTEGER NOT NULL PRIMARY KEY)',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "fact_day" ("id" INTEGER NOT NULL PRIMARY KEY, "source" INTEGER NOT NULL, "session" INTEGER NOT NULL, "day" INTEGER NOT NULL, "model" TEXT NOT NULL, "effort" TEXT NOT NULL, "account" TEXT NOT NULL, "provider" TEXT NOT NULL, "calls" INTEGER NOT NULL, "shells" INTEGER NOT NULL, "patches" INTEGER NOT NULL)',  # noqa: E501
    'CREATE UNIQUE INDEX IF NOT EXISTS "fact_day_source_session_day_model_effort_account_provider" ON "fact_day" ("source", "session", "day", "model", "effort", "account", "provider")',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "fact_day_day" ON "fact_day" ("day")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "day_fact" ("day" INTEGER NOT NULL, "type" TEXT NOT NULL, "name" TEXT NOT NULL, "category" TEXT NOT NULL, "count" INTEGER NOT NULL, "calls" INTEGER NOT NULL, "input" INTEGER NOT NULL, "cached" INTEGER NOT NULL, "output" INTEGER NOT NULL, "reasoning" INTEGER NOT NULL, "latest" INTEGER NOT NULL, "ratios" REAL NOT NULL, "rated" INTEGER NOT NULL, "largest" INTEGER NOT NULL)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "day_fact_day" ON "day_fact" ("day")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "day_run" ("day" INTEGER NOT NULL, "function" TEXT NOT NULL, "root" TEXT, "child" TEXT, "operation" TEXT, "missing" TEXT, "first" INTEGER NOT NULL, "count" INTEGER NOT NULL, "outputs" INTEGER NOT NULL, "counted" INTEGER NOT NULL, "uncounted" INTEGER NOT NULL, "tokens" INTEGER)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "day_run_day" ON "day_run" ("day")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "day_read" ("day" INTEGER NOT NULL, "path" TEXT NOT NULL, "reader" TEXT NOT NULL, "label" TEXT NOT NULL, "events" INTEGER NOT NULL, "counted" INTEGER NOT NULL, "tokens" INTEGER, "productive" INTEGER NOT NULL)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "day_read_day" ON "day_read" ("day")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "day_change" ("day" INTEGER NOT NULL, "path" TEXT NOT NULL, "extension" TEXT NOT NULL, "label" TEXT NOT NULL, "count" INTEGER NOT NULL, "latest" INTEGER NOT NULL)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "day_change_day" ON "day_change" ("day")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "day_top" ("day" INTEGER NOT NULL, "kind" TEXT NOT NULL, "size" INTEGER NOT NULL, "label" TEXT NOT NULL, "reader" TEXT, "paths" INTEGER NOT NULL, "call" TEXT NOT NULL, "at" INTEGER NOT NULL)',  # noqa: E501
    'CREATE INDEX IF NOT EXISTS "day_top_day" ON "day_top" ("day")',  # noqa: E501
    'CREATE TABLE IF NOT EXISTS "diagnostic_snapshot" ("section" TEXT NOT NULL, "scope" TEXT NOT NULL, "computed_at" INTEGER NOT NULL, "body" TEXT NOT NULL, PRIMARY KEY ("section", "scope"))',  # noqa: E501
)

# Which tables `USAGE` makes; see readymade.py.
FORM = "1786baf229a6f987"
