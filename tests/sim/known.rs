//! Faults of the service that these runs have found and that are there still.
//! Each keeps out of the runs what shows it, so that the others show; set it to
//! `false` to see it. None at all is right.

/// A chunk of what goes again, given back to the queue unsent by a drain, a hold
/// or a pause, is due at 0: as if it had never been sent, and in strict order the
/// items behind it pass it. So it is made due at 1, at the disk. Seeds 904, 3606.
pub const RELEASES_OUT_OF_ORDER: bool = false;

/// Two calls of `RetryBatch` at once, for the same batch and kinds, fill the same
/// new batch: one of them is refused with `BATCH_SEALED`. So nobody makes two.
/// Seeds 68, 250.
pub const REFUSES_RETRIES_AT_ONCE: bool = false;

/// In strict order, what is put off and what is left of its chunk part in two
/// commits. Where the process dies between them, the next takes the first of what
/// is left for sent, and has it pass what was put off. So a world with such
/// batches and deaths has none of the former. Seeds 10827, 18632.
pub const RESCUES_OUT_OF_ORDER: bool = false;

/// That a target still knows a key is looked at when an item is leased, and not
/// when it is written, which may be long after. So targets know keys for longer
/// than they say. Seed 22350.
pub const KEYS_OUT_OF_TIME: bool = false;
