//! Targets of the kind `http_batch`: what goes into a request, and where its
//! answer says what became of each item.

mod preset;
mod results;

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use self::preset::Preset;
use super::Check;
use super::pacing::Requests;
use crate::config::key::KeyPath;
use crate::config::reference::{EMBEDS, FORMATS, PRESETS, REFUSALS, URLS};
use crate::config::{Element, Embed, HttpBatchConfig, HttpConfig, Slot, SubRequest, Urls, file};
use crate::core::pointer::Pointer;
use crate::core::template::Template;

const MAX_ITEMS: u32 = 100;
/// A chunk has no more.
const MAX_ITEMS_MOST: u32 = 1_000;
const MAX_BYTES: usize = 4 << 20;
const MAX_BYTES_MOST: usize = 64 << 20;
const MAX_ANSWER: usize = 8 << 20;
/// As much may be held for each request under way.
const MAX_ANSWER_MOST: usize = 64 << 20;
/// Each carries many items.
const CONCURRENCY: u32 = 16;
const CONTENT_TYPE: &str = "application/json";

/// The format whose items are requests of their own.
const REQUESTS: &str = "requests";
/// The format whose items are put into entries.
const ENTRIES: &str = "entries";

impl HttpBatchConfig {
    /// What its requests are like: a chunk is one of them.
    pub(super) fn requests(&self) -> Requests {
        Requests {
            most: Some(self.max_items),
            usual: self.max_items,
            concurrency: CONCURRENCY,
        }
    }
}

