//! Reports, suspensions, and the log of what operators did.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use talksy_domain::auth::{Session, TokenHash};
use talksy_domain::clock::Timestamp;
use talksy_domain::events::{Event, Topic};
use talksy_domain::id::{AuditId, ReportId, UserId};
use talksy_domain::messages::{ChangeAction, ChangeRefusal, Message};
use talksy_domain::moderation::{
    AuditEntry, OperatorAct, Reason, Report, ReportOutcome, ReportState, Resolved, Suspension,
};
use talksy_domain::page::Page;
use talksy_domain::users::User;

use super::fixture::{Stores, ask, forward};
use super::{at_once, ids, now, random, word};

const HOUR: Duration = Duration::from_hours(1);

/// Suspensions begin about the present and end no sooner than in an hour: whoever suspends somebody
/// deletes those that have run out by then, other rules' too.
fn soon(seconds: u64) -> Timestamp {
    now() + Duration::from_secs(seconds)
}

fn reason(text: &str) -> Reason {
    Reason::parse(text, "reason").unwrap()
}

fn new_report(message: &Message, by: UserId, why: &str) -> Report {
    Report {
        id: ids().next(),
        message_id: message.id,
        chat_id: message.chat_id,
        sender_id: message.sender_id.unwrap(),
        reported_by: by,
        reason: reason(why),
        created_at: now(),
        outcome: None,
    }
}

/// Keeps a report, which must be a new one.
pub(super) async fn kept(stores: &Stores, message: &Message, by: UserId) -> Report {
    let report = new_report(message, by, &word());
    let id = stores.moderation.report(&report).await.unwrap();
    assert_eq!(id, report.id, "it is the first");
    report
}

async fn found(stores: &Stores, id: ReportId) -> Option<Report> {
    let mut found = stores.moderation.reports(&[id]).await.unwrap();
    assert!(found.len() < 2);
    found.pop()
}

fn entry(operator: UserId, act: OperatorAct) -> AuditEntry {
    AuditEntry {
        id: ids().next(),
        at: now(),
        operator_id: operator,
        act,
    }
}

fn resolving(operator: UserId, report: &Report, text: &str) -> (ReportOutcome, AuditEntry) {
    let resolution = reason(text);
    let outcome = ReportOutcome {
        resolved_by: operator,
        resolution: resolution.clone(),
    };
    let act = OperatorAct::ResolveReport {
        report_id: report.id,
        message_id: report.message_id,
        resolution,
    };
    (outcome, entry(operator, act))
}

async fn resolve(stores: &Stores, operator: UserId, report: &Report, text: &str) -> Resolved {
    let (outcome, entry) = resolving(operator, report, text);
    let resolved = stores.moderation.resolve(report.id, &outcome, &entry);
    resolved.await.unwrap()
}

fn suspension(user: UserId, since: Timestamp, until: Option<Timestamp>) -> Suspension {
    Suspension {
        user_id: user,
        since,
        until,
        reason: reason(&word()),
    }
}

/// Suspends a user; the entry of the log.
async fn suspend(stores: &Stores, operator: UserId, suspension: &Suspension) -> AuditEntry {
    let act = OperatorAct::SuspendUser {
        user_id: suspension.user_id,
        reason: suspension.reason.clone(),
        until: suspension.until,
    };
    let entry = entry(operator, act);
    stores.moderation.suspend(suspension, &entry).await.unwrap();
    entry
}

async fn suspended(stores: &Stores, users: &[UserId]) -> Vec<Suspension> {
    let mut found = stores.moderation.suspensions(users).await.unwrap();
    found.sort_by_key(|one| one.user_id);
    found
}

/// What the log has of an operator, oldest first, read in pages.
async fn log_of(stores: &Stores, operator: UserId) -> Vec<AuditEntry> {
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = stores.moderation.audit(after, 7).await.unwrap();
        let ids: Vec<AuditId> = after
            .into_iter()
            .chain(page.iter().map(|one| one.id))
            .collect();
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
        after = ids.last().copied();
        let is_last = page.len() < 7;
        entries.extend(page);
        if is_last {
            entries.retain(|entry: &AuditEntry| entry.operator_id == operator);
            return entries;
        }
    }
}

