//! What `check` says of what items have to look like.

use std::fmt;

use super::line;
use crate::config::SchemaConfig;

/// The lines of a target's schema.
pub(super) fn lines(f: &mut fmt::Formatter<'_>, config: &SchemaConfig) -> fmt::Result {
    let (path, draft) = (config.path.display(), config.schema.draft());
    line(f, "  schema", format_args!("{path}, draft {draft}"))?;
    let names: Vec<&str> = config.applies_to.iter().map(|kind| kind.name()).collect();
    line(f, "", format_args!("for items of: {}", names.join(", ")))?;
    let unchecked = config.schema.unchecked_formats();
    if !unchecked.is_empty() {
        let formats = unchecked.join("`, `");
        line(
            f,
            "",
            format_args!("note: not checked, because unknown here: format `{formats}`"),
        )?;
    }
    Ok(())
}
