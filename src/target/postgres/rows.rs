//! From items to rows: what is done, with which columns and values. Pure.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::table::{Table, Takes};
use crate::config::{PostgresTable, RowOperation};
use crate::model::{Action, Code, Item, Operation, Refusal, Verb};

/// What the rows of one statement have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub task: Task,
    /// The columns that are given, by their places, in order.
    pub columns: Vec<usize>,
    /// The row is found by the item's `resource_id`.
    pub by_id: bool,
}

/// What a statement does with each of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Task {
    /// Something with a row of the table.
    Row(RowOperation),
    /// A call of the function.
    Call,
}

impl Task {
    /// Whether it does not need a row that is there.
    pub fn makes(self) -> bool {
        !matches!(self, Task::Row(RowOperation::Update | RowOperation::Delete))
    }
}

/// One item, as a statement takes it.
#[derive(Clone, Debug)]
pub(super) struct Row<'i> {
    /// The item's place in its request.
    pub at: usize,
    /// Of each column, in the order of the shape; `None` for null.
    pub values: Vec<Option<Cow<'i, str>>>,
    /// What finds the row, where that is the item's `resource_id`.
    pub id: Option<&'i str>,
}

/// The members of a JSON object, in their order.
struct Members<'i>(Vec<(Cow<'i, str>, &'i RawValue)>);

/// A refusal of one field of an item.
pub(super) fn refusal(reason: &'static str, field: &str, message: impl Into<String>) -> Refusal {
    let message = message.into();
    Refusal::new(Code::InvalidArgument, reason, message.clone()).field(field, message)
}

/// What is done with an item, and the id that finds its row.
fn asked(item: &Item, own: RowOperation) -> Result<(RowOperation, Option<&str>), Refusal> {
    match &item.operation {
        Operation::Target => Ok((own, None)),
        Operation::Action(Action { verb, resource_id }) => Ok(match verb {
            Verb::Create => (RowOperation::Create, None),
            Verb::Update => (RowOperation::Update, Some(resource_id)),
            Verb::Delete => (RowOperation::Delete, Some(resource_id)),
        }),
        Operation::Http(_) => Err(not_spoken("http")),
        Operation::Grpc(_) => Err(not_spoken("grpc")),
    }
}

/// Whether an item is done by making a new row.
pub(super) fn creates(item: &Item, config: &PostgresTable) -> bool {
    matches!(asked(item, config.operation), Ok((RowOperation::Create, _)))
}

fn not_spoken(field: &str) -> Refusal {
    refusal(
        "OPERATION_NOT_ALLOWED",
        field,
        "this target is a database; give the item an `action`, or nothing",
    )
}

/// Reads an item as a row. Without the table, only what can be known without
/// it is checked, and the row is of no use.
pub(super) fn row<'i>(
    item: &'i Item,
    config: &PostgresTable,
    table: Option<&Table>,
) -> Result<(Shape, Row<'i>), Refusal> {
    let (operation, id) = asked(item, config.operation)?;
    let members = members(item, id.is_some() && operation == RowOperation::Delete)?;
    let mut shape = Shape {
        task: Task::Row(operation),
        columns: Vec::new(),
        by_id: id.is_some(),
    };
    let mut given = Vec::with_capacity(members.len());
    for (name, value) in members {
        let Some(table) = table else {
            let allowed = config.columns.as_ref();
            let by_key = config.key_columns.iter().any(|key| *key == name);
            if allowed.is_some_and(|allowed| !allowed.iter().any(|one| *one == name))
                && !by_key
                && !config.key_columns.is_empty()
            {
                return Err(closed(&name, "is not one of those that items may set here"));
            }
            continue;
        };
        let place = place(table, &name, &shape)?;
        let value = text(value, table.columns[place].takes)
            .map_err(|wrong| refusal("INVALID_VALUE", &format!("payload.{name}"), wrong))?;
        given.push((place, value));
    }
    // Of a name that is given twice, the last counts, as everywhere with JSON.
    given.reverse();
    given.sort_by_key(|(place, _)| *place);
    given.dedup_by_key(|(place, _)| *place);
    let (columns, values) = given.into_iter().unzip();
    shape.columns = columns;
    let row = Row { at: 0, values, id };
    if let Some(table) = table {
        has_key(table, &shape, &row)?;
    }
    if id.is_some_and(|id| id.contains('\0')) {
        let wrong = "PostgreSQL takes no NUL character in a text";
        return Err(refusal("INVALID_VALUE", "action.resource_id", wrong));
    }
    Ok((shape, row))
}

/// Reads an item as the payload of a call.
pub(super) fn call(item: &Item) -> Result<(Shape, Row<'_>), Refusal> {
    match &item.operation {
        Operation::Target => {}
        Operation::Action(_) => {
            let wrong = "this target calls a function with the payload; it takes no actions";
            return Err(refusal("OPERATION_NOT_ALLOWED", "action", wrong));
        }
        Operation::Http(_) => return Err(not_spoken("http")),
        Operation::Grpc(_) => return Err(not_spoken("grpc")),
    }
    let body = item
        .payload
        .as_ref()
        .map_or(&b"null"[..], |payload| &payload.body);
    let value: &RawValue = serde_json::from_slice(body)
        .map_err(|error| refusal("INVALID_JSON", "payload", format!("is not JSON: {error}")))?;
    let shape = Shape {
        task: Task::Call,
        columns: Vec::new(),
        by_id: false,
    };
    let values = vec![Some(Cow::Borrowed(value.get()))];
    Ok((
        shape,
        Row {
            at: 0,
            values,
            id: None,
        },
    ))
}

