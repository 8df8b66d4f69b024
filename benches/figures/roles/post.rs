//! The loop that everybody writes: slices of 50, all of a slice at once, sleep
//! half a second, next slice.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::client::json_text;
use super::target::PATH;
use crate::worker;

/// How many records there are.
#[derive(Serialize, Deserialize)]
pub struct Job {
    /// How many records.
    pub records: usize,
}

/// What became of them.
#[derive(Serialize, Deserialize)]
pub struct Posted {
    /// Accepted by the API.
    pub succeeded: usize,
    /// Turned away with 429; the loop knows no better than to report them.
    pub throttled: usize,
}

const SLICE: usize = 50;

const PAUSE: Duration = Duration::from_millis(500);

/// Plays it.
pub async fn play(port: u16) -> anyhow::Result<()> {
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let mut asked = worker::Asked::ready(0).await?;
    while let Some(job) = asked.next::<Job>().await? {
        asked.answer(run(&client, port, &job).await).await?;
    }
    Ok(())
}

type Pooled = Client<HttpConnector, Full<Bytes>>;

async fn run(client: &Pooled, port: u16, job: &Job) -> anyhow::Result<Posted> {
    let mut statuses = Vec::new();
    for first in (0..job.records).step_by(SLICE) {
        let slice = first..job.records.min(first + SLICE);
        statuses.extend(try_join_all(slice.map(|number| post(client, port, number))).await?);
        sleep(PAUSE).await;
    }
    let throttled = statuses
        .iter()
        .filter(|&&s| s == StatusCode::TOO_MANY_REQUESTS)
        .count();
    Ok(Posted {
        succeeded: statuses.iter().filter(|status| status.is_success()).count(),
        throttled,
    })
}

async fn post(client: &Pooled, port: u16, number: usize) -> anyhow::Result<StatusCode> {
    let request = Request::post(format!("http://127.0.0.1:{port}{PATH}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(json_text(number)))?;
    let response = client.request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}
