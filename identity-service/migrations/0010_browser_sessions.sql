-- Whether the tokens of a session live in cookies: then its refresh token counts only in its cookie, and its access
-- tokens name the session's CSRF token.
ALTER TABLE sessions ADD COLUMN in_cookies boolean NOT NULL DEFAULT false;