impl Check<'_> {
    pub(super) fn http_batch(
        &mut self,
        table: &KeyPath,
        target: &str,
        file: &mut file::Target,
    ) -> Option<HttpBatchConfig> {
        let at = &table.key("batch");
        let (preset, format, mut given) = self.preset(at, std::mem::take(&mut file.batch));
        // It is not one that a header carries.
        let entry_key = given.entry_key.is_some();
        let window = entry_key.then(|| file.key_window.take()).flatten();
        let (http, element) = if format == REQUESTS {
            self.sub_requests(table, target, file, &mut given)
        } else {
            self.for_requests_only(table, file);
            let element = self.entry(at, format, &mut given);
            (self.http(table, target, file), element)
        };
        let wrap = self.wrap(at, &mut given);
        let content_type = self.content_type(at, given.content_type.take());
        let max_items = self.number(
            &at.key("max_items"),
            given.max_items,
            MAX_ITEMS,
            1..=MAX_ITEMS_MOST,
        );
        let range = 1..=MAX_BYTES_MOST;
        let max_bytes = given.max_bytes.take();
        let max_bytes = self.size(&at.key("max_bytes"), max_bytes, MAX_BYTES, range);
        let range = 1024..=MAX_ANSWER_MOST;
        let max_answer = given.max_answer.take();
        let max_answer = self.size(&at.key("max_answer"), max_answer, MAX_ANSWER, range);
        let refused = given.refused_whole.take();
        let refused = refused.map(|word| self.word(&at.key("refused_whole"), &word, REFUSALS));
        let is_atomic = given.atomic.unwrap_or(false);
        let results = self.results(at, &mut given);
        let mut http = http?;
        if entry_key {
            let (at, least) = (table.key("key_window"), Duration::from_millis(1));
            let usual = preset.key_window.unwrap_or(http.key_window);
            http.key_window = self.duration(&at, window, usual, least);
        }
        add_headers(&mut http, preset);
        Some(HttpBatchConfig {
            http,
            content_type: content_type?,
            max_items,
            max_bytes,
            max_answer,
            wrap: wrap?,
            element: element?,
            results: results?,
            refusal_does_nothing: is_atomic || refused == Some(1),
            is_atomic,
        })
    }

    /// What is given, filled up from its preset.
    fn preset(
        &mut self,
        at: &KeyPath,
        mut given: file::HttpBatch,
    ) -> (&'static Preset, &'static str, file::HttpBatch) {
        let name = given.preset.take();
        let place = name.map_or(0, |name| self.word(&at.key("preset"), &name, PRESETS));
        let preset = Preset::named(PRESETS[place]);
        let mut keys = preset.keys();
        // One of the two decides.
        if given.result_status.is_some() {
            keys.result_error = None;
        }
        if given.result_error.is_some() {
            keys.result_status = None;
        }
        let format = given.format.take().or_else(|| keys.format.clone());
        let place = format.map_or(0, |format| self.word(&at.key("format"), &format, FORMATS));
        let format = FORMATS[place];
        let of_format = [
            (ENTRIES, "entry_id", given.entry_id.is_some()),
            (ENTRIES, "entry_payload", given.entry_payload.is_some()),
            (ENTRIES, "entry_key", given.entry_key.is_some()),
            (ENTRIES, "payload", given.payload.is_some()),
            (REQUESTS, "item_method", given.item_method.is_some()),
            (REQUESTS, "item_path", given.item_path.is_some()),
            (REQUESTS, "urls", given.urls.is_some()),
        ];
        for (wanted, key, _) in of_format
            .into_iter()
            .filter(|(wanted, _, is_given)| *is_given && *wanted != format)
        {
            let message = format!("this is for `format = \"{wanted}\"`; leave it out");
            self.fault(&at.key(key), message);
        }
        if given.entry.is_some() && format == FORMATS[0] {
            let message = "an item's payload is the element itself; write it there, or `format = \"entries\"`";
            self.fault(&at.key("entry"), message);
        }
        (preset, format, given.or(keys))
    }

    /// Keys that mean nothing where items are no requests of their own.
    fn for_requests_only(&mut self, at: &KeyPath, file: &mut file::Target) {
        let actions = std::mem::take(&mut file.actions);
        let has = |action: &file::Action| {
            action.enabled.is_some() || action.method.is_some() || action.path.is_some()
        };
        let has_actions = [&actions.create, &actions.update, &actions.delete]
            .into_iter()
            .any(has);
        for (key, is_given) in [
            ("actions", has_actions),
            ("allow_calls", file.allow_calls.take().is_some()),
            ("allow_headers", file.allow_headers.take().is_some()),
            (
                "idempotent_methods",
                file.idempotent_methods.take().is_some(),
            ),
        ] {
            if is_given {
                let message = "this is for items that are requests of their own: for a batch with `format = \"requests\"`";
                self.fault(&at.key(key), message);
            }
        }
    }

    /// What becomes of an item that is no request.
    fn entry(
        &mut self,
        at: &KeyPath,
        format: &str,
        given: &mut file::HttpBatch,
    ) -> Option<Element> {
        if format != ENTRIES {
            return Some(Element::Payload);
        }
        let constants = self.object(&at.key("entry"), given.entry.take());
        let embed = given
            .payload
            .take()
            .map_or(0, |word| self.word(&at.key("payload"), &word, EMBEDS));
        let mut places = Vec::new();
        for (key, slot, given) in [
            ("entry_id", Slot::Id, given.entry_id.take()),
            ("entry_key", Slot::Key, given.entry_key.take()),
            ("entry_payload", Slot::Payload, given.entry_payload.take()),
        ] {
            let pointer = self.pointer(&at.key(key), given);
            places.extend(pointer.map(|pointer| (pointer, slot)));
        }
        if !places.iter().any(|(_, slot)| *slot == Slot::Payload) {
            self.missing(
                at,
                "`entry_payload` is missing; write where an item's payload goes, e.g. `entry_payload = \"/data\"`",
            );
            return None;
        }
        let template = Template::new(constants?, &places);
        let template = template.map_err(|wrong| self.fault(at, wrong)).ok()?;
        Some(Element::Entry {
            template,
            embed: [Embed::Json, Embed::Text, Embed::Base64][embed],
        })
    }

    /// The request, and the requests within it.
    fn sub_requests(
        &mut self,
        table: &KeyPath,
        target: &str,
        file: &mut file::Target,
        given: &mut file::HttpBatch,
    ) -> (Option<HttpConfig>, Option<Element>) {
        let at = table.key("batch");
        let actions = std::mem::take(&mut file.actions);
        let http = self.http(table, target, file);
        let method = given.item_method.take();
        let method = self.method(&at.key("item_method"), method, Method::POST);
        let path = given.item_path.take();
        let path = path.and_then(|path| self.template(&at.key("item_path"), path, false));
        let actions = self.actions(&table.key("actions"), actions, path.as_deref());
        let constants = self.object(&at.key("entry"), given.entry.take());
        let urls = given
            .urls
            .take()
            .map_or(0, |word| self.word(&at.key("urls"), &word, URLS));
        let Some((mut http, constants)) = http.zip(constants) else {
            return (None, None);
        };
        if path.is_none() && actions.is_empty() && !http.allow_calls {
            self.missing(
                &at,
                "there is nothing that items could do; write `item_path`, or `allow_calls = true`",
            );
        }
        for name in ["id", "method", "url", "headers", "body"] {
            if constants.contains_key(name) {
                let message = format!("`{name}` is each request's own; leave it out");
                self.fault(&at.key("entry"), message);
            }
        }
        let member =
            |(name, value): (&String, &Value)| format!("{}:{value}", Value::from(&name[..]));
        let constants: Vec<String> = constants.iter().map(member).collect();
        let sub = SubRequest {
            http: HttpConfig {
                method,
                path: path.clone().unwrap_or_else(|| "/".to_owned()),
                actions,
                // They go with the request around it.
                headers: Vec::new(),
                ..http.clone()
            },
            has_operation: path.is_some(),
            constants: constants.join(","),
            urls: [Urls::Below, Urls::Whole][urls],
        };
        http.idempotency_header = None;
        (Some(http), Some(Element::Request(Box::new(sub))))
    }

    /// What is around the array of the items.
    fn wrap(&mut self, at: &KeyPath, given: &mut file::HttpBatch) -> Option<Template<()>> {
        let constants = self.object(&at.key("wrap"), given.wrap.take());
        let items = given.items.take();
        let pointer = self.pointer(&at.key("items"), Some(items.unwrap_or_default()));
        let template = Template::new(constants?, &[(pointer?, ())]);
        let wrong = |wrong: String| {
            let message = format!("{wrong}: that is where the array of the items goes");
            self.fault(&at.key("items"), message);
        };
        template.map_err(wrong).ok()
    }

    fn content_type(&mut self, at: &KeyPath, given: Option<String>) -> Option<HeaderValue> {
        let given = given.unwrap_or_else(|| CONTENT_TYPE.to_owned());
        let value = HeaderValue::try_from(given).ok();
        if value.is_none() {
            let message = "this is not a media type; write e.g. `application/json`";
            self.fault(&at.key("content_type"), message);
        }
        value
    }

    /// A JSON object.
    fn object(&mut self, at: &KeyPath, given: Option<String>) -> Option<Map<String, Value>> {
        let Some(given) = given else {
            return Some(Map::new());
        };
        let object = serde_json::from_str(&given).ok();
        if object.is_none() {
            let message = "this is not a JSON object; write e.g. `'{\"QueueUrl\": \"...\"}'`";
            self.fault(at, message);
        }
        object
    }

    fn pointer(&mut self, at: &KeyPath, given: Option<String>) -> Option<Pointer> {
        let pointer = given?.parse();
        pointer
            .map_err(|message: &str| self.fault(at, message))
            .ok()
    }
}

/// The headers that a provider asks for, unless the operator has set them.
fn add_headers(http: &mut HttpConfig, preset: &Preset) {
    for (name, value) in preset.headers {
        let name = HeaderName::from_static(name);
        if !http.headers.iter().any(|(set, _)| *set == name) {
            http.headers.push((name, (*value).into()));
        }
    }
}
