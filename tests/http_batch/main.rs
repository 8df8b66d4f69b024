//! The `http_batch` target, before a provider that does as a script says and
//! keeps a ledger of what it did: what Flowgate says of an item agrees with the
//! ledger, whatever the provider answers.

#[path = "../support/mod.rs"]
mod support;

mod atomic;
mod faults;
mod halves;
mod keys;
mod moto;
mod program;
mod provider;
mod random;
mod sending;
