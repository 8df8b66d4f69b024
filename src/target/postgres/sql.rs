//! The statements. Pure: shapes in, text out. Values are parameters, always;
//! names come from the catalogue or the configuration, quoted.

use std::fmt::Write;

use super::rows::{Shape, Task};
use super::table::{Column, Returns, Table, Takes};
use crate::config::{Dedupe, PostgresWork, RowOperation, SqlName};

/// Characters of what a function returns that are told.
pub(super) const REPLY_MAX: usize = 64 << 10;

/// What statements are about.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub work: &'a PostgresWork,
    pub dedupe: Option<&'a Dedupe>,
    pub table: Option<&'a Table>,
    pub returns: Returns,
}

/// A statement, and what its rows are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sql {
    pub text: String,
    /// How many of its parameters are lists of values: one for each column, and
    /// one for the id, if the shape has one; or one that is only counted.
    pub lists: usize,
    pub tells: Tells,
}

/// What the rows that come back are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tells {
    /// The values of the key's columns, for each row in order; none where there
    /// are no such columns.
    Keys,
    /// The row's number from 1, what became of it, and its reply.
    Fates,
}

/// The statement for rows of a shape. Parameters: a `text[]` for each column, one
/// for ids where the shape has them, and, with a dedupe table, one each of keys
/// and fingerprints, and the target's name.
pub(super) fn statement(about: About<'_>, shape: &Shape) -> Sql {
    match (about.work, about.table) {
        (PostgresWork::Table(config), Some(table)) => {
            let Task::Row(operation) = shape.task else {
                return called(about, &config.name, shape);
            };
            let builder = Builder {
                about,
                shape,
                table,
                name: &config.name,
            };
            match operation {
                RowOperation::Create | RowOperation::Upsert => builder.insert(operation),
                RowOperation::Update | RowOperation::Delete => builder.change(operation),
            }
        }
        (PostgresWork::Table(config), None) => called(about, &config.name, shape),
        (PostgresWork::Function(name), _) => called(about, name, shape),
    }
}

struct Builder<'a> {
    about: About<'a>,
    shape: &'a Shape,
    table: &'a Table,
    name: &'a SqlName,
}

