//! The `grpc` target: any method of a gRPC service that takes one message and
//! gives one. Knows gRPC; knows nothing of rates, retries and batches.
//!
//! It speaks gRPC itself, on connections of its own, because what was written
//! and what was not has to be known to the byte. All items share an HTTP/2
//! connection, as far as the target lets them. What comes back is sorted by
//! what it proves:
//!
//! - no connection, no descriptors, or HTTP/2 refused the stream: unsent
//! - written and no status: unknown, whatever else came
//! - a status: what `status` says that it proves

mod call;
mod descriptors;
mod frame;
mod metadata;
mod plan;
mod reflection;
mod status;
mod transcode;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use prost_reflect::MessageDescriptor;

use self::call::Calls;
use self::descriptors::Descriptors;
use self::frame::{PREFIX, Unframed, unframed};
use self::plan::{Asked, Plans};
use self::reflection::Reflection;
use self::status::{Statuses, UNIMPLEMENTED};
use super::http::answer::{Body, Reading, payload};
use super::http::client::{Answered, Client, Cut};
use super::http::complaint::clean;
use super::http::{cause, refused, unknown};
use super::{Hints, Key, Permit, Single};
use crate::config::{GrpcConfig, GrpcMethod};
use crate::model::{Answer, Form, Item, Payload, Refusal, Reply};
use crate::time::wall_ms;

/// The largest message that is taken from a target, in bytes; gRPC's usual.
const MESSAGE_LIMIT: usize = 4 << 20;
/// How much more of a reply is read for the status after it.
const SKIP_LIMIT: usize = 60 << 20;

/// A gRPC service.
pub struct Grpc {
    plans: Plans,
    calls: Arc<Calls>,
    client: Arc<Client>,
    descriptors: Arc<Descriptors>,
    statuses: Statuses,
    /// Bytes of a reply that are kept.
    reply_limit: usize,
    key_window: Duration,
    repeatable: bool,
}

impl Grpc {
    /// A target that is configured so; connects when the first item comes.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, for people.
    pub fn new(config: &GrpcConfig) -> Result<Grpc, String> {
        let reading = Reading {
            busy_503: config.busy_unavailable,
            max_retry_after: config.max_retry_after,
        };
        let limit = MESSAGE_LIMIT + PREFIX;
        let client = Client::new(&config.connect, config.timeout, limit, reading)?;
        let client = Arc::new(client.skipping(SKIP_LIMIT));
        let calls = Arc::new(Calls::new(config)?);
        let statuses = Statuses(reading);
        let plans = Plans::new(config)?;
        let services = plans.services();
        let descriptors = if let Some(pool) = &config.descriptors {
            Descriptors::of_file(pool, &services)
        } else {
            let reflection = Reflection::new(client.clone(), calls.clone(), statuses);
            Descriptors::of_target(reflection, &services)
        };
        Ok(Grpc {
            plans,
            calls,
            client,
            descriptors: Arc::new(descriptors),
            statuses,
            reply_limit: config.reply_limit,
            key_window: config.key_window,
            repeatable: config.repeatable,
        })
    }

    async fn exchange(&self, item: &Item, key: Key<'_>, mut permit: Permit) -> Reply {
        let (asked, output) = match self.plan(item).await {
            Ok(planned) => planned,
            Err(reply) => return reply,
        };
        let render = |_| {
            let key = self.plans.key(key)?;
            let request = self.calls.request(&asked.call, key);
            request.map_err(|error| plan::not_rendered(&error))
        };
        match self.client.exchange(&mut permit, render).await {
            Ok(answered) => {
                let form = item.payload.as_ref().map(|payload| payload.form);
                self.read(&answered, &asked.method, output.as_ref(), form, &mut permit)
            }
            Err(reply) => reply,
        }
    }

    /// The call that an item asks for, and what its reply looks like where that
    /// is to be JSON.
    async fn plan(&self, item: &Item) -> Result<(Asked<'_>, Option<MessageDescriptor>), Reply> {
        // Admission has seen to all of this, as far as it could.
        let asked = self.plans.asked(item).map_err(refused)?;
        let form = item.payload.as_ref().map(|payload| payload.form);
        let service = match form {
            Some(Form::Raw) => self.descriptors.known(&asked.method),
            // A message without fields needs no descriptor; its reply has one
            // where there is one.
            None => self.descriptors.get(&asked.method).await.ok(),
            Some(Form::Json | Form::JsonText) => Some(self.descriptors.get(&asked.method).await?),
        };
        let Some(service) = service else {
            return Ok((asked, None));
        };
        let refusal = match Plans::fill(asked, &service, item) {
            Ok(planned) => return Ok(planned),
            Err(refusal) => refusal,
        };
        let asked = self.plans.asked(item).map_err(refused)?;
        if !self.descriptors.may_change(&asked.method) {
            return Err(refused(refusal));
        }
        let service = Box::pin(self.descriptors.newer(&asked.method)).await?;
        Plans::fill(asked, &service, item).map_err(refused)
    }

