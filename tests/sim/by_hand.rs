//! The checker on facts made by hand: what a run inside one process never shows
//! it, and what it must not complain of.

use crate::checker::{
    Accepted, Arrived, Counts, Ended, Fact, Followed, ItemSent, Limit, Outcome, Quota, Read, Run,
    Submitted, Target, Told, check,
};

/// A batch of two items, that was sent and told as it should be.
fn good() -> Run {
    let mut run = Run {
        quotas: vec![Quota {
            name: "quota".to_owned(),
            limits: vec![Limit { count: 1, per: 10 }],
        }],
        targets: vec![Target {
            name: "target".to_owned(),
            quota: "quota".to_owned(),
        }],
        ..Run::default()
    };
    let item = |tag: &str| ItemSent {
        tag: tag.to_owned(),
        ..ItemSent::default()
    };
    run.saw(
        0,
        Fact::Submitted(Submitted {
            name: "batch".to_owned(),
            tenant: "ada".to_owned(),
            target: "target".to_owned(),
            items: vec![item("a"), item("b")],
            strict: true,
            ..Submitted::default()
        }),
    );
    run.saw(
        1,
        Fact::Accepted(Accepted {
            name: "batch".to_owned(),
            tenant: "ada".to_owned(),
            batch: "id".to_owned(),
            held: 2,
            ..Accepted::default()
        }),
    );
    run.saw(10, arrived("a"));
    run.saw(20, arrived("b"));
    run.saw(
        30,
        Fact::Followed(Followed {
            reader: 1,
            batch: "id".to_owned(),
            after: 0,
        }),
    );
    run.saw(30, told(1, &[0, 1]));
    run.saw(30, told(2, &[]));
    run.saw(40, read());
    run
}

fn arrived(tag: &str) -> Fact {
    Fact::Arrived(Arrived {
        target: "target".to_owned(),
        tag: tag.to_owned(),
        acted: true,
        ..Arrived::default()
    })
}

fn told(sequence: u64, succeeded: &[u32]) -> Fact {
    let outcomes = succeeded.iter().map(|index| Outcome {
        index: *index,
        ended: Ended::Succeeded,
        replayed: false,
    });
    Fact::Told(Told {
        reader: 1,
        tenant: "ada".to_owned(),
        batch: "id".to_owned(),
        sequence,
        outcomes: outcomes.collect(),
        finished: succeeded.is_empty(),
        ..Told::default()
    })
}

fn read() -> Fact {
    Fact::Read(Read {
        tenant: "ada".to_owned(),
        batch: "id".to_owned(),
        found: true,
        name: "batch".to_owned(),
        sealed: true,
        finished: true,
        last_sequence: 2,
        counts: Counts {
            total: 2,
            succeeded: 2,
            ..Counts::default()
        },
        at_the_end: true,
    })
}

/// The invariants that a run breaks.
fn broken(run: &Run) -> Vec<u8> {
    let mut broken: Vec<u8> = check(run).iter().map(|found| found.invariant).collect();
    broken.dedup();
    broken
}

/// The good run with one of its facts changed.
fn but(place: usize, change: impl FnOnce(&mut Fact)) -> Vec<u8> {
    let mut run = good();
    change(&mut run.facts[place].what);
    broken(&run)
}

/// The good run, and one fact more, before its last.
fn and(at: u64, fact: Fact) -> Vec<u8> {
    let mut run = good();
    let last = run.facts.pop();
    run.saw(at, fact);
    run.facts.extend(last);
    broken(&run)
}

#[test]
fn a_run_without_leases_and_keys_can_be_checked() {
    assert!(broken(&good()).is_empty());
    let late = |fact: &mut Fact| *fact = arrived("b");
    assert_eq!(but(2, late), [3, 5], "b twice, a never");
    assert_eq!(and(50, arrived("a")), [3, 16], "a again, after b");
    assert_eq!(and(21, arrived("c")), [4, 7], "c, which nobody submitted");
    assert_eq!(and(35, Fact::Stuck("ada".to_owned())), [12]);
    assert_eq!(and(35, Fact::Trouble("a panic".to_owned())), [0]);
}

#[test]
fn what_is_told_and_read_is_held_together() {
    let lost = |fact: &mut Fact| *fact = told(1, &[0]);
    assert_eq!(but(5, lost), [1, 8], "b has no outcome, and counts");
    let gap = |fact: &mut Fact| *fact = told(3, &[]);
    assert_eq!(but(6, gap), [2, 8], "an event that the log does not have");
    let short = |fact: &mut Fact| {
        let Fact::Read(read) = fact else { return };
        read.counts.total = 1;
        read.counts.succeeded = 1;
    };
    assert_eq!(but(7, short), [1, 8]);
    let strangers = |fact: &mut Fact| {
        let Fact::Told(told) = fact else { return };
        told.owners.push("bob".to_owned());
    };
    assert_eq!(but(5, strangers), [10]);
    let unended = |fact: &mut Fact| {
        let Fact::Read(read) = fact else { return };
        read.finished = false;
    };
    assert_eq!(but(7, unended), [12]);
}

#[test]
fn what_did_nothing_may_not_have_done_anything() {
    for (kind, lies) in [
        ("REJECTED", true),
        ("CANCELLED", true),
        ("UNREACHABLE", true),
        ("EXPIRED", true),
        ("UNAVAILABLE", false),
        ("IN_DOUBT", false),
    ] {
        let mut run = good();
        if let Fact::Told(told) = &mut run.facts[5].what {
            told.outcomes[0].ended = Ended::Failed(kind.to_owned());
        }
        if let Fact::Read(read) = &mut run.facts[7].what {
            read.counts.succeeded = 1;
            read.counts.failed.insert(kind.to_owned(), 1);
        }
        assert_eq!(broken(&run).contains(&5), lies, "{kind}");
    }
}
