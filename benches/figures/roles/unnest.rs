//! A loop that writes rows to PostgreSQL, as somebody would who cares for speed:
//! a prepared statement, arrays, many rows at once.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio_postgres::{Client, Config, NoTls};

use super::client::json_text;
use crate::clock::{now_ns, seconds};
use crate::worker;

const INSERT: &str = "INSERT INTO guests (name, email, visits, news, note) \
     SELECT * FROM unnest($1::text[], $2::text[], $3::int4[], $4::bool[], $5::text[])";

/// How many rows, how many at once, and on how many connections.
#[derive(Serialize, Deserialize)]
pub struct Job {
    /// How many rows.
    pub rows: usize,
    /// How many go into one statement.
    pub chunk: usize,
    /// How many statements are under way at any time.
    pub concurrency: usize,
}

/// Plays it. Answers with the seconds that it took.
pub async fn play(folder: PathBuf) -> anyhow::Result<()> {
    let mut asked = worker::Asked::ready(0).await?;
    while let Some(job) = asked.next::<Job>().await? {
        asked.answer(run(&folder, &job).await).await?;
    }
    Ok(())
}

async fn run(folder: &PathBuf, job: &Job) -> anyhow::Result<f64> {
    let mut clients = Vec::new();
    for _ in 0..job.concurrency {
        let mut config = Config::new();
        config.host_path(folder).user("postgres").dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        clients.push(client);
    }
    // What every row has in the end; the rest is its number.
    let note_bytes = json_text(0).len() / 2;
    let began = now_ns();
    let mut tasks = JoinSet::new();
    for (first, client) in clients.into_iter().enumerate() {
        let (rows, chunk) = (job.rows, job.chunk);
        let starts = (first * chunk..rows).step_by(chunk * job.concurrency);
        tasks.spawn(async move { write(&client, starts, rows, chunk, note_bytes).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(seconds(now_ns() - began))
}

async fn write(
    client: &Client,
    starts: impl Iterator<Item = usize>,
    rows: usize,
    chunk: usize,
    note_bytes: usize,
) -> anyhow::Result<()> {
    let insert = client.prepare(INSERT).await?;
    for start in starts {
        let numbers = start..rows.min(start + chunk);
        let names: Vec<String> = numbers.clone().map(|n| format!("Guest {n}")).collect();
        let email = |n| format!("guest.{n}@example.net");
        let emails: Vec<String> = numbers.clone().map(email).collect();
        let visits = numbers.clone().map(|n| i32::try_from(n % 10));
        let visits = visits.collect::<Result<Vec<i32>, _>>()?;
        let news = vec![true; visits.len()];
        let notes = vec!["x".repeat(note_bytes); visits.len()];
        client
            .execute(&insert, &[&names, &emails, &visits, &news, &notes])
            .await?;
    }
    Ok(())
}
