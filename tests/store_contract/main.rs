//! What every store does, run over every store. The one in memory is the
//! oracle: `twins` drives both with the same random verbs.

#![allow(
    clippy::option_option,
    reason = "a seal is said so: with or without a count"
)]
#![allow(
    clippy::float_cmp,
    reason = "a pace that is stored reads back as it was"
)]

mod atomic;
mod build;
mod cancelling;
mod charging;
mod durable;
mod opening;
mod rescuing;
mod retrying;
mod sending;
mod stress;
mod submitting;
mod twins;
mod versions;

use std::sync::Arc;

use flowgate::store::{MemoryStore, SqliteStore, Store};

/// Runs each of these over each store.
macro_rules! over_every_store {
    ($($module:ident :: $name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$module::$name(super::Arc::new(super::MemoryStore::new())).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let folder = tempfile::tempdir().unwrap();
                let store = super::SqliteStore::open(&folder.path().join("store.db")).unwrap();
                super::$module::$name(super::Arc::new(store)).await;
            })*
        }
    };
}

/// What the tests are given.
type Any = Arc<dyn Store>;

over_every_store! {
    submitting::a_batch_reads_back_as_it_was_submitted,
    submitting::items_of_every_shape_read_back_as_they_were,
    submitting::a_known_request_id_is_answered_with_its_batch,
    submitting::a_request_id_is_a_tenants_own,
    submitting::an_append_that_names_another_offset_does_nothing,
    submitting::appends_are_done_in_the_order_of_the_calls,
    submitting::an_append_after_the_seal_does_nothing,
    submitting::a_seal_with_a_wrong_count_does_nothing,
    submitting::a_batch_of_nothing_is_not_sealed,
    submitting::items_that_do_not_follow_on_are_refused,
    submitting::an_item_that_failed_admission_has_its_outcome_at_once,
    submitting::a_chunk_of_failures_is_finished_at_once,
    submitting::a_batch_of_failures_is_finished_at_once,
    submitting::a_seal_after_the_last_outcome_finishes_the_batch,
    submitting::nobody_sees_another_tenants_batch,
    submitting::batches_are_listed_the_newest_first_and_filtered,
    submitting::items_are_read_in_part,
    sending::chunks_are_leased_in_order_until_there_are_none,
    sending::a_lease_shows_in_the_batch,
    sending::a_settle_records_results_then_progress_then_the_end,
    sending::results_are_recorded_before_the_chunk_is_finished,
    sending::a_settle_under_another_epoch_writes_nothing,
    sending::a_settle_of_an_item_that_is_done_writes_nothing,
    sending::a_settle_of_another_item_writes_nothing,
    retrying::items_to_be_sent_again_move_to_a_chunk_of_their_own,
    retrying::once_unanswered_is_always_unanswered,
    retrying::a_released_chunk_is_leased_again_with_what_is_left,
    retrying::what_was_put_off_goes_before_what_was_never_sent,
    sending::the_pace_and_the_time_left_are_those_of_the_last_settle,
    sending::a_batch_ends_as_its_outcomes_say,
    sending::events_are_read_from_any_cursor_in_pieces,
    sending::a_backlog_holds_the_batches_with_queued_items,
    cancelling::an_empty_batch_is_cancelled_at_once,
    cancelling::an_open_batch_whose_items_are_done_is_finished_by_a_cancel,
    cancelling::cancelling_again_changes_nothing,
    cancelling::a_sweep_settles_what_is_queued,
    cancelling::a_sweep_leaves_unanswered_items_in_doubt,
    cancelling::a_sweep_of_a_running_batch_does_nothing,
    cancelling::items_on_the_wire_run_to_their_outcome,
    cancelling::swept_items_are_echoed_as_the_batch_asks,
    charging::a_lease_is_charged_to_its_target_and_minute,
    charging::charges_are_read_from_the_minute_on_that_holds_a_time,
    charging::a_settle_refunds_what_was_not_sent,
    charging::what_was_sent_counts_in_the_minute_of_its_settle,
    charging::a_release_refunds_what_was_not_sent_and_a_new_lease_is_charged,
    charging::a_released_chunk_is_charged_no_more,
    charging::every_try_is_charged,
    charging::a_settle_that_writes_nothing_is_charged_nothing,
    charging::a_rescue_charges_what_may_have_been_sent_to_its_minute,
    charging::a_rescue_in_strict_order_charges_the_one_that_may_have_been_sent,
    charging::what_was_leased_of_a_stopped_batch_is_settled_as_ever,
    charging::a_lease_is_charged_by_what_its_requests_take,
    charging::what_proved_to_be_unwritten_is_taken_back,
    charging::old_charges_are_pruned_and_no_others,
    atomic::nothing_is_leased_before_the_seal_and_all_of_it_together_then,
    atomic::what_goes_again_goes_as_a_whole,
    atomic::a_rescue_puts_all_in_doubt_where_one_is_unsafe,
    atomic::one_that_is_left_without_a_seal_expires,
    rescuing::a_rescue_puts_unsafe_items_in_doubt,
    rescuing::a_rescue_queues_safe_items_as_unanswered,
    rescuing::a_rescue_tells_safe_items_from_unsafe_ones,
    rescuing::a_rescue_finishes_what_was_sealed,
    rescuing::a_rescue_takes_every_leased_chunk,
}