async fn session(stores: &Stores, user: &User) -> Session {
    let session = Session {
        id: ids().next(),
        user_id: user.id,
        created_at: now(),
        last_used_at: now(),
        expires_at: now() + HOUR,
        user_agent: None,
        ip_address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    };
    let created = stores
        .sessions
        .create_session(&session, TokenHash(random()));
    created.await.unwrap();
    session
}

/// Walks a list in pages of `size`, from the newest on, until it has gone past what was there
/// before this rule.
async fn reports_since(
    stores: &Stores,
    state: Option<ReportState>,
    first: ReportId,
    size: usize,
) -> Vec<Report> {
    let (mut reports, mut after) = (Vec::<Report>::new(), None);
    loop {
        let window = forward(after, size);
        let page: Page<Report> = stores.moderation.report_page(state, &window).await.unwrap();
        assert!(page.items.len() == size || !page.has_next);
        after = page.items.last().map(|report| report.id);
        let is_past = after.is_none_or(|last| last < first);
        reports.extend(page.items);
        if is_past || !page.has_next {
            assert!(reports.is_sorted_by(|one, next| one.id > next.id));
            return reports;
        }
    }
}

/// A report is kept as it was made, and found by its id.
pub async fn a_report_is_kept_as_it_was_made(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 1).await;
    let mut report = new_report(&sent[0], bob.id, "Two\nlines, “quoted”, and 🧨");
    report.created_at = Timestamp::from_millis(now().as_millis() - 5);
    let id = stores.moderation.report(&report).await.unwrap();
    assert_eq!(found(stores, id).await, Some(report.clone()));
    assert_eq!(report.state(), ReportState::Open);
    let unknown = ids().next();
    let both = stores.moderation.reports(&[unknown, id]).await.unwrap();
    assert_eq!(both, [report]);
    assert_eq!(stores.moderation.reports(&[]).await.unwrap(), []);
}

/// A user has one open report of a message, whose first reason stays; another user has their own, and
/// behind a resolved one there may be another.
pub async fn a_user_has_one_open_report_of_a_message(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let group = stores.group(&[&ada, &bob, &cyd]).await;
    let sent = stores.send(group.id, ada.id, 2).await;
    let racing = (0..8).map(|n: u8| {
        let (moderation, message, by) = (stores.moderation.clone(), sent[0].clone(), bob.id);
        async move {
            let report = new_report(&message, by, &format!("reason {n}"));
            let id = moderation.report(&report).await.unwrap();
            (id, report)
        }
    });
    let outcomes = at_once(racing).await;
    let answered: HashSet<ReportId> = outcomes.iter().map(|(id, _)| *id).collect();
    assert_eq!(answered.len(), 1, "all are told of one");
    let (id, first) = outcomes.iter().find(|(id, made)| *id == made.id).unwrap();
    assert_eq!(found(stores, *id).await.as_ref(), Some(first));
    for (_, other) in outcomes.iter().filter(|(id, made)| *id != made.id) {
        assert_eq!(found(stores, other.id).await, None);
    }

    kept(stores, &sent[1], bob.id).await;
    kept(stores, &sent[0], cyd.id).await;
    resolve(stores, cyd.id, first, "Seen to").await;
    let next = kept(stores, &sent[0], bob.id).await;
    assert_ne!(next.id, first.id);
    resolve(stores, cyd.id, &next, "Again").await;
    kept(stores, &sent[0], bob.id).await;
}

