//! Groups: system messages, and what follows from them.

use std::collections::BTreeMap;

use talksy_domain::access::Denied;
use talksy_domain::chats::{
    Chat, ChatKind, ChatTitle, LargeGroups, Member, MemberFilter, MemberRole,
};
use talksy_domain::groups::{
    ClientChatId, GroupAction, GroupChange, GroupOutcome, GroupRefusal, NewGroup,
};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{
    Append, ChangeAction, Changed, HistoryFrom, Message, MessageChange, MessageKind, SystemNotice,
    SystemNoticeKind,
};
use talksy_domain::seq::Seq;
use talksy_domain::users::User;

use super::fixture::{Stores, draft, draft_with_id, forward, sorted, text_of};
use super::{at_once, ids, now};

/// A bound that no rule reaches.
const MANY: u32 = 1_000;

fn title(text: &str) -> ChatTitle {
    ChatTitle::parse(text).unwrap()
}

fn candidate(creator: &User, members: &[&User]) -> NewGroup {
    NewGroup {
        chat_id: ids().next(),
        message_id: ids().next(),
        creator_id: creator.id,
        member_ids: members.iter().map(|user| user.id).collect(),
        title: title("Engines"),
        metadata: None,
        avatar_id: None,
        client_chat_id: None,
        at: now(),
    }
}

/// Makes a group of the first, who owns it, and the others.
pub(super) async fn group(stores: &Stores, creator: &User, members: &[&User]) -> Chat {
    let outcome = stores
        .groups
        .create_group(&candidate(creator, members))
        .await
        .unwrap();
    match outcome {
        GroupOutcome::Done {
            chat,
            message: Some(_),
        } => *chat,
        other => panic!("not made: {other:?}"),
    }
}

async fn ask(stores: &Stores, chat: ChatId, actor: &User, action: GroupAction) -> GroupOutcome {
    ask_within(stores, chat, actor, action, MANY).await
}

async fn ask_within(
    stores: &Stores,
    chat: ChatId,
    actor: &User,
    action: GroupAction,
    max_members: u32,
) -> GroupOutcome {
    let change = GroupChange {
        message_id: ids().next(),
        chat_id: chat,
        actor_id: actor.id,
        at: now(),
        max_members,
        action,
    };
    stores.groups.change_group(&change).await.unwrap()
}

/// Makes a change that must be made, and gives its message.
pub(super) async fn change(
    stores: &Stores,
    chat: ChatId,
    actor: &User,
    action: GroupAction,
) -> Message {
    match ask(stores, chat, actor, action).await {
        GroupOutcome::Done {
            message: Some(message),
            ..
        } => *message,
        other => panic!("not changed: {other:?}"),
    }
}

async fn refusal(stores: &Stores, chat: ChatId, actor: &User, action: GroupAction) -> GroupRefusal {
    match ask(stores, chat, actor, action).await {
        GroupOutcome::Refused(refusal) => refusal,
        done @ GroupOutcome::Done { .. } => panic!("not refused: {done:?}"),
    }
}

fn add(users: &[&User], history: HistoryFrom) -> GroupAction {
    GroupAction::Add {
        users: users.iter().map(|user| user.id).collect(),
        history,
    }
}

fn set_role(user: &User, role: MemberRole) -> GroupAction {
    GroupAction::SetRole {
        user: user.id,
        role,
    }
}

async fn members(stores: &Stores, chat: ChatId) -> Vec<Member> {
    let all = MemberFilter::default();
    let page = stores.members(chat, &all, &forward(None, 100)).await;
    page.items
}

async fn membership(stores: &Stores, chat: ChatId, user: &User) -> Option<Member> {
    let found = stores.chats.memberships(user.id, &[chat]).await;
    found.unwrap().pop()
}

async fn role(stores: &Stores, chat: ChatId, user: &User) -> Option<MemberRole> {
    let member = membership(stores, chat, user).await;
    member.map(|member| member.role)
}

