//! Groups that several instances change and write to at the same time.

use talksy_domain::access::Denied;
use talksy_domain::chats::{ChatStore as _, Member, MemberFilter, MemberRole};
use talksy_domain::cursor::MemberCursor;
use talksy_domain::groups::{GroupAction, GroupOutcome, GroupRefusal};
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{Append, HistoryFrom, MessageKind, MessageStore as _};
use talksy_mongo::MongoStore;
use talksy_tests::servers::mongo::Mongo;

use super::{Fixture, all_messages, ask, done, draft, group, made, member_page, members};

async fn instances(mongo: &Mongo, fixture: &Fixture) -> [MongoStore; 2] {
    let other = mongo.store_on(&fixture.database).await;
    [fixture.store.clone(), other]
}

/// A member who is removed in the middle of their own sends over two instances: what was taken
/// stands ahead of the removal, what was refused is not there.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_among_sends_over_two_instances_is_exact() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let instances = instances(mongo, &fixture).await;
    let [ada, bob] = fixture.users;
    let chat = group(&fixture.store, ada, &[bob]).await;
    for round in 0..20 {
        let mut sending = Vec::new();
        for n in 0..32 {
            let store = instances[n % 2].clone();
            sending.push(tokio::spawn(async move {
                store.append(&draft(chat, bob)).await.unwrap()
            }));
        }
        let remover = &instances[round % 2];
        let removal = made(ask(remover, chat, ada, GroupAction::Remove(bob)).await);
        let mut taken = Vec::new();
        for task in sending {
            match task.await.unwrap() {
                Append::Done(appended) => taken.push(appended.message),
                refused => assert_eq!(refused, Append::Denied(Denied::NotMember)),
            }
        }
        assert!(taken.iter().all(|message| message.seq < removal.seq));
        for store in &instances {
            let refused = store.append(&draft(chat, bob)).await.unwrap();
            assert_eq!(refused, Append::Denied(Denied::NotMember));
        }
        let back = GroupAction::Add {
            users: vec![bob],
            history: HistoryFrom::Join,
        };
        made(ask(&instances[(round + 1) % 2], chat, ada, back).await);
        for store in &instances {
            done(store.append(&draft(chat, bob)).await.unwrap());
        }
    }
    let messages = all_messages(&fixture.store, chat).await;
    let mut newest = 0;
    let mut is_in = true;
    for (message, number) in messages.iter().zip(1..) {
        assert_eq!(message.seq, number);
        if let Some(notice) = &message.notice {
            assert_eq!(notice.previous, newest);
            newest = number;
            is_in = !notice.removes(bob);
        }
        assert_eq!(message.mseq, newest);
        assert!(is_in || message.sender_id != Some(bob), "{number}");
    }
}

async fn roles(store: &MongoStore, chat: ChatId) -> Vec<(UserId, MemberRole)> {
    let members = members(store, chat).await;
    let role = |member: &Member| (member.user_id, member.role);
    members.iter().map(role).collect()
}

/// Two owners who demote each other, or leave, over two instances: one stays.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_owners_on_two_instances_one_stays() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let instances = instances(mongo, &fixture).await;
    let [ada, bob] = fixture.users;
    for round in 0..30 {
        let chat = group(&fixture.store, ada, &[bob]).await;
        let role = |user, role| GroupAction::SetRole { user, role };
        made(ask(&instances[0], chat, ada, role(bob, MemberRole::Owner)).await);
        let down = |user| role(user, MemberRole::Member);
        let (one, other) = tokio::join!(
            ask(&instances[round % 2], chat, ada, down(bob)),
            ask(&instances[(round + 1) % 2], chat, bob, down(ada)),
        );
        let refused = GroupOutcome::Refused(GroupRefusal::Denied(Denied::NotOwner));
        assert!((one == refused) != (other == refused), "{one:?} {other:?}");
        for store in &instances {
            let roles = roles(store, chat).await;
            let owners = roles.iter().filter(|(_, role)| *role == MemberRole::Owner);
            assert_eq!(owners.count(), 1);
        }
        made(
            ask(
                &instances[0],
                chat,
                if one == refused { bob } else { ada },
                GroupAction::Leave,
            )
            .await,
        );
        let left = roles(&instances[1], chat).await;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].1, MemberRole::Owner);
    }
}

