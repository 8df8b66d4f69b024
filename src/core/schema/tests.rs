#![allow(clippy::too_many_lines, reason = "tables of cases are long")]

use super::*;

fn schema(text: &str) -> ItemSchema {
    ItemSchema::compile(text).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// What is said of a value, a line each.
fn said(schema: &ItemSchema, json: &str) -> String {
    match schema.check(json.as_bytes(), "payload") {
        Ok(()) => "fits".to_owned(),
        Err(Mismatch::Violations { told, total }) => {
            assert!(total >= told.len());
            let lines = told
                .iter()
                .map(|v| format!("{} {}", v.field, v.description));
            lines.collect::<Vec<_>>().join("\n")
        }
        Err(other) => format!("{other:?}"),
    }
}

/// What is said of a schema, a line each.
fn refused(text: &str) -> String {
    let faults = ItemSchema::compile(text).expect_err(text);
    let lines = faults.iter().map(ToString::to_string);
    lines.collect::<Vec<_>>().join("\n")
}

const GUEST: &str = r##"{
    "type": "object",
    "required": ["email"],
    "additionalProperties": false,
    "properties": {
        "email": {"type": "string", "format": "email"},
        "name": {"type": "string", "minLength": 2, "maxLength": 5},
        "age": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 150},
        "ticket": {"enum": ["visitor", "exhibitor"]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 4, "uniqueItems": true},
        "seen": {"type": "string", "format": "date-time"},
        "site": {"type": "string", "format": "uri"},
        "zip": {"type": "string", "pattern": "^[0-9]{5}$"},
        "price": {"multipleOf": 0.01},
        "address": {"$ref": "#/$defs/address"},
        "contact": {"oneOf": [{"type": "string"}, {"$ref": "#/$defs/address"}]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "kind": {"const": "guest"},
        "never": false
    },
    "$defs": {
        "address": {
            "type": "object",
            "required": ["town"],
            "properties": {"town": {"type": "string"}, "first line": {"type": "string"}},
            "additionalProperties": false
        }
    }
}"##;

