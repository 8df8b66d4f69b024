//! Lanes over a store that cannot do what they ask for, under paused time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flowgate::model::{Batch, BatchState};
use flowgate::store::Change;
use tokio::time::{sleep, timeout};

use super::faulty::{Faults, FaultyStore};
use super::world::{TargetSpec, World, results};

/// No batch of these tests takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(30);

fn world(faults: Faults) -> (Arc<FaultyStore>, World) {
    let store = Arc::new(FaultyStore::default());
    *store.faults.lock().unwrap() = faults;
    let guests = TargetSpec {
        chunk_items: 2,
        ..TargetSpec::named("guests")
    };
    let world = World::on(store.clone(), &["100/s"], vec![guests]);
    (store, world)
}

async fn finishes(world: &World, batch: &Batch) {
    let events = timeout(LONG, world.events(batch)).await;
    let events = events.expect("it goes on");
    let total = world.read(batch).await.progress.counts.total;
    assert_eq!(results(&events).len(), total as usize);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_cannot_lease_waits_and_goes_on() {
    let (store, world) = world(Faults {
        leases: 20,
        ..Faults::default()
    });
    let batch = world.submit("guests", 10).await;
    sleep(Duration::from_secs(20)).await;
    let asked = store.leases.load(Ordering::Relaxed);
    assert!((8..=20).contains(&asked), "it asked {asked} times");
    finishes(&world, &batch).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_batch_holds_up_neither_its_lane_nor_the_store() {
    let (store, world) = world(Faults::default());
    // Nothing is leased before all three are there.
    let paused = world.submit("guests", 1).await;
    store.faults.lock().unwrap().leases = 1;
    let broken = world.submit("guests", 20).await;
    store.faults.lock().unwrap().broken = Some(broken.no);
    let others = [
        world.submit("guests", 20).await,
        world.submit("guests", 20).await,
    ];
    finishes(&world, &paused).await;
    for batch in &others {
        finishes(&world, batch).await;
    }
    let before = store.leases.load(Ordering::Relaxed);
    sleep(Duration::from_mins(10)).await;
    let asked = store.leases.load(Ordering::Relaxed) - before;
    assert!((5..=20).contains(&asked), "it asked {asked} times");
    assert_eq!(world.sent().len(), 41, "nothing of the broken one");

    // Somebody mends it.
    store.faults.lock().unwrap().broken = None;
    sleep(Duration::from_mins(1)).await;
    finishes(&world, &broken).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_cannot_be_recorded_ends_no_lane() {
    let (_store, world) = world(Faults {
        settles: 1,
        ..Faults::default()
    });
    let first = world.submit("guests", 2).await;
    world.has_sent(2).await;
    let other = world.submit("guests", 20).await;
    finishes(&world, &other).await;
    let first = world.read(&first).await;
    assert_eq!(first.progress.counts.in_flight, 2);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_finds_no_room_goes_on_when_there_is() {
    let (_store, world) = world(Faults {
        sweeps: 7,
        ..Faults::default()
    });
    let batch = world.submit("guests", 200).await;
    world.has_sent(10).await;
    world.change(&batch, Change::Cancel).await;
    finishes(&world, &batch).await;
    assert_eq!(world.read(&batch).await.state, BatchState::Cancelled);
    world.stop().await;
}
