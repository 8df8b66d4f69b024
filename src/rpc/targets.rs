//! `ListTargets` and `GetTarget`.

use super::{Rooms, wire};
use crate::intake::{store_trouble, target_not_found};
use crate::model::{Refusal, TargetName};
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
    Ok(proto::GetTargetResponse {
        target: Some(target(rooms, entry).await?),
    })
}

async fn target(rooms: &Rooms, entry: &Entry) -> Result<proto::Target, Refusal> {
    let name = entry.config.name.clone();
    let lane = rooms.board.read(&name);
    let backlog = rooms.store.backlog(name).await.map_err(store_trouble)?;
    Ok(wire::target(entry, lane, backlog.items))
}