#[test]
fn every_violation_is_told_with_its_path_and_what_would_be_right() {
    let guest = schema(GUEST);
    let table = [
        (r#"{"email":"ada@example.org"}"#, "fits"),
        ("{}", "payload.email is missing"),
        ("[]", "payload is a list, and must be an object"),
        ("7", "payload is a number, and must be an object"),
        (
            r#"{"email":"ada"}"#,
            "payload.email is not an e-mail address, like name@example.org",
        ),
        (
            r#"{"email":"Ada <ada@example.org>"}"#,
            "payload.email is not an e-mail address, like name@example.org",
        ),
        (
            r#"{"mail":"a@b.org"}"#,
            "payload.mail is not known here; did you mean `email`?\npayload.email is missing",
        ),
        (
            r#"{"email":"a@b.org","shoe size":7}"#,
            "payload[\"shoe size\"] is not known here",
        ),
        (
            r#"{"email":"a@b.org","name":"x"}"#,
            "payload.name has 1 character, and at least 2 are needed",
        ),
        (
            r#"{"email":"a@b.org","name":"Zoë Müller"}"#,
            "payload.name has 10 characters, and 5 are the most",
        ),
        (
            r#"{"email":"a@b.org","age":"41"}"#,
            "payload.age is a text, and must be null or a whole number",
        ),
        (
            r#"{"email":"a@b.org","age":-1}"#,
            "payload.age must be at least 0",
        ),
        (
            r#"{"email":"a@b.org","age":150}"#,
            "payload.age must be less than 150",
        ),
        (
            r#"{"email":"a@b.org","ticket":"press"}"#,
            "payload.ticket must be one of `visitor`, `exhibitor`",
        ),
        (
            r#"{"email":"a@b.org","tags":["a","b","c",4]}"#,
            "payload.tags[3] is a number, and must be a text",
        ),
        (
            r#"{"email":"a@b.org","tags":["a","a"]}"#,
            "payload.tags has the same entry twice; each has to be another",
        ),
        (
            r#"{"email":"a@b.org","tags":["a","b","c","d","e"]}"#,
            "payload.tags has 5 entries, and 4 are the most",
        ),
        (
            r#"{"email":"a@b.org","seen":"yesterday"}"#,
            "payload.seen is not a time with its offset, like 2030-01-31T12:00:00Z",
        ),
        (
            r#"{"email":"a@b.org","site":"example.org"}"#,
            "payload.site is not a whole URI, like https://example.org/a",
        ),
        (
            r#"{"email":"a@b.org","zip":"123"}"#,
            "payload.zip does not match the pattern `^[0-9]{5}$`",
        ),
        (
            r#"{"email":"a@b.org","price":1.111}"#,
            "payload.price must be a multiple of 0.01",
        ),
        (
            r#"{"email":"a@b.org","address":{"twon":"Oslo"}}"#,
            "payload.address.twon is not known here; did you mean `town`?\n\
             payload.address.town is missing",
        ),
        (
            r#"{"email":"a@b.org","address":{"town":"Oslo","first line":1}}"#,
            "payload.address[\"first line\"] is a number, and must be a text",
        ),
        (
            r#"{"email":"a@b.org","contact":{"town":1}}"#,
            "payload.contact fits none of the 2 forms that are allowed; of one: town is a \
             number, and must be a text",
        ),
        (
            r#"{"email":"a@b.org","note":1}"#,
            "payload.note must be a text or null",
        ),
        (
            r#"{"email":"a@b.org","kind":"host"}"#,
            "payload.kind must be `guest`",
        ),
        (
            r#"{"email":"a@b.org","never":1}"#,
            "payload.never is not allowed here",
        ),
        (
            r#"{"email":"a@b.org","email":"b@b.org"}"#,
            "payload.email is given twice; keep one of them",
        ),
    ];
    for (json, want) in table {
        assert_eq!(said(&guest, json), want, "{json}");
    }
}

#[test]
fn nothing_of_a_value_is_told() {
    let text = r#"{"properties": {
        "a": {"minLength": 20, "pattern": "^x", "format": "email", "enum": ["y"], "const": "z"},
        "b": {"maximum": 1, "multipleOf": 7},
        "c": {"not": {}}, "d": {"anyOf": [{"minLength": 50}, {"pattern": "^q"}]},
        "e": {"propertyNames": {"minLength": 3}}
    }}"#;
    let secret = "hunter2";
    let json = format!(
        r#"{{"a":"{secret}","b":7700077,"c":"{secret}","d":"{secret}","e":{{"k":"{secret}"}}}}"#
    );
    let said = said(&schema(text), &json);
    assert!(said.lines().count() >= 9, "{said}");
    assert!(
        !said.contains(secret) && !said.contains("7700077"),
        "{said}"
    );
}

#[test]
fn what_is_told_of_one_value_is_bounded() {
    let text = r#"{"items": {"type": "string"}, "additionalProperties": {"type": "string"}}"#;
    let list = format!("[{}]", vec!["1"; 5_000].join(","));
    let Err(Mismatch::Violations { told, total }) = schema(text).check(list.as_bytes(), "payload")
    else {
        panic!("it fits");
    };
    assert_eq!((told.len(), total), (VIOLATIONS, 5_000));
    assert_eq!(told[19].field, "payload[19]");

    let long = |n: usize| format!("\"{}{n}\":1", "é".repeat(300));
    let object = format!("{{{}}}", (0..30).map(long).collect::<Vec<_>>().join(","));
    let Err(Mismatch::Violations { told, total }) =
        schema(text).check(object.as_bytes(), "payload")
    else {
        panic!("it fits");
    };
    let bytes: usize = told
        .iter()
        .map(|v| v.field.len() + v.description.len())
        .sum();
    assert!(bytes < 3_000 && total == 30 && told.len() > 5, "{bytes}");
}