/// Reports are paged from the newest on, all of them or those in a state.
pub async fn reports_are_paged_newest_first(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let mut reports = Vec::new();
    for message in stores.send(chat.id, ada.id, 7).await {
        reports.push(kept(stores, &message, bob.id).await);
    }
    for report in reports.iter().step_by(2) {
        resolve(stores, ada.id, report, "Seen to").await;
    }
    let first = reports.iter().map(|report| report.id).min().unwrap();
    let own: BTreeSet<ReportId> = reports.iter().map(|report| report.id).collect();
    let resolved: BTreeSet<_> = reports.iter().step_by(2).map(|report| report.id).collect();
    for (state, expected) in [
        (None, own.clone()),
        (Some(ReportState::Resolved), resolved.clone()),
        (Some(ReportState::Open), &own - &resolved),
    ] {
        for size in [1, 3, 100] {
            let listed = reports_since(stores, state, first, size).await;
            let of_this = listed.iter().filter(|report| own.contains(&report.id));
            let of_this: BTreeSet<_> = of_this.map(|report| report.id).collect();
            assert_eq!(of_this, expected, "{state:?} by {size}");
            let is_other = |report: &Report| state.is_some_and(|state| report.state() != state);
            assert!(!listed.iter().any(is_other), "{state:?}");
        }
    }
}

/// A report is resolved once, and that is logged once, however many do so at the same time.
pub async fn a_report_is_resolved_and_logged_once(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let sent = stores.send(chat.id, ada.id, 1).await;
    let report = kept(stores, &sent[0], bob.id).await;
    let operator = stores.user("Olga").await;
    let racing = (0..6).map(|n: u8| {
        let (stores, report, operator) = (stores.clone(), report.clone(), operator.id);
        async move { resolve(&stores, operator, &report, &format!("outcome {n}")).await }
    });
    let outcomes = at_once(racing).await;
    let mut done = outcomes.iter().filter_map(|outcome| match outcome {
        Resolved::Done(report) => Some(report),
        Resolved::Before(_) | Resolved::NoReport => None,
    });
    let resolved = done.next().unwrap();
    assert_eq!(done.next(), None, "one was first");
    for outcome in &outcomes {
        match outcome {
            Resolved::Done(report) | Resolved::Before(report) => assert_eq!(report, resolved),
            Resolved::NoReport => panic!("it is there"),
        }
    }
    assert_eq!(found(stores, report.id).await.as_ref(), Some(resolved));
    let outcome = resolved.outcome.clone().unwrap();
    assert_eq!(outcome.resolved_by, operator.id);
    let logged = log_of(stores, operator.id).await;
    let acts: Vec<_> = logged.iter().map(|entry| entry.act.clone()).collect();
    let expected = OperatorAct::ResolveReport {
        report_id: report.id,
        message_id: sent[0].id,
        resolution: outcome.resolution,
    };
    assert_eq!(acts, [expected]);

    let unknown = new_report(&sent[0], bob.id, "never kept");
    let nothing = resolve(stores, operator.id, &unknown, "Seen to").await;
    assert_eq!(nothing, Resolved::NoReport);
    assert_eq!(log_of(stores, operator.id).await.len(), 1);
}

/// A suspension ends all sessions of its user, which followers are told of, and nobody else's.
pub async fn a_suspension_ends_all_sessions_of_its_user(stores: &Stores) {
    let [ada, bob, operator] = stores.users().await;
    let mut ended = Vec::new();
    for _ in 0..3 {
        ended.push(session(stores, &ada).await);
    }
    let other = session(stores, &bob).await;
    let suspension = suspension(ada.id, now(), Some(now() + HOUR));
    let logged = suspend(stores, operator.id, &suspension).await;
    assert_eq!(suspended(stores, &[ada.id, bob.id]).await, [suspension]);
    let all: Vec<_> = ended.iter().chain([&other]).map(|one| one.id).collect();
    let live = stores.sessions.existing_sessions(&all).await.unwrap();
    assert_eq!(live, [other.id]);
    assert_eq!(log_of(stores, operator.id).await, [logged]);
    let told = stores.events.on(Topic::User(ada.id)).into_iter();
    let told = told.filter_map(|event| match event {
        Event::SessionRevoked { session_id } => Some(session_id),
        _ => None,
    });
    let told: BTreeSet<_> = told.collect();
    assert_eq!(told, ended.iter().map(|one| one.id).collect());

    // What a crash has left is ended apart.
    let late = session(stores, &ada).await;
    stores.moderation.end_sessions(ada.id).await.unwrap();
    let both = [late.id, other.id];
    let live = stores.sessions.existing_sessions(&both).await.unwrap();
    assert_eq!(live, [other.id]);
    stores.moderation.end_sessions(ada.id).await.unwrap();
}

