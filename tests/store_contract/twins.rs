//! Both stores, driven with the same random verbs, give the same answers and
//! hold the same things.

use std::fmt::Write as _;
use std::sync::Arc;

use flowgate::model::{Atomicity, BatchNo, BatchSpec, Cost, FailureKind, Ordering, Rate, TenantId};
use flowgate::store::{
    Again, Append, Change, Into, Lease, Leased, ListQuery, MemoryStore, Picks, Prune, SafeToRepeat,
    Seal, Settle, SqliteStore, Store, TargetPause,
};
use proptest::prelude::*;

use super::build::*;

/// A verb, in small numbers: which batch or lease is meant is decided when it
/// is run, by what there is.
#[derive(Clone, Debug)]
enum Verb {
    Open {
        sizes: Vec<u32>,
        bad: u32,
        seal: bool,
        request: Option<u8>,
    },
    Append {
        batch: usize,
        sizes: Vec<u32>,
        bad: u32,
        seal: Option<Seal>,
        off: bool,
    },
    Lease {
        batches: Vec<usize>,
    },
    Settle {
        lease: usize,
        fates: Vec<u8>,
        release: Option<i64>,
        stale: bool,
    },
    Change {
        batch: usize,
        change: Change,
    },
    Prune {
        keep: i64,
        max: usize,
    },
    Pause {
        on: bool,
    },
    Sweep {
        batch: usize,
        max: usize,
    },
    Rescue {
        safe: u32,
    },
}

fn seal() -> impl Strategy<Value = Seal> {
    prop_oneof![Just(Seal::Unchecked), (0_u32..20).prop_map(Seal::At)]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        Just(Change::Cancel),
        Just(Change::Pause),
        Just(Change::Resume),
        Just(Change::Resume),
        Just(Change::Expire),
        Just(Change::Abandon),
        (0_i64..100).prop_map(|later| Change::KeepOpen {
            until_ms: START + later
        }),
    ]
}