#[test]
fn what_is_not_json_is_told_apart() {
    let any = schema("{}");
    assert!(said(&any, "{\"a\":}").starts_with("NotJson(\"expected value"));
    assert_eq!(said(&any, "1e999"), "NumberTooLarge");
    // Exact in what is sent: here it only has to be of the right kind and size.
    let integer = schema(r#"{"type": "integer", "minimum": 10}"#);
    assert_eq!(said(&integer, "123456789012345678901234567890"), "fits");
    assert_eq!(said(&schema(r#"{"multipleOf": 0.01}"#), "1.10"), "fits");
    assert_eq!(
        said(
            &schema(r#"{"maximum": 9007199254740992}"#),
            "9007199254740993"
        ),
        "payload must be at most 9007199254740992"
    );
}

#[test]
fn a_bad_schema_is_refused_with_the_place_and_what_would_be_right() {
    let table = [
        (
            "",
            "is not JSON: EOF while parsing a value at line 1 column 0",
        ),
        (
            "{\n  \"type\": strin\n}",
            "is not JSON: expected value at line 2 column 11",
        ),
        (
            "[]",
            "is no object; write e.g. { \"type\": \"object\", \"required\": [\"email\"] }",
        ),
        (
            r#"{"properties": {"a": {}, "a": {}}}"#,
            "#.properties.a is given twice; keep one of them",
        ),
        (
            r#"{"properties": {"email": {"type": "strin"}}}"#,
            "#/properties/email/type must be `array`, `boolean`, `integer`, `null`, `number`, \
             `object`, `string` or a list",
        ),
        (
            r#"{"required": "email", "minLength": -1}"#,
            "#/required is a text, and must be a list\n#/minLength must be at least 0",
        ),
        (
            r#"{"$schema": "https://json-schema.org/draft/2030-01/schema"}"#,
            "#/$schema is `https://json-schema.org/draft/2030-01/schema`, which is no draft that \
             is known here; write one of https://json-schema.org/draft/2020-12/schema, \
             https://json-schema.org/draft/2019-09/schema, http://json-schema.org/draft-07/schema, \
             http://json-schema.org/draft-06/schema, http://json-schema.org/draft-04/schema",
        ),
        (
            r#"{"properties": {"a": {"$ref": "https://example.com/a.json"}}}"#,
            "#/properties/a/$ref leads out of this document, to `https://example.com/a.json`; \
             nothing is fetched: put that schema under \"$defs\" here and write \"#/$defs/NAME\"",
        ),
        (
            r#"{"items": {"$ref": "../address.json#/x"}}"#,
            "#/items/$ref leads out of this document, to `../address.json#/x`; nothing is \
             fetched: put that schema under \"$defs\" here and write \"#/$defs/NAME\"",
        ),
        (
            r#"{"items": {"$ref": "file:///etc/passwd"}}"#,
            "#/items/$ref leads out of this document, to `file:///etc/passwd`; nothing is \
             fetched: put that schema under \"$defs\" here and write \"#/$defs/NAME\"",
        ),
        (
            r##"{"properties": {"a/b": {"$ref": "#/$defs/x"}}}"##,
            "#/properties/a~1b/$ref is `#/$defs/x`, and there is nothing at that place",
        ),
        (
            r##"{"$ref": "#here"}"##,
            "#/$ref is `#here`, and there is no such `$anchor`",
        ),
        (
            r#"{"properties": {"a": {"pattern": "(?=x)y"}}}"#,
            "#/properties/a/pattern is `(?=x)y`, which is not taken as a pattern; write one \
             without look-around (`(?=`, `(?!`) and back-references, and not larger than 1048576 \
             bytes once compiled",
        ),
        (
            r#"{"pattern": "["}"#,
            "#/pattern is `[`, which is not taken as a pattern; write one without look-around \
             (`(?=`, `(?!`) and back-references, and not larger than 1048576 bytes once compiled",
        ),
    ];
    for (text, want) in table {
        assert_eq!(refused(text), want, "{text}");
    }
    let large = format!("{{\"title\":\"{}\"}}", "x".repeat(MAX_SCHEMA_BYTES));
    assert_eq!(
        refused(&large),
        "is larger than 1048576 bytes; write a smaller one"
    );
    let huge = r#"{"pattern": "(((a{100}){100}){100})"}"#;
    assert!(
        refused(huge).starts_with("#/pattern is `(((a{100}){100}){100})`"),
        "{}",
        refused(huge)
    );
    let deep = "{\"items\":".repeat(200) + "{}" + &"}".repeat(200);
    assert!(refused(&deep).starts_with("is not JSON: recursion limit"));
}

#[test]
fn drafts_are_respected() {
    assert_eq!(schema("{}").draft(), "2020-12");
    for (draft, name) in [
        ("https://json-schema.org/draft/2020-12/schema", "2020-12"),
        ("https://json-schema.org/draft/2020-12/schema#", "2020-12"),
        ("https://json-schema.org/draft/2019-09/schema", "2019-09"),
        ("http://json-schema.org/draft-07/schema#", "7"),
        ("https://json-schema.org/draft-07/schema#", "7"),
        ("http://json-schema.org/draft-06/schema#", "6"),
        ("http://json-schema.org/draft-04/schema#", "4"),
    ] {
        let text = format!(r#"{{"$schema": "{draft}", "format": "email"}}"#);
        let schema = schema(&text);
        assert_eq!(schema.draft(), name);
        // Also where the draft leaves it open whether formats are checked.
        assert_ne!(said(&schema, "\"x\""), "fits", "{draft}");
    }
    // In draft 4 a flag, later a number.
    let four = r#"{"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 5, "exclusiveMaximum": true}"#;
    assert_eq!(said(&schema(four), "5"), "payload must be less than 5");
    assert_eq!(schema(four).unchecked_formats(), [""; 0]);
    let formats = r#"{"properties": {"a": {"format": "phone"}, "format": {"format": "email"},
        "c": {"const": {"format": "not a schema"}}}}"#;
    assert_eq!(schema(formats).unchecked_formats(), ["phone"]);
}

#[test]
fn schemas_may_refer_to_themselves() {
    let tree = r##"{"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#"}}}}"##;
    let tree = schema(tree);
    assert_eq!(
        said(&tree, r#"{"name":"a","children":[{"name":"b"}]}"#),
        "fits"
    );
    assert_eq!(
        said(
            &tree,
            r#"{"name":"a","children":[{"name":"b"},{"children":[{}]}]}"#
        ),
        "payload.children[1].name is missing\npayload.children[1].children[0].name is missing"
    );
    // One that goes in a circle excludes nothing, and ends.
    for round in [
        r##"{"$ref": "#"}"##,
        r##"{"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]},
            "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}}"##,
        r##"{"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}"##,
    ] {
        for json in ["1", "\"x\"", "{\"a\":[1,{}]}", "null"] {
            let _ = said(&schema(round), json);
        }
    }
    // A reference within the document by its name, not fetched.
    let named = r#"{"$id": "https://example.com/guest.json", "items": {"$ref": "town.json"},
        "$defs": {"town": {"$id": "town.json", "type": "string"}}}"#;
    assert_eq!(
        said(&schema(named), "[1]"),
        "payload[0] is a number, and must be a text"
    );
}

#[test]
fn as_deep_as_an_item_may_be_there_is_room_on_the_stack() {
    let tree = r##"{"$ref": "#/$defs/t", "$defs": {"t": {"allOf": [{"anyOf": [{"oneOf": [
        {"type": "array", "items": {"$ref": "#/$defs/u"}}, {"type": "integer", "maximum": 1}]}]}]},
        "u": {"$ref": "#/$defs/t"}}}"##;
    let schema = schema(tree);
    // A schema as deep as one may be.
    let deep = |depth: usize| "{\"items\":".repeat(depth) + "{}" + &"}".repeat(depth);
    assert!(ItemSchema::compile(&deep(126)).is_ok());
    let nested = |inner: &str| "[".repeat(99) + inner + &"]".repeat(99);
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let checked = small.spawn(move || {
        assert_eq!(said(&schema, &nested("1")), "fits");
        assert_ne!(said(&schema, &nested("2")), "fits");
    });
    checked.unwrap().join().unwrap();
}

