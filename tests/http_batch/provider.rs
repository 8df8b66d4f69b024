//! A provider of a batch endpoint: reads what it is sent in one of three
//! formats, does it or not as a script says, notes what it did, and answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::http_target::{Act, HttpTarget, Request};

/// The formats in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `{"messages": [...]}`, answered in the order of the items.
    Array,
    /// Requests and responses, with ids.
    Requests,
    /// Entries, answered in a list of those done and one of those that failed.
    Entries,
}

pub const FORMATS: [Format; 3] = [Format::Array, Format::Requests, Format::Entries];

impl Format {
    /// How Flowgate is told of it.
    pub fn lines(self) -> &'static str {
        match self {
            Format::Array => {
                "items = \"/messages\"\nwrap = '{\"from\": \"a@example.com\"}'\nresults = \"/results\"\n\
                 result_status = \"/status\"\nfailures = \"/problems\"\nfailure_index = \"/index\"\n"
            }
            Format::Requests => "preset = \"graph\"\nitem_path = \"/users\"\n",
            Format::Entries => {
                "preset = \"sqs\"\nmax_items = 100\nwrap = '{\"QueueUrl\": \"q\"}'\nrefused_whole = \"not_known\"\n"
            }
        }
    }

    /// Whether a result says whose it is.
    pub fn has_ids(self) -> bool {
        self != Format::Array
    }

    /// The items of a request.
    pub fn items(self, request: &Request) -> Vec<Sent> {
        let body: Value = serde_json::from_slice(&request.body).expect("a body of JSON");
        let list = match self {
            Format::Array => &body["messages"],
            Format::Requests => &body["requests"],
            Format::Entries => &body["Entries"],
        };
        let sent = |entry: &Value| {
            let (id, payload) = match self {
                Format::Array => (String::new(), entry.clone()),
                Format::Requests => {
                    assert_eq!(entry["method"], "POST");
                    assert_eq!(entry["url"], "/users");
                    (text(&entry["id"]), entry["body"].clone())
                }
                Format::Entries => {
                    let body = entry["MessageBody"].as_str().expect("a text");
                    let payload = serde_json::from_str(body).expect("JSON in it");
                    (text(&entry["Id"]), payload)
                }
            };
            Sent {
                id,
                n: payload["n"].as_u64().expect("a number"),
                is_bad: payload["bad"] == true,
            }
        };
        list.as_array().expect("a list").iter().map(sent).collect()
    }

    /// The answer that has these results: an id, and the status of each.
    pub fn answer(self, results: &[(String, u16)]) -> String {
        let is_ok = |status: &u16| (200..300).contains(status);
        let list = |results: Vec<Value>| Value::from(results);
        let answer = match self {
            Format::Array => {
                let result = |(_, status): &(String, u16)| json!({"status": status});
                json!({"results": list(results.iter().map(result).collect())})
            }
            Format::Requests => {
                let result = |(id, status): &(String, u16)| json!({"id": id, "status": status, "headers": {}, "body": {"was": id}});
                json!({"responses": list(results.iter().map(result).collect())})
            }
            Format::Entries => {
                let done = results.iter().filter(|(_, status)| is_ok(status));
                let done = done.map(|(id, _)| json!({"Id": id, "MessageId": "m"}));
                let failed = results.iter().filter(|(_, status)| !is_ok(status));
                let failed = failed.map(|(id, status)| {
                    let code = match status {
                        429 => "ThrottlingException",
                        _ => "InvalidMessageContents",
                    };
                    json!({"Id": id, "Code": code, "SenderFault": *status < 500})
                });
                json!({"Successful": list(done.collect()), "Failed": list(failed.collect())})
            }
        };
        answer.to_string()
    }
}

fn text(json: &Value) -> String {
    json.as_str().expect("a text").to_owned()
}

/// An item as it arrived.
#[derive(Clone, Debug)]
pub struct Sent {
    pub id: String,
    pub n: u64,
    pub is_bad: bool,
}

/// What was done: how often, by an item's number.
#[derive(Clone, Default)]
pub struct Ledger(Arc<Mutex<BTreeMap<u64, usize>>>);

impl Ledger {
    /// Does an item.
    pub fn act(&self, n: u64) {
        *self.0.lock().unwrap().entry(n).or_default() += 1;
    }

    /// How often an item was done.
    pub fn times(&self, n: u64) -> usize {
        self.0.lock().unwrap().get(&n).copied().unwrap_or_default()
    }

    /// How often each was done that was.
    pub fn all(&self) -> BTreeMap<u64, usize> {
        self.0.lock().unwrap().clone()
    }
}

/// Does what is good, and refuses what is bad.
pub fn judged(items: &[Sent], ledger: &Ledger) -> Vec<(String, u16)> {
    let judge = |item: &Sent| {
        if !item.is_bad {
            ledger.act(item.n);
        }
        (item.id.clone(), if item.is_bad { 422 } else { 201 })
    };
    items.iter().map(judge).collect()
}

/// A provider.
pub struct Provider {
    pub http: HttpTarget,
    pub ledger: Ledger,
}

impl Provider {
    /// One that does this with the items of each request.
    pub async fn start(
        format: Format,
        script: impl Fn(&[Sent], &Ledger) -> Act + Send + Sync + 'static,
    ) -> Provider {
        let ledger = Ledger::default();
        let noted = ledger.clone();
        let http = HttpTarget::start(move |request| script(&format.items(request), &noted)).await;
        Provider { http, ledger }
    }

    /// One that does what is good and refuses what is bad, each by itself.
    pub async fn fair(format: Format) -> Provider {
        Provider::start(format, move |items, ledger| {
            Act::answer(200, format.answer(&judged(items, ledger)))
        })
        .await
    }
}
