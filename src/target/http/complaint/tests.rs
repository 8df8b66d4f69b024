use super::*;

fn read(body: &str) -> Complaint {
    Complaint::read(Some("application/json"), body.as_bytes())
}

/// Field and description of each violation.
fn fields(complaint: &Complaint) -> Vec<(&str, &str)> {
    complaint
        .violations
        .iter()
        .map(|v| (v.field.as_str(), v.description.as_str()))
        .collect()
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn the_forms_in_use_are_understood() {
    type Row = (
        &'static str,
        Option<&'static str>,
        &'static [(&'static str, &'static str)],
    );
    let table: &[Row] = &[
        (r#"{"error": "duplicate"}"#, Some("duplicate"), &[]),
        (
            r#"{"message": "no such guest"}"#,
            Some("no such guest"),
            &[],
        ),
        (r#"{"detail": "Not found"}"#, Some("Not found"), &[]),
        (
            r#"{"error": {"code": 7, "message": "e-mail taken"}}"#,
            Some("e-mail taken"),
            &[],
        ),
        (
            r#"{"error": "invalid_grant", "error_description": "it has expired"}"#,
            Some("it has expired"),
            &[],
        ),
        // RFC 9457, as its own example.
        (
            r##"{"type": "https://example.net/validation-error",
                "title": "Your request is not valid.",
                "errors": [
                  {"detail": "must be a positive integer", "pointer": "#/age"},
                  {"detail": "must be 'green'", "pointer": "#/profile/color"}]}"##,
            Some("Your request is not valid."),
            &[
                ("payload.age", "must be a positive integer"),
                ("payload.profile.color", "must be 'green'"),
            ],
        ),
        (
            r#"{"title": "Invalid", "detail": "two fields are wrong", "status": 422,
                "errors": [{"pointer": "/guests/0/email", "detail": "is malformed"}]}"#,
            Some("Invalid: two fields are wrong"),
            &[("payload.guests[0].email", "is malformed")],
        ),
        (
            r#"{"errors": [{"pointer": "/a~1b/c~0d", "detail": "no"}]}"#,
            None,
            &[("payload.a/b.c~d", "no")],
        ),
        // RFC 7807's invalid-params.
        (
            r#"{"title": "Bad", "invalid-params": [{"name": "age", "reason": "too low"}]}"#,
            Some("Bad"),
            &[("payload.age", "too low")],
        ),
        // Rails, ASP.NET, Laravel.
        (
            r#"{"errors": {"email": ["is invalid", "is taken"], "name": "is missing"}}"#,
            None,
            &[
                ("payload.email", "is invalid"),
                ("payload.email", "is taken"),
                ("payload.name", "is missing"),
            ],
        ),
        (
            r#"{"message": "The data was invalid.", "errors": {"guests.0.email": ["is invalid"]}}"#,
            Some("The data was invalid."),
            &[("payload.guests[0].email", "is invalid")],
        ),
        (
            r#"{"errors": {"guest": {"email": ["is invalid"]}}}"#,
            None,
            &[("payload.guest.email", "is invalid")],
        ),
        // Lists of fields.
        (
            r#"{"errors": [{"field": "email", "message": "is invalid"}]}"#,
            None,
            &[("payload.email", "is invalid")],
        ),
        (
            r#"{"errors": [{"field": "guests[0].email", "message": "is invalid"}]}"#,
            None,
            &[("payload.guests[0].email", "is invalid")],
        ),
        (
            r#"{"error": {"message": "Bad", "errors": [{"field": "email", "reason": "no"}]}}"#,
            Some("Bad"),
            &[("payload.email", "no")],
        ),
        (
            r#"{"errors": [{"field": "email"}]}"#,
            None,
            &[("payload.email", "is refused by the target")],
        ),
        // FastAPI.
        (
            r#"{"detail": [
                {"loc": ["body", "guests", 0, "email"], "msg": "not an e-mail", "type": "x"},
                {"loc": ["query", "page"], "msg": "not a number"},
                {"loc": ["body"], "msg": "Field required"}]}"#,
            None,
            &[
                ("payload.guests[0].email", "not an e-mail"),
                ("query.page", "not a number"),
                ("payload", "Field required"),
            ],
        ),
        // JSON:API.
        (
            r#"{"errors": [{"title": "Invalid", "detail": "too short",
                "source": {"pointer": "/data/attributes/name"}}]}"#,
            None,
            &[("payload.data.attributes.name", "too short")],
        ),
        // Lists that name no field give their first text.
        (
            r#"{"errors": ["it is full", "x"]}"#,
            Some("it is full"),
            &[],
        ),
        (
            r#"{"errors": [{"code": 1, "message": "it is full"}]}"#,
            Some("it is full"),
            &[],
        ),
        // Nothing to be made of these.
        ("{}", None, &[]),
        ("[]", None, &[]),
        ("null", None, &[]),
        ("\"no\"", None, &[]),
        (r#"{"error": 7, "message": null, "errors": 3}"#, None, &[]),
        (r#"{"message": "   "}"#, None, &[]),
        (r#"{"message": "cut of"#, None, &[]),
        ("<html><body>Oops</body></html>", None, &[]),
    ];
    for (body, message, violations) in table {
        let complaint = read(body);
        assert_eq!(complaint.message.as_deref(), *message, "{body}");
        assert_eq!(fields(&complaint), *violations, "{body}");
    }
}

#[test]
fn only_json_and_plain_text_are_read() {
    let body = br#"{"message": "no"}"#;
    for (content_type, expected) in [
        (None, Some("no")),
        (Some("application/json"), Some("no")),
        (Some("Application/Problem+JSON; charset=utf-8"), Some("no")),
        (Some("text/html"), None),
        (Some("application/jsonlines"), None),
    ] {
        let complaint = Complaint::read(content_type, body);
        assert_eq!(complaint.message.as_deref(), expected, "{content_type:?}");
    }
    let plain = Complaint::read(Some("text/plain; charset=utf-8"), b" guest\n exists \xff");
    assert_eq!(plain.message.as_deref(), Some("guest exists \u{fffd}"));
}

#[test]
fn what_is_told_is_bounded_and_clean() {
    let many: Vec<String> = (0..1000)
        .map(|n| format!(r#"{{"field": "f{n}", "message": "{}"}}"#, "x".repeat(5000)))
        .collect();
    let complaint = read(&format!(
        r#"{{"message": "{}", "errors": [{}]}}"#,
        "é".repeat(5000),
        many.join(",")
    ));
    let message = complaint.message.expect("a message");
    assert_eq!(message.chars().count(), MESSAGE_LIMIT);
    assert!(message.ends_with('…'));
    assert_eq!(complaint.violations.len(), VIOLATIONS);
    for violation in &complaint.violations {
        assert_eq!(violation.description.chars().count(), DESCRIPTION_LIMIT);
    }
    let long = format!(r#"{{"errors": {{"{}": "no"}}}}"#, "f".repeat(5000));
    let field = &read(&long).violations[0].field;
    assert_eq!(field.chars().count(), FIELD_LIMIT);
    let dirty = read(r#"{"message": "a\r\nb\u0000\u001b[31mc\u202ed"}"#);
    assert_eq!(dirty.message.as_deref(), Some("a b [31mc d"));
}

#[test]
fn deep_and_odd_bodies_end() {
    let deep = format!("{}1{}", r#"{"errors":"#.repeat(120), "}".repeat(120));
    assert_eq!(read(&deep).violations, []);
    let deep = format!("{}1{}", r#"{"error":"#.repeat(10_000), "}".repeat(10_000));
    assert_eq!(read(&deep), Complaint::default());
}