fn members(item: &Item, takes_none: bool) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Refusal> {
    const FORM: &str = "must be a JSON object whose names are columns, e.g. {\"name\": \"Ada\"}";
    let members = match &item.payload {
        Some(payload) => serde_json::from_slice::<Members<'_>>(&payload.body)
            .map_err(|_| refusal("INVALID_PAYLOAD", "payload", FORM))?,
        None if takes_none => Members(Vec::new()),
        None => return Err(refusal("INVALID_PAYLOAD", "payload", FORM)),
    };
    match takes_none && !members.0.is_empty() {
        true => Err(refusal(
            "INVALID_PAYLOAD",
            "payload",
            "a row is removed by its `resource_id` alone; leave the payload out",
        )),
        false => Ok(members.0),
    }
}

fn place(table: &Table, name: &str, shape: &Shape) -> Result<usize, Refusal> {
    let Some(place) = table.place(name) else {
        let field = format!("payload.{}", shown(name));
        return Err(refusal("UNKNOWN_COLUMN", &field, "there is no such column"));
    };
    let finds = table.keys.contains(&place)
        && !shape.by_id
        && matches!(
            shape.task,
            Task::Row(RowOperation::Update | RowOperation::Delete)
        );
    match table.columns[place].closed {
        Some(why) if !finds => Err(closed(name, why)),
        None if shape.task == Task::Row(RowOperation::Delete) && !finds => {
            Err(closed(name, "does not find a row to remove; leave it out"))
        }
        _ => Ok(place),
    }
}

fn closed(name: &str, why: &str) -> Refusal {
    let field = format!("payload.{}", shown(name));
    refusal("COLUMN_NOT_ALLOWED", &field, format!("this column {why}"))
}

/// Checks that an item says which row it is about, where it has to.
fn has_key(table: &Table, shape: &Shape, row: &Row<'_>) -> Result<(), Refusal> {
    match shape.task {
        Task::Row(RowOperation::Create) | Task::Call => return Ok(()),
        Task::Row(_) if table.keys.is_empty() => {
            let wrong = "the table has no primary key, and the target no `key_columns`";
            return Err(refusal("NO_KEY", "payload", wrong));
        }
        Task::Row(RowOperation::Upsert) => return Ok(()),
        Task::Row(_) if shape.by_id && table.keys.len() != 1 => {
            let wrong = format!(
                "a row is found by {}, and a `resource_id` is one value; give them in the payload",
                table.key_names()
            );
            return Err(refusal("NO_KEY", "action.resource_id", wrong));
        }
        Task::Row(_) if shape.by_id => return Ok(()),
        Task::Row(_) => {}
    }
    for key in &table.keys {
        let given = shape.columns.iter().position(|place| place == key);
        if given.is_none_or(|at| row.values[at].is_none()) {
            let field = format!("payload.{}", table.columns[*key].name);
            let wrong = "this column finds the row, and has to be given";
            return Err(refusal("NO_KEY", &field, wrong));
        }
    }
    Ok(())
}

/// Whether an upsert finds its row again, and does not make another one.
pub(super) fn upserts_by_key(table: &Table, shape: &Shape, row: &Row<'_>) -> bool {
    !table.keys.is_empty()
        && table.keys.iter().all(|key| {
            let at = shape.columns.iter().position(|place| place == key);
            at.is_some_and(|at| row.values[at].is_some())
        })
}

/// A value as its column takes it; `None` for null.
fn text(value: &RawValue, takes: Takes) -> Result<Option<Cow<'_, str>>, String> {
    let raw = value.get();
    let text = match (takes, raw.as_bytes().first()) {
        (_, Some(b'n')) => return Ok(None),
        (Takes::Text | Takes::Number, Some(b'"')) if raw.contains('\\') => {
            let text: Result<String, _> = serde_json::from_str(raw);
            Cow::Owned(text.map_err(|error| format!("is not a text: {error}"))?)
        }
        (Takes::Text | Takes::Number, Some(b'"')) => Cow::Borrowed(&raw[1..raw.len() - 1]),
        _ => Cow::Borrowed(raw),
    };
    match text.contains('\0') {
        true => Err("PostgreSQL takes no NUL character in a text".to_owned()),
        false => Ok(Some(text)),
    }
}

/// A name of the caller's as it may stand in a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// What an item is known by besides its key: the same key for something else
/// is a mistake, and not a repeat.
pub(super) fn fingerprint(item: &Item) -> String {
    let mut hash = Sha256::new();
    let action = match &item.operation {
        Operation::Action(Action { verb, resource_id }) => format!("{verb:?} {resource_id}"),
        _ => String::new(),
    };
    hash.update(action.len().to_be_bytes());
    hash.update(action);
    hash.update(
        item.payload
            .as_ref()
            .map_or(&b""[..], |payload| &payload.body),
    );
    let digest = hash.finalize();
    let hex = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    hex.collect()
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A name, borrowed where it can be.
struct Name<'i>(Cow<'i, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
