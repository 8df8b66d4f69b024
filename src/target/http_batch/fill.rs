//! Puts the results of an answer to the items that they are about. Pure.

use serde_json::value::RawValue;

use super::entry::Reads;
use super::read::Came;
use crate::core::pointer::Listed;
use crate::model::{Cause, Form, Item, Reply};
use crate::target::bulk::rolled_back;

/// What an answer has that it should not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Oddities {
    /// Results of items that were not sent.
    pub invented: usize,
    /// Results that say other things of an item than an earlier one.
    pub contradictory: usize,
    /// Items without a result.
    pub missing: usize,
}

/// What was found of each item, and what else.
pub(super) struct Found {
    pub replies: Vec<Option<Reply>>,
    pub oddities: Oddities,
}

/// Why there is nothing to be found.
pub(super) struct Unreadable(pub String);

/// What is found of each item, while it is being found.
pub(super) struct Filling<'a> {
    came: &'a Came<'a>,
    reads: &'a Reads,
    pub found: Found,
}

impl<'a> Filling<'a> {
    pub(super) fn new(came: &'a Came<'a>, reads: &'a Reads) -> Filling<'a> {
        Filling {
            came,
            reads,
            found: Found {
                replies: came.items.iter().map(|_| None).collect(),
                oddities: Oddities::default(),
            },
        }
    }

    /// Results that say whose they are.
    pub(super) fn fill(
        &mut self,
        listed: &Listed<'_>,
        is_failure: bool,
        whose: impl Fn(&RawValue) -> Option<usize>,
    ) {
        for entry in &listed.elements {
            match whose(entry).filter(|place| *place < self.came.items.len()) {
                Some(place) => self.put(place, entry, is_failure),
                None => self.found.oddities.invented += 1,
            }
        }
    }

    /// Results in the order of the items. With one more or less, it cannot be
    /// known whose any of them is; nor where the end was cut off, and nobody can
    /// count them.
    pub(super) fn by_place(
        &mut self,
        listed: &Listed<'_>,
        is_failure: bool,
    ) -> Result<(), Unreadable> {
        let (got, asked) = (listed.elements.len(), self.came.items.len());
        if !listed.is_whole {
            return Err(Unreadable(
                "was cut off: whose results they are cannot be known".to_owned(),
            ));
        }
        if got != asked {
            return Err(Unreadable(format!(
                "has {got} results for {asked} items: whose they are cannot be known"
            )));
        }
        for (place, entry) in listed.elements.iter().enumerate() {
            self.put(place, entry, is_failure);
        }
        Ok(())
    }

    fn put(&mut self, place: usize, entry: &RawValue, is_failure: bool) {
        let form = form(&self.came.items[place..]);
        let said = self.reads.reply(self.came, entry, is_failure, form);
        let Some(said) = said else { return };
        let known = &mut self.found.replies[place];
        match known {
            None => *known = Some(said),
            Some(first) if class(first) == class(&said) => {}
            Some(_) => {
                self.found.oddities.contradictory += 1;
                *known = Some(Reply::Unknown(Box::new(Cause {
                    reason: "CONTRADICTORY_ENTRIES".to_owned(),
                    message: "the target said of this item both that and that not".to_owned(),
                    ..Cause::default()
                })));
            }
        }
    }
}

/// All of a request are done or none, and one is not.
pub(super) fn roll_back(replies: &mut [Option<Reply>]) {
    let is_undone = |reply: &Option<Reply>| matches!(reply, Some(Reply::Refused(cause)) if status_of(cause) != 424);
    if !replies.iter().any(is_undone) {
        return;
    }
    for reply in replies {
        let cause = match reply {
            // Another one failed, it says.
            Some(Reply::Refused(cause)) if status_of(cause) == 424 => cause.clone(),
            None => {
                *reply = Some(rolled_back());
                continue;
            }
            Some(_) => continue,
        };
        *reply = Some(Reply::RolledBack(cause));
    }
}

fn status_of(cause: &Cause) -> u16 {
    cause.answer.as_ref().map_or(0, |answer| answer.status)
}

/// What a reply comes to.
fn class(reply: &Reply) -> std::mem::Discriminant<Reply> {
    std::mem::discriminant(reply)
}

/// How the first of some items was written: replies to all are like that.
pub(super) fn form(items: &[Item]) -> Option<Form> {
    let payload = items.first()?.payload.as_ref()?;
    Some(payload.form)
}