/// The roles of a chat's members as its system messages make them.
fn fold(messages: &[Message]) -> BTreeMap<UserId, (MemberRole, Seq)> {
    let mut members = BTreeMap::new();
    for message in messages {
        for effect in message.notice.iter().flat_map(|notice| &notice.effects) {
            match (effect.role, effect.joins) {
                (Some(role), Some(history)) => {
                    let from = history.first_visible(message.seq);
                    members.insert(effect.user_id, (role, from));
                }
                (Some(role), None) => {
                    members.get_mut(&effect.user_id).unwrap().0 = role;
                }
                (None, _) => {
                    members.remove(&effect.user_id).unwrap();
                }
            }
        }
    }
    members
}

/// What the store keeps of the members follows from the line, and every message says which was the
/// newest system message.
async fn agree(stores: &Stores, chat: ChatId) {
    let line = stores.all_messages(chat).await;
    let (mut newest, mut previous) = (0, None::<&SystemNotice>);
    for (message, number) in line.iter().zip(1..) {
        assert_eq!(message.seq, number, "the line is dense");
        if let Some(notice) = &message.notice {
            assert_eq!(notice.previous, newest);
            newest = message.seq;
            previous = Some(notice);
        }
        assert_eq!(message.mseq, newest, "of message {}", message.seq);
    }
    let kept = members(stores, chat).await;
    let kept: BTreeMap<_, _> = kept
        .iter()
        .map(|member| (member.user_id, (member.role, member.visible_from_seq)))
        .collect();
    assert_eq!(kept, fold(&line));
    let chat = stores.chat(chat).await;
    assert_eq!(chat.applied_seq, newest);
    assert_eq!(chat.member_count as usize, kept.len());
    assert_eq!(
        Some(chat.member_count),
        previous.map(|last| last.member_count)
    );
    let head = stores.messages.heads(&[chat.id]).await.unwrap()[0];
    assert_eq!((head.last_seq, head.applied_seq), (chat.last_seq, newest));
}

/// The first message of a group says that it was made, and by whom.
pub async fn a_group_begins_with_its_members(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let wanted = candidate(&ada, &[&bob, &cyd]);
    let outcome = stores.groups.create_group(&wanted).await.unwrap();
    let GroupOutcome::Done {
        chat,
        message: Some(message),
    } = outcome
    else {
        panic!("not made: {outcome:?}");
    };
    assert_eq!(*chat, stores.chat(wanted.chat_id).await);
    assert_eq!((chat.kind, chat.member_count), (ChatKind::Group, 3));
    assert_eq!(chat.title, Some(title("Engines")));
    assert_eq!((chat.last_seq, chat.applied_seq), (1, 1));
    assert_eq!(
        (message.seq, message.mseq, message.kind),
        (1, 1, MessageKind::System)
    );
    assert_eq!((message.sender_id, &message.text), (None, &None));
    let notice = message.notice.clone().unwrap();
    assert_eq!(notice.kind, SystemNoticeKind::ChatCreated);
    assert_eq!(notice.actor_id, Some(ada.id));
    assert_eq!(sorted(notice.subject_ids), sorted([bob.id, cyd.id]));
    assert_eq!(stores.all_messages(chat.id).await, [*message]);
    for (user, role) in [
        (&ada, MemberRole::Owner),
        (&bob, MemberRole::Member),
        (&cyd, MemberRole::Member),
    ] {
        let member = membership(stores, chat.id, user).await.unwrap();
        assert_eq!((member.role, member.joined_seq), (role, 1));
        assert_eq!((member.visible_from_seq, member.last_read_seq), (1, 1));
        assert_eq!((member.last_read_at, member.joined_at), (None, wanted.at));
        let unread = stores.chats.unread_counts(user.id, &[chat.id]).await;
        assert_eq!(unread.unwrap(), [(chat.id, 0)]);
    }
    agree(stores, chat.id).await;
}

