use std::path::Path;

use super::*;

#[test]
fn the_summary_says_what_a_configuration_comes_to_and_no_secret() {
    let text = r#"
        [quotas.crm]
        limits = ["100/s", "100000/d"]
        [quotas.spare]
        limits = ["1/s"]
        [targets.guests]
        kind = "http"
        url = "https://api.example.com/v1"
        path = "/guests"
        quota = "crm"
        [targets.guests.headers]
        Authorization = { env = "KEY", prefix = "Bearer " }
        X-Plain = "hunter2"
        [targets.notes]
        kind = "http"
        url = "http://api.example.com/"
        path = "/notes"
        quota = "crm"
        allow_calls = true
        allow_headers = ["X-Request-Id"]
        idempotency_header = "Idempotency-Key"
        actions.delete.enabled = false
        headers.X-Key = { env = "KEY" }
    "#;
    let env = |_: &str| Some("hunter2".to_owned());
    let loaded = Loaded::parse(text, Path::new("/etc/flowgate"), &env).unwrap();
    let said = Summary(&loaded).to_string();
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!(said, @r"
    server          127.0.0.1:50051, 1024 calls at once, 256 on each of 1024 connections; 64MiB for items on their way to the disk; a heartbeat every 15s; drains for at most 30s; seals what nobody fills for 10m
    store           /etc/flowgate/flowgate.db
    kept            finished batches for 7d, keys of items for 1d

    target guests: POST https://api.example.com/v1/guests
      limits        100/s and 100000/d, paced by window, transit up to 50ms
                    of the quota crm, shared with notes
                    a restart of flowgate keeps count of 100000/d, by the minute
      chunks        up to 50 items
      concurrency   up to 50 requests under way
      tries         up to 10, up to 200ms apart at first and 30s at last, for 1h
      when down     after 10 failed requests in a row, one item is tried after 1s, and at last every 30s
      time-outs     30s a request, 5s a connection; kept 4s without a request
      trusts        the public authorities
      sent again    after a 5xx or no answer: GET, PUT and DELETE
                    else a 5xx ends UNAVAILABLE, no answer ends IN_DOUBT
      actions       create: POST /guests
                    update: PATCH /guests/{id}
                    delete: DELETE /guests/{id}
      calls         refused: items cannot bring a request of their own
      replies       kept up to 64KiB
      headers       authorization: set, from the environment variable KEY
                    x-plain: set, from the configuration

    target notes: POST http://api.example.com/notes
      limits        100/s and 100000/d, paced by window, transit up to 50ms
                    of the quota crm, shared with guests
                    a restart of flowgate keeps count of 100000/d, by the minute
      chunks        up to 50 items
      concurrency   up to 50 requests under way
      tries         up to 10, up to 200ms apart at first and 30s at last, for 1h
      when down     after 10 failed requests in a row, one item is tried after 1s, and at last every 30s
      time-outs     30s a request, 5s a connection; kept 4s without a request
      sent again    after a 5xx or no answer: every item, with the same idempotency-key, for 1d
      actions       create: POST /notes
                    update: PATCH /notes/{id}
                    delete: refused
      calls         allowed, with x-request-id
      replies       kept up to 64KiB
      headers       x-key: set, from the environment variable KEY
                    note: they go over the network unencrypted; use https

    Note: no target draws on the quota `spare`.
    ");
}