    /// What an answer comes to.
    fn read(
        &self,
        answered: &Answered,
        method: &GrpcMethod,
        output: Option<&MessageDescriptor>,
        form: Option<Form>,
        permit: &mut Permit,
    ) -> Reply {
        let is_bare = answered.body.bytes.is_empty() && answered.cut.is_none();
        let (headers, trailers) = (&answered.headers, &answered.trailers);
        let http = answered.status;
        let status = self
            .statuses
            .read(http, headers, trailers, is_bare, wall_ms());
        let Some(status) = status else {
            return no_status(answered.cut);
        };
        if status.code == UNIMPLEMENTED {
            self.descriptors.doubt(method);
        }
        if let Some(pause) = status.pause() {
            permit.answered(Hints {
                retry_after: Some(pause),
            });
        }
        status.reply(|answer| {
            let content_type = headers.get(CONTENT_TYPE);
            let content_type = content_type.and_then(|text| text.to_str().ok());
            let content_type = content_type.map(|text| clean(text, 255));
            self.answer(answer, &answered.body, content_type, output, form)
        })
    }

    /// The answer of a call that was done, with its reply as far as that can be
    /// read. What cannot be read was done all the same.
    fn answer(
        &self,
        mut answer: Answer,
        body: &Body,
        content_type: Option<String>,
        output: Option<&MessageDescriptor>,
        form: Option<Form>,
    ) -> Answer {
        let message = match unframed(&body.bytes) {
            Unframed::Message(message) if !body.truncated => message,
            Unframed::Nothing if !body.truncated => return answer,
            _ => {
                answer.truncated = true;
                return answer;
            }
        };
        let json = output.and_then(|output| transcode::to_json(output, message.clone()));
        let is_json = json.is_some();
        let mut bytes = json.unwrap_or(message);
        if bytes.len() > self.reply_limit {
            bytes.truncate(self.reply_limit);
            answer.truncated = true;
        }
        answer.body = match is_json {
            true => payload(Some("application/json".to_owned()), bytes, form),
            false => (!bytes.is_empty()).then_some(Payload {
                form: Form::Raw,
                content_type,
                body: bytes,
            }),
        };
        answer
    }

    /// Asks the target what its methods look like, while others go on.
    fn ask_ahead(&self, method: &GrpcMethod) {
        if !self.descriptors.is_quiet(method) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (descriptors, method) = (self.descriptors.clone(), method.clone());
        runtime.spawn(async move {
            // Who needs it will hear of a failure.
            let _ = descriptors.newer(&method).await;
        });
    }
}

impl Single for Grpc {
    fn admit(&self, item: &Item) -> Result<(), Refusal> {
        let asked = self.plans.asked(item)?;
        let form = item.payload.as_ref().map(|payload| payload.form);
        let Some(service) = self.descriptors.known(&asked.method) else {
            // It is checked when it is sent.
            if form != Some(Form::Raw) {
                self.ask_ahead(&asked.method);
            }
            return Ok(());
        };
        match Plans::check(&asked, &service, item) {
            Err(_) if self.descriptors.may_change(&asked.method) => {
                self.ask_ahead(&asked.method);
                Ok(())
            }
            checked => checked,
        }
    }

    fn operation(&self) -> String {
        self.plans.own().to_string()
    }

    fn repeatable_for(&self, item: &Item) -> Duration {
        let is_idempotent = || {
            let method = self.plans.method(item).ok()?;
            let of_descriptor = || {
                let service = self.descriptors.known(&method)?;
                Some(service.method(&method.method)?.is_idempotent)
            };
            Some(self.plans.is_idempotent(&method) || of_descriptor().unwrap_or_default())
        };
        if self.repeatable || is_idempotent().unwrap_or_default() {
            Duration::MAX
        } else if self.honours_keys() {
            self.key_window
        } else {
            Duration::ZERO
        }
    }

    fn honours_keys(&self) -> bool {
        self.plans.honours_keys()
    }

    fn call<'a>(&'a self, item: &'a Item, key: Key<'a>, permit: Permit) -> BoxFuture<'a, Reply> {
        self.exchange(item, key, permit).boxed()
    }
}

/// What an answer without a status proves: nothing. It may be a page of
/// something else's, or the status was cut off.
fn no_status(cut: Option<Cut>) -> Reply {
    let (reason, message) = match cut {
        None => (
            "NO_STATUS",
            "the target's answer ended without a gRPC status",
        ),
        Some(Cut::Timeout) => (
            "TIMEOUT",
            "the target's answer did not come to its end in time",
        ),
        Some(Cut::Lost) => (
            "CONNECTION_LOST",
            "the connection was lost before the target's status came",
        ),
        Some(Cut::TooLong) => (
            "REPLY_TOO_LARGE",
            "the target's reply is too large to wait for the status after it",
        ),
    };
    unknown(reason, message.to_owned())
}

/// That there is no telling what a message looks like: nothing was sent.
fn unavailable(message: String) -> Reply {
    Reply::Unsent(cause("DESCRIPTORS_UNAVAILABLE", message))
}
