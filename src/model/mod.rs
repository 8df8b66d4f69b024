//! Plain data: the nouns of the service. Knows nothing of how they are stored,
//! sent or told.

mod batch;
mod chunk;
mod cost;
mod event;
mod ids;
mod item;
mod outcome;
mod refusal;
mod reply;
mod target;

pub use batch::{
    Atomicity, Batch, BatchSpec, BatchState, Counts, Echo, FailurePolicy, Ordering, Progress,
    SealedBy, StoppedBy, Validation,
};
pub use chunk::Chunk;
pub use cost::{Cost, Rate};
pub use event::{Event, EventKind};
pub use ids::{BatchId, BatchNo, ChunkNo, TargetName, TenantId};
pub use item::{Action, Form, GrpcCall, HttpCall, Item, Operation, Payload, Verb};
pub use outcome::{Failure, FailureKind, ItemResult, Outcome, Success, Violation};
pub use refusal::{Code, Refusal};
pub use reply::{Answer, Cause, Reply};
pub use target::{Held, LaneStatus, Limit, Pace, Pause};
