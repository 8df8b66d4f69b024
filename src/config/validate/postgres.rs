//! Targets of the kind `postgres`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Check;
use crate::config::key::KeyPath;
use crate::config::reference::{OPERATIONS, SSLMODES};
use crate::config::{
    Dedupe, PostgresAddress, PostgresConfig, PostgresConnect, PostgresTable, PostgresTls,
    PostgresWork, RowOperation, SqlName, file,
};

const KEEP_KEYS: Duration = Duration::from_hours(24);
const PORT: u16 = 5432;
/// The server cuts longer names off, without an error.
const NAME_MAX: usize = 63;

impl Check<'_> {
    pub(super) fn postgres(
        &mut self,
        at: &KeyPath,
        target: &str,
        file: &mut file::Target,
    ) -> Option<PostgresConfig> {
        let mut own = std::mem::take(&mut file.postgres);
        let own_at = at.key("postgres");
        let connect = self.postgres_connect(at, file, &mut own);
        let timeout = self.timeout(at, file);
        let work = self.work(&own_at, &mut own);
        let dedupe = self.dedupe(&own_at, &mut own);
        Some(PostgresConfig {
            name: target.to_owned(),
            connect: connect?,
            work: work?,
            dedupe,
            timeout,
            repeatable: file.repeatable.unwrap_or(false),
            idempotent_operations: own.idempotent_operations.unwrap_or(true),
        })
    }

    fn postgres_connect(
        &mut self,
        at: &KeyPath,
        file: &mut file::Target,
        own: &mut file::Postgres,
    ) -> Option<PostgresConnect> {
        let url = match file.url.take() {
            None => {
                self.missing(
                    at,
                    "`url` is missing; write e.g. `url = \"postgres://flowgate@db.example.com/crm\"`",
                );
                None
            }
            Some(given) => {
                let parsed = address(&given);
                parsed
                    .map_err(|message| self.fault(&at.key("url"), message))
                    .ok()
            }
        };
        let connect_timeout = self.connect_timeout(at, file);
        let password_at = at.key("postgres").key("password");
        let password = own
            .password
            .take()
            .filter(|_| !self.is_incomplete(&password_at));
        let password = password.and_then(|source| {
            let read = source.read(self.base_dir, self.env);
            read.map_err(|message| self.fault(&password_at, message))
                .ok()
        });
        let (password, password_origin) = password.unzip();
        let tls = self.postgres_tls(at, file, own, url.as_ref().map(|url| &url.address));
        let url = url?;
        Some(PostgresConnect {
            address: url.address,
            user: url.user,
            database: url.database,
            password,
            password_origin,
            tls,
            connect_timeout,
            allow_link_local: file.allow_link_local.unwrap_or(false),
        })
    }

    fn postgres_tls(
        &mut self,
        at: &KeyPath,
        file: &mut file::Target,
        own: &mut file::Postgres,
        address: Option<&PostgresAddress>,
    ) -> Option<PostgresTls> {
        let mode_at = at.key("postgres").key("sslmode");
        let is_local = address.is_none_or(is_local);
        let wanted = match own.sslmode.take() {
            Some(given) => self.word(&mode_at, &given, SSLMODES) == 1,
            None => !is_local,
        };
        if wanted && matches!(address, Some(PostgresAddress::Unix(_))) {
            self.fault(
                &mode_at,
                "over a socket's file there is no TLS; write `sslmode = \"disable\"`",
            );
        }
        let given = [("ca", file.ca.is_some()), ("cert", file.cert.is_some())];
        for (name, _) in given.into_iter().filter(|(_, given)| *given && !wanted) {
            self.fault(
                &at.key(name),
                "this is for TLS, which is not used here; write `postgres.sslmode = \"require\"`, \
                 or leave this out",
            );
        }
        let ca = self.ca(&at.key("ca"), None, file.ca.take());
        let identity = self.identity(at, None, file);
        wanted.then_some(PostgresTls { ca, identity })
    }

    fn work(&mut self, at: &KeyPath, own: &mut file::Postgres) -> Option<PostgresWork> {
        let function = own.function.take();
        let Some(function) = function else {
            return self.table(at, own).map(PostgresWork::Table);
        };
        let others = [
            ("table", own.table.is_some()),
            ("operation", own.operation.is_some()),
            ("key_columns", own.key_columns.is_some()),
            ("columns", own.columns.is_some()),
        ];
        for (name, _) in others.into_iter().filter(|(_, given)| *given) {
            self.fault(
                &at.key(name),
                "this is for a table, and there is a `function`; keep one of the two",
            );
        }
        self.sql_name(&at.key("function"), &function)
            .map(PostgresWork::Function)
    }

    fn table(&mut self, at: &KeyPath, own: &mut file::Postgres) -> Option<PostgresTable> {
        let Some(table) = own.table.take() else {
            self.missing(
                at,
                "`table` is missing; write e.g. `table = \"guests\"`, or a `function`",
            );
            return None;
        };
        let name = self.sql_name(&at.key("table"), &table);
        let operation = own.operation.take().map_or(RowOperation::Create, |given| {
            RowOperation::ALL[self.word(&at.key("operation"), &given, OPERATIONS)]
        });
        let key_columns = own.key_columns.take().unwrap_or_default();
        self.identifiers(&at.key("key_columns"), &key_columns);
        let columns = own.columns.take();
        self.identifiers(&at.key("columns"), columns.as_deref().unwrap_or_default());
        Some(PostgresTable {
            name: name?,
            operation,
            key_columns,
            columns,
        })
    }

    fn dedupe(&mut self, at: &KeyPath, own: &mut file::Postgres) -> Option<Dedupe> {
        let keep_at = at.key("keep_keys");
        if own.dedupe_table.is_none() && own.keep_keys.is_some() {
            self.fault(
                &keep_at,
                "this says how long keys are kept, and there is no `dedupe_table`",
            );
        }
        let least = Duration::from_secs(1);
        let keep = self.duration(&keep_at, own.keep_keys.take(), KEEP_KEYS, least);
        let table = own.dedupe_table.take()?;
        let table = self.sql_name(&at.key("dedupe_table"), &table)?;
        Some(Dedupe { table, keep })
    }

    fn sql_name(&mut self, at: &KeyPath, given: &str) -> Option<SqlName> {
        let name = match given.split_once('.') {
            Some((schema, name)) => SqlName {
                schema: Some(schema.to_owned()),
                name: name.to_owned(),
            },
            None => SqlName {
                schema: None,
                name: given.to_owned(),
            },
        };
        let faults = [name.schema.as_deref(), Some(&*name.name)];
        let fault = faults.into_iter().flatten().find_map(identifier_fault);
        let fault = fault.or(name
            .name
            .contains('.')
            .then_some("there is one dot too many; write `\"table\"` or `\"schema.table\"`"));
        if let Some(message) = fault {
            self.fault(at, message);
        }
        fault.is_none().then_some(name)
    }

    fn identifiers(&mut self, at: &KeyPath, given: &[String]) {
        for (place, name) in given.iter().enumerate() {
            let at = at.index(place);
            if let Some(message) = identifier_fault(name) {
                self.fault(&at, message);
            }
            if given[..place].contains(name) {
                self.fault(&at, "this column is given twice; keep one of them");
            }
        }
    }
}

