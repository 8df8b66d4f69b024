//! What went wrong with a call, as people want to read it.

use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A call that failed: the message, its reason, the fields at fault, and what
/// to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    message: String,
    reason: Option<String>,
    fields: Vec<(String, String)>,
    advice: Option<String>,
}

impl Problem {
    /// Nothing listens there.
    pub fn no_server(server: &str) -> Problem {
        Problem {
            message: format!("no Flowgate server at {server}"),
            reason: None,
            fields: Vec::new(),
            advice: Some(
                "start one with `flowgate serve --config flowgate.toml`, or try `flowgate demo`"
                    .to_owned(),
            ),
        }
    }

    /// There is no way to it, or it does not answer.
    pub fn unreachable(server: &str, cause: &str) -> Problem {
        Problem {
            message: format!("cannot reach {server}: {cause}"),
            reason: None,
            fields: Vec::new(),
            advice: Some("check the address (--server or FLOWGATE_SERVER)".to_owned()),
        }
    }

    /// What a status says.
    pub fn of(status: &Status) -> Problem {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let fields = details.bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations
                .iter()
                .map(|violation| (violation.field.clone(), violation.description.clone()))
                .collect()
        });
        let retry = details.retry_info().and_then(|info| info.retry_delay);
        let advice = reason
            .as_deref()
            .and_then(advice_on_reason)
            .map(ToOwned::to_owned)
            .or_else(|| retry.map(advice_to_wait))
            .or_else(|| advice_on_code(status.code()).map(ToOwned::to_owned));
        Problem {
            message: message_of(status, reason.is_some()),
            reason,
            fields,
            advice,
        }
    }

    /// The same, with other advice.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Problem {
        self.advice = Some(advice.into());
        self
    }
}

/// The server's own words; for a fault below it, what that means.
fn message_of(status: &Status, from_flowgate: bool) -> String {
    match status.code() {
        _ if from_flowgate => status.message().to_owned(),
        Code::Unimplemented => "the server does not know this call".to_owned(),
        Code::Unavailable | Code::Cancelled => "the connection to the server was lost".to_owned(),
        Code::DeadlineExceeded => "the server did not answer in time".to_owned(),
        code if status.message().is_empty() => code.description().to_owned(),
        _ => status.message().to_owned(),
    }
}

fn advice_on_reason(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "TARGET_NOT_FOUND" => "`flowgate targets` lists the targets there are",
        "BATCH_NOT_FOUND" => "`flowgate list` shows the batches there are",
        "INVALID_BATCH_ID" => "a batch id is the UUID that submit printed; `flowgate list` has it",
        "REQUEST_ID_REUSED" => "give another --request-id, or --new to submit it as a new batch",
        "BATCH_TOO_LARGE" => "split the file and submit the parts",
        "NOT_FINISHED" => "`flowgate watch` follows it to its end, `flowgate cancel` ends it",
        "NOTHING_TO_RETRY" => "`flowgate get` shows the kinds that there are: --kind KIND",
        "CURSOR_IN_FUTURE" => "leave out --cursor to see all of it",
        _ => return None,
    })
}

fn advice_to_wait(delay: Duration) -> String {
    format!("try again in {}", super::show::duration(delay))
}

fn advice_on_code(code: Code) -> Option<&'static str> {
    match code {
        Code::Unimplemented => Some("is this a Flowgate server, and of this version?"),
        Code::Unavailable | Code::ResourceExhausted => Some("try again in a moment"),
        _ => None,
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Problem {
        Problem::of(&status)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if let Some(reason) = &self.reason {
            write!(f, " ({reason})")?;
        }
        for (field, description) in &self.fields {
            write!(f, "\n  {field}: {description}")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "\n  {advice}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// Whether the same call may do better in a moment: the connection broke, or
/// the server said so itself.
pub fn is_passing(status: &Status) -> bool {
    let from_flowgate = status.get_details_error_info().is_some();
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted => true,
        // What tonic and proxies make of a connection that broke.
        Code::Unknown | Code::Internal | Code::Cancelled | Code::DeadlineExceeded => !from_flowgate,
        _ => false,
    }
}

/// What a status says for programs.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// How long the server asks to wait before the next try.
pub fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    #[test]
    fn a_refusal_is_shown_with_its_reason_its_fields_and_what_to_do() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("TARGET_NOT_FOUND", "flowgate", [])
            .add_bad_request_violation("spec.target", "no target is called `crn`");
        let status = Status::with_error_details(Code::NotFound, "no target `crn`", details);
        assert_eq!(
            Problem::of(&status).to_string(),
            "no target `crn` (TARGET_NOT_FOUND)\n  \
             spec.target: no target is called `crn`\n  \
             `flowgate targets` lists the targets there are"
        );
    }

    #[test]
    fn a_server_that_is_busy_says_when_to_try_again() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("OVERLOADED", "flowgate", [])
            .set_retry_info(Some(Duration::from_secs(3)));
        let status = Status::with_error_details(Code::ResourceExhausted, "too much", details);
        assert!(
            Problem::of(&status)
                .to_string()
                .ends_with("\n  try again in 3 s")
        );
        assert!(is_passing(&status));
        assert_eq!(retry_delay(&status), Some(Duration::from_secs(3)));
    }

    #[test]
    fn only_a_broken_connection_is_worth_another_try() {
        assert!(is_passing(&Status::unknown("h2 protocol error")));
        assert!(!is_passing(&Status::invalid_argument("no")));
        let mut details = ErrorDetails::new();
        details.set_error_info("STORE_FAILED", "flowgate", []);
        let own = Status::with_error_details(Code::Internal, "a fault", details);
        assert!(!is_passing(&own));
    }
}
