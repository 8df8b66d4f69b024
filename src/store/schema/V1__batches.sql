-- A row for each batch, chunk and event; never one for each item. Numbers are
-- given in order of arrival, because keys that come in no order halve the
-- speed, and never again, because a late settle must not meet another chunk.
-- Every row says whose it is; what callers look up by, they look up as theirs.

-- "FLOW": this file is Flowgate's.
PRAGMA application_id = 0x464C4F57;

CREATE TABLE batch (
    no         INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant     TEXT    NOT NULL,
    id         BLOB    NOT NULL,
    request_id TEXT,
    target     TEXT    NOT NULL,
    created_ms INTEGER NOT NULL,
    -- What was asked for: never changes.
    spec       BLOB    NOT NULL,
    -- What changes.
    state      INTEGER NOT NULL,
    -- Items in queued chunks.
    queued     INTEGER NOT NULL,
    body       BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX batch_id ON batch (tenant, id);
CREATE UNIQUE INDEX batch_request ON batch (tenant, request_id)
    WHERE request_id IS NOT NULL;
-- For lists, the newest first: the number is the last part of every index.
CREATE INDEX batch_tenant ON batch (tenant);
CREATE INDEX batch_target ON batch (tenant, target);
-- For the backlog of a target.
CREATE INDEX batch_waiting ON batch (target, tenant) WHERE queued > 0;

-- A chunk's number has the batch's in its upper half, and in its lower one a
-- place: from 0 on for the chunks that came, from 2^31 on for items that are
-- sent again. So what belongs together lies together, and no index has to say
-- where it is.
CREATE TABLE chunk (
    no         INTEGER PRIMARY KEY,
    tenant     TEXT    NOT NULL,
    batch      INTEGER NOT NULL,
    -- Index of the first item; NULL where items are sent again.
    first      INTEGER,
    count      INTEGER NOT NULL,
    -- 0 queued, 1 leased, 2 finished.
    state      INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    since_ms   INTEGER,
    due_ms     INTEGER NOT NULL,
    -- Bitmaps over the items.
    done       BLOB    NOT NULL,
    unanswered BLOB    NOT NULL
) STRICT;

CREATE INDEX chunk_queued ON chunk (batch, due_ms) WHERE state = 0;

-- Apart from the chunk's row, so that changing that does not write them again.
CREATE TABLE chunk_items (
    chunk  INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    items  BLOB NOT NULL
) STRICT;

-- An event's number has the batch's in its upper half, and in its lower one the
-- event's place in the batch's log.
CREATE TABLE event (
    no     INTEGER PRIMARY KEY,
    tenant TEXT    NOT NULL,
    at_ms  INTEGER NOT NULL,
    -- 1 results, 2 progress, 3 finished.
    kind   INTEGER NOT NULL,
    body   BLOB    NOT NULL
) STRICT;
