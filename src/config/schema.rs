//! What items for a target have to look like: a JSON Schema from a file, and
//! which items it is for.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::schema::{ItemSchema, MAX_SCHEMA_BYTES};
use crate::model::{Operation, Verb};

/// What items for a target have to look like.
#[derive(Clone, Debug)]
pub struct SchemaConfig {
    /// The file that it was read from.
    pub path: PathBuf,
    /// What it says.
    pub schema: Arc<ItemSchema>,
    /// The items that it is for, each at most once.
    pub applies_to: Vec<SchemaFor>,
}

/// Items that a schema can be for, by what they say is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaFor {
    /// Nothing: the target's own operation.
    Target,
    /// `create`.
    Create,
    /// `update`; its payload is often only a part.
    Update,
    /// A call with a method or a path of the item's own.
    Call,
}

impl SchemaFor {
    /// The words for them in the configuration.
    pub(super) const WORDS: [&'static str; 4] = ["target", "create", "update", "call"];
    /// All of them, in the order of the words.
    pub(super) const ALL: [SchemaFor; 4] = [
        SchemaFor::Target,
        SchemaFor::Create,
        SchemaFor::Update,
        SchemaFor::Call,
    ];
    /// Those where nothing else is said.
    pub(super) const USUAL: [SchemaFor; 2] = [SchemaFor::Target, SchemaFor::Create];

    /// The word in the configuration.
    pub fn name(self) -> &'static str {
        SchemaFor::WORDS[self as usize]
    }

    /// Which an item is; none of them where it has nothing to look like
    /// anything.
    fn of(operation: &Operation) -> Option<SchemaFor> {
        Some(match operation {
            Operation::Target => SchemaFor::Target,
            Operation::Action(action) => match action.verb {
                Verb::Create => SchemaFor::Create,
                Verb::Update => SchemaFor::Update,
                Verb::Delete => return None,
            },
            // With headers alone it is still the target's own operation.
            Operation::Http(call) if call.method.is_empty() && call.path.is_empty() => {
                SchemaFor::Target
            }
            Operation::Grpc(call) if call.method.is_empty() => SchemaFor::Target,
            Operation::Http(_) | Operation::Grpc(_) => SchemaFor::Call,
        })
    }
}

impl SchemaConfig {
    /// The schema, if it is for items that say this is to be done.
    pub fn of(&self, operation: &Operation) -> Option<&ItemSchema> {
        let kind = SchemaFor::of(operation)?;
        self.applies_to.contains(&kind).then_some(&*self.schema)
    }
}

