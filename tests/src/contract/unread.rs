//! How much members have not read.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use talksy_domain::chats::{ChatTitle, total_unread};
use talksy_domain::groups::GroupAction;
use talksy_domain::id::{ChatId, UserId};
use talksy_domain::messages::{ChangeAction, HistoryFrom, Message};

use super::fixture::{Stores, draft, sorted};
use super::reading::{mark, membership, unread};
use super::{ids, now};

/// What others sent above one's mark is unread, and nothing else is.
pub async fn unread_is_what_others_sent_above_the_mark(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    assert_eq!(unread(stores, chat.id, ada.id).await, 0);
    stores.send(chat.id, bob.id, 3).await;
    stores.send(chat.id, ada.id, 2).await;
    stores.send(chat.id, bob.id, 4).await;
    stores.send(chat.id, ada.id, 1).await;
    assert_eq!(unread(stores, chat.id, ada.id).await, 7);
    assert_eq!(unread(stores, chat.id, bob.id).await, 3);
    for (seq, for_ada) in [(1, 6), (2, 5), (3, 4), (4, 4), (5, 4), (6, 3), (9, 0)] {
        mark(stores, chat.id, ada.id, seq, now()).await;
        assert_eq!(unread(stores, chat.id, ada.id).await, for_ada, "from {seq}");
    }
    assert_eq!(unread(stores, chat.id, bob.id).await, 3, "bob's own mark");
}

/// Messages that were deleted, and those that nobody sent, are not waiting to be read.
pub async fn deleted_and_system_messages_are_not_unread(stores: &Stores) {
    let [ada, bob] = stores.users().await;
    let chat = stores.group(&[&ada, &bob]).await;
    let sent = stores.send(chat.id, bob.id, 2).await;
    let title = ChatTitle::parse("Another title").unwrap();
    let rename = GroupAction::rename(title);
    stores.notice(chat.id, ada.id, rename).await;
    assert_eq!(unread(stores, chat.id, ada.id).await, 2);
    assert_eq!(unread(stores, chat.id, bob.id).await, 0);
    stores.change(&sent[0], bob.id, ChangeAction::Delete).await;
    assert_eq!(unread(stores, chat.id, ada.id).await, 1);
    assert_eq!(unread(stores, chat.id, bob.id).await, 0);
}

/// There is a count of each chat that is asked for and of which the user is a member.
pub async fn unread_counts_are_of_the_users_chats(stores: &Stores) {
    let [ada, bob, eve] = stores.users().await;
    let with_bob = stores.direct(&ada, &bob).await.id;
    let with_eve = stores.direct(&ada, &eve).await.id;
    let without = stores.direct(&bob, &eve).await.id;
    stores.send(with_bob, bob.id, 2).await;
    stores.send(without, bob.id, 5).await;
    let asked = [with_eve, without, ids().next(), with_bob];
    let counts = stores.chats.unread_counts(ada.id, &asked).await.unwrap();
    assert_eq!(sorted(counts), sorted([(with_bob, 2), (with_eve, 0)]));
    let counts = stores.chats.unread_counts(ada.id, &asked[..1]).await;
    assert_eq!(counts.unwrap(), [(with_eve, 0)]);
    assert_eq!(stores.chats.unread_counts(ada.id, &[]).await.unwrap(), []);
}

/// Steps of a random history.
const STEPS: usize = 120;
/// The most messages that one member sends in a row.
const BURST: usize = 12;

/// A group whose members come, go, send, read and delete at random. The first owns it and stays.
struct Group<'a> {
    stores: &'a Stores,
    chat: ChatId,
    users: [UserId; 4],
    /// Who is a member.
    present: [bool; 4],
    /// All messages that were sent, but for system messages.
    sent: Vec<Message>,
    random: SmallRng,
}

impl Group<'_> {
    fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    /// Some member.
    fn member(&mut self) -> UserId {
        let present = self.users.iter().zip(self.present);
        let members: Vec<_> = present
            .filter(|(_, is)| *is)
            .map(|(user, _)| *user)
            .collect();
        members[self.below(members.len())]
    }

    async fn step(&mut self) {
        match self.below(10) {
            0..=4 => {
                let (sender, count) = (self.member(), 1 + self.below(BURST));
                let sent = self.stores.send(self.chat, sender, count).await;
                self.sent.extend(sent);
            }
            5 | 6 if !self.sent.is_empty() => self.delete().await,
            7 => {
                let user = self.member();
                let last = self.stores.chat(self.chat).await.last_seq;
                let seq = self.random.random_range(0..=last);
                mark(self.stores, self.chat, user, seq, now()).await;
            }
            8 => self.come_or_go().await,
            _ => {
                let title = format!("Title {}", self.random.random::<u32>());
                let rename = GroupAction::rename(ChatTitle::parse(&title).unwrap());
                self.stores.notice(self.chat, self.users[0], rename).await;
            }
        }
    }

    /// The owner may delete what anybody sent, and everybody their own.
    async fn delete(&mut self) {
        let index = self.below(self.sent.len());
        let message = self.sent.swap_remove(index);
        let sender = self
            .users
            .iter()
            .position(|user| Some(*user) == message.sender_id);
        let sender = sender.filter(|&sender| self.present[sender]);
        let may = match sender {
            Some(sender) if self.random.random() => {
                let user = self.users[sender];
                let member = membership(self.stores, self.chat, user).await;
                (member.visible_from_seq <= message.seq).then_some(user)
            }
            _ => None,
        };
        let actor = may.unwrap_or(self.users[0]);
        self.stores
            .change(&message, actor, ChangeAction::Delete)
            .await;
    }

    async fn come_or_go(&mut self) {
        let index = 1 + self.below(self.users.len() - 1);
        let user = self.users[index];
        let history = [HistoryFrom::All, HistoryFrom::Join][self.below(2)];
        let users = vec![user];
        let (actor, action) = if !self.present[index] {
            (self.users[0], GroupAction::Add { users, history })
        } else if self.random.random() {
            (user, GroupAction::Leave)
        } else {
            (self.users[0], GroupAction::Remove(user))
        };
        self.stores.notice(self.chat, actor, action).await;
        self.present[index] = !self.present[index];
    }

    /// Every member's count is what one finds who looks through all messages.
    async fn check(&self) {
        let messages = self.stores.all_messages(self.chat).await;
        for (user, present) in self.users.into_iter().zip(self.present) {
            if !present {
                let counts = self.stores.chats.unread_counts(user, &[self.chat]).await;
                assert_eq!(counts.unwrap(), [], "who is no member has no count");
                continue;
            }
            let member = membership(self.stores, self.chat, user).await;
            let base = member.last_read_seq.max(member.joined_seq);
            let is_unread = |message: &&Message| {
                let of_others = message.sender_id.is_some_and(|sender| sender != user);
                message.seq > base && of_others && message.deleted_at.is_none()
            };
            let expected = messages.iter().filter(is_unread).count();
            let count = unread(self.stores, self.chat, user).await;
            let last = messages.len();
            assert_eq!(
                count as usize, expected,
                "behind {base} of {last}, for {member:?}"
            );
        }
    }
}

