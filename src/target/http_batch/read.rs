//! Takes an answer apart. Pure: a head, a body and the items that were asked for
//! in; what was said of each out. Nothing is a success that was not said to be
//! one of that very item: what is missing, cut, contradictory or of another
//! number than was asked for is not known, and what is about nothing that was
//! asked for is counted and left out.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;

use super::entry::{self, Reads, Verdict};
use super::fill::{Filling, Found, Oddities, Unreadable, form, roll_back};
use crate::config::{HttpBatchConfig, Join, Results};
use crate::core::pointer::{Listed, Pointer};
use crate::model::{Answer, Cause, Form, Item, Reply};
use crate::target::Said;
use crate::target::http::answer::{Body, Reading};

/// Bytes of an answer that are given back where it is about all of its items:
/// each of them keeps them.
const SHARED: usize = 2048;

/// How one target's answers are taken apart.
pub(super) struct Reader {
    results: Results,
    reads: Reads,
    reading: Reading,
    refusal_does_nothing: bool,
}

/// What came back, and for what.
pub(super) struct Came<'a> {
    pub items: &'a [Item],
    /// All of them are done, or none is.
    pub is_atomic: bool,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub body: Body,
    /// The wall time.
    pub now_ms: i64,
}

/// What an answer says.
#[derive(Debug)]
pub(super) struct Read {
    pub said: Said,
    pub oddities: Oddities,
}

impl Reader {
    pub(super) fn new(config: &HttpBatchConfig, reading: Reading) -> Reader {
        Reader {
            results: config.results.clone(),
            reads: Reads::new(&config.results, config.http.reply_limit, reading),
            reading,
            refusal_does_nothing: config.refusal_does_nothing,
        }
    }

    /// What an answer says of each item.
    pub(super) fn read(&self, came: Came<'_>) -> Read {
        if came.status.is_success() {
            return self.success(&came);
        }
        match came.status.as_u16() {
            400 | 422 => self.refusal(came),
            _ => Read::of(self.whole(came)),
        }
    }

    fn success(&self, came: &Came<'_>) -> Read {
        if self.results.join == Join::Whole {
            let answer = self.shared(came);
            return Read::of(Said::All(Reply::Ok(answer)));
        }
        match self.find(came) {
            Ok(mut found) => {
                if came.is_atomic {
                    roll_back(&mut found.replies);
                }
                found.oddities.missing = found.replies.iter().filter(|r| r.is_none()).count();
                Read {
                    said: Said::Each(found.replies),
                    oddities: found.oddities,
                }
            }
            Err(Unreadable(why)) => {
                let message = format!("the target answered {}, and {why}", came.status.as_u16());
                Read::of(Said::All(Reply::Unknown(Box::new(Cause {
                    reason: "UNREADABLE_ANSWER".to_owned(),
                    message,
                    answer: Some(self.shared(came)),
                    ..Cause::default()
                }))))
            }
        }
    }

    /// A 400 or 422: of some items, or of the request as a whole.
    fn refusal(&self, came: Came<'_>) -> Read {
        let found = self.find(&came).ok();
        let details = found.filter(|found| found.replies.iter().any(Option::is_some));
        let Some(Found { replies, oddities }) = details else {
            return Read::of(self.whole(came));
        };
        let mut replies = replies;
        let only_refusals = replies
            .iter()
            .flatten()
            .all(|reply| matches!(reply, Reply::Refused(_)));
        let said = if !only_refusals {
            // It did some of them after all.
            if came.is_atomic {
                roll_back(&mut replies);
            }
            Said::Each(replies)
        } else if self.refusal_does_nothing {
            Said::Culprits(replies)
        } else {
            let rest = self.whole_cause(came);
            let or_rest =
                |reply: Option<Reply>| reply.or_else(|| Some(Reply::Refused(rest.clone())));
            Said::Each(replies.into_iter().map(or_rest).collect())
        };
        Read { said, oddities }
    }

    /// What an answer means that is about the request as a whole.
    fn whole(&self, came: Came<'_>) -> Said {
        let status = came.status.as_u16();
        let code = self.refused_code(&came);
        let is_one = came.items.len() == 1;
        let does_nothing = self.refusal_does_nothing;
        match self.whole_reply(came) {
            Reply::Refused(cause) => match (status, code) {
                (413, _) => Said::TooLarge(cause),
                (_, Some(Verdict::Busy)) => Said::All(Reply::Busy(cause)),
                (_, Some(Verdict::Fault)) => Said::All(Reply::Fault(cause)),
                (400 | 422, _) if does_nothing => Said::Refused(cause),
                _ => Said::All(Reply::Refused(refused_whole(cause, status, is_one))),
            },
            other => Said::All(other),
        }
    }

    fn whole_cause(&self, came: Came<'_>) -> Box<Cause> {
        let status = came.status.as_u16();
        match self.whole_reply(came) {
            Reply::Refused(cause) => refused_whole(cause, status, false),
            // It is called for a 400 or a 422 only.
            _ => Box::default(),
        }
    }

    fn whole_reply(&self, came: Came<'_>) -> Reply {
        let form = form(came.items);
        let (status, headers) = (came.status, came.headers);
        let reply = self
            .reading
            .reply(status, headers, came.body, form, came.now_ms);
        with_less(reply)
    }

