//! What the database's catalogue says of a table or a function.

use std::collections::HashMap;

use tokio_postgres::{Client, Error};

use crate::config::{PostgresTable, SqlName, quoted};

/// A table as the catalogue has it.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// What finds a row, by places in `columns`.
    pub keys: Vec<usize>,
    /// The columns of each constraint and unique index.
    pub constraints: HashMap<String, Vec<String>>,
}

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name, as it is.
    pub name: String,
    /// Its name, as it stands in a statement.
    pub quoted: String,
    /// Its type with all that restricts it, as it stands in a statement.
    pub full_type: String,
    /// The type below domains, without a length: a cast to it cuts nothing off.
    pub base_type: String,
    /// How a JSON value gets in.
    pub takes: Takes,
    /// Why no item may set it, if none may.
    pub closed: Option<&'static str>,
}

/// How a JSON value gets into a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// As its text, which the column's type reads: exact, however large.
    Text,
    /// As a number or as a text: what it is given back as differs.
    Number,
    /// As it is.
    Json,
    /// Element by element: an array, or a row in a column.
    Elements,
}

/// Why the catalogue does not do.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It could not be read.
    Failed(Error),
    /// What was read is not what the configuration says.
    Wrong(String),
}

const COLUMNS: &str = "\
WITH RECURSIVE base AS (
  SELECT a.attnum, t.oid, t.typtype, t.typcategory, t.typbasetype, t.typname
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT b.attnum, t.oid, t.typtype, t.typcategory, t.typbasetype, t.typname
  FROM base b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
)
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), format_type(b.oid, -1),
  b.typname::text, b.typtype::text, b.typcategory::text, a.attidentity::text, a.attgenerated::text,
  a.attnum
FROM pg_attribute a JOIN base b ON b.attnum = a.attnum AND b.typtype <> 'd'
WHERE a.attrelid = to_regclass($1) ORDER BY a.attnum";

const CONSTRAINTS: &str = "\
SELECT c.relname::text, i.indisprimary, (i.indkey::int2[])[0:i.indnkeyatts - 1]
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass($1) AND i.indisunique
UNION ALL
SELECT conname::text, false, conkey FROM pg_constraint
WHERE conrelid = to_regclass($1) AND conkey IS NOT NULL AND contype NOT IN ('p', 'u')";

impl Table {
    /// Reads what there is of a table.
    pub async fn read(client: &Client, table: &PostgresTable) -> Result<Table, Unfit> {
        let name = table.name.to_string();
        let columns = client
            .query(COLUMNS, &[&name])
            .await
            .map_err(Unfit::Failed)?;
        if columns.is_empty() {
            return Err(Unfit::Wrong(format!(
                "there is no table `{}` that the user may see",
                table.name.plain()
            )));
        }
        let constraints = client.query(CONSTRAINTS, &[&name]).await;
        let constraints = constraints.map_err(Unfit::Failed)?;
        let mut numbers = HashMap::new();
        let mut read = Table::default();
        for (place, row) in columns.iter().enumerate() {
            numbers.insert(row.get::<_, i16>(8), place);
            let column = Column::of(row);
            read.columns.push(column);
        }
        for row in &constraints {
            let places: Vec<i16> = row.get(2);
            let places: Vec<usize> = places
                .iter()
                .filter_map(|number| numbers.get(number).copied())
                .collect();
            let names = places.iter().map(|at| read.columns[*at].name.clone());
            read.constraints.insert(row.get(0), names.collect());
            if row.get(1) {
                read.keys = places;
            }
        }
        read.with_keys(table)
    }

    fn with_keys(mut self, table: &PostgresTable) -> Result<Table, Unfit> {
        let find = |name: &String| {
            self.place(name).ok_or_else(|| {
                let table = table.name.plain();
                Unfit::Wrong(format!("the table `{table}` has no column `{name}`"))
            })
        };
        let given = table.key_columns.iter().map(find);
        let given = given.collect::<Result<Vec<_>, _>>()?;
        for name in table.columns.iter().flatten() {
            find(name)?;
        }
        if !given.is_empty() {
            self.keys = given;
        }
        if let Some(allowed) = &table.columns {
            for column in &mut self.columns {
                if !allowed.contains(&column.name) {
                    column.closed = Some("is not one of those that items may set here");
                }
            }
        }
        Ok(self)
    }

    /// The place of a column of that name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The names of the columns that find a row, for people.
    pub fn key_names(&self) -> String {
        let names = self.keys.iter().map(|at| self.columns[*at].name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }
}

impl Column {
    fn of(row: &tokio_postgres::Row) -> Column {
        let name: String = row.get(0);
        let (type_name, kind, category): (String, String, String) =
            (row.get(3), row.get(4), row.get(5));
        let takes = match (type_name.as_str(), kind.as_str(), category.as_str()) {
            ("json" | "jsonb", _, _) => Takes::Json,
            (_, "c", _) | (_, _, "A") => Takes::Elements,
            ("int2" | "int4" | "int8", _, _) => Takes::Number,
            _ => Takes::Text,
        };
        let (identity, generated): (String, String) = (row.get(6), row.get(7));
        let closed = match (identity.as_str(), generated.as_str()) {
            ("a", _) => Some("is always made by the database"),
            (_, "s" | "v") => Some("is computed by the database"),
            _ => None,
        };
        Column {
            quoted: quoted(&name),
            name,
            full_type: row.get(1),
            base_type: row.get(2),
            takes,
            closed,
        }
    }
}

/// What a function gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returns {
    Nothing,
    Value,
}

/// Looks a function up that takes one `jsonb`.
pub(super) async fn function(client: &Client, name: &SqlName) -> Result<Returns, Unfit> {
    const FUNCTION: &str = "\
SELECT p.proretset, t.typname::text, p.prokind::text
FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype
WHERE p.oid = to_regprocedure($1)";
    let signature = format!("{name}(jsonb)");
    let found = client.query_opt(FUNCTION, &[&signature]).await;
    let plain = name.plain();
    let Some(row) = found.map_err(Unfit::Failed)? else {
        return Err(Unfit::Wrong(format!(
            "there is no function `{plain}` with one parameter of the type `jsonb`"
        )));
    };
    let (is_set, returned, kind): (bool, String, String) = (row.get(0), row.get(1), row.get(2));
    if is_set || kind != "f" {
        return Err(Unfit::Wrong(format!(
            "`{plain}` is not a function that returns one value"
        )));
    }
    Ok(match returned.as_str() {
        "void" => Returns::Nothing,
        _ => Returns::Value,
    })
}
