use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use rusqlite::Connection;

use super::*;

/// A writer over a small database of its own, in memory; and its thread.
fn writer() -> (Arc<Writer>, thread::JoinHandle<bool>) {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "PRAGMA foreign_keys = ON;
            CREATE TABLE parent (no INTEGER PRIMARY KEY);
            CREATE TABLE child (
                parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED
            );",
        )
        .unwrap();
    let (writer, verbs) = Writer::new();
    let thread = thread::spawn(move || {
        let mut rows = SqliteRows::writing(connection);
        serve(&mut rows, &verbs, &Stop::new(Path::new("memory")))
    });
    (Arc::new(writer), thread)
}

fn sql(sql: &'static str) -> impl FnMut(&mut SqliteRows) -> Done<()> + Send + 'static {
    move |rows| Ok(rows.connection().execute_batch(sql)?)
}

fn parents(rows: &mut SqliteRows) -> Done<u32> {
    let count = "SELECT count(*) FROM parent";
    Ok(rows.connection().query_row(count, [], |row| row.get(0))?)
}

const ADD: &str = "INSERT INTO parent DEFAULT VALUES";

/// Holds the writer up in a commit of its own until it is told to go on, so
/// that what is handed over meanwhile is one group.
struct HeldUp {
    go_on: mpsc::Sender<()>,
    held_up: tokio::task::JoinHandle<Result<(), StoreError>>,
}

async fn hold_up(writer: &Arc<Writer>) -> HeldUp {
    let (go_on, told) = mpsc::channel();
    let (running, runs) = oneshot::channel();
    let mut running = Some(running);
    let writer = writer.clone();
    let held_up = tokio::spawn(async move {
        let verb = move |_: &mut SqliteRows| {
            let _ = running.take().map(|running| running.send(()));
            let _ = told.recv();
            Ok(())
        };
        writer.run(0, verb).await
    });
    runs.await.unwrap();
    HeldUp { go_on, held_up }
}

#[tokio::test]
async fn a_broken_verb_is_nobody_elses_trouble() {
    let (writer, _) = writer();
    writer.run(0, sql(ADD)).await.unwrap();
    let held = hold_up(&writer).await;
    let group = async {
        tokio::join!(
            writer.run(0, sql(ADD)),
            writer.run(0, sql("INSERT INTO nowhere DEFAULT VALUES")),
            writer.run(0, sql(ADD)),
            async { held.go_on.send(()).unwrap() },
        )
    };
    let (first, second, third, ()) = group.await;
    assert!(matches!(second, Err(StoreError::Broken(why)) if why.contains("nowhere")));
    // Each of the others once, although the group was rolled back.
    assert!(first.is_ok() && third.is_ok());
    held.held_up.await.unwrap().unwrap();
    assert_eq!(writer.run(0, parents).await.unwrap(), 3);
}

#[tokio::test]
async fn a_mistake_is_its_callers_alone() {
    let (writer, _) = writer();
    let held = hold_up(&writer).await;
    let mistake = |_: &mut SqliteRows| Err::<(), _>(Undone::Mistake("mine".to_owned()));
    let (first, second, third, ()) = tokio::join!(
        writer.run(0, sql(ADD)),
        writer.run(0, mistake),
        writer.run(0, sql(ADD)),
        async { held.go_on.send(()).unwrap() },
    );
    assert!(first.is_ok() && third.is_ok());
    assert!(matches!(second, Err(StoreError::Mistake(why)) if why == "mine"));
    assert_eq!(writer.run(0, parents).await.unwrap(), 2);
}

#[tokio::test]
async fn a_commit_that_fails_stops_the_writer() {
    let (writer, thread) = writer();
    let held = hold_up(&writer).await;
    let (first, second, ()) = tokio::join!(
        writer.run(0, sql(ADD)),
        // Found out only by the commit.
        writer.run(0, sql("INSERT INTO child VALUES (99)")),
        async { held.go_on.send(()).unwrap() },
    );
    assert!(matches!(first, Err(StoreError::Closed)));
    assert!(matches!(second, Err(StoreError::Closed)));
    let later = writer.run(0, parents).await;
    assert!(matches!(later, Err(StoreError::Closed)));
    assert!(!thread.join().unwrap());
}

#[tokio::test]
async fn what_was_handed_over_is_done_before_it_closes() {
    let (writer, thread) = writer();
    let held = hold_up(&writer).await;
    let closing = async {
        writer.close();
        held.go_on.send(()).unwrap();
    };
    let (first, ()) = tokio::join!(writer.run(0, parents), closing);
    assert_eq!(first.unwrap(), 0);
    assert!(matches!(
        writer.run(0, parents).await,
        Err(StoreError::Closed)
    ));
    thread.join().unwrap();
}

#[tokio::test]
async fn verbs_are_done_in_the_order_of_the_calls() {
    let (writer, _) = writer();
    let held = hold_up(&writer).await;
    let add = |rows: &mut SqliteRows| {
        rows.connection().execute_batch(ADD)?;
        parents(rows)
    };
    // One that is larger than a group, too.
    let sizes = [1, GROUP_BYTES, 1, 1];
    let answers = sizes.map(|bytes| writer.run(bytes, add));
    let patient = writer.run_patiently(1, add);
    held.go_on.send(()).unwrap();
    assert_eq!(patient.await.unwrap(), 5);
    for (answer, order) in answers
        .into_iter()
        .zip(1..)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        assert_eq!(answer.await.unwrap(), order);
    }
}