/// A user has one suspension: another takes its place, and restoring ends it, once.
pub async fn a_suspension_is_replaced_and_ended(stores: &Stores) {
    let [ada, bob, operator] = stores.users().await;
    let short = suspension(ada.id, now(), Some(now() + HOUR));
    suspend(stores, operator.id, &short).await;
    let long = suspension(ada.id, soon(1), None);
    suspend(stores, operator.id, &long).await;
    assert_eq!(suspended(stores, &[ada.id]).await, [long]);
    let shorter = suspension(ada.id, soon(2), Some(now() + HOUR));
    suspend(stores, operator.id, &shorter).await;
    assert_eq!(suspended(stores, &[ada.id]).await, [shorter]);

    let restore = async |user: UserId, at: Timestamp| {
        let entry = entry(operator.id, OperatorAct::RestoreUser { user_id: user });
        stores.moderation.restore(user, at, &entry).await.unwrap()
    };
    assert!(!restore(bob.id, now()).await, "they have none");
    assert!(!restore(ada.id, now() + 2 * HOUR).await, "it has run out");
    assert!(restore(ada.id, now()).await);
    assert!(!restore(ada.id, now()).await);
    assert_eq!(suspended(stores, &[ada.id]).await, []);
    let acts = log_of(stores, operator.id).await;
    // Acts of one millisecond stand in any order.
    let mut names: Vec<_> = acts.iter().map(|entry| entry.act.name()).collect();
    names.sort_unstable();
    let expected = ["restoreUser", "suspendUser", "suspendUser", "suspendUser"];
    assert_eq!(names, expected, "what changes nothing is not logged");
}

/// Those who are suspended are paged, last suspended first, without those whose time has run out.
pub async fn suspensions_are_paged_last_first(stores: &Stores) {
    let users = stores.users::<6>().await;
    let operator = stores.user("Olga").await;
    let base = now();
    let mut kept = Vec::new();
    for (n, user) in (0..).zip(&users) {
        // Two at the same time; one that runs out early.
        let since = base + Duration::from_secs(n / 2);
        let until = (n == 3).then(|| base + HOUR);
        let one = suspension(user.id, since, until);
        suspend(stores, operator.id, &one).await;
        kept.push(one);
    }
    kept.sort_by_key(|one| std::cmp::Reverse((one.since, one.user_id)));
    let own: HashSet<UserId> = users.iter().map(|user| user.id).collect();
    let oldest = kept.last().unwrap().since;
    for (at, size) in [(base, 1), (base, 4), (base + HOUR, 2)] {
        let (mut listed, mut after) = (Vec::<Suspension>::new(), None);
        loop {
            let window = forward(after, size);
            let page = stores
                .moderation
                .suspension_page(at, &window)
                .await
                .unwrap();
            after = page.items.last().map(|one| (one.since, one.user_id));
            let is_past = page.items.last().is_none_or(|one| one.since < oldest);
            listed.extend(page.items);
            if is_past || !page.has_next {
                break;
            }
        }
        let place = |one: &Suspension| (one.since, one.user_id);
        assert!(listed.is_sorted_by(|one, next| place(one) > place(next)));
        listed.retain(|one| own.contains(&one.user_id));
        let expected = kept.iter().filter(|one| one.is_active(at));
        assert_eq!(listed, expected.cloned().collect::<Vec<_>>());
    }
}

