//! Where an answer says what became of each item.

use super::Check;
use crate::config::key::KeyPath;
use crate::config::reference::JOINS;
use crate::config::{Join, Results, file};
use crate::core::pointer::Pointer;

impl Check<'_> {
    pub(super) fn results(&mut self, at: &KeyPath, given: &mut file::HttpBatch) -> Option<Results> {
        let mut pointer =
            |key: &str, given: &mut Option<String>| self.pointer(&at.key(key), given.take());
        let id = pointer("result_id", &mut given.result_id);
        let list = pointer("results", &mut given.results).unwrap_or_default();
        let failures = pointer("failures", &mut given.failures);
        let failure_index = pointer("failure_index", &mut given.failure_index);
        let status = pointer("result_status", &mut given.result_status);
        let error = pointer("result_error", &mut given.result_error);
        let code = pointer("result_code", &mut given.result_code);
        let message = pointer("result_message", &mut given.result_message);
        let field = pointer("result_field", &mut given.result_field);
        let body = pointer("result_body", &mut given.result_body).unwrap_or_default();
        let headers = pointer("result_headers", &mut given.result_headers);
        let sender_fault = pointer("result_sender_fault", &mut given.result_sender_fault);
        let refused_code = pointer("refused_code", &mut given.refused_code);
        let join = self.join(at, given.join.take(), id);
        for (needs, key, is_wrong) in [
            (
                "failures",
                "failure_index",
                failure_index.is_some() && failures.is_none(),
            ),
            (
                "result_status",
                "result_headers",
                headers.is_some() && status.is_none(),
            ),
        ] {
            if is_wrong {
                let message = format!("this is of no use without `{needs}`; write both");
                self.fault(&at.key(key), message);
            }
        }
        if status.is_some() && error.is_some() {
            self.fault(
                &at.key("result_error"),
                "where each result has a status, that decides; keep one of `result_error` and `result_status`",
            );
        }
        Some(Results {
            join: join?,
            list,
            failures,
            failure_index,
            status,
            // A code says by itself that something is wrong.
            code: code.or_else(|| error.clone()),
            error,
            message,
            field,
            body,
            headers,
            sender_fault,
            refused_code,
            busy_codes: given.busy_codes.take().unwrap_or_default(),
            fault_codes: given.fault_codes.take().unwrap_or_default(),
        })
    }

    /// Whose a result is.
    fn join(&mut self, at: &KeyPath, given: Option<String>, id: Option<Pointer>) -> Option<Join> {
        let at = at.key("join");
        let word = given.unwrap_or_else(|| JOINS[0].to_owned());
        Some(match (self.word(&at, &word, JOINS), id) {
            (0, _) => Join::Place,
            (1, Some(id)) => Join::Id(id),
            (1, None) => {
                let message =
                    "write where a result has the id of its item, e.g. `result_id = \"/id\"`";
                self.fault(&at, message);
                return None;
            }
            _ => Join::Whole,
        })
    }
}
