//! What a target of the kind `postgres` is told.

/// A `PostgreSQL` database.
#[derive(Debug)]
pub struct PostgresConfig {}
