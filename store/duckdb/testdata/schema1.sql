-- The tables of schema version 1, as they were made then. Never changed.
CREATE TABLE events (
  id UUID, source VARCHAR, format VARCHAR, tenant VARCHAR, time TIMESTAMP, class VARCHAR, operation VARCHAR,
  workload VARCHAR, outcome VARCHAR, code VARCHAR, reason VARCHAR, actor_kind VARCHAR, actor VARCHAR, actor_id VARCHAR,
  app_id VARCHAR, app_name VARCHAR, resource_id VARCHAR, resource_name VARCHAR, sp_id VARCHAR, key_id VARCHAR,
  ip VARCHAR, ip_service BOOLEAN, asn BIGINT, as_org VARCHAR, ip_kind VARCHAR, country VARCHAR, user_agent VARCHAR,
  client VARCHAR, protocol VARCHAR, device_id VARCHAR, session_id VARCHAR, token_id VARCHAR, request_id VARCHAR,
  corr_id VARCHAR, mailbox VARCHAR, mailbox_id VARCHAR, logon_type VARCHAR, access VARCHAR, throttled BOOLEAN,
  item_count INTEGER, target VARCHAR, target_id VARCHAR, target_kind VARCHAR, permissions VARCHAR, detail VARCHAR,
  subject VARCHAR, message_id VARCHAR, recipients VARCHAR, flags INTEGER, file INTEGER, line BIGINT, pos BIGINT,
  length BIGINT, record VARCHAR USING COMPRESSION zstd, raw VARCHAR USING COMPRESSION zstd, raw_bytes BLOB
);
CREATE TABLE items (
  event UUID, kind VARCHAR, message_id VARCHAR, item_id VARCHAR, folder VARCHAR, subject VARCHAR, names VARCHAR,
  size BIGINT
);
CREATE TABLE rejects (
  file INTEGER, line BIGINT, pos BIGINT, length BIGINT, reason VARCHAR, head VARCHAR
);
CREATE TABLE files (
  file INTEGER, path VARCHAR, sha256 VARCHAR, bytes BIGINT, outer_sha256 VARCHAR
);
CREATE TABLE meta (key VARCHAR, value VARCHAR);
INSERT INTO meta VALUES ('schema', '1');
