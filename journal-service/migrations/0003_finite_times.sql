-- The times that the service writes are finite and in the years that its dates have. A row that somebody
-- changed before this step keeps what it says and stays what it is, unreadable: NOT VALID looks only at what is
-- written from now on, so that one such row does not keep the service from starting.
ALTER TABLE entries
    ADD CONSTRAINT entries_created_at_check
        CHECK (created_at >= '0001-01-01T00:00Z' AND created_at < '10000-01-01T00:00Z') NOT VALID,
    ADD CONSTRAINT entries_updated_at_check
        CHECK (updated_at >= '0001-01-01T00:00Z' AND updated_at < '10000-01-01T00:00Z') NOT VALID;
