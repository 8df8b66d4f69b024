//! Which rows go into one statement. Pure.

use std::borrow::Cow;
use std::collections::HashMap;

use super::rows::{Row, Shape, Task, upserts_by_key};
use super::table::Table;
use crate::config::RowOperation;

/// Bytes of values in one statement; a single row may exceed it.
const STATEMENT_BYTES: usize = 4 << 20;

/// Groups that a row is looked for in: who sends that many shapes in one chunk
/// has them done in more statements.
const LOOKED_AT: usize = 64;

/// Rows that go into one statement.
#[derive(Clone, Debug)]
pub(super) struct Group<'i> {
    pub shape: Shape,
    pub rows: Vec<Row<'i>>,
    bytes: usize,
    /// How often each of its rows came before, in another group.
    wave: u32,
}

/// What finds a row, as it is written.
type KeyText<'i> = Vec<Option<Cow<'i, str>>>;

/// Puts rows into as few statements as may be. In `order`, only neighbours go
/// into one, so that each finds what those before it did.
pub(super) fn grouped<'i>(
    rows: impl IntoIterator<Item = (Shape, Row<'i>)>,
    table: Option<&Table>,
    in_order: bool,
) -> Vec<Group<'i>> {
    let mut groups: Vec<Group<'i>> = Vec::new();
    // How often a row came before: one statement does not touch it twice.
    let mut seen: HashMap<(Shape, KeyText<'i>), u32> = HashMap::new();
    for (shape, row) in rows {
        let wave = key_of(&shape, &row, table).map_or(0, |key| {
            let count = seen.entry((shape.clone(), key)).or_default();
            *count += 1;
            *count - 1
        });
        let bytes: usize = row.values.iter().flatten().map(|value| value.len()).sum();
        let same = |group: &Group<'_>| group.wave == wave && group.shape == shape;
        let newest = groups.iter_mut().rev();
        let mut newest = newest.take(if in_order { 1 } else { LOOKED_AT });
        let fits = newest.find(|group| same(group));
        match fits.filter(|group| group.bytes + bytes <= STATEMENT_BYTES) {
            Some(group) => {
                group.rows.push(row);
                group.bytes += bytes;
            }
            None => groups.push(Group {
                shape,
                rows: vec![row],
                bytes,
                wave,
            }),
        }
    }
    groups
}

/// What finds the row, as it is written; `None` where nothing has to.
fn key_of<'i>(shape: &Shape, row: &Row<'i>, table: Option<&Table>) -> Option<KeyText<'i>> {
    if matches!(shape.task, Task::Row(RowOperation::Create) | Task::Call) {
        return None;
    }
    if shape.by_id {
        return Some(vec![row.id.map(Cow::Borrowed)]);
    }
    let table = table?;
    upserts_by_key(table, shape, row).then(|| {
        let at = |key: &usize| shape.columns.iter().position(|place| place == key);
        let value = |key| at(key).and_then(|at| row.values[at].clone());
        table.keys.iter().map(value).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups as texts: `create 1: 0,2`, the number of columns and the places.
    fn groups(rows: &[(RowOperation, &[usize], &str)], in_order: bool) -> Vec<String> {
        let rows = rows
            .iter()
            .enumerate()
            .map(|(at, (operation, columns, id))| {
                let shape = Shape {
                    task: Task::Row(*operation),
                    columns: columns.to_vec(),
                    by_id: !id.is_empty(),
                };
                let row = Row {
                    at,
                    values: vec![None; columns.len()],
                    id: Some(*id).filter(|id| !id.is_empty()),
                };
                (shape, row)
            });
        let groups = grouped(rows, None, in_order);
        let shown = groups.iter().map(|group| {
            let Task::Row(operation) = group.shape.task else {
                return "call".to_owned();
            };
            let places = group.rows.iter().map(|row| row.at.to_string());
            let places = places.collect::<Vec<_>>().join(",");
            format!(
                "{} {}: {places}",
                operation.name(),
                group.shape.columns.len()
            )
        });
        shown.collect()
    }

    #[test]
    fn rows_of_a_shape_go_together_but_none_twice_and_in_order_only_neighbours() {
        use RowOperation::{Create, Delete, Update};
        let rows: &[(RowOperation, &[usize], &str)] = &[
            (Create, &[1], ""),
            (Create, &[1, 2], ""),
            (Create, &[1], ""),
            (Update, &[2], "7"),
            (Update, &[2], "8"),
            (Update, &[2], "7"),
            (Delete, &[], "7"),
            (Create, &[1], ""),
        ];
        assert_eq!(
            groups(rows, false),
            [
                "create 1: 0,2,7",
                "create 2: 1",
                "update 1: 3,4",
                "update 1: 5",
                "delete 0: 6"
            ]
        );
        assert_eq!(
            groups(rows, true),
            [
                "create 1: 0",
                "create 2: 1",
                "create 1: 2",
                "update 1: 3,4",
                "update 1: 5",
                "delete 0: 6",
                "create 1: 7"
            ]
        );
    }
}
