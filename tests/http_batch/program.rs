//! 10,000 items through the real server to a provider in each format; each row
//! is looked at on the other side.

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::{
    BatchSpec, BatchSubmitRequest, FailureKind, Item, ItemResult, Payload, WatchBatchRequest,
    batch_event, item_result, payload, watch_batch_response,
};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::provider::{FORMATS, Format, Ledger, Provider, Sent, judged};
use crate::support::http_target::Act;
use crate::support::patience::within;
use crate::support::program::{Program, serve};

type Client = BatchServiceClient<Channel>;

const ITEMS: u32 = 10_000;
const PATH: &str = "path = \"/batch\"\n";
/// As many as a call takes.
const BATCH: u32 = 1_000;

fn is_bad(n: u32) -> bool {
    n % 997 == 5
}

fn item(n: u32) -> Item {
    let text = format!(r#"{{"n":{n},"bad":{}}}"#, is_bad(n));
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::JsonText(text)),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}

/// A server in front of a provider, of whose target these are more lines.
pub async fn server(folder: &TempDir, base: &str, lines: &str) -> Program {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"flowgate.db\"\n\
         [targets.t]\nkind = \"http_batch\"\nurl = \"{base}\"\nlimits = [\"2000/s\"]\n{lines}"
    );
    let config = folder.path().join("flowgate.toml");
    std::fs::write(&config, text).expect("the folder can be written to");
    let started = Program::start(serve(&config)).await;
    started.unwrap_or_else(|ended| panic!("it does not serve: {ended:?}"))
}

/// Submits a batch, and follows it to its end; its results by index.
pub async fn submitted(client: &mut Client, items: Vec<Item>) -> Vec<ItemResult> {
    let request = BatchSubmitRequest {
        spec: Some(BatchSpec {
            target: "t".to_owned(),
            ..BatchSpec::default()
        }),
        items,
        wait: Some(false),
        ..BatchSubmitRequest::default()
    };
    let response = client.batch_submit(request).await.expect("it is accepted");
    let batch_id = response.into_inner().batch.expect("a batch").id;
    let watch = WatchBatchRequest {
        batch_id,
        ..WatchBatchRequest::default()
    };
    let stream = client.watch_batch(watch).await;
    let mut stream = stream.expect("a stream").into_inner();
    let mut results = Vec::new();
    let reading = async {
        while let Some(response) = stream.message().await.expect("no error") {
            if let Some(watch_batch_response::Message::Event(event)) = response.message
                && let Some(batch_event::Kind::Results(more)) = event.kind
            {
                results.extend(more.results);
            }
        }
    };
    within("the batch's end", reading).await;
    results.sort_by_key(|result| result.index);
    results
}

/// Sends all of them, and looks at what became of each.
async fn all_of(
    format: Format,
    lines: &str,
    script: impl Fn(&[Sent], &Ledger) -> Act + Send + Sync + 'static,
) -> usize {
    let provider = Provider::start(format, script).await;
    let folder = TempDir::new().expect("a folder");
    let program = server(&folder, &provider.http.base(), lines).await;
    let mut client = Client::new(program.connect().await.expect("a connection"));
    for first in (0..ITEMS).step_by(BATCH as usize) {
        let items: Vec<Item> = (first..first + BATCH).map(item).collect();
        let results = submitted(&mut client, items).await;
        assert_eq!(results.len(), BATCH as usize);
        for (n, result) in (first..).zip(results) {
            assert_eq!(result.index, n - first);
            match result.outcome.expect("an outcome") {
                item_result::Outcome::Success(_) => assert!(!is_bad(n), "{format:?} {n}"),
                item_result::Outcome::Failure(failure) => {
                    assert!(is_bad(n), "{format:?} {n}: {failure:?}");
                    assert_eq!(failure.kind(), FailureKind::Rejected);
                }
            }
        }
    }
    program.stopped().await;
    let done = provider.ledger.all();
    for n in 0..ITEMS {
        let times = done.get(&u64::from(n)).copied().unwrap_or_default();
        assert_eq!(times, usize::from(!is_bad(n)), "{format:?} {n}");
    }
    provider.http.requests().len()
}

fn table(format: Format, max_items: u32) -> String {
    let lines = format.lines().replace("max_items = 100\n", "");
    let preset_has_it = "preset = \"graph\"";
    match lines.contains(preset_has_it) {
        true => format!("{PATH}[targets.t.batch]\n{lines}"),
        false => format!("{PATH}[targets.t.batch]\nmax_items = {max_items}\n{lines}"),
    }
}

#[tokio::test]
async fn ten_thousand_items_go_through_in_every_format() {
    for format in FORMATS {
        let requests = all_of(format, &table(format, 50), move |items, ledger| {
            Act::answer(200, format.answer(&judged(items, ledger)))
        })
        .await;
        let together = match format {
            Format::Requests => 20,
            Format::Array | Format::Entries => 50,
        };
        assert_eq!(requests, (ITEMS / together) as usize, "{format:?}");
    }
}

#[tokio::test]
async fn ten_thousand_items_go_through_where_one_bad_one_refuses_a_request() {
    let format = Format::Array;
    let lines = table(format, 100) + "refused_whole = \"nothing_done\"\n";
    let requests = all_of(format, &lines, move |items, ledger| {
        match items.iter().any(|item| item.is_bad) {
            true => Act::answer(422, ""),
            false => Act::answer(200, format.answer(&judged(items, ledger))),
        }
    })
    .await;
    // A hundred, and up to fourteen more for each of the eleven that are bad.
    assert!((100..=100 + 11 * 14).contains(&requests), "{requests}");
}
