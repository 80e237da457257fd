-- Whether the login that waits came from a device that its account knows. A login that an older version of this service
-- began says nothing about it, and nobody is told of a new device then.
ALTER TABLE mfa_challenges ADD COLUMN known_device boolean NOT NULL DEFAULT true;
