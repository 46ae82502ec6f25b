//! The rooms of each port, and the macro that makes tests of their rules. Which rules a room has is
//! said at the end of its file, with `rules!`.

/// Lists the rules of a room: makes a macro that hands them on to [`contract_suite!`].
macro_rules! rules {
    ($list:ident: $($rule:ident,)+) => {
        $crate::contract::suite::rules! { @list ($) $list $($rule,)+ }
    };
    (@list ($d:tt) $list:ident $($rule:ident,)+) => {
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $list {
            ($d($d to:tt)+) => {
                $crate::contract_suite! { $d($d to)+ [$($rule,)+] }
            };
        }
    };
}
pub(super) use rules;

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
        $crate::users_rules!(@shared users $meta $backend =>);
        $crate::names_rules!(@shared names $meta $backend =>);
        $crate::directory_rules!(@shared directory $meta $backend =>);
        $crate::sessions_rules!(@shared sessions $meta $backend =>);
        $crate::refreshing_rules!(@shared refreshing $meta $backend =>);
        $crate::chats_rules!(@shared chats $meta $backend =>);
        $crate::chat_list_rules!(@shared chat_list $meta $backend =>);
        $crate::reading_rules!(@shared reading $meta $backend =>);
        $crate::unread_rules!(@shared unread $meta $backend =>);
        $crate::sending_rules!(@shared sending $meta $backend =>);
        $crate::retries_rules!(@shared retries $meta $backend =>);
        $crate::history_rules!(@shared history $meta $backend =>);
        $crate::groups_rules!(@shared groups $meta $backend =>);
        $crate::changes_rules!(@shared changes $meta $backend =>);
        $crate::content_rules!(@shared content $meta $backend =>);
        $crate::replies_rules!(@shared replies $meta $backend =>);
        $crate::mentions_rules!(@shared mentions $meta $backend =>);
        $crate::marking_unread_rules!(@shared marking_unread $meta $backend =>);
        $crate::reactions_rules!(@shared reactions $meta $backend =>);
        $crate::pins_rules!(@shared pins $meta $backend =>);
        $crate::search_rules!(@shared search $meta $backend =>);
        $crate::attachments_rules!(@shared attachments $meta $backend =>);
        $crate::blocks_rules!(@shared blocks $meta $backend =>);
        $crate::own_data_rules!(@shared own_data $meta $backend =>);
        $crate::deletion_rules!(@shared deletion $meta $backend =>);
        $crate::erasing_rules!(@shared erasing $meta $backend =>);
        $crate::jobs_rules!(@shared jobs $meta $backend =>);
        $crate::moderation_rules!(@shared moderation $meta $backend =>);
        $crate::announcing_rules!(@shared announcing $meta $backend =>);
    };
    (@objects $meta:tt $backend:expr) => {
        $crate::objects_rules!(@shared objects $meta $backend =>);
    };
    (@codes $meta:tt $backend:expr) => {
        $crate::codes_rules!(@shared codes $meta $backend =>);
    };
    (@limits $meta:tt $backend:expr) => {
        $crate::limits_rules!(@alone limits $meta $backend =>);
    };
    (@presence $meta:tt $backend:expr) => {
        $crate::presence_rules!(@alone presence $meta $backend =>);
    };
    (@bus $meta:tt $backend:expr) => {
        $crate::bus_rules!(@shared bus $meta $backend =>);
    };
    (@mail $meta:tt $backend:expr) => {
        $crate::mail_rules!(@alone mail $meta $backend =>);
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