    /// What a code of the whole request means, where the target says one.
    fn refused_code(&self, came: &Came<'_>) -> Option<Verdict> {
        let at = self.results.refused_code.as_ref()?;
        let body: &RawValue = serde_json::from_slice(&came.body.bytes).ok()?;
        let code = entry::text(at.find(body)?)?;
        // E.g. `com.amazonaws.sqs#RequestThrottled`.
        let name = code.rsplit('#').next().unwrap_or(&code);
        self.reads.verdict(name)
    }

    /// An answer that is about all items.
    fn shared(&self, came: &Came<'_>) -> Answer {
        let body = came.body.clone();
        let (status, headers) = (came.status, came.headers);
        let form = form(came.items);
        match with_less(self.reading.reply(status, headers, body, form, came.now_ms)) {
            Reply::Ok(answer) => answer,
            _ => Answer::default(),
        }
    }

    /// What an answer says of each item.
    fn find(&self, came: &Came<'_>) -> Result<Found, Unreadable> {
        let text = text(&came.body)?;
        let results = &self.results;
        let list = list_at(came, text, &results.list)?;
        let failures = match &results.failures {
            Some(at) => list_at(came, text, at)?,
            None => None,
        };
        if list.is_none() && failures.is_none() {
            let at = shown(&results.list);
            return Err(Unreadable(format!("has no list of results {at}")));
        }
        let mut filling = Filling::new(came, &self.reads);
        let ids = match &results.join {
            Join::Id(_) => came.items.iter().map(|item| item.index).zip(0..).collect(),
            Join::Place | Join::Whole => HashMap::new(),
        };
        // The failures first: where a target says both of an item, it has
        // contradicted itself, whichever comes first.
        for (listed, is_failure) in [(failures, true), (list, false)] {
            let Some(listed) = listed else { continue };
            let by_index = results.failure_index.as_ref().filter(|_| is_failure);
            match (by_index, &results.join) {
                (Some(at), _) => filling.fill(&listed, is_failure, |result| {
                    entry::number(at.find(result)?)
                }),
                (None, Join::Id(at)) => filling.fill(&listed, is_failure, |result| {
                    let id = entry::text(at.find(result)?)?;
                    // `007` is nobody's.
                    let index = id.parse::<u32>().ok().filter(|n| n.to_string() == id)?;
                    ids.get(&index).copied()
                }),
                (None, Join::Place | Join::Whole) => filling.by_place(&listed, is_failure)?,
            }
        }
        Ok(filling.found)
    }
}

impl Read {
    fn of(said: Said) -> Read {
        Read {
            said,
            oddities: Oddities::default(),
        }
    }
}

/// A list of an answer, where it has one.
fn list_at<'t>(
    came: &Came<'_>,
    text: &'t str,
    at: &Pointer,
) -> Result<Option<Listed<'t>>, Unreadable> {
    let listed = at.list(text);
    match &listed {
        // What was cut has its beginning; garbage has nothing that counts.
        Some(listed) if !listed.is_whole && !came.body.truncated => {
            Err(Unreadable("is not JSON".to_owned()))
        }
        _ => Ok(listed),
    }
}

fn text(body: &Body) -> Result<&str, Unreadable> {
    match std::str::from_utf8(&body.bytes) {
        Ok(text) => Ok(text),
        Err(wrong) if body.truncated && wrong.error_len().is_none() => {
            let whole = &body.bytes[..wrong.valid_up_to()];
            Ok(std::str::from_utf8(whole).unwrap_or_default())
        }
        Err(_) => Err(Unreadable("is not text".to_owned())),
    }
}

fn shown(at: &Pointer) -> String {
    match at.steps() {
        [] => "as its body".to_owned(),
        _ => format!("at `{at}`"),
    }
}

/// Each item keeps it: so it is not long.
fn with_less(mut reply: Reply) -> Reply {
    let answer = match &mut reply {
        Reply::Ok(answer) => Some(answer),
        Reply::Refused(cause)
        | Reply::RolledBack(cause)
        | Reply::Busy(cause)
        | Reply::Fault(cause)
        | Reply::Unsent(cause)
        | Reply::Unknown(cause) => cause.answer.as_mut(),
    };
    if let Some(answer) = answer
        && let Some(body) = &mut answer.body
        && body.body.len() > SHARED
    {
        body.body = Bytes::copy_from_slice(&body.body[..SHARED]);
        // What is cut is JSON no more.
        body.form = Form::Raw;
        answer.truncated = true;
    }
    reply
}

/// It is not said of an item that it is refused only because its request was.
fn refused_whole(mut cause: Box<Cause>, status: u16, is_one: bool) -> Box<Cause> {
    let why = std::mem::take(&mut cause.message);
    cause.message = match status {
        401 | 403 | 407 => {
            format!("the target refused the credentials of the request, whatever it carried: {why}")
        }
        _ if is_one => why,
        400 | 422 => format!("the target refused the whole request, and named no item: {why}"),
        _ => format!("the target refused the whole request: {why}"),
    };
    if !is_one {
        // They are not of this item.
        cause.violations.clear();
    }
    cause
}

#[cfg(test)]
mod tests;
