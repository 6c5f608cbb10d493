//! The store's contract: every statement, against SQLite and against PostgreSQL.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on should say where; it exports nothing"
)]

mod account;
mod batch;
mod books;
mod catalogue;
mod fixture;
mod full;
mod key;
mod ledger;
mod payment;
mod postgres;
mod publish;
mod race;
mod reach;
mod right;
mod room;
mod schema;
mod supplied;
mod trail;
mod view;

use std::sync::Arc;

use matinee_server::store::{Store, Tx};

/// An empty database, removed when dropped.
pub struct Database {
    /// The database.
    pub store: Store,
    address: String,
    _folder: Option<tempfile::TempDir>,
    _cluster: Option<Arc<postgres::Cluster>>,
}

impl Database {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("matinee.db").display());
        Self::open(address, Some(folder), None).await
    }

    async fn postgres() -> Self {
        let cluster = tokio::task::spawn_blocking(postgres::Cluster::shared).await.unwrap();
        let address = cluster.database().await;
        Self::open(address, None, Some(cluster)).await
    }

    async fn open(
        address: String,
        folder: Option<tempfile::TempDir>,
        cluster: Option<Arc<postgres::Cluster>>,
    ) -> Self {
        let store = Store::open(&address).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, address, _folder: folder, _cluster: cluster }
    }

    /// A transaction that writes.
    pub async fn write(&self) -> Tx {
        self.store.write().await.unwrap()
    }

    /// A connection that reads.
    pub async fn read(&self) -> Tx {
        self.store.read().await.unwrap()
    }
}

/// Runs each test against both databases.
macro_rules! contract {
    ($($module:ident :: $name:ident;)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let database = crate::Database::sqlite().await;
                crate::$module::$name(&database).await;
                database.store.close().await;
            })*
        }

        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let database = crate::Database::postgres().await;
                crate::$module::$name(&database).await;
                database.store.close().await;
            })*
        }
    };
}

contract! {
    account::accounts_sign_in_and_out;
    account::devices_are_noted_once;
    trail::the_trail_only_grows;
    trail::keys_and_tokens_hold_as_long_as_they_say;
    trail::an_account_is_exported_and_closed;
    key::signing_keys_move_through_their_states;
    key::secrets_are_rewrapped;
    key::proofs_are_accepted_once;
    ledger::money_moves_and_sums_to_zero;
    ledger::a_dropped_transaction_leaves_nothing;
    ledger::idempotency_keys_answer_again;
    ledger::a_foreseen_answer_is_kept_at_once;
    books::a_journal_that_cannot_be_posted_changes_nothing;
    books::use_is_counted_out_of_the_key_releases;
    books::views_of_an_open_release_are_plays_and_use_all_of_it;
    payment::a_payment_moves_through_its_states;
    payment::late_money_is_booked_once;
    payment::what_is_due_is_taken_up_once;
    payment::an_event_is_taken_in_once;
    payment::a_key_under_way_is_gone_on_with;
    publish::titles_plans_and_releases;
    publish::uploads_move_by_whole_segments;
    publish::receipts_and_reports;
    view::views_open_resume_and_end;
    view::windows_close;
    view::revocation_ends_every_view;
    view::keys_are_counted;
    batch::a_dropped_neighbour_takes_nothing_along;
    batch::what_is_presumed_wrongly_is_undone_alone;
    batch::one_of_many_that_are_alike_is_undone_alone;
    batch::a_reading_that_is_given_up_leaves_its_connection;
    batch::what_is_given_up_is_whole_or_absent;
    batch::nothing_stays_locked;
    catalogue::what_is_put_is_found_and_changes;
    catalogue::pages_go_through_everything_once;
    catalogue::imports_are_noted;
    supplied::a_reference_is_one_title;
    supplied::a_removed_release_frees_its_reference;
    supplied::a_track_is_given_one_title;
    supplied::collections_are_found_by_name;
    right::a_view_is_counted_where_the_rule_allows_it;
    right::a_view_that_is_presumed_is_counted_as_one_that_is_asked_for;
    right::a_view_is_not_presumed_of_what_has_changed;
    right::a_status_moves_as_the_table_says;
    right::a_renewal_says_what_the_rule_says;
    right::a_renewal_that_is_presumed_is_charged_once_and_never_for_nothing;
    race::starts_never_overdraw_views;
    race::starts_on_one_device_are_one_view;
    race::purchases_never_overdraw_a_wallet;
    race::a_payment_is_booked_once;
    race::one_idempotency_key_buys_once;
    race::a_proof_is_spent_once;
}
