//! Asks a target what its services look like, as gRPC's server reflection has
//! it: v1, or v1alpha, whose messages are the same. Knows nothing of items.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{DescriptorPool, ServiceDescriptor};
use prost_types::FileDescriptorProto;

use super::call::{Call, Calls};
use super::frame::{framed, messages};
use super::plan::not_rendered;
use super::status::{Statuses, UNIMPLEMENTED};
use super::unavailable;
use crate::model::Reply;
use crate::target::http::client::{Client, Free};
use crate::time::wall_ms;

/// The services that answer, the newer one first.
const SERVICES: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// How often the target is asked for files that those before import.
const ROUNDS: usize = 50;
/// The most files that a service is made of.
const FILES: usize = 5_000;

/// Asks a target.
pub(super) struct Reflection {
    client: Arc<Client>,
    calls: Arc<Calls>,
    statuses: Statuses,
}

/// A question.
#[derive(Clone, PartialEq, prost::Message)]
struct Asked {
    #[prost(string, optional, tag = "3")]
    file_by_filename: Option<String>,
    #[prost(string, optional, tag = "4")]
    file_containing_symbol: Option<String>,
}

/// An answer: files, or why there are none.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(message, optional, tag = "4")]
    files: Option<Files>,
    #[prost(message, optional, tag = "7")]
    error: Option<Refused>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Files {
    /// Each a `FileDescriptorProto`.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Refused {
    #[prost(string, tag = "2")]
    message: String,
}

impl Asked {
    fn symbol(name: &str) -> Asked {
        Asked {
            file_containing_symbol: Some(name.to_owned()),
            ..Asked::default()
        }
    }

    fn file(name: &str) -> Asked {
        Asked {
            file_by_filename: Some(name.to_owned()),
            ..Asked::default()
        }
    }
}

impl Reflection {
    /// Asks by these calls; `statuses` reads what they come to.
    pub(super) fn new(client: Arc<Client>, calls: Arc<Calls>, statuses: Statuses) -> Reflection {
        Reflection {
            client,
            calls,
            statuses,
        }
    }

    /// What a service looks like, with all that its messages are made of; or
    /// what it proves of an item that there is no telling: that it was not sent.
    pub(super) async fn read(&self, service: &str) -> Result<ServiceDescriptor, Reply> {
        let mut of = SERVICES[0];
        let mut first = self.ask(of, &[Asked::symbol(service)]).await?;
        if first.is_none() {
            of = SERVICES[1];
            first = self.ask(of, &[Asked::symbol(service)]).await?;
        }
        let Some(first) = first else {
            return Err(unavailable(
                "the target has no reflection; give `grpc.descriptors` a file".to_owned(),
            ));
        };
        let mut files = BTreeMap::new();
        keep(&mut files, first)?;
        for _ in 0..ROUNDS {
            well_known(&mut files);
            let missing = missing(&files);
            if missing.is_empty() {
                return pool(files, service);
            }
            let names: Vec<Asked> = missing.iter().map(|name| Asked::file(name)).collect();
            let told = self.ask(of, &names).await?.unwrap_or_default();
            keep(&mut files, told)?;
            if let Some(name) = missing.iter().find(|name| !files.contains_key(*name)) {
                let message = format!("the target's reflection does not give the file `{name}`");
                return Err(unavailable(message));
            }
        }
        Err(unavailable(
            "the target's reflection gives files without end".to_owned(),
        ))
    }

    /// The answers to some questions; `None` where nobody answers such.
    async fn ask(&self, of: &'static str, asked: &[Asked]) -> Result<Option<Vec<Told>>, Reply> {
        let frames = asked.iter().map(|asked| {
            framed(asked.encoded_len(), |frame| {
                asked.encode(frame).expect("there is room");
            })
        });
        let call = Call {
            path: PathAndQuery::from_static(of),
            content_type: HeaderValue::from_static("application/grpc"),
            metadata: Vec::new(),
            message: frames.collect::<Vec<Bytes>>().concat().into(),
        };
        let render = |_| {
            let request = self.calls.request(&call, None);
            request.map_err(|error| not_rendered(&error))
        };
        let answered = match self.client.exchange(&mut Free, render).await {
            Ok(answered) => answered,
            // It is as far away for items.
            Err(unsent @ Reply::Unsent(_)) => return Err(unsent),
            Err(Reply::Unknown(cause) | Reply::Refused(cause)) => {
                return Err(unavailable(format!("by reflection: {}", cause.message)));
            }
            Err(_) => return Err(unavailable("the target did not answer".to_owned())),
        };
        let is_bare = answered.body.bytes.is_empty() && answered.cut.is_none();
        let (headers, trailers) = (&answered.headers, &answered.trailers);
        let http = answered.status;
        let status = self
            .statuses
            .read(http, headers, trailers, is_bare, wall_ms());
        let told = match status {
            Some(status) if status.code == UNIMPLEMENTED => return Ok(None),
            Some(status) if status.is_ok() && !answered.body.truncated => {
                messages(answered.body.bytes)
            }
            Some(status) if !status.is_ok() => {
                let message = format!("by reflection, the target answered: {}", status.message());
                return Err(unavailable(message));
            }
            _ => None,
        };
        let told = told.and_then(|told| {
            let told = told.into_iter().map(Told::decode);
            told.collect::<Result<Vec<Told>, _>>().ok()
        });
        told.map(Some).ok_or_else(|| {
            unavailable("what the target answered by reflection cannot be read".to_owned())
        })
    }
}

/// Keeps the files of some answers.
fn keep(files: &mut BTreeMap<String, FileDescriptorProto>, told: Vec<Told>) -> Result<(), Reply> {
    for told in told {
        if let Some(error) = told.error {
            let message = format!("the target's reflection says: {}", error.message);
            return Err(unavailable(message));
        }
        for bytes in told.files.unwrap_or_default().files {
            let file = FileDescriptorProto::decode(bytes).map_err(|error| {
                unavailable(format!("the target's reflection gives no file: {error}"))
            })?;
            files.insert(file.name().to_owned(), file);
        }
    }
    if files.len() > FILES {
        let message = format!("the target's reflection gives more than {FILES} files");
        return Err(unavailable(message));
    }
    Ok(())
}

/// Adds what everybody knows of what others import: not every service has it.
fn well_known(files: &mut BTreeMap<String, FileDescriptorProto>) {
    let known = DescriptorPool::global();
    let missing = missing(files);
    let found = missing
        .iter()
        .filter_map(|name| known.get_file_by_name(name));
    files.extend(found.map(|file| {
        let proto = file.file_descriptor_proto();
        (file.name().to_owned(), proto.clone())
    }));
}

/// The files that others import, and that are not there yet.
fn missing(files: &BTreeMap<String, FileDescriptorProto>) -> BTreeSet<String> {
    let imported = files.values().flat_map(|file| &file.dependency);
    let missing = imported.filter(|name| !files.contains_key(*name));
    missing.cloned().collect()
}

fn pool(
    files: BTreeMap<String, FileDescriptorProto>,
    service: &str,
) -> Result<ServiceDescriptor, Reply> {
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_protos(files.into_values())
        .map_err(|error| {
            let message = format!("what the target's reflection gives does not fit: {error}");
            unavailable(message)
        })?;
    pool.get_service_by_name(service).ok_or_else(|| {
        unavailable(format!(
            "the target's reflection has no service `{service}`"
        ))
    })
}
