//! The keys that only targets of the kind `postgres` have.

use super::KeyDefault::{Is, Words};
use super::{Key, KeyValue, OPERATIONS, POSTGRES, SSLMODES, of};

#[rustfmt::skip] // One key, one paragraph.
pub(super) const KEYS: &[Key] = &[
    of(POSTGRES, "targets.NAME.postgres.table", KeyValue::Text, Words("none"),
        "The table that items are rows of: `\"guests\"` or `\"crm.guests\"`, upper and lower case as it is. Either this or `function`."),
    of(POSTGRES, "targets.NAME.postgres.operation", KeyValue::Word(OPERATIONS), Is("\"create\""),
        "What is done with an item that does not say: a new row, one that is there changed, either of the two, or one removed."),
    of(POSTGRES, "targets.NAME.postgres.key_columns", KeyValue::Texts, Words("the primary key"),
        "The columns that find a row to update or delete, and that an upsert must not have twice; an upsert needs a unique index on them. What an item's `resource_id` is the value of, where it is one column."),
    of(POSTGRES, "targets.NAME.postgres.columns", KeyValue::Texts, Words("all"),
        "The columns that items may set; any other makes an item `INVALID`."),
    of(POSTGRES, "targets.NAME.postgres.function", KeyValue::Text, Words("none"),
        "A function with one parameter, of the type `jsonb`, that is called with each payload instead: `\"crm.add_guest\"`. What it returns is the item's reply."),
    of(POSTGRES, "targets.NAME.postgres.idempotent_operations", KeyValue::Flag, Is("true"),
        "Doing an update, an upsert with its key, or a delete twice does no harm: such an item is sent again when it had no answer. `false` where a trigger counts them."),
    of(POSTGRES, "targets.NAME.postgres.dedupe_table", KeyValue::Text, Words("none"),
        "A table in which each item's key is written in the transaction that does the item: an item without an answer is then looked up, or sent again, and never done twice. `flowgate prepare` makes it."),
    of(POSTGRES, "targets.NAME.postgres.keep_keys", KeyValue::Duration, Is("\"24h\""),
        "How long a key stays in that table; an item without an answer is sent again only within that from its first send. Only with `dedupe_table`."),
    of(POSTGRES, "targets.NAME.postgres.sslmode", KeyValue::Word(SSLMODES), Words("`\"disable\"` to this machine, else `\"require\"`"),
        "`require`: only with TLS, and only to a server whose certificate is for the host of `url` and comes from an authority that is trusted (`verify-full` elsewhere)."),
    of(POSTGRES, "targets.NAME.postgres.password", KeyValue::Secret, Words("none"),
        "The password of the user in `url`: best `{ env = \"NAME\" }` or `{ file = \"path\" }`."),
    of(POSTGRES, "targets.NAME.postgres.password.env", KeyValue::Text, Words("none"),
        "The environment variable that holds it."),
    of(POSTGRES, "targets.NAME.postgres.password.file", KeyValue::Text, Words("none"),
        "The file that holds it; line breaks at its end are cut. Relative to the folder of the configuration."),
    of(POSTGRES, "targets.NAME.postgres.password.prefix", KeyValue::Text, Words("nothing"),
        "What goes before it."),
];
