//! A bare HTTP client, with hyper-util's pool: what the API can be called with
//! directly.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::client::json_text;
use super::target::PATH;
use crate::clock::now_ns;
use crate::worker;

/// How many requests, and how many at once.
#[derive(Serialize, Deserialize)]
pub struct Job {
    /// How many requests.
    pub requests: usize,
    /// How many are under way at any time.
    pub concurrency: usize,
}

/// Plays it. Answers with the seconds that it took.
pub async fn play(port: u16) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build(connector);
    let mut asked = worker::Asked::ready(0).await?;
    while let Some(job) = asked.next::<Job>().await? {
        asked.answer(run(&client, port, &job).await).await?;
    }
    Ok(())
}

type Pooled = Client<HttpConnector, Full<Bytes>>;

async fn run(client: &Pooled, port: u16, job: &Job) -> anyhow::Result<f64> {
    let began = now_ns();
    let mut tasks = JoinSet::new();
    for first in 0..job.concurrency {
        let client = client.clone();
        let numbers = (first..job.requests).step_by(job.concurrency);
        tasks.spawn(async move {
            for number in numbers {
                let request = Request::post(format!("http://127.0.0.1:{port}{PATH}"))
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(Full::from(json_text(number)))?;
                let response = client.request(request).await?;
                anyhow::ensure!(response.status().is_success(), "{}", response.status());
                response.into_body().collect().await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(crate::clock::seconds(now_ns() - began))
}
