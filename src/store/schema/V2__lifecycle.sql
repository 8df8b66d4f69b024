-- What a batch's whole life takes: deadlines and streams that were left, keys of
-- items across batches, what long limits were charged, targets that an operator
-- holds, and batches that are thrown away.

-- When something is to be done about the batch although nobody asks: at its
-- deadline, or when it was open for too long. NULL where nothing is.
ALTER TABLE batch ADD COLUMN due_ms INTEGER;
-- NULL until it is finished.
ALTER TABLE batch ADD COLUMN finished_ms INTEGER;
-- When an earlier version finished a batch only its body says: it counts from
-- when it was opened. What is open is looked at, and its time set then.
UPDATE batch SET finished_ms = created_ms WHERE state BETWEEN 3 AND 6;
UPDATE batch SET due_ms = created_ms WHERE state IN (1, 2);

CREATE INDEX batch_due ON batch (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX batch_finished ON batch (finished_ms) WHERE finished_ms IS NOT NULL;

-- Bitmap over the items: those that the target answered with a fault of its own.
ALTER TABLE chunk ADD COLUMN faulted BLOB NOT NULL DEFAULT x'';
-- The minute that the lease was charged to; NULL where it was not charged.
ALTER TABLE chunk ADD COLUMN charged_minute INTEGER;

-- The keys of items that are under way, and of those that are done for as long
-- as a repeat is answered from here.
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

CREATE INDEX item_key_done ON item_key (done_ms) WHERE done_ms IS NOT NULL;

-- What was sent to a target, by minutes since 1970: for limits that are longer
-- than what a restart can wait out.
CREATE TABLE charge (
    target TEXT    NOT NULL,
    minute INTEGER NOT NULL,
    units  INTEGER NOT NULL,
    PRIMARY KEY (target, minute)
) STRICT, WITHOUT ROWID;

-- Targets that an operator has paused.
CREATE TABLE target_pause (
    target   TEXT    PRIMARY KEY,
    since_ms INTEGER NOT NULL,
    reason   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Batches that are gone for every reader, and whose chunks and events are being
-- taken away in small steps.
CREATE TABLE removed (
    batch INTEGER PRIMARY KEY
) STRICT;
