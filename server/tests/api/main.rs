//! The interface, in process: whole requests in, whole answers out.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on should say where; it exports nothing"
)]

mod account;
mod authenticator;
mod authority;
mod bench;
mod breaks;
mod catalogue;
mod closure;
mod country;
mod integrator;
mod lease;
mod link;
mod log;
mod login;
mod manners;
mod money;
mod outbox;
mod passkey;
mod password;
mod policy;
#[path = "../store/postgres.rs"]
mod postgres;
mod refund;
mod rival;
#[path = "../store/room.rs"]
mod room;
mod royalty;
mod secret;
mod shop;
mod storefront;
mod subscription;
mod terms;
mod trail;
mod view;

/// Runs each test over both databases.
macro_rules! over_both {
    ($($module:ident :: $name:ident ($config:expr);)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::log::begin();
                let bench = crate::bench::Bench::with($config).await;
                crate::$module::$name(&bench).await;
            })*
        }

        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                crate::log::begin();
                let bench = crate::bench::Bench::over_postgres($config).await;
                crate::$module::$name(&bench).await;
                bench.app.store.close().await;
            })*
        }
    };
}

over_both! {
    integrator::a_shop_of_its_own_brings_a_viewer_to_the_player(crate::policy::open());
    integrator::what_was_given_is_taken_back(crate::policy::open());
    integrator::an_embed_token_runs_out(crate::policy::open());
    integrator::a_key_opens_what_its_scopes_say_for_its_own_viewers_as_long_as_it_holds(crate::policy::open());
    integrator::what_is_privileged_is_on_the_trail(crate::policy::open());
    integrator::keys_are_asked_for_in_range(crate::policy::open());
    closure::an_account_is_exported_whole_and_without_secrets(crate::policy::open());
    closure::a_closed_account_names_nobody_and_the_books_stay(crate::policy::open());
    closure::who_publishes_hands_titles_over_first(crate::policy::open());
    closure::an_integrator_closes_its_viewer(crate::policy::open());
    login::logins_are_listed_and_ended_one_by_one_and_all_at_once(crate::policy::open());
    login::a_login_ends_with_its_last_day(crate::policy::open());
    login::no_page_of_another_site_acts_with_the_cookie(crate::policy::open());
    account::a_viewer_signs_up_with_a_cookie_and_signs_out(crate::policy::open());
    account::a_program_signs_in_with_a_bearer_token(crate::policy::open());
    account::wrong_passwords_and_unknown_emails_look_the_same_and_are_limited(crate::policy::open());
    manners::listings_come_page_by_page(crate::policy::open());
    money::a_viewer_tops_up_and_buys(crate::policy::open());
    money::a_plan_is_bought_with_a_payment_of_its_own(crate::policy::open());
    money::a_key_gives_the_first_answer_again(crate::policy::open());
    money::a_purchase_that_is_sent_many_times_at_once_happens_once(crate::policy::open());
    money::amounts_are_checked(crate::policy::open());
    trail::every_privileged_act_leaves_a_row(crate::policy::open());
    outbox::a_purchase_is_told_by_a_signed_message(crate::outbox::private());
    outbox::who_does_not_answer_well_is_asked_again_later_and_at_last_no_more(crate::outbox::private());
    outbox::what_a_killed_server_had_taken_is_sent_again(crate::outbox::private());
    outbox::an_integrator_is_told_of_its_own_viewers_only(crate::outbox::private());
    outbox::an_account_has_so_many_webhooks_and_no_more(crate::policy::open());
    outbox::a_webhook_does_not_reach_into_the_servers_own_network(crate::policy::open());
    outbox::what_happens_to_rights_and_money_is_told(crate::outbox::private());
    outbox::the_course_of_a_subscription_is_told(crate::outbox::private());
    outbox::a_receipt_names_what_can_be_refunded(crate::outbox::writing());
    outbox::an_email_that_cannot_be_sent_is_tried_and_given_up(crate::outbox::writing());
    terms::a_purchase_is_for_ever(crate::policy::open());
    terms::a_bundle_gives_an_entitlement_a_title(crate::policy::open());
    terms::coupons_lower_a_price_once_an_account(crate::policy::open());
    terms::gift_codes_give_a_plan_once(crate::policy::open());
    terms::guests_play_what_is_free_for_them(crate::policy::open());
    terms::a_preview_ends_with_its_last_whole_epoch(crate::policy::open());
    terms::a_preview_is_what_its_title_says_now(crate::policy::open());
    terms::a_premiere_that_is_moved_stops_what_plays(crate::policy::open());
    terms::a_premiere_opens_at_its_millisecond(crate::policy::open());
    terms::what_may_be_played_may_be_placed_before(crate::policy::open());
    terms::a_private_title_is_for_its_group(crate::policy::open());
    terms::rights_and_groups_are_read_again(crate::policy::open());
    terms::what_is_given_back_is_over(crate::policy::open());
    shop::a_quote_is_what_the_purchase_costs_and_takes_nothing(crate::policy::open());
    shop::what_an_account_paid_is_told_to_it_alone(crate::policy::open());
    shop::a_title_says_by_what_it_plays(crate::policy::open());
    shop::what_nobody_may_have_is_not_sold(crate::policy::open());
    shop::a_plan_is_taken_off_sale(crate::policy::open());
    shop::countries_are_told_before_anything_is_bought(crate::policy::open());
    shop::the_last_view_is_gone_on_with(crate::policy::open());
    shop::the_newest_right_is_found_among_many(crate::policy::open());
    shop::names_are_looked_for_page_by_page(crate::policy::open());
    shop::what_is_private_is_listed_for_its_group(crate::policy::open());
    subscription::a_month_is_renewed_until_it_is_given_up(crate::policy::open());
    subscription::a_charge_that_fails_leaves_a_grace(crate::policy::open());
    subscription::a_trial_is_free_once(crate::policy::open());
    subscription::renewals_are_taxed_where_the_purchase_was(crate::subscription::taxed());
    subscription::a_month_out_of_the_wallet_is_a_purchase_of_its_own(crate::subscription::taxed());
    subscription::a_gift_is_renewed_only_by_who_asks_for_it(crate::policy::open());
    subscription::what_was_paid_by_a_method_is_renewed_by_it(crate::policy::open());
    subscription::a_quota_counts_a_title_once_a_period(crate::policy::open());
    subscription::what_goes_on_in_the_next_period_counts_there(crate::policy::open());
    subscription::races_take_no_title_too_many(crate::policy::open());
    policy::devices_wait_for_their_turn(crate::policy::playing_at_once(2, "refuse"));
    policy::the_oldest_stops(crate::policy::playing_at_once(1, "stop_oldest"));
    policy::races_stop_the_oldest_and_never_play_too_many(crate::policy::playing_at_once(3, "stop_oldest"));
    policy::the_newest_stops(crate::policy::playing_at_once(2, "stop_newest"));
    policy::races_open_no_view_too_many(crate::policy::playing_at_once(3, "refuse"));
    policy::races_use_no_coupon_too_often(crate::policy::open());
    policy::devices_are_named_removed_and_counted(crate::policy::two_devices());
    policy::races_add_no_device_too_many(crate::policy::two_devices());
    passkey::passkeys_are_registered_used_and_removed(crate::passkey::patient());
    passkey::an_answer_is_taken_once(crate::passkey::patient());
    passkey::a_passkey_opens_its_own_account_only(crate::passkey::patient());
    passkey::what_does_not_prove_the_person_is_refused(crate::passkey::patient());
    passkey::a_counter_that_goes_back_is_refused(crate::passkey::patient());
    passkey::what_lets_nobody_in_is_no_way_in(crate::passkey::patient());
    passkey::an_account_is_opened_with_a_passkey_alone(crate::passkey::patient());
    passkey::only_a_fresh_login_changes_how_one_signs_in(crate::passkey::patient());
    link::a_link_signs_in_once(crate::link::writing());
    link::only_the_newest_link_of_an_account_is_good(crate::link::writing());
    link::nobody_is_told_who_has_an_account(crate::link::writing());
    link::a_link_is_used_where_it_was_asked_for(crate::link::writing());
    link::a_link_sets_another_password(crate::link::writing());
    link::who_opened_an_account_under_anothers_address_is_out(crate::link::writing());
    link::who_confirms_an_address_while_signed_in_keeps_what_is_there(crate::link::writing());
    password::who_knows_a_password_changes_it(crate::link::writing());
    password::the_first_password_wants_a_fresh_login(crate::passkey::patient());
    password::a_password_is_not_guessed_with_a_session(matinee_server::config::Config::default());
    link::races_leave_no_way_in_to_who_was_there_before(crate::link::writing());
    link::races_use_a_link_once(crate::link::writing());
    link::asking_and_entering_wait_in_one_order(crate::link::writing());
    breaks::keys_behind_a_break_wait_for_it(crate::policy::open());
    breaks::all_that_a_seek_skips_is_shown_where_the_plan_says_so(crate::policy::open());
    breaks::breaks_are_shown_one_after_the_other(crate::policy::open());
    refund::what_was_not_used_is_given_back(crate::policy::open());
    refund::tax_is_summed_by_month(crate::subscription::taxed());
    refund::what_is_open_is_used_whole_by_a_view_or_a_lease(crate::policy::open());
    royalty::minimums_are_not_played_up(crate::policy::open());
    royalty::what_is_open_is_played_whole(crate::policy::open());
    royalty::what_is_sold_at_once_is_shared_whenever_it_is_played(crate::policy::open());
    royalty::rules_hold_from_a_month_on(crate::policy::open());
    lease::a_lease_holds_every_key_for_its_time(crate::policy::open());
    lease::a_lease_counts_as_a_view_and_ends_with_its_right(crate::policy::open());
    lease::a_lease_counts_its_title_in_each_period(crate::policy::open());
    lease::leases_are_counted_whoever_races(crate::policy::open());
    view::a_view_opens_plays_renews_and_ends(crate::policy::open());
    view::a_device_goes_on_with_its_view(crate::policy::open());
    view::forty_starts_of_five_views_open_five(crate::policy::open());
    view::windows_close(crate::policy::open());
    view::what_is_not_started_in_time_is_over(crate::policy::open());
    view::reopening_and_revocation_wait_for_each_other(crate::policy::open());
    view::revocation_ends_views_at_once(crate::policy::open());
    view::keys_are_released_no_faster_than_allowed(crate::view::slow());
    view::proofs_are_for_one_request_of_one_device_once(crate::policy::open());
    view::opening_is_idempotent_a_device(crate::policy::open());
    view::tokens_outlive_a_rotation_of_keys(crate::policy::open());
    view::carriers_get_a_token_and_no_keys(crate::policy::open());
    country::a_titles_page_says_where_it_plays(crate::country::behind_a_proxy("deny"));
    country::a_title_plays_in_its_countries(crate::country::behind_a_proxy("deny"));
    country::a_lease_is_taken_and_renewed_in_its_countries(crate::country::behind_a_proxy("deny"));
    catalogue::a_private_title_is_named_to_its_group(crate::policy::open());
    country::unknown_places_have_a_rule_of_their_own(crate::country::behind_a_proxy("allow"));
}
