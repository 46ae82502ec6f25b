-- Unread counts by numbers: what lies above a read mark, less what does not count.

-- How many messages a sender has sent in a chat up to a number, which is a multiple of 32: a row
-- for each of those who sent one of the 32. System messages have the sender x''.
CREATE TABLE sent_counts (
    chat_id     BLOB    NOT NULL,
    sender_id   BLOB    NOT NULL,
    through_seq INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (chat_id, sender_id, through_seq)
) STRICT, WITHOUT ROWID;

-- Chat by chat, for which a trigger is SQL's loop: what is sorted is held in memory.
CREATE TRIGGER fill_sent_counts AFTER UPDATE OF last_seq ON chats BEGIN
    INSERT INTO sent_counts (chat_id, sender_id, through_seq, count)
    SELECT new.id, sender, through, sum(sent) OVER (PARTITION BY sender ORDER BY through)
    FROM (SELECT coalesce(sender_id, x'') AS sender, (seq + 31) / 32 * 32 AS through,
            count(*) AS sent
        FROM messages WHERE chat_id = new.id AND seq <= new.last_seq / 32 * 32
        GROUP BY sender, through);
END;
UPDATE chats SET last_seq = last_seq;
DROP TRIGGER fill_sent_counts;

-- Deleted messages, which nobody has to read.
CREATE INDEX messages_deleted ON messages (chat_id, seq, sender_id, deleted_at)
    WHERE deleted_at IS NOT NULL;

-- A user's chats, those that they have left behind them. A partial index on `left_seq IS NULL`
-- would not be covering, so that each chat cost a look-up of its member's row.
DROP INDEX members_by_user;
DROP INDEX members_who_left;
CREATE INDEX members_by_user ON members (user_id, left_seq, chat_id);

-- Written by the check of readiness, since only a write tells that the disk takes one.
CREATE TABLE probe (writes INTEGER NOT NULL) STRICT;
INSERT INTO probe VALUES (0);