/// All users are paged, newest account first.
pub async fn users_are_paged_newest_first(stores: &Stores) {
    let users = stores.users::<5>().await;
    let own: BTreeSet<UserId> = users.iter().map(|user| user.id).collect();
    for size in [1, 3, 100] {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let window = forward(after, size);
            let page = stores.moderation.newest_users(&window).await.unwrap();
            after = page.items.last().map(|user| user.id);
            let is_past = after < own.first().copied();
            listed.extend(page.items);
            if is_past || !page.has_next {
                break;
            }
        }
        assert!(listed.is_sorted_by(|one, next| one.id > next.id));
        let found = listed.iter().filter(|user| own.contains(&user.id));
        assert_eq!(found.count(), users.len(), "by {size}");
    }
}

fn moderating(operator: UserId, message: &Message) -> (AuditEntry, ChangeAction) {
    let act = OperatorAct::DeleteMessage {
        message_id: message.id,
        chat_id: message.chat_id,
        sender_id: message.sender_id,
    };
    let entry = entry(operator, act);
    let action = ChangeAction::Moderate {
        entry: Box::new(entry.clone()),
    };
    (entry, action)
}

/// An operator deletes a message of a chat that they are no member of, on the line of changes as any
/// deletion, and that is logged once.
pub async fn an_operator_deletes_any_message(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let operator = stores.user("Olga").await;
    let sent = stores.send(chat.id, ada.id, 2).await;
    let (logged, action) = moderating(operator.id, &sent[0]);
    let deleted = ask(stores, &sent[0], operator.id, action).await.unwrap();
    assert!(deleted.is_new);
    assert_eq!(deleted.message.change_seq, 1);
    assert_eq!(deleted.message.text, None);
    assert!(deleted.message.deleted_at.is_some());
    let kept = stores.all_messages(chat.id).await;
    assert_eq!(kept[0], deleted.message);
    assert_eq!(stores.chat(chat.id).await.last_change_seq, 1);

    let (_, again) = moderating(operator.id, &sent[0]);
    let again = ask(stores, &sent[0], operator.id, again).await.unwrap();
    assert!(!again.is_new, "it was deleted");
    let missing = Message {
        id: ids().next_message(chat.id),
        ..sent[1].clone()
    };
    let (_, nothing) = moderating(operator.id, &missing);
    let refused = ask(stores, &missing, operator.id, nothing).await;
    assert_eq!(refused.unwrap_err(), ChangeRefusal::NoMessage);
    assert_eq!(log_of(stores, operator.id).await, [logged]);

    // A member of the chat who is one deletes what they could not else.
    let (_, action) = moderating(bob.id, &sent[1]);
    assert!(ask(stores, &sent[1], bob.id, action).await.unwrap().is_new);
    assert_eq!(log_of(stores, bob.id).await.len(), 1);
}

/// With an account go the reports that its user has made and those of their messages, and no other.
pub async fn the_reports_of_a_user_are_erased(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let group = stores.group(&[&ada, &bob, &cyd]).await;
    let of_ada = stores.send(group.id, ada.id, 3).await;
    let of_bob = stores.send(group.id, bob.id, 2).await;
    let mut gone = Vec::new();
    for message in &of_ada {
        gone.push(kept(stores, message, bob.id).await.id);
    }
    for message in &of_bob {
        gone.push(kept(stores, message, ada.id).await.id);
    }
    let stays = kept(stores, &of_bob[0], cyd.id).await;
    let erase = async |most| stores.moderation.erase_reports_of(ada.id, most).await;
    assert_eq!(erase(4).await.unwrap(), 4);
    assert_eq!(erase(4).await.unwrap(), 1);
    assert_eq!(erase(4).await.unwrap(), 0);
    assert_eq!(stores.moderation.reports(&gone).await.unwrap(), []);
    assert_eq!(found(stores, stays.id).await, Some(stays));
}

super::suite::rules! {
    moderation_rules:
    a_report_is_kept_as_it_was_made,
    a_user_has_one_open_report_of_a_message,
    reports_are_paged_newest_first,
    a_report_is_resolved_and_logged_once,
    a_suspension_ends_all_sessions_of_its_user,
    a_suspension_is_replaced_and_ended,
    suspensions_are_paged_last_first,
    users_are_paged_newest_first,
    an_operator_deletes_any_message,
    the_reports_of_a_user_are_erased,
}