/// Reads and compiles a schema. The errors are for people, and name the file.
pub(super) fn read(path: &Path) -> Result<ItemSchema, Vec<String>> {
    let shown = path.display();
    let mut text = Vec::new();
    // One byte more than is taken: it then says so itself.
    let most = MAX_SCHEMA_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut text));
    read.map_err(|error| vec![format!("{shown} cannot be read: {error}")])?;
    let text = String::from_utf8(text)
        .map_err(|_| vec![format!("{shown} is not UTF-8; save it as such")])?;
    ItemSchema::compile(&text).map_err(|faults| {
        let told = |fault: &crate::core::schema::SchemaFault| match &fault.place[..] {
            "" => format!("{shown} {}", fault.message),
            place => format!("{shown}: {place} {}", fault.message),
        };
        faults.iter().map(told).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::model::{Action, GrpcCall, HttpCall};

    #[test]
    fn what_an_item_says_is_to_be_done_decides_whether_it_is_checked() {
        let action = |verb| {
            let resource_id = "7".to_owned();
            Operation::Action(Action { verb, resource_id })
        };
        let http = |method: &str, path: &str| {
            Operation::Http(HttpCall {
                method: method.to_owned(),
                path: path.to_owned(),
                headers: [("x-source".to_owned(), "a".to_owned())].into(),
            })
        };
        let grpc = |method: &str| {
            Operation::Grpc(GrpcCall {
                method: method.to_owned(),
                ..GrpcCall::default()
            })
        };
        let table = [
            (Operation::Target, Some(SchemaFor::Target)),
            (action(Verb::Create), Some(SchemaFor::Create)),
            (action(Verb::Update), Some(SchemaFor::Update)),
            (action(Verb::Delete), None),
            (http("", ""), Some(SchemaFor::Target)),
            (http("PUT", ""), Some(SchemaFor::Call)),
            (http("", "/a"), Some(SchemaFor::Call)),
            (grpc(""), Some(SchemaFor::Target)),
            (grpc("a.B/C"), Some(SchemaFor::Call)),
        ];
        for (operation, want) in table {
            assert_eq!(SchemaFor::of(&operation), want, "{operation:?}");
        }
        for kind in SchemaFor::ALL {
            assert_eq!(SchemaFor::ALL[kind as usize], kind);
        }
    }

    const TARGET: &str = "[targets.guests]\nkind = \"http\"\nurl = \"http://localhost:1\"\n\
        path = \"/guests\"\n";

    /// What a configuration with these lines and this schema comes to, or what
    /// is said of it.
    fn parsed(lines: &str, schema: impl AsRef<[u8]>) -> Result<Option<SchemaConfig>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("guest.json"), schema).unwrap();
        let text = format!("{TARGET}{lines}\n");
        let config = Config::parse(&text, folder.path(), &|_| None);
        let place = folder.path().display().to_string();
        config
            .map(|mut config| config.targets.remove(0).schema)
            .map_err(|error| error.to_string().replace(&place, "/etc/flowgate"))
    }

    #[test]
    fn a_schema_is_read_beside_the_configuration() {
        let found = parsed("schema = \"guest.json\"", "{\"type\": \"object\"}");
        let found = found.unwrap().unwrap();
        assert_eq!(found.schema.text(), "{\"type\": \"object\"}");
        assert_eq!(found.applies_to, SchemaFor::USUAL);
        let lines = "schema = \"guest.json\"\nschema_for = [\"update\", \"call\", \"update\"]";
        let found = parsed(lines, "{}").unwrap().unwrap();
        assert_eq!(found.applies_to, [SchemaFor::Update, SchemaFor::Call]);
        assert!(parsed("", "{}").unwrap().is_none());
        assert_eq!(format!("{:?}", found.schema), "ItemSchema(2 bytes)");
    }

    #[test]
    fn what_is_wrong_with_a_schema_is_told_with_the_file_and_the_place_in_it() {
        let schema = "schema = \"guest.json\"";
        let huge = " ".repeat(MAX_SCHEMA_BYTES + 1);
        let table: [(&str, &[u8], &str); 12] = [
            (
                "schema = \"nope.json\"",
                b"",
                "configuration:5: targets.guests.schema: /etc/flowgate/nope.json cannot be read: No \
                 such file or directory (os error 2)",
            ),
            (
                "schema = \".\"",
                b"",
                "configuration:5: targets.guests.schema: /etc/flowgate/. cannot be read: Is a \
                 directory (os error 21)",
            ),
            (
                schema,
                b"\xff",
                "configuration:5: targets.guests.schema: /etc/flowgate/guest.json is not UTF-8; save \
                 it as such",
            ),
            (
                schema,
                b"{\n  \"type\":\n}",
                "configuration:5: targets.guests.schema: /etc/flowgate/guest.json is not JSON: \
                 expected value at line 3 column 1",
            ),
            (
                schema,
                huge.as_bytes(),
                "configuration:5: targets.guests.schema: /etc/flowgate/guest.json is larger than \
                 1048576 bytes; write a smaller one",
            ),
            (
                schema,
                b"{\"type\": \"text\", \"minLength\": \"1\"}",
                "configuration:5: targets.guests.schema: /etc/flowgate/guest.json: #/type must be \
                 `array`, `boolean`, `integer`, `null`, `number`, `object`, `string` or a list\n\
                 configuration:5: targets.guests.schema: /etc/flowgate/guest.json: #/minLength is a \
                 text, and must be a whole number",
            ),
            (
                "schema = 7",
                b"",
                "configuration:5: targets.guests.schema: this is a number; write a text in quotes",
            ),
            (
                "schema_for = [\"create\"]",
                b"",
                "configuration:5: targets.guests.schema_for: there is no `schema`; give one, or take \
                 this out",
            ),
            (
                "schema = \"guest.json\"\nschema_for = []",
                b"{}",
                "configuration:6: targets.guests.schema_for: no item would be checked; take \
                 `schema` out instead",
            ),
            (
                "schema = \"guest.json\"\nschema_for = [\"target\", \"updat\"]",
                b"{}",
                "configuration:6: targets.guests.schema_for[1]: `updat` is not known here; did you \
                 mean `update`?",
            ),
            (
                "schema = \"guest.json\"\nschema_for = [\"delete\"]",
                b"{}",
                "configuration:6: targets.guests.schema_for[0]: `delete` is not known here; write \
                 one of `target`, `create`, `update`, `call`",
            ),
            (
                "shema = \"guest.json\"",
                b"{}",
                "configuration:5: targets.guests.shema: there is no such key; did you mean `schema`?",
            ),
        ];
        for (lines, schema, want) in table {
            assert_eq!(parsed(lines, schema).unwrap_err(), want, "{lines}");
        }
    }
}