/// What two instances do to one group at the same time happens one after the other, and the members
/// are what the line says.
#[tokio::test(flavor = "multi_thread")]
async fn changes_over_two_instances_make_one_line() {
    let mongo = Mongo::shared().await;
    let fixture = Fixture::new(mongo).await;
    let instances = instances(mongo, &fixture).await;
    let [ada, bob] = fixture.users;
    let chat = group(&fixture.store, ada, &[bob]).await;
    let others: Vec<UserId> = (0..6).map(|_| super::ids().next()).collect();
    let mut tasks = Vec::new();
    for n in 0..96_usize {
        let (store, user) = (instances[n % 2].clone(), others[n / 3 % 6]);
        tasks.push(tokio::spawn(async move {
            let action = match n % 3 {
                0 => GroupAction::Add {
                    users: vec![user],
                    history: HistoryFrom::All,
                },
                1 => GroupAction::Remove(user),
                _ => GroupAction::SetRole {
                    user,
                    role: MemberRole::Admin,
                },
            };
            match ask(&store, chat, ada, action).await {
                GroupOutcome::Done { .. } => {}
                GroupOutcome::Refused(refusal) => assert_eq!(refusal, GroupRefusal::NoMember),
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut expected = std::collections::BTreeMap::new();
    let mut changes = 0;
    for message in all_messages(&instances[0], chat).await {
        assert_eq!(message.kind, MessageKind::System);
        let notice = message.notice.unwrap();
        changes += 1;
        assert_eq!((message.seq, notice.previous), (changes, changes - 1));
        for effect in &notice.effects {
            match effect.role {
                Some(role) => drop(expected.insert(effect.user_id, role)),
                None => drop(expected.remove(&effect.user_id)),
            }
        }
        assert_eq!(
            usize::try_from(notice.member_count).unwrap(),
            expected.len()
        );
    }
    for store in &instances {
        let found: std::collections::BTreeMap<_, _> =
            roles(store, chat).await.into_iter().collect();
        assert_eq!(found, expected);
    }
}

/// Members of a large group are found by name with one command, which returns them alone.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_large_group_are_found() {
    let fixture = Fixture::new(Mongo::shared().await).await;
    let (store, [ada, bob]) = (&fixture.store, fixture.users);
    let chat = group(store, ada, &[]).await;
    let mut named = Vec::new();
    for n in 0..3 {
        let users: Vec<UserId> = (0..99).map(|_| super::ids().next()).collect();
        let zoe = super::user(store, &format!("Zoë {n}")).await.id;
        named.push(zoe);
        let add = GroupAction::Add {
            users: [&users[..], &[zoe]].concat(),
            history: HistoryFrom::All,
        };
        made(ask(store, chat, ada, add).await);
    }
    made(
        ask(
            store,
            chat,
            ada,
            GroupAction::Add {
                users: vec![bob],
                history: HistoryFrom::All,
            },
        )
        .await,
    );
    named.sort();
    let filter = MemberFilter {
        has_read: None,
        name: Some("ZOË".to_owned()),
    };
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let window = super::forward(after, 2);
        let (commands, documents) = (store.commands(), store.documents());
        let wanted = member_page(chat, filter.clone(), window);
        let page = store.member_pages(&[wanted]).await.unwrap().remove(0);
        assert_eq!(store.commands() - commands, 1);
        assert!(store.documents() - documents <= 3);
        found.extend(page.items.iter().map(|member| member.user_id));
        after = found.last().map(|user| MemberCursor {
            chat_id: chat,
            user_id: *user,
        });
        if !page.has_next {
            break;
        }
    }
    assert_eq!(found, named);

    let all = members(store, chat).await;
    assert_eq!(all.len(), 302);
    let first = store.first_members(&[chat, fixture.chat], 3).await.unwrap();
    let of_group: Vec<_> = first
        .iter()
        .filter(|member| member.chat_id == chat)
        .collect();
    assert_eq!(of_group, all.iter().take(3).collect::<Vec<_>>());
    assert_eq!(first.len(), 5);
    let marks = store.lowest_read_marks(&[chat]).await.unwrap();
    assert_eq!(marks.len(), 2);
    assert_eq!(marks[0].user_id, ada);
}
