//! Files for a target with a schema, and files that are only looked at: the real
//! program against the real server.

use flowgate::app::Server;
use flowgate::config::Config;

use crate::http_target::{Act, HttpTarget};
use crate::{Folder, Run, finish, program, read};

const SCHEMA: &str = r#"{
    "type": "object",
    "required": ["email", "age"],
    "additionalProperties": false,
    "properties": {
        "email": {"type": "string", "format": "email"},
        "zip": {"type": "string"},
        "age": {"type": "integer", "minimum": 0},
        "vip": {"type": "boolean"},
        "price": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "nick": {"type": ["string", "null"]},
        "first name": {"type": "string", "maxLength": 10}
    }
}"#;

/// A server with one target that has that schema, and the target.
struct World {
    server: Server,
    target: HttpTarget,
    folder: Folder,
}

impl World {
    async fn start() -> World {
        let target = HttpTarget::start(|request| {
            let bad = request.body.windows(3).any(|part| part == b"bad");
            Act::answer(if bad { 422 } else { 201 }, "")
        })
        .await;
        let folder = Folder::new();
        folder.write("guests.schema.json", SCHEMA);
        let config = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            [store]
            memory = true
            [targets.crm]
            kind = "http"
            url = "{}"
            path = "/guests"
            schema = "guests.schema.json"
            [targets.plain]
            kind = "http"
            url = "{}"
            path = "/guests"
            "#,
            target.base(),
            target.base()
        );
        let config = Config::parse(&config, folder.0.path(), &|_| None);
        let server = Server::start(config.unwrap()).await.unwrap();
        World {
            server,
            target,
            folder,
        }
    }

    async fn run(&self, args: &[&str]) -> Run {
        finish(&mut program(&self.server.address().to_string(), args)).await
    }

    /// What came to the target, in the order of the text.
    fn sent(&self) -> Vec<String> {
        let bodies = self.target.requests().into_iter();
        let text = |body: bytes::Bytes| String::from_utf8(body.into()).unwrap();
        let mut sent: Vec<_> = bodies.map(|request| text(request.body)).collect();
        sent.sort();
        sent
    }

    async fn batches(&self) -> String {
        self.run(&["list", "--json"]).await.stdout
    }
}

const GUESTS: &str = "email,zip,age,vip,price,tags,nick,first name\n\
    a@example.org,00123,41,TRUE,1.10,\"[\"\"x\"\"]\",,Ada\n\
    b@example.org,1,7,,,,B,Bo\n";

#[tokio::test]
async fn columns_are_of_the_types_that_the_schema_says() {
    let world = World::start().await;
    let file = world.folder.write("guests.csv", GUESTS);
    let run = world.run(&["submit", &file, "-t", "crm"]).await;
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    assert_eq!(
        world.sent(),
        [
            r#"{"email":"a@example.org","zip":"00123","age":41,"vip":true,"price":1.10,"tags":["x"],"nick":null,"first name":"Ada"}"#,
            r#"{"email":"b@example.org","zip":"1","age":7,"nick":"B","first name":"Bo"}"#,
        ]
    );
}

