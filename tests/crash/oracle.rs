//! What has to come of each item, crash or no crash.

use std::collections::BTreeMap;

use crate::checker::{Ended, Fact, Run, check};
use crate::work::{Ask, SAFE, Work};

/// What comes of an item without a crash.
fn undisturbed(work: &Work, ask: Ask) -> &'static str {
    match (ask, work.target == SAFE) {
        (Ask::FaultOnce, _) if work.terms.again => "SUCCEEDED",
        (Ask::Refuse, _) => "REJECTED",
        (Ask::Fault, _) | (Ask::FaultOnce | Ask::FaultDone, false) => "UNAVAILABLE",
        (Ask::Lost | Ask::TornSilent | Ask::TornReset | Ask::TornHead, false) => "IN_DOUBT",
        _ => "SUCCEEDED",
    }
}

/// Checks a run that has come to its end. After a crash, an item that is not
/// safe to repeat may be in doubt; any other ends as it would have without.
pub fn check_all(run: &Run, work: &[Work], crashed: bool) {
    let broken = check(run);
    let broken: Vec<String> = broken.iter().map(ToString::to_string).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    let outcomes = outcomes(run);
    for batch in work {
        for (index, piece) in (0..).zip(&batch.pieces) {
            let tag = &piece.tag;
            let ended = outcomes.get(&(batch.name.clone(), index));
            // One that was cancelled may not have had it.
            if ended.is_none() && batch.also.contains(&"CANCELLED") {
                continue;
            }
            let ended = ended.unwrap_or_else(|| panic!("{tag} has no outcome"));
            let ended = match ended {
                Ended::Succeeded => "SUCCEEDED",
                Ended::Failed(kind) => kind,
            };
            let expected = undisturbed(batch, piece.ask);
            let doubtful = crashed && batch.target != SAFE && ended == "IN_DOUBT";
            assert!(
                ended == expected || doubtful || batch.also.contains(&ended),
                "{tag}, which asked for {:?}, ended as {ended}, not as {expected}",
                piece.ask
            );
        }
    }
}

/// By the batch's name and the item's index.
pub fn outcomes(run: &Run) -> BTreeMap<(String, u32), Ended> {
    let mut names = BTreeMap::new();
    let mut outcomes = BTreeMap::new();
    for seen in &run.facts {
        match &seen.what {
            Fact::Accepted(accepted) => {
                names.insert(&accepted.batch, &accepted.name);
            }
            Fact::Told(told) => {
                for outcome in &told.outcomes {
                    let name = names[&told.batch].clone();
                    outcomes.insert((name, outcome.index), outcome.ended.clone());
                }
            }
            _ => {}
        }
    }
    outcomes
}
