//! The dedupe table: what was done already, by the items' keys.

use std::collections::HashMap;

use tokio_postgres::types::{ToSql, Type};

use super::fault::Trouble;
use super::session::{Params, Session};
use crate::config::{Dedupe, SqlName};

/// Keys that are thrown away in one statement.
const STEP: i64 = 1_000;

/// What was done under a key.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub fingerprint: String,
    pub reply: Option<String>,
}

/// What was done under some keys; nothing of those under which nothing was.
pub(super) async fn lookup(
    session: &mut Session,
    dedupe: &Dedupe,
    target: &str,
    keys: &[&str],
) -> Result<HashMap<String, Record>, Trouble> {
    let text = lookup_sql(dedupe);
    let params = Params {
        lists: vec![keys.iter().copied().map(Some).collect()],
        last: Some(target),
    };
    let ready = session.ready(&text, params, false).await?;
    let rows = session.all(None, &[ready], None).await?;
    let record = |row: &tokio_postgres::Row| {
        let record = Record {
            fingerprint: row.get(1),
            reply: row.get(2),
        };
        (row.get(0), record)
    };
    Ok(rows.iter().flatten().map(record).collect())
}

/// Throws a few keys away that are older than they are kept. Whether there may
/// be more of them.
pub(super) async fn forget_some(
    session: &Session,
    dedupe: &Dedupe,
    target: &str,
) -> Result<bool, tokio_postgres::Error> {
    let age = dedupe.keep.as_secs_f64();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
        (&target, Type::TEXT),
        (&age, Type::FLOAT8),
        (&STEP, Type::INT8),
    ];
    let text = forget_sql(dedupe);
    let gone = session.client().execute_typed(&text, &parameters).await?;
    Ok(i64::try_from(gone).is_ok_and(|gone| gone >= STEP))
}

/// Looks keys up. Parameters: the keys, and the target.
fn lookup_sql(dedupe: &Dedupe) -> String {
    format!(
        "SELECT d.key, d.fingerprint, d.reply FROM {} AS d WHERE d.target = $2 AND d.key = ANY($1)",
        dedupe.table
    )
}

/// Throws some keys away that are old. Parameters: the target, how old in
/// seconds, and how many.
fn forget_sql(dedupe: &Dedupe) -> String {
    format!(
        "DELETE FROM {0} WHERE ctid = ANY(ARRAY(SELECT d.ctid FROM {0} AS d WHERE d.target = $1 \
         AND d.done_at < now() - make_interval(secs => $2) LIMIT $3))",
        dedupe.table
    )
}

/// Makes the dedupe table, where it is not there.
pub(super) fn create_sql(dedupe: &Dedupe) -> String {
    let index = SqlName {
        schema: None,
        name: format!("{}_done_at", dedupe.table.name),
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {0} (\n\
         \x20 target text NOT NULL,\n\
         \x20 key text NOT NULL,\n\
         \x20 fingerprint text NOT NULL,\n\
         \x20 reply text,\n\
         \x20 done_at timestamptz NOT NULL DEFAULT now(),\n\
         \x20 PRIMARY KEY (target, key)\n\
         );\n\
         CREATE INDEX IF NOT EXISTS {index} ON {0} (target, done_at);\n",
        dedupe.table
    )
}
