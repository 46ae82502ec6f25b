-- How many bytes a user's attachments come to, without their rows.
CREATE INDEX attachments_by_size ON attachments (owner_id, byte_size);