#[tokio::test]
async fn without_a_schema_every_value_is_a_string() {
    let world = World::start().await;
    let file = world
        .folder
        .write("guests.csv", "n,zip,flag\n1,00123,true\n");
    let run = world.run(&["submit", &file, "-t", "plain"]).await;
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    assert_eq!(world.sent(), [r#"{"n":"1","zip":"00123","flag":"true"}"#]);
}

#[tokio::test]
async fn what_does_not_fit_is_shown_with_its_column() {
    let world = World::start().await;
    let rows = "email,zip,age,first name\n\
        ada,00123,41,Ada\n\
        b@example.org,1,old,Bo\n\
        c@example.org,2,00123,Bartholomew Jr.\n\
        d@example.org,3,5,Di\n\
        e@example.org,4,,Ed\n";
    let file = world.folder.write("guests.csv", rows);
    let out = world.folder.name("wrong.csv");
    let args = [
        "submit",
        &file,
        "-t",
        "crm",
        "--validate-only",
        "--results",
        &out,
    ];
    let run = world.run(&args).await;
    assert_eq!(run.status, 2, "{}", run.stderr);
    insta::assert_snapshot!(run.stdout, @r"
    1 valid, 4 invalid; nothing was sent (--validate-only)

    Failures
      2  INVALID      age: is a text, and must be a whole number (SCHEMA_VIOLATION)
      1  INVALID      age: is a text, and must be a whole number; first name: has 15 characte…
      1  INVALID      email: is not an e-mail address, like name@example.org (SCHEMA_VIOLATIO…

    Invalid rows
    line  email          age    first name       error
    2     ada            41     Ada              email: is not an e-mail address, like name@e…
    3     b@example.org  old    Bo               age: is a text, and must be a whole number
    4     c@example.org  00123  Bartholomew Jr.  age: is a text, and must be a whole number; …
    6     e@example.org         Ed               age: is a text, and must be a whole number
    ");
    insta::assert_snapshot!(read(&out), @r#"
    index,id,status,target_status,kind,error,fields,attempts,replayed,reply,item.email,item.zip,item.age,item.first name
    0,0,failed,,INVALID,"payload.email is not an e-mail address, like name@example.org","email: is not an e-mail address, like name@example.org",0,,,ada,00123,41,Ada
    1,1,failed,,INVALID,"payload.age is a text, and must be a whole number","age: is a text, and must be a whole number",0,,,b@example.org,1,old,Bo
    2,2,failed,,INVALID,the payload breaks the target's schema in 2 places,"age: is a text, and must be a whole number; first name: has 15 characters, and 10 are the most",0,,,c@example.org,2,00123,Bartholomew Jr.
    4,4,failed,,INVALID,"payload.age is a text, and must be a whole number","age: is a text, and must be a whole number",0,,,e@example.org,4,,Ed
    "#);
    assert!(world.sent().is_empty());
    assert_eq!(world.batches().await.trim(), "[]");

    // The same file, sent: the same rows fail.
    let run = world.run(&["submit", &file, "-t", "crm"]).await;
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert!(
        run.stdout.starts_with("1 succeeded, 4 failed"),
        "{}",
        run.stdout
    );
    assert_eq!(world.sent().len(), 1);
}

#[tokio::test]
async fn a_clean_file_is_called_valid_and_not_sent() {
    let world = World::start().await;
    let file = world.folder.write("guests.csv", GUESTS);
    let run = world
        .run(&["submit", &file, "-t", "crm", "--validate-only"])
        .await;
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert_eq!(
        run.stdout,
        "2 valid, 0 invalid; nothing was sent (--validate-only)\n"
    );
    let lines = world.folder.write(
        "a.jsonl",
        "{\"email\":\"a@b.org\",\"age\":1}\n{\"age\":\"1\"}\n",
    );
    let run = world
        .run(&["submit", &lines, "-t", "crm", "--validate-only"])
        .await;
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert!(
        run.stdout.starts_with("1 valid, 1 invalid;"),
        "{}",
        run.stdout
    );
    let wrong = "email: is missing; age: is a text, and must be a whole number";
    assert!(run.stdout.contains(wrong), "{}", run.stdout);
    assert_eq!(world.batches().await.trim(), "[]");
}

#[tokio::test]
async fn a_long_file_is_looked_at_to_its_end() {
    let world = World::start().await;
    let row = |n: usize| match n % 400 {
        7 => format!("g{n}@example.org,old\n"),
        _ => format!("g{n}@example.org,{n}\n"),
    };
    let rows = (0..2_300).fold(String::from("email,age\n"), |text, n| text + &row(n));
    let file = world.folder.write("many.csv", &rows);
    let run = world
        .run(&["submit", &file, "-t", "crm", "--validate-only"])
        .await;
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert!(
        run.stdout.starts_with("2294 valid, 6 invalid;"),
        "{}",
        run.stdout
    );
    // The last of them is on line 2009: the first row is on line 2.
    assert!(
        run.stdout.contains("\n2009  g2007@example.org"),
        "{}",
        run.stdout
    );
}

#[tokio::test]
async fn a_column_that_the_schema_does_not_know_is_told_before_anything_is_sent() {
    let world = World::start().await;
    let file = world
        .folder
        .write("guests.csv", "mail,age\na@example.org,1\n");
    for more in [&["--validate-only"][..], &[]] {
        let args = [&["submit", &file, "-t", "crm"], more].concat();
        let run = world.run(&args).await;
        assert_eq!(run.status, 1);
        let says =
            "guests.csv: the target crm does not take a column `mail`; did you mean `email`?";
        assert!(run.stderr.contains(says), "{}", run.stderr);
    }
    assert_eq!(world.batches().await.trim(), "[]");
    // What comes from a pipe is read only once.
    let args = ["submit", "-", "--format", "csv", "-t", "crm"];
    let mut command = program(&world.server.address().to_string(), &args);
    let stdin = std::fs::File::open(&file).unwrap();
    let run = finish(command.stdin(stdin)).await;
    assert!(run.stderr.contains("a column `mail`"), "{}", run.stderr);
    assert_eq!(world.batches().await.trim(), "[]");
    let run = world.run(&["submit", &file, "-t", "crn"]).await;
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("TARGET_NOT_FOUND"), "{}", run.stderr);
}

#[tokio::test]
async fn what_failed_is_read_back_with_its_types() {
    let world = World::start().await;
    let rows = "email,age,vip,nick\nbad@example.org,41,true,\nb@example.org,7,,\nx,8,,N\n";
    let file = world.folder.write("guests.csv", rows);
    let run = world.run(&["submit", &file, "-t", "crm", "--detach"]).await;
    assert_eq!(run.status, 0, "{}", run.stderr);
    let id = run.stdout.trim();
    let watched = world.run(&["watch", id]).await;
    assert_eq!(watched.status, 2, "{}", watched.stderr);
    let failed = world.folder.name("failed.csv");
    let run = world.run(&["results", id, "--failed", "-o", &failed]).await;
    assert_eq!(run.status, 0, "{}", run.stderr);
    let corrected = read(&failed)
        .replace("bad@", "good@")
        .replace("\nx,", "\nx@example.org,");
    std::fs::write(&failed, corrected).unwrap();
    let run = world.run(&["submit", &failed, "-t", "crm"]).await;
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    let good: Vec<_> = world
        .sent()
        .into_iter()
        .filter(|body| !body.contains("bad"))
        .collect();
    assert_eq!(
        good,
        [
            r#"{"email":"b@example.org","age":7,"nick":null}"#,
            r#"{"email":"good@example.org","age":41,"nick":null,"vip":true}"#,
            r#"{"email":"x@example.org","age":8,"nick":"N"}"#,
        ]
    );
}

#[tokio::test]
async fn a_target_shows_that_it_has_a_schema() {
    let world = World::start().await;
    let run = world.run(&["targets", "crm"]).await;
    let says = format!(
        "schema        {} bytes, for items of: target, create",
        SCHEMA.len()
    );
    assert!(run.stdout.contains(&says), "{}", run.stdout);
    let run = world.run(&["targets", "crm", "--json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(shown["item_schema"], schema);
}

#[tokio::test]
async fn check_says_which_schema_is_used_and_of_which_draft() {
    let folder = Folder::new();
    let schema = SCHEMA.replace("\"email\"}", "\"email\"}, \"tel\": {\"format\": \"phone\"}");
    folder.write("guests.schema.json", &schema);
    let config = "[targets.crm]\nkind = \"http\"\nurl = \"http://localhost:1\"\npath = \"/\"\n\
        schema = \"guests.schema.json\"\nschema_for = [\"create\", \"update\"]\n";
    let file = folder.write("flowgate.toml", config);
    let run = finish(&mut program("localhost:1", &["check", &file])).await;
    assert_eq!(run.status, 0, "{}", run.stderr);
    let path = folder.name("guests.schema.json");
    for says in [
        &format!("\n  schema        {path}, draft 2020-12\n")[..],
        "\n                for items of: create, update\n",
        "\n                note: not checked, because unknown here: format `phone`\n",
    ] {
        assert!(run.stdout.contains(says), "{}", run.stdout);
    }
    folder.write(
        "guests.schema.json",
        "{\"$ref\": \"https://example.com/guest.json\"}",
    );
    let run = finish(&mut program("localhost:1", &["check", &file])).await;
    assert_eq!(run.status, 1);
    let says = format!(
        "{file}:5: targets.crm.schema: {path}: #/$ref leads out of this document, to \
         `https://example.com/guest.json`; nothing is fetched: put that schema under \"$defs\" \
         here and write \"#/$defs/NAME\"\n"
    );
    assert_eq!(run.stderr, says);
}

#[tokio::test]
async fn the_example_finds_what_is_wrong_with_the_guests() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let text = read(format!("{examples}/validated.toml"));
    let text = text.replace("127.0.0.1:50051", "127.0.0.1:0");
    let config = Config::parse(&text, examples.as_ref(), &|_| None).unwrap();
    let server = Server::start(config).await.unwrap();
    let file = format!("{examples}/guests.csv");
    let address = server.address().to_string();
    let args = [
        "submit",
        &file,
        "-t",
        "guests",
        "--validate-only",
        "--max-failures",
        "4",
    ];
    let run = finish(&mut program(&address, &args)).await;
    assert_eq!(run.status, 2, "{}", run.stderr);
    insta::assert_snapshot!(run.stdout, @r"
    432 valid, 68 invalid; nothing was sent (--validate-only)

    Failures
      52  INVALID      email: is not an e-mail address, like name@example.org (SCHEMA_VIOLATI…
      16  INVALID      visit_date: is not a date, like 2030-01-31 (SCHEMA_VIOLATION)

    Invalid rows (the first 4 of 68)
    line  email                         visit_date  error
    9                                   2026-11-04  email: is not an e-mail address, like nam…
    12    agnieszka.wojcik@wojcik.exa…  2026-11-04  email: is not an e-mail address, like nam…
    33    pena62@example.net            2026-11-06  email: is not an e-mail address, like nam…
    39    jannik.weiss@alte-muehle.ex…  03/11/2026  visit_date: is not a date, like 2030-01-31
    ");
}
