-- Which version of identity's secret a recovery code hangs on; NULL for those from before it was noted.
ALTER TABLE recovery_codes ADD COLUMN secret_version bigint CHECK (secret_version BETWEEN 1 AND 4294967295);

-- The costliest hash there is, without reading all of them: "$2b$12$…" has its cost in bytes 5 and 6.
CREATE INDEX accounts_by_cost ON accounts (substr(password_hash, 5, 2));
