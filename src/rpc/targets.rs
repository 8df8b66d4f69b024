//! `ListTargets` and `GetTarget`.

use super::{Rooms, wire};
use crate::intake::{store_trouble, target_not_found};
use crate::model::{LaneStatus, Refusal, TargetName};
use crate::proto;
use crate::target::Entry;

pub(super) async fn list_targets(rooms: &Rooms) -> Result<proto::ListTargetsResponse, Refusal> {
    let mut targets = Vec::new();
    for entry in rooms.catalog.all() {
        targets.push(target(rooms, entry).await?);
    }
    Ok(proto::ListTargetsResponse { targets })
}

pub(super) async fn get_target(
    rooms: &Rooms,
    name: &str,
) -> Result<proto::GetTargetResponse, Refusal> {
    let name = TargetName::new(name);
    let entry = rooms.catalog.get(&name);
    let entry = entry.ok_or_else(|| target_not_found(&name))?;
    let schema = entry.config.schema.as_ref();
    let schema = schema.map_or("", |schema| schema.schema.text());
    Ok(proto::GetTargetResponse {
        target: Some(proto::Target {
            item_schema: schema.to_owned(),
            ..target(rooms, entry).await?
        }),
    })
}

pub(super) async fn pause_target(
    rooms: &Rooms,
    request: proto::PauseTargetRequest,
) -> Result<proto::PauseTargetResponse, Refusal> {
    let target = hold(rooms, &request.name, Some(request.reason)).await?;
    Ok(proto::PauseTargetResponse {
        target: Some(target),
    })
}

pub(super) async fn resume_target(
    rooms: &Rooms,
    name: &str,
) -> Result<proto::ResumeTargetResponse, Refusal> {
    let target = hold(rooms, name, None).await?;
    Ok(proto::ResumeTargetResponse {
        target: Some(target),
    })
}

/// Holds a target, or lets it go on; as it is then.
async fn hold(rooms: &Rooms, name: &str, reason: Option<String>) -> Result<proto::Target, Refusal> {
    let name = TargetName::new(name);
    let entry = rooms.catalog.get(&name);
    let entry = entry.ok_or_else(|| target_not_found(&name))?;
    rooms.intake.hold(&name, reason).await?;
    target(rooms, entry).await
}

async fn target(rooms: &Rooms, entry: &Entry) -> Result<proto::Target, Refusal> {
    let name = entry.config.name.clone();
    let pauses = rooms.store.pauses().await.map_err(store_trouble)?;
    let held = pauses.into_iter().find(|pause| pause.target == name);
    // The lane hears of it a moment later.
    let lane = LaneStatus {
        held: held.map(|pause| pause.held),
        ..rooms.board.read(&name)
    };
    let backlog = rooms.store.backlog(name).await.map_err(store_trouble)?;
    Ok(wire::target(entry, lane, backlog.items))
}