/// What is wrong with a name in a database; quotes, spaces and letters of any
/// kind do.
fn identifier_fault(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("a name is empty; write e.g. `\"guests\"` or `\"crm.guests\"`")
    } else if name.len() > NAME_MAX {
        Some("this name is too long; PostgreSQL cuts names off after 63 bytes")
    } else if name.chars().any(char::is_control) {
        Some("this name has a control character in it")
    } else {
        None
    }
}

/// Whether nothing leaves this machine.
fn is_local(address: &PostgresAddress) -> bool {
    match address {
        PostgresAddress::Unix(_) => true,
        PostgresAddress::Tcp(host, _) => {
            host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
        }
    }
}

/// What the address says.
struct Url {
    address: PostgresAddress,
    user: String,
    database: String,
}

/// Reads `postgres://user@host:5432/database`. The error does not quote it: it
/// may have a password in the wrong place.
fn address(given: &str) -> Result<Url, &'static str> {
    const FORM: &str =
        "this is not a URL of a database; write e.g. `postgres://flowgate@db.example.com:5432/crm`";
    let rest = given
        .strip_prefix("postgres://")
        .or_else(|| given.strip_prefix("postgresql://"))
        .ok_or("the scheme is missing or not known; write `postgres://`")?;
    if rest.contains('#') {
        return Err("a fragment (`#`) is never sent; leave it out");
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = authority
        .rsplit_once('@')
        .ok_or("the user is missing; write e.g. `postgres://flowgate@db.example.com/crm`")?;
    if user.contains(':') {
        return Err("a password does not go into the URL; write it as \
             `postgres.password = { env = \"PGPASSWORD\" }`");
    }
    let socket = socket(query)?;
    let (host, port) = host_and_port(host).ok_or(FORM)?;
    let user = decoded(user).filter(|user| !user.is_empty()).ok_or(FORM)?;
    let database = decoded(database).ok_or(FORM)?;
    if database.contains('/') {
        return Err(FORM);
    }
    let address = match socket {
        Some(folder) => PostgresAddress::Unix(folder.join(format!(".s.PGSQL.{port}"))),
        None if host.is_empty() => return Err(FORM),
        None => PostgresAddress::Tcp(host, port),
    };
    Ok(Url {
        address,
        database: match database.is_empty() {
            true => user.clone(),
            false => database,
        },
        user,
    })
}