/// A creator has one group under an id of their own, however often and from wherever they ask.
pub async fn a_group_is_made_once_for_an_id(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let with_id = |creator: &User, other: &User, id: &str| NewGroup {
        client_chat_id: Some(ClientChatId::parse(id).unwrap()),
        ..candidate(creator, &[other])
    };
    let made = at_once((0..8).map(|_| {
        let (stores, group) = (stores.clone(), with_id(&ada, &bob, "one"));
        async move { stores.groups.create_group(&group).await.unwrap() }
    }))
    .await;
    let mut found = Vec::new();
    let mut new = 0;
    for outcome in made {
        let GroupOutcome::Done { chat, message } = outcome else {
            panic!("refused: {outcome:?}");
        };
        new += usize::from(message.is_some());
        found.push(chat.id);
    }
    found.dedup();
    assert_eq!((found.len(), new), (1, 1));
    let other = with_id(&ada, &bob, "two");
    stores.groups.create_group(&other).await.unwrap();
    assert_eq!(stores.chat(other.chat_id).await.last_seq, 1);
    let elses = with_id(&bob, &ada, "one");
    stores.groups.create_group(&elses).await.unwrap();
    assert_eq!(stores.chat(elses.chat_id).await.last_seq, 1);
    assert_eq!(stores.chats.chat_ids_of(ada.id).await.unwrap().len(), 3);
}

/// A title is an admin's to change. The same title again is no change.
pub async fn a_title_changes(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = group(stores, &ada, &[&bob]).await;
    let rename = |text: &str| GroupAction::rename(title(text));
    let message = change(stores, chat.id, &ada, rename("Looms")).await;
    let notice = message.notice.unwrap();
    assert_eq!(notice.kind, SystemNoticeKind::TitleChanged);
    assert_eq!((notice.title, notice.previous), (Some(title("Looms")), 1));
    assert_eq!(stores.chat(chat.id).await.title, Some(title("Looms")));
    let again = ask(stores, chat.id, &ada, rename("Looms")).await;
    assert!(matches!(again, GroupOutcome::Done { message: None, .. }));
    for (user, denied) in [(&bob, Denied::NotAdmin), (&cyd, Denied::NotMember)] {
        let refused = refusal(stores, chat.id, user, rename("Mine")).await;
        assert_eq!(refused, GroupRefusal::Denied(denied));
    }
    let nowhere = refusal(stores, ids().next(), &ada, rename("Mine")).await;
    assert_eq!(nowhere, GroupRefusal::Denied(Denied::NoChat));
    let direct = stores.direct(&ada, &bob).await;
    let refused = refusal(stores, direct.id, &ada, rename("Mine")).await;
    assert_eq!(refused, GroupRefusal::DirectChat);
    assert_eq!(stores.chat(chat.id).await.last_seq, 2);
    agree(stores, chat.id).await;
}

/// A chat is found by its title, as it is now and in any case.
pub async fn a_group_is_found_by_its_title(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = group(stores, &ada, &[&bob]).await;
    let find = async |text: &str| {
        let window = forward(None, 10);
        let page = stores.chats.chats_of(bob.id, Some(text), &window);
        let found = page.await.unwrap().items;
        found.iter().map(|chat| chat.id).collect::<Vec<_>>()
    };
    assert_eq!(find("gINe").await, [chat.id]);
    change(stores, chat.id, &ada, GroupAction::rename(title("Ärmel_%"))).await;
    assert_eq!(find("engines").await, []);
    assert_eq!(find("äRM").await, [chat.id]);
    assert_eq!(find("_%").await, [chat.id]);
    assert_eq!(find("l%").await, []);
}

