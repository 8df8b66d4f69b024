//! What a target of the kind `postgres` is told.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use secrecy::SecretString;

use super::Identity;
use crate::config::Origin;

/// A `PostgreSQL` database, and what is done in it.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// The target's name: keys in the dedupe table are kept under it.
    pub name: String,
    /// How the server is reached.
    pub connect: PostgresConnect,
    /// What is done with items.
    pub work: PostgresWork,
    /// Where the keys of what was done are written; absent where they are not.
    pub dedupe: Option<Dedupe>,
    /// For a statement.
    pub timeout: Duration,
    /// Doing an item twice does no harm, whatever it is.
    pub repeatable: bool,
    /// Doing an update, upsert or delete twice does no harm.
    pub idempotent_operations: bool,
}

/// How a `PostgreSQL` server is reached.
#[derive(Clone, Debug)]
pub struct PostgresConnect {
    /// Where it is.
    pub address: PostgresAddress,
    /// Who Flowgate is there.
    pub user: String,
    /// The database.
    pub database: String,
    /// The user's password; absent where the server asks for none.
    pub password: Option<SecretString>,
    /// Where the password was found.
    pub password_origin: Option<Origin>,
    /// Encryption; absent for none.
    pub tls: Option<PostgresTls>,
    /// For a connection, with TLS and the user's authentication.
    pub connect_timeout: Duration,
    /// It may be at a link-local address, or where clouds keep metadata.
    pub allow_link_local: bool,
}

/// Where a `PostgreSQL` server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresAddress {
    /// A host, by name or IP address, and a port.
    Tcp(String, u16),
    /// A socket's file.
    Unix(PathBuf),
}

/// Encryption, with the server's certificate checked against its host.
#[derive(Clone, Debug, Default)]
pub struct PostgresTls {
    /// Only what these certificates vouch for is trusted; empty for the public
    /// authorities.
    pub ca: Vec<CertificateDer<'static>>,
    /// What is shown to the server, where it asks who calls.
    pub identity: Option<Identity>,
}

/// What is done with items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresWork {
    /// Rows of a table.
    Table(PostgresTable),
    /// A function is called, once an item, with its payload as `jsonb`.
    Function(SqlName),
}

/// A table, and how items become rows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresTable {
    /// Its name.
    pub name: SqlName,
    /// What is done with an item that does not say.
    pub operation: RowOperation,
    /// What finds a row; empty for the primary key.
    pub key_columns: Vec<String>,
    /// The columns that items may set; `None` for all.
    pub columns: Option<Vec<String>>,
}

/// What is done with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowOperation {
    /// A new one.
    Create,
    /// One that is there is changed.
    Update,
    /// One that is there is changed, else a new one is made.
    Upsert,
    /// One that is there is removed.
    Delete,
}

impl RowOperation {
    /// All of them.
    pub const ALL: [RowOperation; 4] = [
        RowOperation::Create,
        RowOperation::Update,
        RowOperation::Upsert,
        RowOperation::Delete,
    ];

    /// The word in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            RowOperation::Create => "create",
            RowOperation::Update => "update",
            RowOperation::Upsert => "upsert",
            RowOperation::Delete => "delete",
        }
    }
}

/// Where the keys of what was done are written, in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedupe {
    /// The table.
    pub table: SqlName,
    /// How long they are kept.
    pub keep: Duration,
}

/// The name of a table or a function. Shown as it stands in a statement:
/// quoted, so that nothing in it can be anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlName {
    /// Absent: the first on the search path that has it.
    pub schema: Option<String>,
    /// The name itself.
    pub name: String,
}

impl SqlName {
    /// Without quotes, for people.
    pub fn plain(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

impl fmt::Display for SqlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quoted(schema))?;
        }
        f.write_str(&quoted(&self.name))
    }
}

/// An identifier as it stands in a statement.
pub fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
