//! A store's file that is another's, or damaged: it is refused, with what to do,
//! and left as it is.

use std::path::Path;

use crate::client::{Client, How};
use crate::lives::{live, look_back};
use crate::site::Site;
use crate::support::program::{Ended, Program, serve};
use crate::work::{Ask, PLAIN, SAFE, Work};

/// A client with a batch on which the server is at work for a while.
fn client(site: &Site, name: &str) -> Client {
    let work = Work::of(name, PLAIN, [Ask::Slow; 20]);
    Client::new(work, How::Unary, site.notes.clone(), 1)
}

/// A start that is refused.
async fn refused(site: &Site) -> Ended {
    match Program::start(serve(&site.config())).await {
        Err(ended) => {
            assert_eq!(ended.status.code(), Some(1), "{ended:?}");
            assert!(ended.log.starts_with("error: "), "{ended:?}");
            ended
        }
        Ok(program) => panic!("it serves: {}", program.log()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_refused_and_the_first_does_not_notice() {
    let site = Site::new().await;
    let mut clients = [client(&site, "a"), client(&site, "b")];
    let lives = live(&site, &mut clients, serve(&site.config()), u64::MAX);
    let others = async {
        site.target.arrived(1).await;
        for _ in 0..3 {
            let ended = refused(&site).await;
            let says = "flowgate.db is in use by another process: stop that one, or give this one \
                        a file of its own";
            assert!(ended.log.contains(says), "{ended:?}");
        }
    };
    let (life, ()) = tokio::join!(lives, others);
    let program = life.over();
    look_back(&site, &mut clients, program, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_that_start_at_once_one_serves() {
    let site = Site::new().await;
    let starts = (0..4).map(|_| Program::start(serve(&site.config())));
    let started = futures_util::future::join_all(starts).await;
    let (serve, refused): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
    assert_eq!((serve.len(), refused.len()), (1, 3));
    for ended in refused.into_iter().filter_map(Result::err) {
        assert!(ended.log.contains("in use by another"), "{ended:?}");
    }
    for program in serve.into_iter().flatten() {
        program.stopped().await;
    }
}

/// The store's files, and what is in them.
fn contents(site: &Site) -> Vec<Option<Vec<u8>>> {
    let read = |path: &Path| std::fs::read(path).ok();
    vec![read(&site.file()), read(&site.log())]
}

/// A kind of damage: its name, what it does to a file, and what is said of it.
type Damage = (&'static str, fn(&mut Vec<u8>), &'static str);

const DAMAGES: [Damage; 5] = [
    (
        "garbage in the middle",
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 9_000].fill(0xa5);
        },
        "is damaged",
    ),
    (
        "another header",
        |bytes| bytes[..100].fill(0x5a),
        "is not a database",
    ),
    (
        "half of it",
        |bytes| bytes.truncate(bytes.len() / 2),
        "is damaged",
    ),
    (
        "its last page is gone",
        |bytes| bytes.truncate(bytes.len() - 4_096),
        "is damaged",
    ),
    (
        "text",
        |bytes| *bytes = b"name,email\nZoe,zoe@example.org\n".repeat(1_000),
        "is not a database",
    ),
];

/// Has a server leave a file.
async fn left_by_a_server() -> Site {
    let site = Site::new().await;
    let mut clients = ["a", "b", "c"].map(|name| {
        let work = Work::of(name, SAFE, [Ask::Ok; 30]).of_size(2_000);
        Client::new(work, How::Unary, site.notes.clone(), 1)
    });
    // A first one moves what it has into the file.
    for client in &mut clients {
        let client = std::slice::from_mut(client);
        let life = live(&site, client, serve(&site.config()), u64::MAX).await;
        life.over().stopped().await;
    }
    site
}

async fn damaged_files_are_refused() {
    let site = left_by_a_server().await;
    let whole = contents(&site);
    assert!(whole[1].is_none(), "a log");
    for (name, damage, says) in DAMAGES {
        eprintln!("{name}");
        let mut bytes = whole[0].clone().expect("a file");
        damage(&mut bytes);
        std::fs::write(site.file(), &bytes).expect("it can be written");
        let before = contents(&site);
        let ended = refused(&site).await;
        assert!(ended.log.contains(says), "{name}: {ended:?}");
        assert!(contents(&site) == before, "{name}: it was changed");
        // Asked again, it says the same.
        assert_eq!(refused(&site).await.log, ended.log, "{name}");
    }
    // Put back as it was, it serves.
    std::fs::write(site.file(), whole[0].as_ref().expect("a file")).expect("it can be written");
    site.start().await.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    damaged_files_are_refused().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_has_become_empty_is_refused_and_not_made_anew() {
    let site = left_by_a_server().await;
    std::fs::write(site.file(), b"").expect("it can be written");
    refused(&site).await;
    assert_eq!(std::fs::read(site.file()).expect("it is there"), b"");
}