/// Members are added all or none; who is one already stays as they are.
pub async fn members_are_added_together(stores: &Stores) {
    let [ada, bob, cyd, dan, eve] = stores.users().await;
    let chat = group(stores, &ada, &[&bob]).await;
    stores.send(chat.id, ada.id, 2).await;
    let before = membership(stores, chat.id, &bob).await;
    let adding = add(&[&bob, &cyd, &dan], HistoryFrom::Join);
    let message = change(stores, chat.id, &ada, adding.clone()).await;
    let notice = message.notice.unwrap();
    assert_eq!(notice.kind, SystemNoticeKind::MemberAdded);
    assert_eq!(notice.subject_ids, [cyd.id, dan.id]);
    assert_eq!((message.seq, notice.member_count), (4, 4));
    assert_eq!(membership(stores, chat.id, &bob).await, before);
    let again = ask(stores, chat.id, &ada, adding).await;
    assert!(matches!(again, GroupOutcome::Done { message: None, .. }));
    let more = ask_within(stores, chat.id, &ada, add(&[&eve], HistoryFrom::All), 4).await;
    assert_eq!(more, GroupOutcome::Refused(GroupRefusal::TooManyMembers(4)));
    let refused = refusal(stores, chat.id, &bob, add(&[&eve], HistoryFrom::All)).await;
    assert_eq!(refused, GroupRefusal::Denied(Denied::NotAdmin));
    assert_eq!(membership(stores, chat.id, &eve).await, None);
    agree(stores, chat.id).await;
}

/// A new member reads from the notice on, or from the start, and has nothing unread.
pub async fn a_new_member_has_a_range(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = group(stores, &ada, &[]).await;
    stores.send(chat.id, ada.id, 3).await;
    change(stores, chat.id, &ada, add(&[&bob], HistoryFrom::Join)).await;
    change(stores, chat.id, &ada, add(&[&cyd], HistoryFrom::All)).await;
    for (user, joined, from) in [(&bob, 5, 5), (&cyd, 6, 1)] {
        let member = membership(stores, chat.id, user).await.unwrap();
        assert_eq!((member.joined_seq, member.visible_from_seq), (joined, from));
        assert_eq!(member.last_read_seq, joined);
        let unread = stores.chats.unread_counts(user.id, &[chat.id]).await;
        assert_eq!(unread.unwrap()[0].1, 0, "joining starts at zero");
    }
    stores.send(chat.id, ada.id, 2).await;
    let unread = stores.chats.unread_counts(cyd.id, &[chat.id]).await;
    assert_eq!(unread.unwrap()[0].1, 2);
    // Nobody has read what was sent before they came.
    let has_read = |seq| MemberFilter {
        has_read: Some(seq),
        name: None,
    };
    let window = forward(None, 10);
    let readers = stores.members(chat.id, &has_read(2), &window).await;
    assert_eq!(readers.items, []);
    stores
        .chats
        .mark_read(chat.id, bob.id, 7, now(), LargeGroups::NONE)
        .await
        .unwrap();
    let readers = stores.members(chat.id, &has_read(7), &window).await;
    assert_eq!(readers.items[0].user_id, bob.id);
}

