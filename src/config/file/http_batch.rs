//! What only targets of the kind `http_batch` have.

use serde::Deserialize;

/// Writes the table, and how one is filled up from another.
macro_rules! table {
    ($($key:ident: $type:ty,)*) => {
        /// `[targets.NAME.batch]`. A preset is such a table too.
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(in crate::config) struct HttpBatch {
            $(pub(in crate::config) $key: Option<$type>,)*
        }

        impl HttpBatch {
            /// With what `preset` says where this says nothing.
            pub(in crate::config) fn or(self, preset: HttpBatch) -> HttpBatch {
                HttpBatch { $($key: self.$key.or(preset.$key),)* }
            }
        }
    };
}

table! {
    preset: String,
    format: String,
    max_items: u64,
    max_bytes: String,
    max_answer: String,
    content_type: String,
    wrap: String,
    items: String,
    entry: String,
    entry_id: String,
    entry_payload: String,
    entry_key: String,
    payload: String,
    item_method: String,
    item_path: String,
    urls: String,
    join: String,
    results: String,
    failures: String,
    failure_index: String,
    result_id: String,
    result_status: String,
    result_error: String,
    result_code: String,
    result_message: String,
    result_field: String,
    result_body: String,
    result_headers: String,
    result_sender_fault: String,
    busy_codes: Vec<String>,
    fault_codes: Vec<String>,
    refused_whole: String,
    refused_code: String,
    atomic: bool,
}