#[test]
fn nothing_that_an_item_brings_takes_long_or_overflows() {
    let closed = schema(r#"{"additionalProperties": false, "properties": {"abcdefgh": {}}}"#);
    let name = |n: usize| format!("\"abcdefg{n}\":0");
    let many = format!(
        "{{{}}}",
        (0..60_000).map(name).collect::<Vec<_>>().join(",")
    );
    assert_eq!(said(&closed, &many).lines().count(), VIOLATIONS);
    let regex = schema(r#"{"format": "regex"}"#);
    assert_ne!(
        said(&regex, &format!("\"{}\"", "(".repeat(500_000))),
        "fits"
    );
    let email = schema(r#"{"format": "email"}"#);
    assert_ne!(
        said(&email, &format!("\"{}\"", "a.".repeat(400_000))),
        "fits"
    );
    let unique = schema(r#"{"uniqueItems": true}"#);
    let list = (0..50_000)
        .map(|n| format!("{{\"n\":{n}}}"))
        .collect::<Vec<_>>();
    assert_eq!(said(&unique, &format!("[{}]", list.join(","))), "fits");
}

#[test]
fn patterns_are_matched_in_linear_time() {
    // With backtracking, each more letter doubles this.
    let evil = schema(r#"{"type": "string", "pattern": "^(a+)+$"}"#);
    let text = format!("\"{}!\"", "a".repeat(100_000));
    assert!(said(&evil, &text).starts_with("payload does not match"));
}
