//! What `submit` is to do, as far as the file and the command line alone say
//! it: how the file is read, and which batch it is.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::source::{self, Checked, Columns, Format, Shape};
use super::submit::Args;

/// What is to be done, as far as the file alone says it.
pub struct Plan {
    /// How the file is read.
    pub shape: Shape,
    /// The batch's own idempotency key.
    pub request_id: String,
    /// What a first reading found; absent for stdin, which is read once.
    pub checked: Option<Checked>,
}

impl Plan {
    /// Reads the file once, to its end; nothing is sent for one with a fault.
    pub fn of(args: &Args) -> anyhow::Result<Plan> {
        let stdin = args.file == Path::new("-");
        let format = match (args.format, Format::of(&args.file)) {
            (Some(format), _) | (None, Some(format)) => format,
            (None, None) if stdin => bail!("say how stdin is written: --format csv|jsonl|json"),
            (None, None) => bail!(
                "{}: its extension does not say how it is written: add --format csv|jsonl|json",
                args.file.display()
            ),
        };
        let shape = Shape {
            format,
            delimiter: args.delimiter,
            id_column: args.id_column.clone(),
            key_column: args.key_column.clone(),
            columns: None,
        };
        let checked = if stdin {
            None
        } else {
            let checked = source::check(&args.file, &shape);
            Some(checked.with_context(|| args.file.display().to_string())?)
        };
        let derived = checked
            .as_ref()
            .filter(|_| !args.new)
            .map(|checked| derived_id(&checked.digest, args, &shape));
        let request_id = args
            .request_id
            .clone()
            .or(derived)
            .unwrap_or_else(|| format!("cli-{}", uuid::Uuid::new_v4().simple()));
        Ok(Plan {
            shape,
            request_id,
            checked,
        })
    }
}

impl Plan {
    /// Takes into account what the target's schema says of columns. Nothing is
    /// sent of a file that has others.
    pub fn know(&mut self, columns: Columns, file: &Path) -> anyhow::Result<()> {
        let names = self
            .checked
            .as_ref()
            .and_then(|checked| checked.columns.as_ref());
        if let Some(names) = names {
            let checked = columns.check(names.iter().map(String::as_str));
            checked.with_context(|| file.display().to_string())?;
        }
        self.shape.columns = Some(Arc::new(columns));
        Ok(())
    }
}

/// The same for the same content, target, order and reading of it, so that the
/// same command typed twice is one batch.
fn derived_id(digest: &[u8; 32], args: &Args, shape: &Shape) -> String {
    let mut hasher = Sha256::new();
    hasher.update(digest);
    let format = format!("{:?} {:?}", shape.format, shape.delimiter);
    let absent = String::from("\0");
    let order = if args.stops.ordered { "strict" } else { "" };
    for part in [
        &args.target,
        &format,
        shape.id_column.as_ref().unwrap_or(&absent),
        shape.key_column.as_ref().unwrap_or(&absent),
        order,
    ] {
        // With its length, so that no two lists of parts run together alike.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let hash = hasher.finalize();
    let mut id = String::from("file-");
    for byte in &hash[..16] {
        let _ = write!(id, "{byte:02x}");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            format: Format::Csv,
            delimiter: None,
            id_column: None,
            key_column: None,
            columns: None,
        }
    }

    #[test]
    fn a_request_id_is_the_same_for_the_same_and_another_for_all_else() {
        let crm = Args::new("a.csv", "crm");
        let first = derived_id(&[1; 32], &crm, &shape());
        assert_eq!(first, derived_id(&[1; 32], &crm, &shape()));
        assert_eq!(first.len(), "file-".len() + 32);
        let mut ordered = crm.clone();
        ordered.stops.ordered = true;
        let column = |id: Option<&str>, key: Option<&str>| Shape {
            id_column: id.map(str::to_owned),
            key_column: key.map(str::to_owned),
            ..shape()
        };
        let others = [
            derived_id(&[2; 32], &crm, &shape()),
            derived_id(&[1; 32], &Args::new("a.csv", "erp"), &shape()),
            derived_id(&[1; 32], &ordered, &shape()),
            derived_id(&[1; 32], &crm, &column(Some("nr"), None)),
            derived_id(&[1; 32], &crm, &column(None, Some("nr"))),
            derived_id(&[1; 32], &crm, &column(Some(""), None)),
            derived_id(
                &[1; 32],
                &crm,
                &Shape {
                    delimiter: Some(b';'),
                    ..shape()
                },
            ),
        ];
        let mut all: Vec<_> = others.iter().chain([&first]).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), others.len() + 1);
    }
}