/// Who was removed has nothing of the chat any more.
pub async fn a_removed_member_is_none(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = group(stores, &ada, &[&bob, &cyd]).await;
    let sent = stores.send(chat.id, bob.id, 1).await.remove(0);
    let message = change(stores, chat.id, &ada, GroupAction::Remove(bob.id)).await;
    let notice = message.notice.clone().unwrap();
    assert_eq!(notice.kind, SystemNoticeKind::MemberRemoved);
    assert!(notice.removes(bob.id) && !notice.removes(cyd.id));
    assert_eq!(membership(stores, chat.id, &bob).await, None);
    assert_eq!(stores.chats.chat_ids_of(bob.id).await.unwrap(), []);
    let left = stores.chats.left_chats_of(bob.id).await.unwrap();
    assert_eq!(left, [(chat.id, message.seq)]);
    assert_eq!(stores.chats.left_chats_of(cyd.id).await.unwrap(), []);
    let chats = stores
        .chats
        .chats_of(bob.id, None, &forward(None, 10))
        .await;
    assert_eq!(chats.unwrap().items, []);
    let others = stores.chats.sharing(bob.id, &[ada.id, cyd.id]).await;
    assert_eq!(others.unwrap(), []);
    let others = stores.chats.sharing(ada.id, &[bob.id, cyd.id]).await;
    assert_eq!(others.unwrap(), [cyd.id]);
    let unread = stores.chats.unread_counts(bob.id, &[chat.id]).await;
    assert_eq!(unread.unwrap(), []);
    let mark = stores
        .chats
        .mark_read(chat.id, bob.id, 2, now(), LargeGroups::NONE)
        .await;
    assert_eq!(mark.unwrap(), None);
    let muted = stores.chats.set_muted(chat.id, bob.id, true).await;
    assert_eq!(muted.unwrap(), None);
    let first = stores.chats.first_members(&[chat.id], 10).await.unwrap();
    let first = sorted(first.iter().map(|member| member.user_id));
    assert_eq!(first, sorted([ada.id, cyd.id]));
    let slowest = stores.chats.lowest_read_marks(&[chat.id]).await.unwrap();
    assert!(slowest.iter().all(|member| member.user_id != bob.id));
    let refused = stores.messages.append(&draft(chat.id, bob.id)).await;
    assert_eq!(refused.unwrap(), Append::Denied(Denied::NotMember));
    let edit = MessageChange {
        message_id: sent.id,
        chat_id: chat.id,
        actor_id: bob.id,
        at: now(),
        action: ChangeAction::Delete,
    };
    let refused = stores.messages.change(&edit).await.unwrap();
    assert_eq!(refused, Changed::Refused(Denied::NotMember.into()));
    let again = ask(stores, chat.id, &ada, GroupAction::Remove(bob.id)).await;
    assert!(matches!(again, GroupOutcome::Done { message: None, .. }));
    agree(stores, chat.id).await;
}

/// What was sent before a removal is answered to a retry behind it.
pub async fn a_retry_of_what_preceded_the_removal_succeeds(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = group(stores, &ada, &[&bob]).await;
    let sent = draft_with_id(chat.id, bob.id, "one");
    let first = stores.append(&sent).await.message;
    change(stores, chat.id, &ada, GroupAction::Remove(bob.id)).await;
    let retry = stores.append(&sent).await;
    assert_eq!((retry.message, retry.is_duplicate), (first, true));
    let new = draft_with_id(chat.id, bob.id, "two");
    let refused = stores.messages.append(&new).await.unwrap();
    assert_eq!(refused, Append::Denied(Denied::NotMember));
}

/// Who comes again has the range of the new membership alone.
pub async fn rejoining_replaces_the_range(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = group(stores, &ada, &[&bob]).await;
    stores.chats.set_muted(chat.id, bob.id, true).await.unwrap();
    let before = membership(stores, chat.id, &bob).await.unwrap();
    change(stores, chat.id, &bob, GroupAction::Leave).await;
    stores.send(chat.id, ada.id, 3).await;
    change(stores, chat.id, &ada, add(&[&bob], HistoryFrom::Join)).await;
    let member = membership(stores, chat.id, &bob).await.unwrap();
    assert_eq!((member.joined_seq, member.visible_from_seq), (6, 6));
    assert_eq!((member.last_read_seq, member.last_read_at), (6, None));
    assert_eq!((member.role, member.is_muted), (MemberRole::Member, false));
    assert!(member.version > before.version);
    assert_eq!(stores.chats.left_chats_of(bob.id).await.unwrap(), []);
    agree(stores, chat.id).await;
}

