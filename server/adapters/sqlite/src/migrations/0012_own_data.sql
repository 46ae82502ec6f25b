-- What a user has sent.
CREATE INDEX attachments_by_owner ON attachments (owner_id, id);