/// Whatever has happened in a group, a count is what one finds who looks through all messages.
pub async fn counts_agree_with_the_messages(stores: &Stores) {
    for seed in 0..2 {
        let [ada, bob, cyd, dan] = stores.users().await;
        let chat = stores.group(&[&ada, &bob, &cyd, &dan]).await;
        let mut group = Group {
            stores,
            chat: chat.id,
            users: [ada.id, bob.id, cyd.id, dan.id],
            present: [true; 4],
            sent: Vec::new(),
            random: SmallRng::seed_from_u64(seed),
        };
        for step in 1..=STEPS {
            group.step().await;
            if step % 8 == 0 {
                group.check().await;
            }
        }
    }
}

/// The count is exact wherever a long range begins and ends, whoever has sent it.
pub async fn every_range_of_a_long_line_is_counted_exactly(stores: &Stores) {
    let (ada, bob, chat) = stores.pair().await;
    let mut own = Vec::new();
    for turn in 0..20 {
        let sender = if turn % 3 == 0 { ada.id } else { bob.id };
        for message in stores.send(chat.id, sender, 7).await {
            own.push(message.sender_id == Some(ada.id));
        }
    }
    for base in 0..=own.len() {
        mark(stores, chat.id, ada.id, u32::try_from(base).unwrap(), now()).await;
        let expected = own[base..].iter().filter(|own| !**own).count();
        let count = unread(stores, chat.id, ada.id).await;
        assert_eq!(count as usize, expected, "behind {base}");
    }
}

/// What is unread of a user's most recently active chats is summed up, but for those that are muted.
pub async fn the_total_is_of_the_most_recent_chats_that_are_not_muted(stores: &Stores) {
    let ada = stores.user("Ada").await;
    let total = async |most| {
        let total = total_unread(&*stores.chats, ada.id, most).await;
        total.unwrap()
    };
    assert_eq!(total(10).await, 0, "of who has no chats");
    let mut chats = Vec::new();
    for count in [1, 2, 4, 8] {
        let [other] = stores.users().await;
        let chat = if count == 4 {
            stores.group(&[&other, &ada]).await.id
        } else {
            stores.direct(&ada, &other).await.id
        };
        // The later ones are the more recent.
        for message in 0..count {
            let draft = Message {
                created_at: now() + Duration::from_secs(count + message),
                ..draft(chat, other.id)
            };
            stores.append(&draft).await;
        }
        chats.push(chat);
    }
    for (most, expected) in [(1, 8), (2, 12), (3, 14), (4, 15), (1_000, 15)] {
        assert_eq!(total(most).await, expected, "of {most}");
    }
    let mute = async |chat, muted| {
        let member = stores.chats.set_muted(chat, ada.id, muted).await.unwrap();
        assert_eq!(member.unwrap().is_muted, muted);
    };
    mute(chats[3], true).await;
    assert_eq!(total(1_000).await, 7);
    // It is among the most recent ones still.
    assert_eq!(total(2).await, 4);
    let last = stores.chat(chats[2]).await.last_seq;
    mark(stores, chats[2], ada.id, last - 1, now()).await;
    assert_eq!(total(1_000).await, 4);
    mute(chats[3], false).await;
    assert_eq!(total(1_000).await, 12);
    let stranger = ids().next();
    let of_nobody = total_unread(&*stores.chats, stranger, 10).await;
    assert_eq!(of_nobody.unwrap(), 0);
}

super::suite::rules! {
    unread_rules:
    unread_is_what_others_sent_above_the_mark,
    deleted_and_system_messages_are_not_unread,
    unread_counts_are_of_the_users_chats,
    the_total_is_of_the_most_recent_chats_that_are_not_muted,
    counts_agree_with_the_messages,
    every_range_of_a_long_line_is_counted_exactly,
}
