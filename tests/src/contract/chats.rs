//! Chats and who is in them.

use talksy_domain::chats::{Chat, LargeGroups, Member, MemberFilter, MemberPage, MemberRole};
use talksy_domain::cursor::MemberCursor;
use talksy_domain::groups::GroupAction;
use talksy_domain::id::ChatId;
use talksy_domain::page::Page;
use talksy_domain::users::User;

use super::fixture::{Stores, direct_candidate, forward, sorted};
use super::groups::{change, group};
use super::{at_once, ids, now};

fn who(members: &[Member]) -> Vec<(ChatId, talksy_domain::id::UserId)> {
    members
        .iter()
        .map(|member| (member.chat_id, member.user_id))
        .collect()
}

/// A chat is read back as it was made, with both as plain members who have read nothing.
pub async fn a_direct_chat_has_two_plain_members(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let candidate = direct_candidate(now());
    let pair = [ada.id, bob.id];
    let answer = stores.chats.open_direct(&candidate, pair).await.unwrap();
    assert_eq!(answer, (candidate.clone(), true));
    assert_eq!(stores.chat(candidate.id).await, candidate);
    let page = stores
        .members(candidate.id, &MemberFilter::default(), &forward(None, 100))
        .await;
    let expected = sorted(pair).into_iter().map(|user_id| Member {
        chat_id: candidate.id,
        user_id,
        role: MemberRole::Member,
        joined_at: candidate.created_at,
        joined_seq: 0,
        visible_from_seq: 1,
        last_read_seq: 0,
        last_read_at: None,
        unread_from_seq: None,
        is_muted: false,
        is_blocked: false,
        version: 1,
    });
    assert_eq!(page.items, expected.collect::<Vec<_>>());
}

/// A pair has one chat, whichever of them opens it, and it is answered as it is now.
pub async fn a_pair_has_one_chat_in_either_order(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    stores.send(chat.id, ada.id, 2).await;
    let present = stores.chat(chat.id).await;
    assert_eq!(present.last_seq, 2);
    for pair in [[ada.id, bob.id], [bob.id, ada.id]] {
        let candidate = direct_candidate(now());
        let answer = stores.chats.open_direct(&candidate, pair).await.unwrap();
        assert_eq!(answer, (present.clone(), false));
        assert_eq!(stores.chats.chats(&[candidate.id]).await.unwrap(), []);
    }
}

/// Many who open a pair's chat at the same time, from either side, make one.
pub async fn concurrent_openings_make_one_chat(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let answers = at_once((0..16).map(|n| {
        let chats = stores.chats.clone();
        let mut pair = [ada.id, bob.id];
        if n % 2 == 1 {
            pair.reverse();
        }
        let candidate = direct_candidate(now());
        async move {
            let answer = chats.open_direct(&candidate, pair).await.unwrap();
            (answer, candidate.id)
        }
    }))
    .await;
    let (chat, _) = &answers[0].0;
    assert!(answers.iter().all(|((found, _), _)| found == chat));
    let makers: Vec<_> = answers.iter().filter(|((_, made), _)| *made).collect();
    assert_eq!(makers.len(), 1);
    assert_eq!(makers[0].1, chat.id, "who made it made it from their own");
    let candidates: Vec<_> = answers.iter().map(|(_, id)| *id).collect();
    let left = stores.chats.chats(&candidates).await.unwrap();
    assert_eq!(left.len(), 1, "nothing is left of the other candidates");
    for user in [&ada, &bob] {
        assert_eq!(stores.chats.chat_ids_of(user.id).await.unwrap(), [chat.id]);
    }
    let first = stores.chats.first_members(&candidates, 10).await.unwrap();
    assert_eq!(
        who(&first),
        sorted([ada.id, bob.id])
            .into_iter()
            .map(|user| (chat.id, user))
            .collect::<Vec<_>>()
    );
}

/// Chats that do not exist are left out, however many are asked for.
pub async fn unknown_chats_are_left_out(stores: &Stores) {
    assert_eq!(stores.chats.chats(&[]).await.unwrap(), []);
    let [ada, bob, eve] = stores.users().await;
    let one = stores.direct(&ada, &bob).await;
    let other = stores.direct(&ada, &eve).await;
    let mut wanted: Vec<ChatId> = (0..1_000).map(|_| ids().next()).collect();
    wanted.insert(0, other.id);
    wanted.push(one.id);
    let found: Vec<Chat> = stores.chats.chats(&wanted).await.unwrap();
    let found = sorted(found.iter().map(|chat| chat.id));
    assert_eq!(found, sorted([one.id, other.id]));

    let nothing = &wanted[1..1_001];
    let chats = &stores.chats;
    assert_eq!(chats.memberships(ada.id, nothing).await.unwrap(), []);
    assert_eq!(chats.first_members(nothing, 10).await.unwrap(), []);
    assert_eq!(chats.lowest_read_marks(nothing).await.unwrap(), []);
    assert_eq!(chats.unread_counts(ada.id, nothing).await.unwrap(), []);
}

