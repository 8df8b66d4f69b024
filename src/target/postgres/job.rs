//! One request: its items as statements, and what became of each as replies.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio_postgres::Row as Told;

use super::fault::Trouble;
use super::groups::{Group, grouped};
use super::rows::{self, Row, Shape};
use super::session::{Params, Ready, Session};
use super::sql::{self, About, REPLY_MAX, Sql, Tells};
use super::table::{Returns, Table, Takes};
use crate::config::{PostgresConfig, PostgresWork};
use crate::core::json::nesting;
use crate::model::{Answer, Cause, Form, Item, Payload, Refusal, Reply, Violation};
use crate::target::Together;

/// So many statements of one request are prepared; more are not likely to be
/// needed again.
const WORTH_PREPARING: usize = 16;
/// Nesting up to which a reply is given back as a `Struct`.
const STRUCT_NESTING: usize = 30;

/// What is known of what the target works on.
#[derive(Clone)]
pub(super) enum Known {
    Table(Arc<Table>),
    Function(Returns),
}

/// One request.
pub(super) struct Job<'r> {
    pub config: &'r PostgresConfig,
    pub items: &'r [Item],
    pub known: Known,
    /// Each item's key and fingerprint, where there is a dedupe table.
    pub keys: Vec<(String, String)>,
    statements: HashMap<Shape, Sql>,
}

/// Some rows of a shape, which go into one statement.
#[derive(Clone, Copy)]
pub(super) struct Part<'p> {
    pub shape: &'p Shape,
    pub rows: &'p [Row<'p>],
}

/// What a statement did with a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fate {
    Done(Option<String>),
    /// There is no such row.
    Missing,
    /// The same row was touched for another item; it has to come again.
    Again,
    /// It was done before, by its key.
    Known,
    /// The item's data is at fault, and nothing of it was done.
    Refused(Box<Cause>),
}

/// What statements did, by the items' places.
pub(super) type Fates = Vec<(usize, Fate)>;

