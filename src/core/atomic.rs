//! What becomes of items that stand or fall together.

use crate::model::{Cause, Reply};

/// What a target's replies come to for items of which all are done, or none is:
/// as if it had said the same of all. `None` where nothing was said of an item,
/// which then is unknown.
pub fn together(replies: Vec<Option<Reply>>) -> Vec<Reply> {
    let replies: Vec<Reply> = replies
        .into_iter()
        .map(|reply| reply.unwrap_or_else(|| Reply::Unknown(no_reply())))
        .collect();
    let done = replies.iter().filter(|reply| matches!(reply, Reply::Ok(_)));
    let done = done.count();
    if done == replies.len() {
        return replies;
    }
    if done > 0 {
        let contradiction = Reply::Unknown(Box::new(Cause {
            reason: "CONTRADICTION".to_owned(),
            message: "the target says that it did some of the items and not others, although \
                      they stand or fall together; look at it before sending them again"
                .to_owned(),
            ..Cause::default()
        }));
        return vec![contradiction; replies.len()];
    }
    // Nothing was done if something was refused, or has been undone.
    if replies.iter().any(is_refused) {
        let culprit = replies.iter().position(is_refused).unwrap_or_default();
        let others = |reply| match reply {
            Reply::Refused(_) | Reply::RolledBack(_) => reply,
            _ => Reply::RolledBack(rolled_back(culprit)),
        };
        return replies.into_iter().map(others).collect();
    }
    let worst = replies.iter().max_by_key(|reply| doubt(reply)).cloned();
    let count = replies.len();
    worst.map_or_else(Vec::new, |worst| vec![worst; count])
}

fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(_) | Reply::RolledBack(_))
}

/// How little is known.
fn doubt(reply: &Reply) -> u8 {
    match reply {
        Reply::Ok(_) | Reply::Refused(_) | Reply::RolledBack(_) => 0,
        Reply::Unsent(_) => 1,
        Reply::Busy(_) => 2,
        Reply::Fault(_) => 3,
        Reply::Unknown(_) => 4,
    }
}

fn no_reply() -> Box<Cause> {
    Box::new(Cause {
        reason: "NO_REPLY".to_owned(),
        message: "it was sent, and nothing was heard of it".to_owned(),
        ..Cause::default()
    })
}

/// Why an item is not done because of another, by its place.
fn rolled_back(culprit: usize) -> Box<Cause> {
    Box::new(Cause {
        reason: "ROLLED_BACK".to_owned(),
        message: format!(
            "the batch is all-or-nothing, and its item {culprit} was refused; nothing was done"
        ),
        ..Cause::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Answer;

    fn reply(word: &str) -> Option<Reply> {
        let cause = Box::<Cause>::default();
        Some(match word {
            "ok" => Reply::Ok(Answer::default()),
            "refused" => Reply::Refused(cause),
            "undone" => Reply::RolledBack(cause),
            "busy" => Reply::Busy(cause),
            "fault" => Reply::Fault(cause),
            "unsent" => Reply::Unsent(cause),
            "unknown" => Reply::Unknown(cause),
            _ => return None,
        })
    }

    fn word(reply: &Reply) -> &'static str {
        match reply {
            Reply::Ok(_) => "ok",
            Reply::Refused(_) => "refused",
            Reply::RolledBack(_) => "undone",
            Reply::Busy(_) => "busy",
            Reply::Fault(_) => "fault",
            Reply::Unsent(_) => "unsent",
            Reply::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn all_come_to_the_same() {
        for (said, come_to) in [
            ("ok ok ok", "ok ok ok"),
            ("undone refused undone", "undone refused undone"),
            ("busy refused none", "undone refused undone"),
            ("undone undone undone", "undone undone undone"),
            ("ok refused ok", "unknown unknown unknown"),
            ("ok none ok", "unknown unknown unknown"),
            ("busy busy busy", "busy busy busy"),
            ("unsent busy unsent", "busy busy busy"),
            ("unsent fault busy", "fault fault fault"),
            ("unsent none unsent", "unknown unknown unknown"),
            ("none none", "unknown unknown"),
        ] {
            let replies = together(said.split(' ').map(reply).collect());
            let words: Vec<&str> = replies.iter().map(word).collect();
            assert_eq!(words.join(" "), come_to, "{said}");
        }
    }
}