/// A group has an owner as long as it has a member: the admin who joined first, else the member.
pub async fn a_last_owner_has_a_successor(stores: &Stores) {
    let [ada, bob, cyd, dan] = stores.users().await;
    let chat = group(stores, &ada, &[&bob]).await;
    for user in [&cyd, &dan] {
        change(stores, chat.id, &ada, add(&[user], HistoryFrom::All)).await;
    }
    change(stores, chat.id, &ada, set_role(&dan, MemberRole::Admin)).await;
    let last = refusal(stores, chat.id, &ada, set_role(&ada, MemberRole::Member)).await;
    assert_eq!(last, GroupRefusal::LastOwner);
    // The admin goes before members who joined earlier.
    let message = change(stores, chat.id, &ada, GroupAction::Leave).await;
    let notice = message.notice.unwrap();
    assert_eq!(notice.kind, SystemNoticeKind::MemberLeft);
    assert_eq!(notice.effects.len(), 2, "in the same notice");
    assert_eq!(role(stores, chat.id, &dan).await, Some(MemberRole::Owner));
    change(stores, chat.id, &dan, GroupAction::Leave).await;
    assert_eq!(role(stores, chat.id, &bob).await, Some(MemberRole::Owner));
    assert_eq!(role(stores, chat.id, &cyd).await, Some(MemberRole::Member));
    change(stores, chat.id, &bob, GroupAction::Leave).await;
    change(stores, chat.id, &cyd, GroupAction::Leave).await;
    assert_eq!(members(stores, chat.id).await, []);
    assert_eq!(stores.chat(chat.id).await.member_count, 0);
    agree(stores, chat.id).await;
}

/// Admins manage plain members, owners all; plain members nobody.
pub async fn roles_say_who_may(stores: &Stores) {
    let [ada, bob, cyd, dan] = stores.users().await;
    let chat = group(stores, &ada, &[&bob, &cyd, &dan]).await;
    change(stores, chat.id, &ada, set_role(&bob, MemberRole::Admin)).await;
    change(stores, chat.id, &ada, set_role(&cyd, MemberRole::Admin)).await;
    for user in [&ada, &cyd] {
        let refused = refusal(stores, chat.id, &bob, GroupAction::Remove(user.id)).await;
        assert_eq!(refused, GroupRefusal::Outranked);
    }
    let refused = refusal(stores, chat.id, &dan, GroupAction::Remove(bob.id)).await;
    assert_eq!(refused, GroupRefusal::Denied(Denied::NotAdmin));
    let refused = refusal(stores, chat.id, &bob, set_role(&dan, MemberRole::Admin)).await;
    assert_eq!(refused, GroupRefusal::Denied(Denied::NotOwner));
    change(stores, chat.id, &bob, GroupAction::Remove(dan.id)).await;
    let refused = refusal(stores, chat.id, &ada, set_role(&dan, MemberRole::Admin)).await;
    assert_eq!(refused, GroupRefusal::NoMember);
    change(stores, chat.id, &ada, GroupAction::Remove(cyd.id)).await;
    change(stores, chat.id, &ada, set_role(&bob, MemberRole::Owner)).await;
    // Now that there are two, either may go.
    change(stores, chat.id, &ada, set_role(&ada, MemberRole::Member)).await;
    assert_eq!(role(stores, chat.id, &ada).await, Some(MemberRole::Member));
    agree(stores, chat.id).await;
}

/// Of two owners who take the role from each other at once, one stays.
pub async fn of_two_owners_who_demote_each_other_one_stays(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    for _ in 0..5 {
        let chat = group(stores, &ada, &[&bob]).await;
        change(stores, chat.id, &ada, set_role(&bob, MemberRole::Owner)).await;
        let demote = |actor: &User, user: &User| {
            let (stores, actor, user) = (stores.clone(), actor.clone(), user.clone());
            async move {
                let action = set_role(&user, MemberRole::Member);
                ask(&stores, chat.id, &actor, action).await
            }
        };
        let (one, other) = tokio::join!(demote(&ada, &bob), demote(&bob, &ada));
        let refused = GroupOutcome::Refused(GroupRefusal::Denied(Denied::NotOwner));
        assert!((one == refused) != (other == refused), "{one:?} {other:?}");
        let owners = members(stores, chat.id).await;
        let owners = owners.iter().filter(|one| one.role == MemberRole::Owner);
        assert_eq!(owners.count(), 1);
        agree(stores, chat.id).await;
    }
}

