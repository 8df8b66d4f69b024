//! The guest API's register: which records it takes, and what it says of the
//! others. No I/O and no clock.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// The guests, by e-mail address.
#[derive(Debug, Default)]
pub struct Register {
    ids: HashMap<String, String>,
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is registered, under this id.
    Created(String),
    /// It is not a JSON object.
    Unreadable,
    /// Its fields are at fault.
    Invalid(Vec<FieldFault>),
    /// Its e-mail address is registered under this id.
    Duplicate(String),
}

/// A field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// Its name.
    pub field: &'static str,
    /// What is wrong with it.
    pub detail: &'static str,
}

impl Register {
    /// Registers a guest, if nothing is wrong with the record.
    pub fn register(&mut self, body: &[u8]) -> Verdict {
        let Ok(record) = serde_json::from_slice::<Map<String, Value>>(body) else {
            return Verdict::Unreadable;
        };
        let faults = faults(&record);
        if !faults.is_empty() {
            return Verdict::Invalid(faults);
        }
        let email = text(&record, "email").to_lowercase();
        if let Some(id) = self.ids.get(&email) {
            return Verdict::Duplicate(id.clone());
        }
        let id = format!("g-{:04}", self.ids.len() + 1);
        self.ids.insert(email, id.clone());
        Verdict::Created(id)
    }

    /// How many guests there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none yet.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

fn faults(record: &Map<String, Value>) -> Vec<FieldFault> {
    let required = ["name", "town"]
        .into_iter()
        .filter(|field| text(record, field).trim().is_empty())
        .map(|field| (field, "is missing"));
    let email = email_fault(text(record, "email")).map(|detail| ("email", detail));
    let date = date_fault(text(record, "visit_date")).map(|detail| ("visit_date", detail));
    let badge = record
        .get("badge")
        .filter(|badge| !badge.as_str().is_some_and(is_badge))
        .map(|_| ("badge", "is not five digits in quotes, like \"00123\""));
    required
        .chain(email)
        .chain(date)
        .chain(badge)
        .map(|(field, detail)| FieldFault { field, detail })
        .collect()
}

/// A field's text; empty where there is none, or something else.
fn text<'r>(record: &'r Map<String, Value>, field: &str) -> &'r str {
    record.get(field).and_then(Value::as_str).unwrap_or("")
}

/// Badges have leading zeros: a number would have lost them.
fn is_badge(text: &str) -> bool {
    text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is wrong with an e-mail address; spaces around it are not cut, because
/// whoever wrote them may have meant another address.
fn email_fault(email: &str) -> Option<&'static str> {
    if email.trim().is_empty() {
        return Some("is missing");
    }
    if email.trim() != email {
        return Some("has spaces around it");
    }
    if email.contains(char::is_whitespace) {
        return Some("has a space inside");
    }
    if email.contains(',') {
        return Some("has a comma where a dot should be");
    }
    let Some((local, domain)) = email.split_once('@') else {
        return Some("has no @");
    };
    if domain.contains('@') {
        return Some("has more than one @");
    }
    if domain.ends_with('.') {
        return Some("ends with a dot");
    }
    let has_labels = domain.contains('.') && !domain.split('.').any(str::is_empty);
    (local.is_empty() || !has_labels).then_some("is not an address like name@example.com")
}

fn date_fault(date: &str) -> Option<&'static str> {
    if date.is_empty() {
        return Some("is missing");
    }
    // jiff reads more forms than this one.
    let has_form = date.bytes().enumerate().all(|(place, byte)| match place {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    let is_date = date.len() == 10 && has_form && date.parse::<jiff::civil::Date>().is_ok();
    (!is_date).then_some("is not a date like 2026-11-03")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cli::demo::GUESTS;

    /// What the register says of each row of the guest list.
    fn verdicts() -> Vec<Verdict> {
        let mut register = Register::default();
        let mut rows = csv::Reader::from_reader(GUESTS.as_bytes());
        rows.deserialize::<BTreeMap<String, String>>()
            .map(|row| register.register(&serde_json::to_vec(&row.unwrap()).unwrap()))
            .collect()
    }

    #[test]
    fn the_guest_list_has_412_good_rows_and_88_bad_ones_of_known_kinds() {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for verdict in verdicts() {
            let kind = match verdict {
                Verdict::Created(_) => "created".to_owned(),
                Verdict::Duplicate(_) => "duplicate".to_owned(),
                Verdict::Invalid(faults) => {
                    assert_eq!(faults.len(), 1, "one fault a row");
                    format!("{} {}", faults[0].field, faults[0].detail)
                }
                Verdict::Unreadable => "unreadable".to_owned(),
            };
            *kinds.entry(kind).or_default() += 1;
        }
        let expected = [
            ("created", 412),
            ("duplicate", 20),
            ("email ends with a dot", 4),
            ("email has a comma where a dot should be", 4),
            ("email has a space inside", 4),
            ("email has more than one @", 4),
            ("email has no @", 4),
            ("email has spaces around it", 12),
            ("email is missing", 20),
            ("visit_date is not a date like 2026-11-03", 16),
        ];
        let kinds: Vec<(&str, usize)> = kinds.iter().map(|(kind, &n)| (&kind[..], n)).collect();
        assert_eq!(kinds, expected);
    }

    #[test]
    fn the_faults_are_spread_over_the_guest_list() {
        let verdicts = verdicts();
        assert_eq!(verdicts.len(), 500);
        for part in verdicts.chunks(50) {
            let bad = part
                .iter()
                .filter(|verdict| !matches!(verdict, Verdict::Created(_)))
                .count();
            assert!((1..25).contains(&bad), "{bad} of 50");
        }
    }

    #[test]
    fn an_address_of_another_case_is_the_same_guest() {
        let mut register = Register::default();
        let record = |email: &str| {
            format!(r#"{{"name":"A","town":"B","email":"{email}","visit_date":"2026-11-03"}}"#)
        };
        let first = register.register(record("a.b@example.com").as_bytes());
        assert_eq!(first, Verdict::Created("g-0001".to_owned()));
        let again = register.register(record("A.B@Example.com").as_bytes());
        assert_eq!(again, Verdict::Duplicate("g-0001".to_owned()));
        assert_eq!(register.len(), 1);
    }

    #[test]
    fn a_date_has_one_form() {
        assert_eq!(date_fault("2026-11-03"), None);
        assert_eq!(date_fault("2024-02-29"), None);
        for bad in [
            "",
            "03/11/2026",
            "3.11.2026",
            "Nov 3 2026",
            "46329",
            "20261103",
            "2026-11-31",
            "2026-02-29",
            "2026-11-03T00:00",
        ] {
            assert!(date_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn an_address_has_a_name_an_at_and_a_domain() {
        for good in [
            "a@example.com",
            "a.b+c@mail.example.org",
            "A_B@X.example.NET",
        ] {
            assert_eq!(email_fault(good), None, "{good}");
        }
        for bad in [
            "@example.com",
            "a@example",
            "a@.com",
            "a@example..com",
            "a@",
        ] {
            assert!(email_fault(bad).is_some(), "{bad}");
        }
        assert_eq!(
            email_fault("a@example.com\u{a0}"),
            Some("has spaces around it")
        );
    }

    #[test]
    fn every_fault_of_a_record_is_named() {
        let mut register = Register::default();
        let Verdict::Invalid(faults) = register.register(br#"{"badge": 123}"#) else {
            panic!("this was taken");
        };
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["name", "town", "email", "visit_date", "badge"]);
        assert_eq!(register.register(b"[1]"), Verdict::Unreadable);
    }
}
