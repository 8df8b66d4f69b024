use super::*;

const READING: Reading = Reading {
    busy_503: true,
    max_retry_after: Duration::from_mins(1),
};
/// 6 November 1994, 08:49:37 UTC.
const NOW_MS: i64 = 784_111_777_000;

fn read(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Reply {
    read_as(READING, status, headers, body, Some(Form::JsonText))
}

fn read_as(
    reading: Reading,
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &'static str,
    form: Option<Form>,
) -> Reply {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
    let status = StatusCode::from_u16(status).unwrap();
    let body = Body {
        bytes: Bytes::from_static(body.as_bytes()),
        truncated: false,
    };
    reading.reply(status, &headers, body, form, NOW_MS)
}

fn kind(reply: &Reply) -> &'static str {
    match reply {
        Reply::Ok(_) => "ok",
        Reply::RolledBack(_) => unreachable!("nothing is undone here"),
        Reply::Refused(_) => "refused",
        Reply::Busy(_) => "busy",
        Reply::Fault(_) => "fault",
        Reply::Unsent(_) => "unsent",
        Reply::Unknown(_) => "unknown",
    }
}

fn cause(reply: Reply) -> Cause {
    match reply {
        Reply::Refused(cause) | Reply::Busy(cause) | Reply::Fault(cause) => *cause,
        other => panic!("no cause in {other:?}"),
    }
}

#[test]
fn a_status_says_whose_fault_it_was() {
    for (status, expected) in [
        (200, "ok"),
        (201, "ok"),
        (204, "ok"),
        (299, "ok"),
        (301, "refused"),
        (304, "refused"),
        (400, "refused"),
        (401, "refused"),
        (404, "refused"),
        (409, "refused"),
        (413, "refused"),
        (422, "refused"),
        (408, "fault"),
        (425, "fault"),
        (429, "busy"),
        (500, "fault"),
        (502, "fault"),
        (503, "fault"),
        (504, "fault"),
        (599, "fault"),
        (999, "fault"),
    ] {
        assert_eq!(kind(&read(status, &[], "")), expected, "{status}");
    }
}

#[test]
fn retry_after_is_read_in_both_forms_and_capped() {
    for (text, seconds) in [
        ("0", Some(0)),
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("3600", Some(60)),
        ("99999999999999999999999", Some(60)),
        ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
        ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
        ("Sun, 06 Nov 2094 08:49:37 GMT", Some(60)),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("+7", None),
        ("1.5", None),
        ("7 seconds", None),
    ] {
        let expected = seconds.map(Duration::from_secs);
        let busy = read(429, &[("retry-after", text)], "");
        assert_eq!(kind(&busy), "busy");
        assert_eq!(cause(busy).retry_after, expected, "429 {text}");
        // Of 503, only a valid one proves that nothing was done.
        let reply = read(503, &[("retry-after", text)], "");
        let busy = if expected.is_some() { "busy" } else { "fault" };
        assert_eq!(kind(&reply), busy, "503 {text}");
        assert_eq!(cause(reply).retry_after, expected, "503 {text}");
    }
}

#[test]
fn a_503_with_retry_after_is_a_fault_where_the_target_is_configured_so() {
    let reading = Reading {
        busy_503: false,
        ..READING
    };
    let reply = read_as(reading, 503, &[("retry-after", "7")], "", None);
    assert_eq!(kind(&reply), "fault");
    assert_eq!(cause(reply).retry_after, None);
}

#[test]
fn the_reason_and_the_message_name_the_status() {
    let cause = cause(read(422, &[], ""));
    assert_eq!(cause.reason, "HTTP_422");
    assert_eq!(
        cause.message,
        "the target answered 422 Unprocessable Entity"
    );
    assert_eq!(cause.answer.unwrap().status, 422);
    let nameless = super::tests::cause(read(499, &[], ""));
    assert_eq!(nameless.message, "the target answered 499");
}

#[test]
fn a_redirect_says_where_to_and_what_to_do() {
    let headers = [("location", "https://new.example/guests")];
    let cause = cause(read(302, &headers, r#"{"message": "moved"}"#));
    assert_eq!(cause.reason, "HTTP_302");
    assert_eq!(
        cause.message,
        "the target answered 302 Found, to https://new.example/guests; \
         Flowgate does not follow redirects: configure the final address"
    );
}

#[test]
fn a_reply_comes_in_the_form_that_its_item_used() {
    use Form::{Json, JsonText, Raw};
    let json = "application/json; charset=utf-8";
    for (form, content_type, body, expected) in [
        (Some(Json), json, r#" {"id": 1}"#, Json),
        (Some(Json), "text/html", r#"{"id": 1}"#, Json),
        (Some(Json), json, "[1]", Raw),
        (Some(Json), json, r#"{"id": "#, Raw),
        (Some(JsonText), json, "[1]", JsonText),
        (Some(JsonText), "text/plain", "12", JsonText),
        (Some(JsonText), json, "made", Raw),
        (Some(Raw), json, "{}", Raw),
        (None, json, "{}", JsonText),
        (None, "application/problem+json", "{}", JsonText),
        (None, json, "{", Raw),
        (None, "text/plain", "{}", Raw),
    ] {
        let Reply::Ok(answer) =
            read_as(READING, 200, &[("content-type", content_type)], body, form)
        else {
            panic!("not done");
        };
        let payload = answer.body.unwrap();
        assert_eq!(payload.form, expected, "{form:?} {content_type} {body}");
        assert_eq!(payload.body, body);
        let told = (expected == Raw).then(|| content_type.to_owned());
        assert_eq!(payload.content_type, told);
    }
}

#[test]
fn an_empty_body_is_no_payload() {
    let Reply::Ok(answer) = read(204, &[("content-type", "application/json")], "") else {
        panic!("not done");
    };
    assert_eq!(answer.body, None);
}

#[test]
fn json_that_no_protobuf_decoder_takes_is_given_back_as_bytes() {
    for (levels, expected) in [
        (STRUCT_NESTING, Form::Json),
        (STRUCT_NESTING + 1, Form::Raw),
    ] {
        let text = format!("{}1{}", "{\"[{\\\"\":".repeat(levels), "}".repeat(levels));
        let payload = payload(None, Bytes::from(text), Some(Form::Json)).unwrap();
        assert_eq!(payload.form, expected, "{levels}");
    }
    let endless = "[".repeat(100_000);
    let payload = payload(None, Bytes::from(endless), Some(Form::JsonText)).unwrap();
    assert_eq!(payload.form, Form::Raw);
}

#[test]
fn bytes_that_are_not_utf_8_are_not_json() {
    let body = Bytes::from_static(b"{\"a\": \"\xff\"}");
    let payload = payload(None, body, Some(Form::JsonText)).unwrap();
    assert_eq!(payload.form, Form::Raw);
}
