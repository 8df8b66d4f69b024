-- A store as version 2 of the schema left it: written by the program of then, killed
-- at work, and dumped. Never to be changed: it stands for the files that are out
-- there.
--
-- Batch 1 has seven items in chunks of four: one is done, and what is left of both
-- chunks is leased and charged to a long limit.

PRAGMA application_id = 1179406167;
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
, due_ms INTEGER, finished_ms INTEGER) STRICT;
INSERT INTO "batch" VALUES(1,'default',X'01A1FF34F33B737B807EDB3C6BD9E8C0','file-50e9d81c6a1b72ebae67bc3f8b454454','guests',1795283022651,X'0A06677565737473122566696C652D353065396438316336613162373265626165363762633366386234353434353420012801',1,0,X'08011211080710011A0900000000000000000020061A1D0A0708BEE6D3F99F34120708BEE6D3F99F341A0908C5E6D3F99F341001200128BEE6D3F99F34380250FBB5F8F99F34',NULL,NULL);
CREATE TABLE charge (
    target TEXT    NOT NULL,
    minute INTEGER NOT NULL,
    units  INTEGER NOT NULL,
    PRIMARY KEY (target, minute)
) STRICT, WITHOUT ROWID;
INSERT INTO "charge" VALUES('guests',29921383,7);
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
, faulted BLOB NOT NULL DEFAULT x'', charged_minute INTEGER) STRICT;
INSERT INTO "chunk" VALUES(4294967296,'default',1,0,4,1,1,0,1795283022654,0,X'01',X'',X'',29921383);
INSERT INTO "chunk" VALUES(4294967297,'default',1,4,3,1,1,0,1795283022657,0,X'',X'',X'',29921383);
CREATE TABLE chunk_items (
    chunk  INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    items  BLOB NOT NULL
) STRICT;
INSERT INTO "chunk_items" VALUES(4294967296,'default',X'0A0D220B08021A077B226E223A307D0A0F0801220B08021A077B226E223A317D0A0F0802220B08021A077B226E223A327D0A0F0803220B08021A077B226E223A337D');
INSERT INTO "chunk_items" VALUES(4294967297,'default',X'0A0F0804220B08021A077B226E223A347D0A0F0805220B08021A077B226E223A357D0A0F0806220B08021A077B226E223A367D');
CREATE TABLE event (
    no     INTEGER PRIMARY KEY,
    tenant TEXT    NOT NULL,
    at_ms  INTEGER NOT NULL,
    -- 1 results, 2 progress, 3 finished.
    kind   INTEGER NOT NULL,
    body   BLOB    NOT NULL
) STRICT;
INSERT INTO "event" VALUES(4294967297,'default',1795283022661,1,X'0A121201301A0B08C901120608021A027B7D2801');
CREATE TABLE item_key (
    tenant TEXT    NOT NULL,
    target TEXT    NOT NULL,
    key    TEXT    NOT NULL,
    -- Of what was asked for under it.
    digest BLOB    NOT NULL,
    batch  INTEGER NOT NULL,
    item   INTEGER NOT NULL,
    -- When its outcome was recorded, and the outcome; NULL before.
    done_ms INTEGER,
    result  BLOB,
    PRIMARY KEY (tenant, target, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE refinery_schema_history(
             version int4 PRIMARY KEY,
             name VARCHAR(255),
             applied_on VARCHAR(255),
             checksum VARCHAR(255));
INSERT INTO "refinery_schema_history" VALUES(1,'batches','2026-11-21T17:43:40.650703409Z','9217649112170541909');
INSERT INTO "refinery_schema_history" VALUES(2,'lifecycle','2026-11-21T17:43:40.650710215Z','1533172563185297602');
CREATE TABLE removed (
    batch INTEGER PRIMARY KEY
) STRICT;
CREATE TABLE target_pause (
    target   TEXT    PRIMARY KEY,
    since_ms INTEGER NOT NULL,
    reason   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX batch_id ON batch (tenant, id);
CREATE UNIQUE INDEX batch_request ON batch (tenant, request_id)
    WHERE request_id IS NOT NULL;
CREATE INDEX batch_tenant ON batch (tenant);
CREATE INDEX batch_target ON batch (tenant, target);
CREATE INDEX batch_waiting ON batch (target, tenant) WHERE queued > 0;
CREATE INDEX chunk_queued ON chunk (batch, due_ms) WHERE state = 0;
CREATE INDEX batch_due ON batch (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX batch_finished ON batch (finished_ms) WHERE finished_ms IS NOT NULL;
CREATE INDEX item_key_done ON item_key (done_ms) WHERE done_ms IS NOT NULL;