impl<'r> Job<'r> {
    pub fn new(config: &'r PostgresConfig, request: &Together<'r>, known: Known) -> Job<'r> {
        let keys = request.keys().zip(request.items);
        let keys = keys.map(|(key, item)| (key.to_string(), rows::fingerprint(item)));
        Job {
            config,
            items: request.items,
            known,
            keys: config
                .dedupe
                .as_ref()
                .map_or(Vec::new(), |_| keys.collect()),
            statements: HashMap::new(),
        }
    }

    /// What is known has changed.
    pub fn learn(&mut self, known: Known) {
        self.known = known;
        self.statements.clear();
    }

    pub fn table(&self) -> Option<&Table> {
        match &self.known {
            Known::Table(table) => Some(table),
            Known::Function(_) => None,
        }
    }

    /// An item as a row.
    pub fn row(&self, at: usize) -> Result<(Shape, Row<'r>), Refusal> {
        let item = &self.items[at];
        let read = match (&self.config.work, self.table()) {
            (PostgresWork::Table(config), table @ Some(_)) => rows::row(item, config, table),
            _ => rows::call(item),
        };
        let (shape, mut row) = read?;
        row.at = at;
        Ok((shape, row))
    }

    /// Some items as statements; and those that cannot be.
    pub fn groups(
        &self,
        places: &[usize],
        in_order: bool,
    ) -> (Vec<Group<'r>>, Vec<(usize, Refusal)>) {
        let (mut read, mut refused) = (Vec::with_capacity(places.len()), Vec::new());
        for at in places {
            match self.row(*at) {
                Ok(row) => read.push(row),
                Err(refusal) => refused.push((*at, refusal)),
            }
        }
        (grouped(read, self.table(), in_order), refused)
    }

    /// Writes the statements for some groups out, once for each shape.
    pub fn write(&mut self, groups: &[Group<'_>]) {
        for group in groups {
            if !self.statements.contains_key(&group.shape) {
                let statement = sql::statement(self.about(), &group.shape);
                self.statements.insert(group.shape.clone(), statement);
            }
        }
    }

    /// Makes statements ready on a connection, which were written out.
    pub async fn ready<'p>(
        &'p self,
        session: &mut Session,
        parts: &[Part<'p>],
    ) -> Result<Vec<Ready<'p>>, Trouble> {
        let once = self.statements.len() > WORTH_PREPARING;
        let mut ready = Vec::with_capacity(parts.len());
        for part in parts {
            let sql = &self.statements[part.shape];
            let params = self.params(part, sql);
            ready.push(session.ready(&sql.text, params, once).await?);
        }
        Ok(ready)
    }

    fn about(&self) -> About<'_> {
        About {
            work: &self.config.work,
            dedupe: self.config.dedupe.as_ref(),
            table: self.table(),
            returns: match self.known {
                Known::Function(returns) => returns,
                Known::Table(_) => Returns::Value,
            },
        }
    }

    fn params<'p>(&'p self, part: &Part<'p>, sql: &Sql) -> Params<'p> {
        let values = part.rows.first().map_or(0, |row| row.values.len());
        let mut lists: Vec<Vec<Option<&str>>> = Vec::with_capacity(sql.lists + 2);
        for at in 0..values {
            let value = |row: &'p Row<'p>| row.values[at].as_deref();
            lists.push(part.rows.iter().map(value).collect());
        }
        if part.shape.by_id {
            lists.push(part.rows.iter().map(|row| row.id).collect());
        }
        lists.resize_with(sql.lists, || vec![None; part.rows.len()]);
        let mut last = None;
        if !self.keys.is_empty() {
            let keys = part.rows.iter().map(|row| &self.keys[row.at]);
            lists.push(keys.clone().map(|(key, _)| Some(key.as_str())).collect());
            lists.push(keys.map(|(_, print)| Some(print.as_str())).collect());
            last = Some(self.config.name.as_str());
        }
        Params { lists, last }
    }

    /// What came back for a part.
    pub fn fates(&self, part: &Part<'_>, told: &[Told]) -> Fates {
        let places = part.rows.iter().map(|row| row.at);
        let tells = self.statements.get(part.shape).map(|sql| sql.tells);
        if tells == Some(Tells::Keys) {
            let is_each = told.len() == part.rows.len();
            // Where a trigger has left some out, nobody knows which is which.
            let told = |n| told.get(n).filter(|_| is_each);
            let reply = |n| told(n).and_then(|row| self.key_json(row));
            let places = places.enumerate();
            return places.map(|(n, at)| (at, Fate::Done(reply(n)))).collect();
        }
        let mut fates: Fates = places.map(|at| (at, Fate::Known)).collect();
        for row in told {
            let number: i64 = row.get(0);
            let slot = usize::try_from(number - 1)
                .ok()
                .and_then(|at| fates.get_mut(at));
            let Some((_, fate)) = slot else { continue };
            *fate = match row.get::<_, &str>(1) {
                "d" => Fate::Done(row.get(2)),
                "a" => Fate::Again,
                _ => Fate::Missing,
            };
        }
        fates
    }

    /// The columns that find a row, as JSON, written as the server would.
    fn key_json(&self, told: &Told) -> Option<String> {
        let table = self.table()?;
        let mut members = Vec::with_capacity(table.keys.len());
        for (at, key) in table.keys.iter().enumerate() {
            let column = &table.columns[*key];
            let value = match told.get::<_, Option<&str>>(at) {
                Some(text) if column.takes == Takes::Number => text.to_owned(),
                text => serde_json::to_string(&text).ok()?,
            };
            let name = serde_json::to_string(&column.name).ok()?;
            members.push(format!("{name}: {value}"));
        }
        (!members.is_empty()).then(|| format!("{{{}}}", members.join(", ")))
    }

    /// The reply to an item that was done.
    pub fn done(&self, at: usize, reply: Option<String>) -> Reply {
        let status = match &self.config.work {
            PostgresWork::Table(table) if rows::creates(&self.items[at], table) => 201,
            _ => 200,
        };
        let (body, truncated) = match reply.filter(|reply| !reply.is_empty()) {
            Some(reply) if reply.chars().count() > REPLY_MAX => (None, true),
            reply => (reply, false),
        };
        let form = self.items[at].payload.as_ref().map(|payload| payload.form);
        Reply::Ok(Answer {
            status,
            body: body.map(|body| payload(body, form)),
            truncated,
        })
    }
}

fn payload(body: String, form: Option<Form>) -> Payload {
    let form = match form {
        Some(Form::Json) if !body.starts_with('{') || nesting(body.as_bytes()) > STRUCT_NESTING => {
            Form::JsonText
        }
        Some(form) => form,
        None => Form::JsonText,
    };
    Payload {
        form,
        content_type: (form == Form::Raw).then(|| "application/json".to_owned()),
        body: Bytes::from(body),
    }
}

/// The reply to an item that is refused before it is sent.
pub(super) fn refused(refusal: Refusal) -> Reply {
    Reply::Refused(Box::new(Cause {
        reason: refusal.reason.to_owned(),
        message: refusal.message,
        violations: refusal.violations,
        ..Cause::default()
    }))
}

/// Why an item fails whose row is not there.
pub(super) fn missing(item: &Item) -> Box<Cause> {
    let (field, what) = match &item.operation {
        crate::model::Operation::Action(action) => (
            "action.resource_id",
            format!("there is no row with the key `{}`", action.resource_id),
        ),
        _ => ("payload", "there is no row with this key".to_owned()),
    };
    Box::new(Cause {
        reason: "NOT_FOUND".to_owned(),
        message: what.clone(),
        violations: vec![Violation {
            field: field.to_owned(),
            description: what,
        }],
        ..Cause::default()
    })
}
