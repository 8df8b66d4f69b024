-- What a chunk's lease was charged and is not known to be sent, in units of its
-- target's limits: a request may take more of them than one, or one for many
-- items.
ALTER TABLE chunk ADD COLUMN charged_units INTEGER NOT NULL DEFAULT 0;
-- Before, it was one for each item.
UPDATE chunk SET charged_units = count WHERE charged_minute IS NOT NULL;
