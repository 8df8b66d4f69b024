//! What the configuration of a `postgres` target comes to.

use std::fmt;

use super::{count, line};
use crate::config::{
    PostgresAddress, PostgresConfig, PostgresConnect, PostgresWork, show_duration,
};

/// What it does with an item that says nothing.
pub(super) fn operation(postgres: &PostgresConfig) -> String {
    match &postgres.work {
        PostgresWork::Table(table) => {
            format!("{} rows of {}", table.operation.name(), table.name.plain())
        }
        PostgresWork::Function(name) => format!("call {}", name.plain()),
    }
}

/// All that is its own.
pub(super) fn lines(f: &mut fmt::Formatter<'_>, postgres: &PostgresConfig) -> fmt::Result {
    let connect = &postgres.connect;
    line(f, "  database", database(connect))?;
    match &connect.password_origin {
        None => line(f, "  password", "none")?,
        Some(origin) => line(f, "  password", format_args!("set, from {origin}"))?,
    }
    match &connect.tls {
        None => line(f, "  TLS", "none: the connection is not encrypted")?,
        Some(tls) => match u32::try_from(tls.ca.len()).unwrap_or(u32::MAX) {
            0 => line(f, "  TLS", "required; trusts the public authorities")?,
            n => {
                let trusted = count(n, "certificate");
                line(
                    f,
                    "  TLS",
                    format_args!("required; trusts only {trusted} of `ca`"),
                )?;
            }
        },
    }
    line(
        f,
        "  time-outs",
        format_args!(
            "{} a statement, {} a connection",
            show_duration(postgres.timeout),
            show_duration(connect.connect_timeout)
        ),
    )?;
    if let PostgresWork::Table(table) = &postgres.work {
        let keys = match table.key_columns.as_slice() {
            [] => "the primary key".to_owned(),
            keys => keys.join(", "),
        };
        line(f, "  rows", format_args!("found by {keys}"))?;
        match &table.columns {
            None => line(f, "  columns", "all that items name")?,
            Some(columns) => line(f, "  columns", format_args!("only {}", columns.join(", ")))?,
        }
    }
    repeating(f, postgres)
}

fn database(connect: &PostgresConnect) -> String {
    let (user, database) = (&connect.user, &connect.database);
    match &connect.address {
        PostgresAddress::Tcp(host, port) => format!("{database} at {host}:{port}, as {user}"),
        PostgresAddress::Unix(path) => format!("{database} at {}, as {user}", path.display()),
    }
}

/// What is sent again although it may have been done, and what becomes of the
/// rest.
fn repeating(f: &mut fmt::Formatter<'_>, postgres: &PostgresConfig) -> fmt::Result {
    let is_table = matches!(postgres.work, PostgresWork::Table(_));
    let (again, is_all) = if postgres.repeatable {
        ("every item: the target is repeatable".to_owned(), true)
    } else if let Some(dedupe) = &postgres.dedupe {
        let keep = show_duration(dedupe.keep);
        let table = dedupe.table.plain();
        (
            format!("every item, for {keep}: {table} knows what was done"),
            true,
        )
    } else if postgres.idempotent_operations && is_table {
        ("update, delete, and upsert with its key".to_owned(), false)
    } else {
        ("nothing".to_owned(), false)
    };
    line(f, "  sent again", format_args!("after no answer: {again}"))?;
    if is_all {
        return Ok(());
    }
    line(
        f,
        "",
        "else no answer ends IN_DOUBT; a `dedupe_table` would help",
    )
}