/// Whoever is removed while they send has nothing behind the removal.
pub async fn a_removal_among_sends_is_exact(stores: &Stores) {
    let [ada, bob, cyd] = stores.users().await;
    let chat = group(stores, &ada, &[&bob, &cyd]).await;
    let sends = (0..32).map(|n| {
        let stores = stores.clone();
        let sender = if n % 4 == 0 { cyd.id } else { bob.id };
        async move {
            stores
                .messages
                .append(&draft(chat.id, sender))
                .await
                .unwrap()
        }
    });
    let removing = change(stores, chat.id, &ada, GroupAction::Remove(bob.id));
    let (answers, removal) = tokio::join!(at_once(sends), removing);
    for answer in answers {
        match answer {
            Append::Done(appended) if appended.message.sender_id == Some(bob.id) => {
                assert!(appended.message.seq < removal.seq);
            }
            Append::Done(_) => {}
            refused => assert_eq!(refused, Append::Denied(Denied::NotMember)),
        }
    }
    let line = stores.all_messages(chat.id).await;
    let of_bob = line
        .iter()
        .filter(|message| message.sender_id == Some(bob.id));
    assert!(of_bob.map(|message| message.seq).max() < Some(removal.seq));
    agree(stores, chat.id).await;
}

/// Changes of a group at once, among sends, make one line from which the members follow.
pub async fn concurrent_changes_make_one_order(stores: &Stores) {
    let [ada, bob, cyd, dan, eve] = stores.users().await;
    let chat = group(stores, &ada, &[&bob]).await;
    change(stores, chat.id, &ada, set_role(&bob, MemberRole::Owner)).await;
    let mut actions = Vec::new();
    for (n, user) in [&cyd, &dan, &eve, &cyd, &dan].into_iter().enumerate() {
        let actor = if n % 2 == 0 { &ada } else { &bob };
        actions.push((actor, add(&[user], HistoryFrom::Join)));
        actions.push((actor, GroupAction::rename(title(&format!("Title {n}")))));
        actions.push((actor, GroupAction::Remove(user.id)));
    }
    let changes = actions.into_iter().map(|(actor, action)| {
        let (stores, actor) = (stores.clone(), actor.clone());
        async move { ask(&stores, chat.id, &actor, action).await }
    });
    let sends = (0..16).map(|_| {
        let stores = stores.clone();
        async move { stores.append(&draft(chat.id, ada.id)).await }
    });
    let (outcomes, _) = tokio::join!(at_once(changes), at_once(sends));
    for outcome in outcomes {
        assert!(matches!(outcome, GroupOutcome::Done { .. }), "{outcome:?}");
    }
    agree(stores, chat.id).await;
}

/// Members are found by a part of their name, in any case.
pub async fn members_are_found_by_name(stores: &Stores) {
    let [owner] = stores.users().await;
    let people = [
        stores.user("Grace Hopper").await,
        stores.user("Hedy").await,
        stores.user("O_o").await,
    ];
    let chat = group(stores, &owner, &people.each_ref()).await;
    let find = async |text: &str| {
        let filter = MemberFilter {
            has_read: None,
            name: Some(text.to_owned()),
        };
        let window = forward(None, 10);
        let found = stores.members(chat.id, &filter, &window).await.items;
        found.iter().map(|one| one.user_id).collect::<Vec<_>>()
    };
    assert_eq!(find("hOP").await, [people[0].id]);
    assert_eq!(find("h").await.len(), 2);
    assert_eq!(find("_").await, [people[2].id]);
    assert_eq!(find("nobody").await, []);
    change(stores, chat.id, &owner, GroupAction::Remove(people[1].id)).await;
    assert_eq!(find("h").await, [people[0].id]);
}