/// A user's memberships are their own, of the chats that are asked for.
pub async fn memberships_are_the_users_own(stores: &Stores) {
    let [ada, bob, eve] = stores.users().await;
    let with_bob = stores.direct(&ada, &bob).await;
    let with_eve = stores.direct(&ada, &eve).await;
    let without = stores.direct(&bob, &eve).await;
    let asked = [with_eve.id, without.id, with_bob.id];
    let found = stores.chats.memberships(ada.id, &asked).await.unwrap();
    assert_eq!(
        sorted(who(&found)),
        sorted([(with_bob.id, ada.id), (with_eve.id, ada.id)])
    );
    let found = stores.chats.memberships(ada.id, &asked[1..]).await.unwrap();
    assert_eq!(who(&found), [(with_bob.id, ada.id)]);
    let none = stores.chats.memberships(ada.id, &[]).await.unwrap();
    assert_eq!(none, []);
}

/// All chats of a user, and of nobody else.
pub async fn a_users_chat_ids_are_all_their_chats(stores: &Stores) {
    let [ada, bob, eve] = stores.users().await;
    let with_bob = stores.direct(&ada, &bob).await;
    let with_eve = stores.direct(&eve, &ada).await;
    let found = stores.chats.chat_ids_of(ada.id).await.unwrap();
    assert_eq!(sorted(found), sorted([with_bob.id, with_eve.id]));
    let found = stores.chats.chat_ids_of(eve.id).await.unwrap();
    assert_eq!(found, [with_eve.id]);
    assert_eq!(stores.chats.chat_ids_of(ids().next()).await.unwrap(), []);
}

/// Members come in the order of their ids, in pages without a double or a hole.
pub async fn members_are_read_in_pages(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let users = sorted([ada.id, bob.id]);
    let ask = async |after: Option<usize>, limit| {
        let after = after.map(|index: usize| MemberCursor {
            chat_id: chat.id,
            user_id: users[index],
        });
        let window = forward(after, limit);
        let everybody = MemberFilter::default();
        let page = stores.members(chat.id, &everybody, &window).await;
        let found: Vec<_> = page.items.iter().map(|member| member.user_id).collect();
        (found, page.has_next, page.has_previous)
    };
    assert_eq!(ask(None, 0).await, (vec![], true, false));
    assert_eq!(ask(None, 1).await, (vec![users[0]], true, false));
    assert_eq!(ask(Some(0), 1).await, (vec![users[1]], false, true));
    assert_eq!(ask(Some(1), 1).await, (vec![], false, true));
    assert_eq!(ask(None, 2).await, (users.clone(), false, false));
    let page = stores
        .members(ids().next(), &MemberFilter::default(), &forward(None, 10))
        .await;
    assert_eq!((page.items, page.has_next), (vec![], false));
}

/// With `has_read` there are only the members who have read that message. What was sent before
/// somebody joined they have not, and nobody has read what there is not.
pub async fn members_are_told_by_how_far_they_have_read(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    stores.send(chat.id, ada.id, 5).await;
    for (user, seq) in [(&ada, 5), (&bob, 3)] {
        let marked = stores
            .chats
            .mark_read(chat.id, user.id, seq, now(), LargeGroups::NONE)
            .await;
        assert!(marked.unwrap().unwrap().moved);
    }
    let both = sorted([ada.id, bob.id]);
    for (has_read, expected) in [
        (None, both.clone()),
        (Some(0), vec![]),
        (Some(1), both.clone()),
        (Some(3), both),
        (Some(4), vec![ada.id]),
        (Some(5), vec![ada.id]),
        (Some(6), vec![]),
    ] {
        for limit in [1, 10] {
            let window = forward(None, limit);
            let filter = MemberFilter {
                has_read,
                name: None,
            };
            let page = stores.members(chat.id, &filter, &window).await;
            let wanted = |chat| MemberPage {
                chat,
                filter: filter.clone(),
                window: window.clone(),
            };
            let among_others = [ids().next(), chat.id, ids().next()].map(wanted);
            let pages = stores.chats.member_pages(&among_others).await.unwrap();
            assert_eq!((pages.len(), &pages[1]), (3, &page));
            assert_eq!(pages[2].items, []);
            let found: Vec<_> = page.items.iter().map(|member| member.user_id).collect();
            let cut = expected.len().min(limit);
            assert_eq!(found, expected[..cut], "who have read {has_read:?}");
            assert_eq!(page.has_next, cut < expected.len());
        }
    }
}