/// The folder of the server's socket, where the query names it.
fn socket(query: &str) -> Result<Option<PathBuf>, &'static str> {
    const ONLY: &str = "only `host=/folder` is known after the `?`, the folder of a server's \
                        socket; other settings are keys of their own";
    if query.is_empty() {
        return Ok(None);
    }
    let folder = query.strip_prefix("host=").and_then(decoded).ok_or(ONLY)?;
    match folder.starts_with('/') && !folder.contains('&') {
        true => Ok(Some(folder.into())),
        false => Err(ONLY),
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (
                host,
                port.strip_prefix(':').or(port.is_empty().then_some(""))?,
            )
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = match port {
        "" if !text.ends_with(':') => PORT,
        port => port.parse().ok().filter(|port| *port > 0)?,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    host.chars().all(plain).then(|| (host.to_owned(), port))
}

/// Undoes percent-encoding; `None` where it is wrong.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        plain.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
    }
    let text = String::from_utf8(plain).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_user_host_port_and_database() {
        let tcp = |host: &str, port| PostgresAddress::Tcp(host.to_owned(), port);
        for (given, at, user, database) in [
            (
                "postgres://me@db.example.com/crm",
                tcp("db.example.com", 5432),
                "me",
                "crm",
            ),
            (
                "postgresql://me@[::1]:6000/crm",
                tcp("::1", 6000),
                "me",
                "crm",
            ),
            (
                "postgres://a%40b@10.0.0.1:1",
                tcp("10.0.0.1", 1),
                "a@b",
                "a@b",
            ),
            (
                "postgres://me@localhost:6000/crm?host=/run/pg",
                PostgresAddress::Unix("/run/pg/.s.PGSQL.6000".into()),
                "me",
                "crm",
            ),
            (
                "postgres://me@/crm?host=%2Frun%2Fpg",
                PostgresAddress::Unix("/run/pg/.s.PGSQL.5432".into()),
                "me",
                "crm",
            ),
        ] {
            let url = address(given).unwrap_or_else(|wrong| panic!("{given}: {wrong}"));
            assert_eq!(
                (url.address, &*url.user, &*url.database),
                (at, user, database)
            );
        }
        for (given, says) in [
            ("http://me@db/crm", "scheme"),
            ("postgres://db/crm", "user"),
            ("postgres://me:hunter2@db/crm", "password"),
            ("postgres://me@/crm", "not a URL"),
            ("postgres://me@db:x/crm", "not a URL"),
            ("postgres://me@db:0/crm", "not a URL"),
            ("postgres://me@db:/crm", "not a URL"),
            ("postgres://me@db/crm/x", "not a URL"),
            ("postgres://me@db/crm#x", "fragment"),
            ("postgres://me@db/crm?sslmode=disable", "host=/folder"),
            ("postgres://me@db/crm?host=relative", "host=/folder"),
        ] {
            let wrong = address(given).err().unwrap_or_default();
            assert!(wrong.contains(says), "{given}: {wrong}");
        }
    }

    #[test]
    fn a_name_is_what_the_server_would_not_cut() {
        assert_eq!(identifier_fault("Guests; drop table \"x\""), None);
        for bad in ["", "a\0b", &"x".repeat(64)] {
            assert!(identifier_fault(bad).is_some(), "{bad:?}");
        }
    }
}
