//! Flowgate when its store is in trouble: no room on the disk, a disk that
//! fails, a part of the store that is broken.

mod disk;
mod faulty;
mod lanes;
#[allow(dead_code, reason = "these tests use some of it")]
#[path = "../flow/many.rs"]
mod many;
mod site;
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "these tests use some of it")]
#[path = "../flow/world.rs"]
mod world;