/// A chat is muted for one member alone.
pub async fn a_member_mutes_for_themself(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let before = membership(stores, chat.id, &ada).await.unwrap();
    let muted = stores.chats.set_muted(chat.id, ada.id, true).await.unwrap();
    let muted = muted.unwrap();
    assert!(muted.is_muted && muted.version > before.version);
    assert_eq!(membership(stores, chat.id, &ada).await, Some(muted.clone()));
    let again = stores.chats.set_muted(chat.id, ada.id, true).await.unwrap();
    assert_eq!(again, Some(muted), "nothing was changed");
    assert!(!membership(stores, chat.id, &bob).await.unwrap().is_muted);
    let [stranger] = stores.users().await;
    let none = stores.chats.set_muted(chat.id, stranger.id, true).await;
    assert_eq!(none.unwrap(), None);
    let sent = draft(chat.id, bob.id);
    let sent = Message {
        text: Some(text_of("still delivered")),
        ..sent
    };
    stores.append(&sent).await;
    let unread = stores.chats.unread_counts(ada.id, &[chat.id]).await;
    assert_eq!(unread.unwrap()[0].1, 1);
}

/// The versions of a user's memberships rise with every change of one, also of its beginning and end.
pub async fn versions_rise_with_every_change(stores: &Stores) {
    let [ada, bob, eve] = stores.users().await;
    let of = async |user: &User| {
        let wanted = [ada.id, bob.id, eve.id];
        let sums = stores.chats.membership_versions(&wanted).await.unwrap();
        let sum = sums.iter().find(|(found, _)| *found == user.id);
        sum.map_or(0, |(_, sum)| *sum)
    };
    let mut before = of(&bob).await;
    assert_eq!(before, 0);
    let mut rises = async |what: &str| {
        let now = of(&bob).await;
        assert!(now > before, "{what}: {now} behind {before}");
        before = now;
    };
    let chat = group(stores, &ada, &[&bob]).await;
    rises("joining").await;
    change(stores, chat.id, &ada, set_role(&bob, MemberRole::Admin)).await;
    rises("another role").await;
    let chats = &stores.chats;
    chats
        .mark_read(chat.id, bob.id, 2, now(), LargeGroups::NONE)
        .await
        .unwrap();
    rises("reading").await;
    chats.set_muted(chat.id, bob.id, true).await.unwrap();
    rises("muting").await;
    change(stores, chat.id, &bob, GroupAction::Leave).await;
    rises("leaving").await;
    change(stores, chat.id, &ada, add(&[&bob], HistoryFrom::Join)).await;
    rises("joining again").await;
    stores.direct(&bob, &ada).await;
    rises("another chat").await;
    assert_eq!(of(&eve).await, 0);
}

/// A change that was made is complete, and completing it changes nothing. One that was not is not
/// there to be completed.
pub async fn a_change_that_was_made_is_complete(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = group(stores, &ada, &[&bob]).await;
    let message = change(stores, chat.id, &ada, GroupAction::Remove(bob.id)).await;
    let state = async || {
        let chats = stores.chats.chats(&[chat.id]).await.unwrap();
        (chats, members(stores, chat.id).await)
    };
    let before = state().await;
    let complete = async |message| stores.groups.complete_change(chat.id, message).await;
    assert!(complete(message.id).await.unwrap());
    assert!(!complete(ids().next()).await.unwrap());
    assert_eq!(state().await, before);
}

super::suite::rules! {
    groups_rules:
    a_change_that_was_made_is_complete,
    versions_rise_with_every_change,
    a_group_begins_with_its_members,
    a_group_is_made_once_for_an_id,
    a_title_changes,
    a_group_is_found_by_its_title,
    members_are_added_together,
    a_new_member_has_a_range,
    a_removed_member_is_none,
    a_retry_of_what_preceded_the_removal_succeeds,
    rejoining_replaces_the_range,
    a_last_owner_has_a_successor,
    roles_say_who_may,
    of_two_owners_who_demote_each_other_one_stays,
    a_removal_among_sends_is_exact,
    concurrent_changes_make_one_order,
    members_are_found_by_name,
    a_member_mutes_for_themself,
}