impl Builder<'_> {
    fn columns(&self) -> impl Iterator<Item = &Column> {
        let place = |at: &usize| &self.table.columns[*at];
        self.shape.columns.iter().map(place)
    }

    fn keys(&self) -> impl Iterator<Item = &Column> {
        self.table.keys.iter().map(|at| &self.table.columns[*at])
    }

    fn lists(&self) -> usize {
        (self.shape.columns.len() + usize::from(self.shape.by_id)).max(1)
    }

    /// The values, each cast to its column's type, as `c0`, `c1`, ...
    fn casts(&self) -> Vec<String> {
        let cast = |(at, column): (usize, &Column)| cast(column, &format!("x.c{at}"));
        self.columns().enumerate().map(cast).collect()
    }

    /// A new row for each, or the one that is there.
    fn insert(&self, operation: RowOperation) -> Sql {
        let source = source(self.lists(), self.about.dedupe.is_some());
        let names = joined(self.columns().map(|column| column.quoted.clone()));
        let into = match names.is_empty() {
            true => String::new(),
            false => format!(" ({names})"),
        };
        let conflict = match operation {
            RowOperation::Upsert => self.on_conflict(),
            _ => String::new(),
        };
        let name = self.name;
        let Some(dedupe) = self.about.dedupe else {
            let keys = joined(self.keys().map(|key| format!("{}::text", key.quoted)));
            let returning = match keys.is_empty() {
                true => String::new(),
                false => format!(" RETURNING {keys}"),
            };
            return Sql {
                text: format!(
                    "INSERT INTO {name} AS t{into} SELECT {} FROM {source} ORDER BY x.ord{conflict}{returning}",
                    joined(self.casts())
                ),
                lists: self.lists(),
                tells: Tells::Keys,
            };
        };
        let values = joined((0..self.shape.columns.len()).map(|at| format!("x.c{at}")));
        // What comes back has no number of its own; where a trigger has left some
        // out, nobody knows which is which.
        let text = format!(
            "WITH x AS MATERIALIZED (SELECT row_number() OVER (ORDER BY x.ord) AS n, x.ord, x.key, \
             x.fingerprint{} FROM {source} WHERE {}), \
             i AS (INSERT INTO {name} AS t{into} SELECT {values} FROM x ORDER BY x.n{conflict} \
             RETURNING {} AS reply), \
             r AS (SELECT row_number() OVER () AS n, reply FROM i), \
             y AS (SELECT x.ord, x.key, x.fingerprint, CASE WHEN (SELECT count(*) FROM r) = \
             (SELECT count(*) FROM x) THEN r.reply END AS reply FROM x LEFT JOIN r ON r.n = x.n), \
             k AS ({}) SELECT y.ord, 'd', y.reply FROM y",
            self.named_casts(),
            unknown(dedupe, self.lists()),
            self.reply("t"),
            record(dedupe, self.lists(), "y"),
        );
        Sql {
            text,
            lists: self.lists(),
            tells: Tells::Fates,
        }
    }

    fn on_conflict(&self) -> String {
        let keys = joined(self.keys().map(|key| key.quoted.clone()));
        let is_key = |column: &Column| self.keys().any(|key| key.name == column.name);
        let set: Vec<String> = self
            .columns()
            .filter(|column| !is_key(column))
            .map(|column| format!("{0} = EXCLUDED.{0}", column.quoted))
            .collect();
        // Something has to be set, for the row to come back.
        let set = match set.is_empty() {
            true => joined(
                self.keys()
                    .map(|key| format!("{0} = EXCLUDED.{0}", key.quoted)),
            ),
            false => joined(set),
        };
        format!(" ON CONFLICT ({keys}) DO UPDATE SET {set}")
    }

    /// The row that is there, for each.
    fn change(&self, operation: RowOperation) -> Sql {
        let source = source(self.lists(), self.about.dedupe.is_some());
        let found = |key: &usize| self.shape.columns.iter().position(|place| place == key);
        let by = |key: &usize| match found(key) {
            _ if self.shape.by_id => "x.id".to_owned(),
            Some(at) => format!("x.c{at}"),
            None => "NULL".to_owned(),
        };
        let keys: Vec<String> = self.table.keys.iter().map(by).collect();
        let id = match (self.shape.by_id, self.keys().next()) {
            (true, Some(key)) => {
                let at = format!("x.c{}", self.shape.columns.len());
                format!(", {} AS id", cast(key, &at))
            }
            _ => String::new(),
        };
        let matches = self.keys().zip(&keys);
        let matches = matches.map(|(key, value)| format!("t.{} = {value}", key.quoted));
        let matches = matches.collect::<Vec<_>>().join(" AND ");
        let name = self.name;
        let back = format!(
            "RETURNING x.ord, {} AS reply{}",
            self.reply("t"),
            self.about.dedupe.map_or("", |_| ", x.key, x.fingerprint")
        );
        let done = match operation {
            RowOperation::Delete => {
                format!("DELETE FROM {name} AS t USING w AS x WHERE x.rn = 1 AND {matches} {back}")
            }
            _ => format!(
                "UPDATE {name} AS t SET {} FROM w AS x WHERE x.rn = 1 AND {matches} {back}",
                self.set()
            ),
        };
        let (columns, filter, recorded) = match self.about.dedupe {
            None => ("", String::new(), String::new()),
            Some(dedupe) => (
                ", x.key, x.fingerprint",
                format!(" WHERE {}", unknown(dedupe, self.lists())),
                format!(
                    ", k AS ({})",
                    record(
                        dedupe,
                        self.lists(),
                        "(SELECT DISTINCT ON (key) * FROM y) AS y"
                    )
                ),
            ),
        };
        // Of rows that turn out to be the same one, only the first is touched now.
        let text = format!(
            "WITH x AS MATERIALIZED (SELECT x.ord{columns}{}{id} FROM {source}{filter}), \
             w AS MATERIALIZED (SELECT x.*, row_number() OVER (PARTITION BY {} ORDER BY x.ord) AS rn \
             FROM x), y AS ({done}){recorded} \
             SELECT w.ord, CASE WHEN y.ord IS NOT NULL THEN 'd' WHEN w.rn > 1 THEN 'a' ELSE 'm' END, \
             y.reply FROM w LEFT JOIN y ON y.ord = w.ord",
            self.named_casts(),
            joined(keys),
        );
        Sql {
            text,
            lists: self.lists(),
            tells: Tells::Fates,
        }
    }

    /// What an update sets: all that is given and does not find the row.
    fn set(&self) -> String {
        let is_found_by = |place: &usize| !self.shape.by_id && self.table.keys.contains(place);
        let set: Vec<String> = self
            .shape
            .columns
            .iter()
            .enumerate()
            .filter(|(_, place)| !is_found_by(place))
            .map(|(at, place)| format!("{} = x.c{at}", self.table.columns[*place].quoted))
            .collect();
        match set.is_empty() {
            // Nothing to change: but it has to be there.
            true => joined(self.keys().map(|key| format!("{0} = t.{0}", key.quoted))),
            false => joined(set),
        }
    }

    fn named_casts(&self) -> String {
        let mut text = String::new();
        for (at, cast) in self.casts().into_iter().enumerate() {
            let _ = write!(text, ", {cast} AS c{at}");
        }
        text
    }

    /// The columns that find a row, as JSON.
    fn reply(&self, row: &str) -> String {
        let keys = self.keys().map(|key| {
            let value = match key.takes {
                Takes::Number => format!("{row}.{}", key.quoted),
                _ => format!("{row}.{}::text", key.quoted),
            };
            format!("{}, {value}", literal(&key.name))
        });
        match self.table.keys.is_empty() {
            true => "NULL::text".to_owned(),
            false => format!("jsonb_build_object({})::text", joined(keys)),
        }
    }
}

