-- What a user has sent, for the archive of what is their own.
CREATE INDEX IF NOT EXISTS attachments_by_owner ON attachments (owner_id, id);
