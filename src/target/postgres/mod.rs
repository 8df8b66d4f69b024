//! The `postgres` target.