fn verb() -> impl Strategy<Value = Verb> {
    let sizes = || prop::collection::vec(1_u32..6, 0..4);
    let batch = || 0_usize..4;
    prop_oneof![
        1 => (sizes(), 0_u32..40, any::<bool>(), prop::option::of(0_u8..3)).prop_map(
            |(sizes, bad, seal, request)| Verb::Open { sizes, bad, seal, request }
        ),
        2 => (batch(), sizes(), 0_u32..40, prop::option::of(seal()),
            prop::bool::weighted(0.1)).prop_map(
            |(batch, sizes, bad, seal, off)| Verb::Append { batch, sizes, bad, seal, off }
        ),
        5 => prop::collection::vec(batch(), 1..4).prop_map(|batches| Verb::Lease { batches }),
        8 => (0_usize..8, prop::collection::vec(0_u8..12, 0..6), prop::option::of(0_i64..40),
            prop::bool::weighted(0.1)).prop_map(
            |(lease, fates, release, stale)| Verb::Settle { lease, fates, release, stale }
        ),
        3 => (batch(), change()).prop_map(|(batch, change)| Verb::Change { batch, change }),
        1 => (20_i64..200, 1_usize..9).prop_map(|(keep, max)| Verb::Prune { keep, max }),
        1 => any::<bool>().prop_map(|on| Verb::Pause { on }),
        1 => (batch(), 0_usize..3).prop_map(|(batch, max)| Verb::Sweep { batch, max }),
        1 => (0_u32..4).prop_map(|safe| Verb::Rescue { safe }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_answer_alike(verbs in prop::collection::vec(verb(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(verbs));
    }
}

async fn run(verbs: Vec<Verb>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut twins = Twins {
        memory: MemoryStore::new(),
        sqlite: SqliteStore::open(&path).unwrap(),
        batches: Vec::new(),
        leases: Vec::new(),
        now_ms: START,
    };
    for verb in verbs {
        twins.now_ms += 7;
        twins.step(verb).await;
    }
    let seen = twins.compare().await;
    // And again, from what is in the file.
    twins.sqlite.close();
    twins.sqlite = SqliteStore::open(&path).unwrap();
    assert_eq!(twins.compare().await, seen);
}

struct Twins {
    memory: MemoryStore,
    sqlite: SqliteStore,
    batches: Vec<BatchNo>,
    leases: Vec<Leased>,
    now_ms: i64,
}

/// Asks both, and fails unless they answer alike.
macro_rules! both {
    ($self:ident.$verb:ident($($argument:expr),*)) => {{
        let memory = $self.memory.$verb($($argument.clone()),*).await;
        let sqlite = $self.sqlite.$verb($($argument.clone()),*).await;
        assert_eq!(format!("{memory:?}"), format!("{sqlite:?}"));
        memory
    }};
}

impl Twins {
    async fn step(&mut self, verb: Verb) {
        match verb {
            Verb::Open {
                sizes,
                bad,
                seal,
                request,
            } => {
                let mut new = new(self.batches.len() as u128);
                if self.batches.len() % 2 == 1 {
                    new.tenant = TenantId::new("other");
                }
                new.spec.request_id = request.map(|number| number.to_string());
                vary(&mut new.spec, self.batches.len(), self.now_ms);
                let chunks = some_bad(0, &sizes, bad);
                self.append(Into::New(new), chunks, seal.then_some(Seal::Unchecked))
                    .await;
            }
            Verb::Append {
                batch,
                sizes,
                bad,
                seal,
                off,
            } => {
                let Some((no, held)) = self.held(batch).await else {
                    return;
                };
                let chunks = some_bad(held + u32::from(off), &sizes, bad);
                let into = Into::Open { no, held };
                self.append(into, chunks, seal).await;
            }
            Verb::Lease { batches } => self.lease(batches).await,
            Verb::Settle {
                lease,
                fates,
                release,
                stale,
            } => {
                if self.leases.is_empty() {
                    return;
                }
                let place = lease % self.leases.len();
                let part = self.fated(&self.leases[place], &fates, release, stale);
                // It stays in the list: later settles of it are stale or wrong.
                let _ = both!(self.settle(part));
            }
            Verb::Change { batch, change } => {
                let Some(no) = self.batch(batch) else { return };
                both!(self.transition(no, change, self.now_ms)).unwrap();
            }
            Verb::Prune { keep, max } => {
                let before = self.now_ms - keep;
                let prune = Prune {
                    batches_before_ms: before,
                    keys_before_ms: before,
                    charges_before_ms: before,
                    max,
                };
                // How much is done at once is each store's own affair.
                while self.memory.prune(prune).await.unwrap() {}
                while self.sqlite.prune(prune).await.unwrap() {}
            }
            Verb::Pause { on } => {
                let held = flowgate::model::Held {
                    since_ms: self.now_ms,
                    reason: "stock-taking".to_owned(),
                };
                let pause = TargetPause {
                    target: target(),
                    held,
                };
                match on {
                    true => both!(self.pause(pause)).unwrap(),
                    false => both!(self.unpause(target())).unwrap(),
                };
                both!(self.pauses()).unwrap();
            }
            Verb::Sweep { batch, max } => {
                let Some(no) = self.batch(batch) else { return };
                both!(self.sweep(no, max, self.now_ms)).unwrap();
            }
            Verb::Rescue { safe } => {
                let safe: SafeToRepeat =
                    Arc::new(move |_: &_, item: &flowgate::model::Item, _| item.index % 4 < safe);
                both!(self.rescue(safe, self.now_ms)).unwrap();
            }
        }
        self.add_up().await;
    }

    async fn append(
        &mut self,
        into: Into,
        chunks: Vec<flowgate::store::NewChunk>,
        seal: Option<Seal>,
    ) {
        let part = Append {
            chunks,
            seal,
            keys_since_ms: self.now_ms - 100,
            open_until_ms: self.now_ms + 60,
            all_valid: self.now_ms % 5 == 0,
            takes_over: self.now_ms % 11 == 0,
            ..Append::new(into, self.now_ms)
        };
        let is_new = matches!(part.into, Into::New(_));
        let answer = both!(self.append(part));
        if let (true, Ok(flowgate::store::Appended::Held(batch))) = (is_new, answer) {
            self.batches.push(batch.no);
        }
    }

    async fn lease(&mut self, batches: Vec<usize>) {
        let picks: Vec<_> = batches
            .iter()
            .filter_map(|batch| self.batch(*batch))
            .collect();
        let rate = Rate {
            cost: Cost {
                base: u32::from(self.now_ms % 2 == 1),
                per_item: 1,
            },
            request_items: 2,
        };
        let charged = match self.now_ms % 3 > 0 {
            true => vec![rate; picks.len()],
            false => Vec::new(),
        };
        let picks = Picks {
            batches: picks,
            charged,
        };
        for lease in both!(self.lease(picks, self.now_ms)).unwrap() {
            if let Lease::Chunk(leased) = lease {
                self.leases.push(*leased);
            }
        }
    }

    /// A settle with a fate for each of the first items of a lease.
    fn fated(&self, leased: &Leased, fates: &[u8], release: Option<i64>, stale: bool) -> Settle {
        let mut part = Settle {
            release: release.map(|later| self.now_ms + later),
            epoch: leased.epoch + u32::from(stale),
            ..part(leased, self.now_ms)
        };
        for ((at, item), fate) in leased.items.iter().zip(fates) {
            match fate {
                0..=5 => part.results.push((*at, succeeded(item.index))),
                6 => part
                    .results
                    .push((*at, failed(item.index, FailureKind::Rejected))),
                7 => part
                    .results
                    .push((*at, failed(item.index, FailureKind::InDoubt))),
                8 => part
                    .again
                    .push(again(leased, &[*at], false, self.now_ms + 10)),
                9 => part
                    .again
                    .push(again(leased, &[*at], true, self.now_ms + 20)),
                10 => part.again.push(Again {
                    faulted: true,
                    ..again(leased, &[*at], false, self.now_ms + 5)
                }),
                _ => continue,
            }
            part.sent += 1;
        }
        part.keys = keys_of(leased, &part.results);
        part
    }

    fn batch(&self, number: usize) -> Option<BatchNo> {
        let place = number.checked_rem(self.batches.len())?;
        Some(self.batches[place])
    }

    async fn held(&self, number: usize) -> Option<(BatchNo, u32)> {
        let no = self.batch(number)?;
        let held = self.memory.items(no, 0, u32::MAX).await.unwrap().len();
        Some((no, u32::try_from(held).unwrap()))
    }

    /// What the batches say of queued items is what the backlog says.
    async fn add_up(&self) {
        let backlog = self.memory.backlog(target()).await.unwrap();
        let mut queued = 0;
        for name in ["default", "other"] {
            for batch in self.memory.list(all_of(name)).await.unwrap() {
                queued += u64::from(batch.progress.counts.queued());
            }
        }
        assert_eq!(backlog.items, queued);
    }

    /// Everything there is to read, the same in both.
    async fn compare(&self) -> String {
        let mut seen = format!("{:?}", both!(self.backlog(target())).unwrap());
        write!(seen, "{:?}", both!(self.spent(target(), 0)).unwrap()).unwrap();
        write!(seen, "{:?}", both!(self.due(i64::MAX, 100)).unwrap()).unwrap();
        write!(seen, "{:?}", both!(self.pauses()).unwrap()).unwrap();
        for name in ["default", "other"] {
            for batch in both!(self.list(all_of(name))).unwrap() {
                both!(self.batch(batch.tenant, batch.id)).unwrap();
                let items = both!(self.items(batch.no, 0, u32::MAX)).unwrap();
                let events = both!(self.events(batch.no, 0, usize::MAX)).unwrap().events;
                // One outcome for each item that is counted as completed.
                let told = results(&self.memory, batch.no).await;
                assert_eq!(told.len(), batch.progress.counts.completed() as usize);
                assert_eq!(items.len(), batch.progress.counts.total as usize);
                write!(seen, "{batch:?} {events:?}").unwrap();
            }
        }
        seen
    }
}

fn all_of(tenant: &str) -> ListQuery {
    ListQuery {
        tenant: TenantId::new(tenant),
        target: None,
        states: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        before: None,
        max: 100,
    }
}

/// Gives batches all that can be asked for, in turns.
fn vary(spec: &mut BatchSpec, number: usize, now_ms: i64) {
    if number % 3 == 1 {
        spec.ordering = Ordering::Strict;
    }
    if number % 7 == 3 {
        spec.atomicity = Atomicity::AllOrNothing;
    }
    if number % 7 == 3 {
        spec.atomicity = Atomicity::AllOrNothing;
    }
    spec.deadline_ms = (number % 4 == 2).then_some(now_ms + 90);
    if number % 5 == 3 {
        spec.failure_policy.stop_after = 3;
    }
}

/// Chunks from an index, in which items whose bit is set in `bad` failed
/// admission.
fn some_bad(first: u32, sizes: &[u32], bad: u32) -> Vec<flowgate::store::NewChunk> {
    let mut next = first;
    let mut made = Vec::new();
    for size in sizes {
        let failing: Vec<_> = (next..next + size)
            .filter(|index| bad & (1 << (index % 6)) != 0)
            .collect();
        let keys = keyed(next, *size, |index| {
            (index % 3 == 0).then(|| format!("k{}", index % 7))
        });
        made.push(flowgate::store::NewChunk {
            items: keys.items,
            ..chunk_failing(next, *size, &failing)
        });
        next += size;
    }
    made
}
