-- What the file itself is. `incarnation` names its past: it is made anew when the file was restored.
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    incarnation INTEGER NOT NULL CHECK (incarnation BETWEEN 0 AND 4294967295)
) STRICT;
INSERT INTO store (id, incarnation) VALUES (1, random() & 4294967295);