/// Pages of many chats that are asked for at once, each from elsewhere, of another size and of others,
/// are what each is alone.
pub async fn pages_of_members_of_many_chats_are_those_of_each(stores: &Stores) {
    let [ada] = stores.users().await;
    let mut wanted = Vec::new();
    for n in 0..4 {
        let peer = stores.user(if n == 2 { "Zoë $name" } else { "Bob" }).await;
        let chat = stores.direct(&ada, &peer).await.id;
        stores.send(chat, ada.id, 2).await;
        let marked = stores
            .chats
            .mark_read(chat, peer.id, 2, now(), LargeGroups::NONE)
            .await;
        assert!(marked.unwrap().unwrap().moved);
        let first = MemberCursor {
            chat_id: chat,
            user_id: ada.id.min(peer.id),
        };
        for after in [None, Some(first)] {
            for limit in [0, 1, 3] {
                for has_read in [None, Some(2)] {
                    for name in [None, Some("O"), Some("$NAME"), Some("")] {
                        wanted.push(MemberPage {
                            chat,
                            filter: MemberFilter {
                                has_read,
                                name: name.map(str::to_owned),
                            },
                            window: forward(after, limit),
                        });
                    }
                }
            }
        }
    }
    // No two beside each other are of one kind.
    wanted.sort_by_key(|page| (page.window.limit, page.filter.name.clone(), page.chat));
    let pages = stores.chats.member_pages(&wanted).await.unwrap();
    assert_eq!(pages.len(), wanted.len());
    for (page, wanted) in pages.iter().zip(&wanted) {
        let alone = stores.members(wanted.chat, &wanted.filter, &wanted.window);
        assert_eq!(page, &alone.await, "{wanted:?}");
    }
    let found = |page: &&Page<Member>| page.items.len() == 1 && !page.has_next;
    let named = wanted
        .iter()
        .zip(&pages)
        .filter(|(wanted, page)| wanted.filter.name.as_deref() == Some("$NAME") && found(page));
    assert!(named.count() > 0, "a name is found, and is taken as it is");
    assert_eq!(stores.chats.member_pages(&[]).await.unwrap(), []);
}

/// The first members of each chat, in the order of their ids.
pub async fn the_first_members_of_each_chat(stores: &Stores) {
    let [ada, bob, eve] = stores.users().await;
    let chats = [
        (stores.direct(&ada, &bob).await, sorted([ada.id, bob.id])),
        (stores.direct(&eve, &ada).await, sorted([ada.id, eve.id])),
        (stores.direct(&bob, &eve).await, sorted([bob.id, eve.id])),
    ];
    // One chat is not asked for, and one does not exist.
    let asked = [chats[1].0.id, ids().next(), chats[0].0.id];
    for limit in [0, 1, 2, 10] {
        let found = stores.chats.first_members(&asked, limit).await.unwrap();
        assert_eq!(found.len(), 2 * limit.min(2));
        for (chat, users) in &chats[..2] {
            let of_chat: Vec<_> = found
                .iter()
                .filter(|member| member.chat_id == chat.id)
                .map(|member| member.user_id)
                .collect();
            assert_eq!(of_chat, users[..limit.min(2)]);
        }
    }
}

/// Those with whom the user shares a chat.
pub async fn sharing_is_having_a_chat_in_common(stores: &Stores) {
    let [ada, bob, eve, mallory] = stores.users().await;
    stores.direct(&ada, &bob).await;
    stores.direct(&eve, &ada).await;
    stores.direct(&bob, &mallory).await;
    let others = [mallory.id, ids().next(), eve.id, bob.id];
    let found = stores.chats.sharing(ada.id, &others).await.unwrap();
    assert_eq!(sorted(found), sorted([bob.id, eve.id]));
    let found = stores.chats.sharing(ada.id, &others[..3]).await.unwrap();
    assert_eq!(found, [eve.id], "of those who are asked about");
    let found = stores.chats.sharing(mallory.id, &[bob.id, ada.id]).await;
    assert_eq!(found.unwrap(), [bob.id]);
    assert_eq!(stores.chats.sharing(ada.id, &[]).await.unwrap(), []);
}

/// Members of a group share a chat, whether they have a direct one or not, and those who have left do
/// not.
pub async fn members_of_a_group_share_it(stores: &Stores) {
    let [ada, bob, cyd, dan, eve] = stores.users().await;
    let chat = group(stores, &ada, &[&bob, &cyd, &dan]).await;
    group(stores, &eve, &[&cyd]).await;
    stores.direct(&ada, &bob).await;
    let all = [eve.id, dan.id, cyd.id, bob.id, cyd.id];
    let sharing = async |user: &User| {
        let found = stores.chats.sharing(user.id, &all).await;
        sorted(found.unwrap())
    };
    assert_eq!(sharing(&ada).await, sorted([bob.id, cyd.id, dan.id]));
    for user in [&bob, &cyd] {
        change(stores, chat.id, &ada, GroupAction::Remove(user.id)).await;
    }
    assert_eq!(sharing(&ada).await, sorted([bob.id, dan.id]));
    let of_cyd = stores.chats.sharing(cyd.id, &[ada.id, eve.id]).await;
    assert_eq!(of_cyd.unwrap(), [eve.id]);
}

super::suite::rules! {
    chats_rules:
    a_direct_chat_has_two_plain_members,
    a_pair_has_one_chat_in_either_order,
    concurrent_openings_make_one_chat,
    unknown_chats_are_left_out,
    memberships_are_the_users_own,
    a_users_chat_ids_are_all_their_chats,
    members_are_read_in_pages,
    members_are_told_by_how_far_they_have_read,
    pages_of_members_of_many_chats_are_those_of_each,
    the_first_members_of_each_chat,
    sharing_is_having_a_chat_in_common,
    members_of_a_group_share_it,
}
