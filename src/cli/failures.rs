//! The table of failed rows: which columns fit, and how wide they may be.

use comfy_table::{Cell, ContentArrangement, Table, presets};

use super::show;
use super::source::Lines;
use super::tally::FailedRow;
use super::terminal::{clean, cut, text_width};

/// No cell is shown wider than this while others want room.
const CELL: usize = 28;
/// Nor is a column worth its place below this.
const NARROWEST: usize = 8;
/// The error gets at least so much of the width, if it wants it.
const ERROR_SHARE: usize = 2;

/// Lays out failed rows for a page of so many columns. Their place is the line
/// where lines are known, else the item's index.
pub fn table<'a>(
    rows: impl IntoIterator<Item = (u32, &'a FailedRow)>,
    lines: &Lines,
    width: usize,
) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let by_line = !lines.is_empty();
    let place = |index: u32| match lines.of(index) {
        Some(line) => line.to_string(),
        None => index.to_string(),
    };
    let place_name = if by_line { "line" } else { "item" };
    // Where all are of one kind, the list of causes has said which.
    let one_kind = rows.iter().all(|(_, row)| row.kind == rows[0].1.kind);
    let errors: Vec<_> = rows
        .iter()
        .map(|(_, row)| {
            if one_kind {
                clean(&row.error)
            } else {
                clean(&format!("{} {}", show::kind(row.kind), row.error))
            }
        })
        .collect();
    let place_width = widest(rows.iter().map(|(index, _)| place(*index)), place_name);
    let error_wanted = widest(errors.iter().cloned(), "error");

    // Each column is followed by two spaces, but for the last.
    let room = width.saturating_sub(place_width + 2);
    let error_least = error_wanted.min(room / ERROR_SHARE);
    let columns = choose(&rows, room.saturating_sub(error_least));
    let used: usize = columns.iter().map(|column| column.width + 2).sum();
    let error_width = room.saturating_sub(used).max(NARROWEST);

    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    let mut header = vec![Cell::new(place_name)];
    header.extend(
        columns
            .iter()
            .map(|c| Cell::new(cut(&clean(&c.name), c.width))),
    );
    header.push(Cell::new("error"));
    table.set_header(header);
    for ((index, row), error) in rows.iter().zip(&errors) {
        let mut cells = vec![Cell::new(place(*index))];
        cells.extend(
            columns
                .iter()
                .map(|column| Cell::new(cut(&clean(value(row, &column.name)), column.width))),
        );
        cells.push(Cell::new(cut(error, error_width)));
        table.add_row(cells);
    }
    let last = table.column_count() - 1;
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if number == last { 0 } else { 2 }));
    }
    table.trim_fmt()
}

struct Column {
    name: String,
    width: usize,
}

/// The columns that fit: first those at fault, which is what the reader has to
/// look at, then the others in their order; shown in their order.
fn choose(rows: &[(u32, &FailedRow)], mut room: usize) -> Vec<Column> {
    let mut names: Vec<&str> = Vec::new();
    for (_, row) in rows {
        for (name, _) in &row.fields {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    let faults = |name: &str| {
        rows.iter()
            .filter(|(_, row)| row.faulty.iter().any(|faulty| faulty == name))
            .count()
    };
    let mut ranked: Vec<_> = (0..names.len()).collect();
    // Stable: equals keep the order of the file. A column that is empty in
    // every row tells nothing unless it is at fault.
    ranked.sort_by_key(|place| {
        let name = names[*place];
        let blank = rows.iter().all(|(_, row)| value(row, name).is_empty());
        (std::cmp::Reverse(faults(name)), blank)
    });
    let mut chosen: Vec<(usize, Column)> = Vec::new();
    for place in ranked {
        let name = names[place];
        let wanted = widest(rows.iter().map(|(_, row)| clean(value(row, name))), name).min(CELL);
        let given = wanted.min(room.saturating_sub(2));
        if given < wanted.min(NARROWEST) {
            break;
        }
        room -= given + 2;
        let name = name.to_owned();
        chosen.push((place, Column { name, width: given }));
    }
    chosen.sort_by_key(|(place, _)| *place);
    chosen.into_iter().map(|(_, column)| column).collect()
}

fn value<'a>(row: &'a FailedRow, name: &str) -> &'a str {
    row.fields
        .iter()
        .find(|(other, _)| other == name)
        .map_or("", |(_, value)| value)
}

fn widest(cells: impl Iterator<Item = String>, header: &str) -> usize {
    cells
        .map(|cell| text_width(&cell))
        .chain([text_width(header)])
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::FailureKind;

    fn row(fields: &[(&str, &str)], faulty: &str, error: &str) -> FailedRow {
        FailedRow {
            id: String::new(),
            kind: FailureKind::Rejected,
            error: error.to_owned(),
            faulty: vec![faulty.to_owned()],
            fields: fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn guests() -> Vec<FailedRow> {
        vec![
            row(
                &[
                    ("name", "Zoë Müller"),
                    ("town", "東京"),
                    ("company", "A company with a very long name indeed, Ltd"),
                    ("email", "zoe@"),
                ],
                "email",
                "email: must be an e-mail address, like name@example.org",
            ),
            row(
                &[
                    ("name", "Bo"),
                    ("town", "Oslo"),
                    ("company", "B\x1b[31m"),
                    ("email", ""),
                ],
                "email",
                "email: is required",
            ),
        ]
    }

    fn lines() -> Lines {
        let mut lines = Lines::default();
        lines.add(0, 2);
        lines.add(1, 3);
        lines
    }

    #[test]
    fn no_line_of_the_table_is_wider_than_the_page() {
        let rows = guests();
        for width in [30, 40, 60, 80, 100, 120, 200] {
            let text = table((0..).zip(&rows), &lines(), width);
            for line in text.lines() {
                assert!(text_width(line) <= width, "{width}: {line:?}");
            }
            assert!(!text.contains('\x1b'));
        }
    }

    #[test]
    fn the_column_at_fault_is_the_last_to_go() {
        let rows = guests();
        let narrow = table((0..).zip(&rows), &lines(), 40);
        insta::assert_snapshot!(narrow, @r"
        line  name      email  error
        2     Zoë Mül…  zoe@   email: must be a…
        3     Bo               email: is requir…
        ");
        let wide = table((0..).zip(&rows), &Lines::default(), 120);
        insta::assert_snapshot!(wide, @r"
        item  name        town  company                       email  error
        0     Zoë Müller  東京  A company with a very long …  zoe@   email: must be an e-mail address, like name@example.org
        1     Bo          Oslo  B [31m                               email: is required
        ");
    }

    #[test]
    fn rows_that_were_not_given_back_show_their_error_alone() {
        let rows = [row(&[], "", "no answer")];
        let text = table((7..).zip(&rows), &Lines::default(), 80);
        assert_eq!(text, "item  error\n7     no answer");
    }
}
