//! The rules of each port by name, and the macro that makes tests of them.

/// Makes a test of each rule, over the backend that the expression makes anew for each:
///
/// ```ignore
/// contract_suite!(sqlite: stores = sqlite_stores());
/// contract_suite!(redis: codes = redis_codes().await, bus = redis_buses().await);
/// contract_suite!(#[ignore = "needs a MongoDB"] mongo: stores = mongo_stores().await);
/// ```
///
/// A test is named by adapter, room and rule: `sqlite::sending::a_reader_never_sees_a_hole`. The
/// expression is of what the port's rules take, or of what derefs to it and keeps something
/// besides: a folder, a process. Where rules may share a backend, one more test runs all of a
/// room at once over one.
#[macro_export]
macro_rules! contract_suite {
    ($(#[$meta:meta])* $adapter:ident: $($ports:tt)+) => {
        $crate::contract_suite!(@adapter $adapter [$(#[$meta])*] $($ports)+);
    };
    (@adapter $adapter:ident $meta:tt $($port:ident = $backend:expr),+ $(,)?) => {
        mod $adapter {
            use super::*;
            $($crate::contract_suite!(@$port $meta $backend);)+
        }
    };
    (@stores $meta:tt $backend:expr) => {
        $crate::contract_suite!(@shared users $meta $backend => [
            a_user_is_kept_as_it_was_made,
            an_address_has_one_user,
            concurrent_first_sign_ins_make_one_user,
            similar_addresses_have_users_of_their_own,
            unknown_users_are_left_out,
            a_profile_changes_in_part,
            concurrent_changes_of_different_parts_both_stay,
            a_missing_user_has_no_profile,
            last_seen_never_goes_back,
            concurrent_reports_leave_the_latest_last_seen,
        ]);
        $crate::contract_suite!(@shared names $meta $backend => [
            a_name_is_found_by_its_start_in_any_case,
            case_is_more_than_ascii,
            wildcards_in_a_prefix_mean_themselves,
            a_prefix_may_end_with_any_character,
            names_are_in_order_then_ids,
            the_one_who_asks_is_left_out,
            names_are_read_in_pages,
            the_edges_of_a_page_of_names,
            a_new_name_is_found_and_the_old_one_is_not,
        ]);
        $crate::contract_suite!(@shared sessions $meta $backend => [
            a_session_is_kept_as_it_was_made,
            sessions_are_listed_until_they_expire,
            sessions_are_listed_in_pages,
            sessions_are_read_by_id,
            the_current_token_rotates,
            an_old_token_is_found_reused,
            a_foreign_token_is_unknown,
            an_expired_session_does_not_rotate,
            of_concurrent_rotations_one_succeeds,
            a_session_is_deleted_by_its_user,
            of_concurrent_deletions_one_is_told,
        ]);
        $crate::contract_suite!(@shared chats $meta $backend => [
            a_direct_chat_has_two_plain_members,
            a_pair_has_one_chat_in_either_order,
            concurrent_openings_make_one_chat,
            unknown_chats_are_left_out,
            memberships_are_the_users_own,
            a_users_chat_ids_are_all_their_chats,
            members_are_read_in_pages,
            members_are_told_by_how_far_they_have_read,
            the_first_members_of_each_chat,
            sharing_is_having_a_chat_in_common,
        ]);
        $crate::contract_suite!(@shared chat_list $meta $backend => [
            chats_are_in_order_of_activity,
            the_list_shows_chats_as_they_are,
            ties_are_broken_by_id,
            chats_are_read_in_pages,
            activity_between_pages_shows_no_chat_twice,
            the_edges_of_a_page_of_chats,
            a_search_finds_the_other_members_name,
            wildcards_in_a_search_mean_themselves,
            a_search_goes_by_the_present_name,
            a_search_is_read_in_pages,
        ]);
        $crate::contract_suite!(@shared reading $meta $backend => [
            a_read_mark_never_goes_back,
            a_read_mark_stops_at_the_newest_message,
            a_stranger_has_no_read_mark,
            concurrent_marks_leave_the_furthest,
            marks_and_messages_at_once_agree,
            unread_is_what_others_sent_above_the_mark,
            deleted_and_system_messages_are_not_unread,
            unread_counts_are_of_the_users_chats,
            the_slowest_readers_of_each_chat,
        ]);
        $crate::contract_suite!(@shared sending $meta $backend => [
            numbers_are_dense_under_concurrent_sends,
            numbers_are_dense_in_each_of_many_chats,
            a_reader_never_sees_a_hole,
            an_acknowledged_message_is_seen_by_every_read,
            a_message_is_kept_as_it_was_sent,
            a_message_moves_the_chats_end_and_activity,
            a_system_message_has_no_sender,
            a_strangers_message_leaves_nothing,
            a_message_to_no_chat_leaves_nothing,
            refused_sends_among_others_make_no_hole,
            each_send_is_answered_with_its_own_commit,
        ]);
        $crate::contract_suite!(@shared retries $meta $backend => [
            a_retry_is_answered_with_the_first_message,
            the_same_draft_twice_is_one_message,
            concurrent_retries_make_one_message,
            retries_among_other_sends_make_no_hole,
            an_id_belongs_to_its_sender_and_chat,
            ids_are_compared_exactly,
            messages_without_an_id_are_never_duplicates,
            a_refused_send_does_not_use_its_id,
        ]);
        $crate::contract_suite!(@shared history $meta $backend => [
            a_page_from_the_start,
            a_page_behind_a_message,
            a_page_from_the_end,
            a_page_ahead_of_a_message,
            a_page_between_two_messages,
            a_page_of_nothing,
            a_page_of_no_size,
            a_position_may_lie_outside_the_chat,
            pages_make_up_the_chat,
            unknown_messages_are_left_out,
            the_newest_message_of_each_chat,
            the_ends_of_chats,
        ]);
    };
    (@codes $meta:tt $backend:expr) => {
        $crate::contract_suite!(@shared codes $meta $backend => [
            a_code_is_accepted_once,
            an_address_without_a_code_has_none,
            addresses_do_not_meet,
            wrong_codes_use_up_the_tries,
            a_new_code_has_tries_of_its_own,
            a_code_expires_and_stays_known,
            a_void_code_stays_known,
            another_code_has_to_wait,
            a_new_code_replaces_the_one_before,
            the_wait_counts_whatever_became_of_the_code,
            a_withdrawn_code_was_never_issued,
            a_withdrawn_code_gives_way_to_the_one_before,
            only_the_present_code_is_withdrawn,
            of_concurrent_right_codes_one_is_accepted,
            concurrent_wrong_codes_use_up_the_tries,
            of_concurrent_codes_one_is_issued,
        ]);
    };
    (@limits $meta:tt $backend:expr) => {
        $crate::contract_suite!(@alone limits $meta $backend => [
            a_burst_passes_and_no_more,
            who_waits_as_told_passes,
            a_burst_is_whole_again_after_the_period,
            a_burst_is_never_more_than_whole,
            keys_do_not_meet,
            rules_do_not_meet,
            concurrent_checks_pass_the_burst_and_no_more,
        ]);
    };
    (@presence $meta:tt $backend:expr) => {
        $crate::contract_suite!(@alone presence $meta $backend => [
            a_user_comes_with_the_first_lease,
            several_connections_at_once_are_one_coming,
            a_lease_ends_by_itself,
            leaving_is_told_once,
            a_user_leaves_with_the_last_lease,
            a_released_lease_ends_after_the_grace,
            a_quick_return_shows_no_gap,
            a_released_lease_can_be_renewed,
            releasing_never_prolongs,
            a_grace_may_be_none,
            a_return_before_the_sweep_is_a_coming,
            online_tells_of_those_who_are_asked_about,
            of_concurrent_comings_one_is_told,
            of_concurrent_sweeps_one_is_told,
            a_return_among_sweeps_is_not_lost,
        ]);
    };
    (@bus $meta:tt $backend:expr) => {
        $crate::contract_suite!(@shared bus $meta $backend => [
            every_event_arrives_as_it_was,
            an_event_reaches_who_follows_its_topic,
            topics_of_different_kinds_do_not_meet,
            an_event_reaches_who_wants_its_kind,
            everything_arrives_once,
            a_topic_can_be_followed_later,
            a_topic_is_followed_once,
            letting_go_disturbs_nobody,
            a_topic_can_be_followed_anew,
            many_come_and_go,
            an_event_reaches_the_publishers_own_followers,
        ]);
    };
    (@mail $meta:tt $backend:expr) => {
        $crate::contract_suite!(@alone mail $meta $backend => [
            a_job_is_mailed_as_it_says,
            each_of_many_jobs_is_done_once,
            a_transient_failure_is_tried_again,
            a_failing_job_holds_up_no_other,
            a_permanent_failure_is_given_up,
            a_job_that_cannot_be_done_is_given_up,
        ]);
    };
    (@shared $room:ident $meta:tt $backend:expr => [$($rule:ident,)+]) => {
        mod $room {
            use super::*;
            $($crate::contract_suite!(@test $room $meta $backend => $rule);)+
            $crate::contract_suite!(@together $room $meta $backend => $($rule)+);
        }
    };
    (@alone $room:ident $meta:tt $backend:expr => [$($rule:ident,)+]) => {
        mod $room {
            use super::*;
            $($crate::contract_suite!(@test $room $meta $backend => $rule);)+
        }
    };
    (@together $room:ident [$($meta:tt)*] $backend:expr => $($rule:ident)+) => {
        $($meta)*
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn all_rules_together_over_one_backend() {
            let backend = $backend;
            let rules: Vec<$crate::contract::Running<'_>> =
                vec![$(Box::pin($crate::contract::$room::$rule(&backend))),+];
            $crate::contract::in_time($crate::contract::together(rules)).await;
        }
    };
    // Mail waits for retries: on one thread its fixture may let the time jump.
    (@test mail [$($meta:tt)*] $backend:expr => $rule:ident) => {
        $($meta)*
        #[tokio::test]
        async fn $rule() {
            let backend = $backend;
            $crate::contract::in_time($crate::contract::mail::$rule(&backend)).await;
        }
    };
    (@test $room:ident [$($meta:tt)*] $backend:expr => $rule:ident) => {
        $($meta)*
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $rule() {
            let backend = $backend;
            $crate::contract::in_time($crate::contract::$room::$rule(&backend)).await;
        }
    };
}
