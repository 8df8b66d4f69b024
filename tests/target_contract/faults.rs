//! Every kind of target through every fault of a connection: each item has
//! exactly one reply, and the reply claims nothing that the upstream's ledger
//! does not bear out.
//!
//! Where to break is measured: a healthy run tells how many bytes go each way,
//! and the faults are spread over them; in a long run, over every single one.

use std::time::Duration;

use flowgate::model::Reply;

use crate::kinds::{self, Kind};
use crate::support::fault_proxy::{Carried, Fault, FaultProxy, Then, Way};
use crate::support::patience::{is_long, within};
use crate::world::*;

/// Items of a chunk.
const ITEMS: u32 = 3;

#[tokio::test]
async fn http_1() {
    withstands_every_fault(&*kinds::http1().await).await;
}

#[tokio::test]
async fn http_2() {
    withstands_every_fault(&*kinds::http2().await).await;
}

/// The whole table for one kind.
pub async fn withstands_every_fault(kind: &dyn Kind) {
    let healthy = cell(kind, Fault::None, LONG).await;
    assert!(healthy.request > 0 && healthy.reply > 0, "{healthy:?}");
    for (fault, timeout) in table(healthy) {
        cell(kind, fault, timeout).await;
    }
    goes_to_no_forbidden_address(kind).await;
}

/// Where clouds keep their metadata is no place for a target, whatever the kind,
/// unless its operator says so.
async fn goes_to_no_forbidden_address(kind: &dyn Kind) {
    for address in ["169.254.1.1:80", "[::ffff:169.254.1.1]:80", "0.0.0.0:80"] {
        let what = format!("{} to {address}", kind.name());
        let target = kind.target(address.parse().expect("an address"), LONG);
        let fates = start(&target, kind.items(ITEMS), 1).finish();
        for fate in within(&what, fates).await {
            let reply = fate.reply.unwrap_or_else(|| panic!("{what}"));
            assert!(is(&reply, "unsent", "ADDRESS_REFUSED"), "{what}: {reply:?}");
            assert!(!fate.written, "{what}");
        }
    }
}

/// Every fault, and the time-out to meet it with.
fn table(healthy: Carried) -> Vec<(Fault, Duration)> {
    let mut faults = vec![(Fault::Refuse, LONG), (Fault::Trickle, LONG)];
    let places = if is_long() { usize::MAX } else { 24 };
    for at in spread(healthy.request, places) {
        for then in [Then::Close, Then::Reset] {
            faults.push((Fault::At(Way::Request, at, then), LONG));
        }
    }
    for at in spread(healthy.reply - 1, places) {
        for then in [Then::Close, Then::Reset, Then::Garbage] {
            faults.push((Fault::At(Way::Reply, at, then), LONG));
        }
    }
    // Those that take a time-out each.
    let places = if is_long() { 24 } else { 3 };
    for at in spread(healthy.request, places) {
        faults.push((Fault::At(Way::Request, at, Then::Stall), SHORT));
    }
    for at in spread(healthy.reply - 1, places) {
        for then in [Then::Stall, Then::Endless] {
            faults.push((Fault::At(Way::Reply, at, then), SHORT));
        }
    }
    faults
}

/// Up to so many numbers from 0 to `last`, both among them.
fn spread(last: u64, most: usize) -> Vec<u64> {
    let steps = last.min(most as u64 - 1);
    (0..=steps).map(|step| step * last / steps).collect()
}

/// One chunk through one fault.
async fn cell(kind: &dyn Kind, fault: Fault, timeout: Duration) -> Carried {
    let what = format!("{} through {fault:?}", kind.name());
    let proxy = FaultProxy::start(kind.upstream(), fault).await;
    let target = kind.target(proxy.address(), timeout);
    let fates = start(&target, kind.items(ITEMS), 1).finish();
    let fates = within(&what, fates).await;
    drop(target);
    let carried = within(&format!("the end of {what}"), proxy.settled()).await;
    let done = kind.done(ITEMS).await;
    let cell = Cell {
        kind,
        fault,
        fates,
        done,
    };
    cell.each_reply_is_true();
    cell.the_rest_goes_on();
    let most = kind.patience_bytes();
    assert!(carried.garbage <= most, "{what}: it read {carried:?}");
    carried
}

/// What became of a chunk.
struct Cell<'a> {
    kind: &'a dyn Kind,
    fault: Fault,
    fates: Vec<Fate>,
    /// How often the upstream did each item.
    done: Vec<usize>,
}

impl Cell<'_> {
    /// Each item has a reply, which says no more than what the ledger has.
    fn each_reply_is_true(&self) {
        for (index, (fate, done)) in self.fates.iter().zip(&self.done).enumerate() {
            let what = format!("{}, item {index}", self.told());
            let reply = fate.reply.as_ref().unwrap_or_else(|| panic!("{what}"));
            assert!(*done <= 1, "done twice: {what}");
            let is_true = match reply {
                Reply::Ok(_) => *done == 1 && fate.written,
                // Whether it was done or not is not said.
                Reply::Fault(_) | Reply::Unknown(_) => fate.written,
                Reply::Unsent(_) => *done == 0,
                // The upstream never says this.
                Reply::Refused(_) | Reply::RolledBack(_) | Reply::Busy(_) => false,
            };
            assert!(is_true, "{what}");
        }
    }

    /// A fault takes no more with it than it has to.
    fn the_rest_goes_on(&self) {
        let is_ok = |fate: &&Fate| matches!(fate.reply, Some(Reply::Ok(_)));
        let ok = self.fates.iter().filter(is_ok).count();
        let least = match self.fault {
            Fault::None | Fault::Trickle => self.fates.len(),
            Fault::Refuse => {
                let unsent = |fate: &Fate| matches!(fate.reply, Some(Reply::Unsent(_)));
                assert!(self.fates.iter().all(unsent), "{}", self.told());
                0
            }
            // The time-out is for the fault, and may be too short for the rest
            // on a busy machine.
            Fault::At(_, _, Then::Stall | Then::Endless) => 0,
            Fault::At(..) => self.fates.len().saturating_sub(self.kind.at_risk()),
        };
        assert!(ok >= least, "{}", self.told());
    }

    fn told(&self) -> String {
        let (name, fault) = (self.kind.name(), self.fault);
        let replies = self.fates.iter().map(|fate| fate.reply.as_ref().map(own));
        let replies: Vec<_> = replies.collect();
        format!(
            "{name} through {fault:?}: {replies:?}, done {:?}",
            self.done
        )
    }
}