/// A call of the function for each, in order.
fn called(about: About<'_>, name: &SqlName, _shape: &Shape) -> Sql {
    let source = source(1, about.dedupe.is_some());
    let result = match about.returns {
        Returns::Nothing => format!("{name}(x.c0::jsonb)::text"),
        Returns::Value => format!(
            "left(to_jsonb({name}(x.c0::jsonb))::text, {})",
            REPLY_MAX + 1
        ),
    };
    let text = match about.dedupe {
        None => format!("SELECT x.ord, 'd', {result} FROM {source} ORDER BY x.ord"),
        Some(dedupe) => format!(
            "WITH x AS MATERIALIZED (SELECT x.* FROM {source} WHERE {}), \
             y AS MATERIALIZED (SELECT x.ord, x.key, x.fingerprint, {result} AS reply FROM x \
             ORDER BY x.ord), k AS ({}) SELECT y.ord, 'd', y.reply FROM y",
            unknown(dedupe, 1),
            record(dedupe, 1, "y")
        ),
    };
    Sql {
        text,
        lists: 1,
        tells: Tells::Fates,
    }
}

/// The rows, from their parameters.
fn source(lists: usize, has_keys: bool) -> String {
    let mut names: Vec<String> = (0..lists).map(|at| format!("c{at}")).collect();
    if has_keys {
        names.extend(["key".to_owned(), "fingerprint".to_owned()]);
    }
    let parameters = (1..=names.len()).map(|number| format!("${number}::text[]"));
    let parameters = joined(parameters);
    format!(
        "unnest({parameters}) WITH ORDINALITY AS x({}, ord)",
        names.join(", ")
    )
}

/// Those rows whose keys are not in the dedupe table.
fn unknown(dedupe: &Dedupe, lists: usize) -> String {
    format!(
        "NOT EXISTS (SELECT FROM {} AS d WHERE d.target = ${} AND d.key = x.key)",
        dedupe.table,
        lists + 3
    )
}

/// Writes the keys of what was done.
fn record(dedupe: &Dedupe, lists: usize, done: &str) -> String {
    format!(
        "INSERT INTO {} (target, key, fingerprint, reply) \
         SELECT ${}, y.key, y.fingerprint, y.reply FROM {done}",
        dedupe.table,
        lists + 3
    )
}

/// A value as its column's type. Without a length, which would cut it off:
/// what is too long is refused when it is assigned.
fn cast(column: &Column, value: &str) -> String {
    match column.takes {
        Takes::Elements => format!(
            "(SELECT e.v FROM jsonb_to_record(jsonb_build_object('v', {value}::jsonb)) AS e(v {}))",
            column.base_type
        ),
        Takes::Text | Takes::Number | Takes::Json => format!("{value}::{}", column.base_type),
    }
}

/// Tries a value for its column alone, to see whether it is the one at fault.
/// Parameters: the value.
pub(super) fn probe(column: &Column) -> String {
    let value = match column.takes {
        Takes::Text | Takes::Number => "to_jsonb($1::text)",
        Takes::Json | Takes::Elements => "$1::text::jsonb",
    };
    format!(
        "SELECT NULL::text FROM jsonb_to_record(jsonb_build_object('v', {value})) AS e(v {}) \
         WHERE e.v IS NOT NULL",
        column.full_type
    )
}

fn joined(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

/// A text as it stands in a statement.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
