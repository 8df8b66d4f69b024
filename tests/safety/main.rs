//! What nobody may get out of the real program: a request to an address that
//! the operator did not choose, and a secret.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod calls;
mod hostile;
mod secrets;
mod tls;
