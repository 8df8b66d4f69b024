//! What methods take and give: from a file, or as the target says by
//! reflection, read when it is needed first and again when it seems to have
//! changed. Knows nothing of items.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost_reflect::{DescriptorPool, MessageDescriptor, ServiceDescriptor};
use prost_types::MethodOptions;
use prost_types::method_options::IdempotencyLevel;
use tokio::time::Instant;

use super::reflection::Reflection;
use crate::config::GrpcMethod;
use crate::model::Reply;

/// What was read a shorter while ago is not doubted: a batch of bad items does
/// not make as many questions.
const FRESH: Duration = Duration::from_mins(1);

/// After a failure, the next question comes no sooner.
const PAUSE: Duration = Duration::from_secs(1);

/// A service's methods.
#[derive(Debug)]
pub(super) struct Service {
    methods: HashMap<String, Method>,
}

/// A method with one message each way; or one without, which is of no use.
#[derive(Clone, Debug)]
pub(super) struct Method {
    pub input: MessageDescriptor,
    pub output: MessageDescriptor,
    /// Its descriptor says that calling it twice does no harm.
    pub is_idempotent: bool,
    pub is_stream: bool,
}

impl Service {
    fn new(found: &ServiceDescriptor) -> Service {
        let methods = found.methods().map(|method| {
            let options = method.method_descriptor_proto().options.as_ref();
            let level = options.map(MethodOptions::idempotency_level);
            let level = level.unwrap_or_default();
            let known = Method {
                input: method.input(),
                output: method.output(),
                is_idempotent: level != IdempotencyLevel::IdempotencyUnknown,
                is_stream: method.is_client_streaming() || method.is_server_streaming(),
            };
            (method.name().to_owned(), known)
        });
        Service {
            methods: methods.collect(),
        }
    }

    pub(super) fn method(&self, name: &str) -> Option<&Method> {
        self.methods.get(name)
    }

    /// The methods that can be called, in order.
    pub(super) fn names(&self) -> Vec<&str> {
        let callable = self.methods.iter().filter(|(_, method)| !method.is_stream);
        let mut names: Vec<&str> = callable.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

/// The services that a target's items can name.
pub(super) struct Descriptors {
    services: HashMap<String, Slot>,
    reflection: Option<Reflection>,
}

/// What is known of one service.
#[derive(Default)]
struct Slot {
    // A std mutex: held for a few moves of memory, never across an await.
    known: Mutex<Known>,
    /// Held while the target is asked, so that many items ask once.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    service: Option<Arc<Service>>,
    read_at: Option<Instant>,
    /// When the target could last not be asked, and what that proves.
    failure: Option<(Instant, Reply)>,
    /// The target has not known a method that it said it had.
    doubted: bool,
}

impl Descriptors {
    /// As a file has them; services that it does not have are not known.
    pub(super) fn of_file(pool: &DescriptorPool, services: &[&str]) -> Descriptors {
        let of = |name: &&str| {
            let found = pool.get_service_by_name(name)?;
            let slot = Slot {
                known: Mutex::new(Known {
                    service: Some(Arc::new(Service::new(&found))),
                    ..Known::default()
                }),
                ..Slot::default()
            };
            Some(((*name).to_owned(), slot))
        };
        Descriptors {
            services: services.iter().filter_map(of).collect(),
            reflection: None,
        }
    }

    /// As the target says when it is asked.
    pub(super) fn of_target(reflection: Reflection, services: &[&str]) -> Descriptors {
        let of = |name: &&str| ((*name).to_owned(), Slot::default());
        Descriptors {
            services: services.iter().map(of).collect(),
            reflection: Some(reflection),
        }
    }

    /// What is known now of a method's service.
    pub(super) fn known(&self, method: &GrpcMethod) -> Option<Arc<Service>> {
        self.slot(method)?.lock().service.clone()
    }

    /// Whether asking the target may tell more of a service than is known.
    pub(super) fn may_change(&self, method: &GrpcMethod) -> bool {
        let Some(slot) = self.slot(method).filter(|_| self.reflection.is_some()) else {
            return false;
        };
        let is_old = |at: Instant| at.elapsed() >= FRESH;
        slot.lock().read_at.is_none_or(is_old)
    }

    /// The target did not know the method when it was called.
    pub(super) fn doubt(&self, method: &GrpcMethod) {
        if let Some(slot) = self.slot(method) {
            slot.lock().doubted = true;
        }
    }

    /// What is known of a method's service, asking the target where nothing is,
    /// or where that has proven wrong.
    pub(super) async fn get(&self, method: &GrpcMethod) -> Result<Arc<Service>, Reply> {
        let known = self.slot(method).map(|slot| {
            let known = slot.lock();
            let is_old = || known.read_at.is_some_and(|at| at.elapsed() >= FRESH);
            known
                .service
                .clone()
                .filter(|_| !(known.doubted && is_old()))
        });
        match known.flatten() {
            Some(service) => Ok(service),
            None => Box::pin(self.newer(method)).await,
        }
    }

    /// Asks the target, unless somebody has just done so.
    pub(super) async fn newer(&self, method: &GrpcMethod) -> Result<Arc<Service>, Reply> {
        let asked = Instant::now();
        let unknown = || {
            let message = format!("nothing is known of the service `{}`", method.service);
            super::unavailable(message)
        };
        let slot = self.slot(method).ok_or_else(unknown)?;
        let reflection = self.reflection.as_ref().ok_or_else(unknown)?;
        let _turn = slot.turn.lock().await;
        {
            let known = slot.lock();
            let is_new = known.read_at.is_some_and(|at| at >= asked);
            if let Some(service) = known.service.as_ref().filter(|_| is_new) {
                return Ok(service.clone());
            }
            if let Some((at, failure)) = &known.failure
                && (*at >= asked || at.elapsed() < PAUSE)
            {
                return Err(failure.clone());
            }
        }
        let read = reflection.read(&method.service).await;
        let mut known = slot.lock();
        match read {
            Ok(found) => {
                let service = Arc::new(Service::new(&found));
                *known = Known {
                    service: Some(service.clone()),
                    read_at: Some(Instant::now()),
                    ..Known::default()
                };
                Ok(service)
            }
            Err(failure) => {
                known.failure = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    /// Whether nobody asks the target just now, nor has failed to a moment ago.
    pub(super) fn is_quiet(&self, method: &GrpcMethod) -> bool {
        let Some(slot) = self.slot(method).filter(|_| self.reflection.is_some()) else {
            return false;
        };
        let failure = slot.lock().failure.as_ref().map(|(at, _)| *at);
        slot.turn.try_lock().is_ok() && failure.is_none_or(|at| at.elapsed() >= PAUSE)
    }

    fn slot(&self, method: &GrpcMethod) -> Option<&Slot> {
        self.services.get(&method.service)
    }
}

impl Slot {
    /// Locks, also after a panic elsewhere: what is guarded is always whole.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
