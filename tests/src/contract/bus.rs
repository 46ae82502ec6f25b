//! The bus: what is published reaches who follows the topic and wants its kind.
//!
//! A bus may lose, but a healthy one does not: these rules take an interruption or a loss for a
//! failure. That nothing else arrives is told by a witness, who follows everything and has it.

use std::sync::Arc;

use talksy_domain::chats::{ChatKind, ChatTitle, MemberRole, ReadReceipt};
use talksy_domain::events::{Bus, Event, Interest, Receiver, Signal, Topic};
use talksy_domain::id::{self, ChatId, UserId};
use talksy_domain::messages::{
    ClientMessageId, HistoryFrom, MemberEffect, Message, MetadataChange, SystemNotice,
    SystemNoticeKind,
};
use talksy_domain::presence::{Presence, PresenceStatus};

use super::fixture::{draft_with_id, metadata, sorted, text_of};
use super::{at_once, ids, now, random};

/// Two instances' ends of one bus; the same twice where the bus is a single process's. A
/// receiver must hold at least 1,000 events.
pub struct Buses {
    /// Where events are published.
    pub here: Arc<dyn Bus>,
    /// Where they are followed.
    pub there: Arc<dyn Bus>,
}

const EVERYTHING: Interest = Interest::MESSAGES
    .and(Interest::RECEIPTS)
    .and(Interest::TYPING)
    .and(Interest::MEMBERSHIP)
    .and(Interest::CHANGES)
    .and(Interest::SESSIONS)
    .and(Interest::PRESENCE)
    .and(Interest::PROFILE)
    .and(Interest::BLOCKS);

impl Buses {
    async fn publish(&self, topic: Topic, event: &Event) {
        self.here.publish(topic, event.clone()).await.unwrap();
    }

    async fn follow(&self, interest: Interest, topics: &[Topic]) -> Receiver {
        self.there.subscribe(interest, topics).await.unwrap()
    }
}

/// The next event, which must come.
async fn next(receiver: &mut Receiver) -> Event {
    match crate::soon("an event", receiver.recv()).await {
        Signal::Event(published) => published.event.clone(),
        Signal::Missed(_) | Signal::Interrupted => panic!("a healthy bus was interrupted"),
    }
}

fn assert_nothing(receiver: &mut Receiver) {
    if let Some(signal) = receiver.try_recv() {
        panic!("nothing was to come, but: {signal:?}");
    }
}

fn new_chat() -> ChatId {
    ids().next()
}

/// An event that is told from all others by its user.
fn typing(chat_id: ChatId) -> Event {
    Event::Typing {
        chat_id,
        user_id: ids().next(),
        is_typing: true,
        mseq: 0,
    }
}

/// What happened to a group, every part filled.
fn full_notice(user_id: UserId) -> SystemNotice {
    let effect = MemberEffect {
        user_id,
        role: Some(MemberRole::Admin),
        joins: Some(HistoryFrom::Join),
    };
    SystemNotice {
        kind: SystemNoticeKind::MemberAdded,
        actor_id: Some(ids().next()),
        subject_ids: vec![user_id],
        title: Some(ChatTitle::parse("“Ω” \\ \" {}").unwrap()),
        metadata: Some(MetadataChange {
            to: Some(metadata("[true]")),
        }),
        avatar_id: None,
        has_avatar_beside: false,
        role: Some(MemberRole::Owner),
        effects: vec![
            effect,
            MemberEffect {
                role: None,
                joins: None,
                ..effect
            },
        ],
        member_count: 100_000,
        previous: 4,
    }
}

/// An event of each kind, every part filled.
pub fn every_event() -> Vec<Event> {
    let (chat_id, user_id): (ChatId, UserId) = (new_chat(), ids().next());
    let full = Message {
        seq: 2_147_483_647,
        text: Some(text_of(" “Ω”\n\t\u{202E}😀 \\ \" {} ")),
        reply_to: Some(3),
        mention_ids: vec![user_id, ids().next()],
        metadata: Some(metadata(r#"{"b":[1.5,null],"a":"é\""}"#)),
        client_message_id: Some(ClientMessageId::parse("é'\"\\").unwrap()),
        edited_at: Some(now()),
        ..draft_with_id(chat_id, user_id, "x")
    };
    let bare = Message {
        seq: 1,
        sender_id: None,
        text: None,
        metadata: None,
        reply_to: None,
        mention_ids: Vec::new(),
        client_message_id: None,
        deleted_at: Some(now()),
        ..full.clone()
    };
    let changed = Message {
        mseq: 5,
        change_seq: 2_147_483_647,
        content_seq: 9,
        ..full.clone()
    };
    let notice = full_notice(user_id);
    let system = Message {
        seq: 5,
        mseq: 5,
        ..Message::system(ids().next(), chat_id, notice, now())
    };
    let message = |message| Event::MessageAdded { message };
    let receipt = |chat_kind| Event::ReadReceipt {
        receipt: ReadReceipt {
            chat_id,
            user_id,
            last_read_seq: 7,
            read_at: now(),
        },
        chat_kind,
        mseq: 2_147_483_647,
    };
    let typing = |is_typing| Event::Typing {
        chat_id,
        user_id,
        is_typing,
        mseq: 3,
    };
    let presence = |status, last_seen_at| {
        Event::PresenceChanged(Presence {
            user_id,
            status,
            last_seen_at,
        })
    };
    vec![
        message(full),
        message(bare),
        message(system),
        Event::MessageChanged {
            message: changed,
            mseq: 7,
        },
        receipt(ChatKind::Direct),
        receipt(ChatKind::Group),
        typing(true),
        typing(false),
        Event::ChatJoined { chat_id },
        Event::ChatLeft {
            chat_id,
            left_seq: 2_147_483_647,
        },
        Event::ViewerChatChanged { chat_id },
        Event::ViewerChanged,
        Event::BlockChanged {
            blocker_id: ids().next(),
            blocked_id: ids().next(),
        },
        Event::SessionRevoked {
            session_id: ids().next(),
        },
        presence(PresenceStatus::Online, None),
        presence(PresenceStatus::Offline, Some(now())),
    ]
}

/// Whatever is published arrives as it was.
pub async fn every_event_arrives_as_it_was(buses: &Buses) {
    let topic = Topic::Chat(new_chat());
    let mut receiver = buses.follow(EVERYTHING, &[topic]).await;
    for event in every_event() {
        buses.publish(topic, &event).await;
        assert_eq!(next(&mut receiver).await, event);
    }
    assert_nothing(&mut receiver);
}

/// An event reaches each of those who follow its topic, and nobody else.
pub async fn an_event_reaches_who_follows_its_topic(buses: &Buses) {
    let (one, other) = (new_chat(), new_chat());
    let both = [Topic::Chat(one), Topic::Chat(other)];
    let mut first = buses.follow(Interest::TYPING, &both[..1]).await;
    let mut second = buses.follow(Interest::TYPING, &both[1..]).await;
    let mut none = buses.follow(Interest::TYPING, &[]).await;
    let mut witness = buses.follow(EVERYTHING, &both).await;
    let mut twin = buses.follow(EVERYTHING, &both[..1]).await;
    for event in [typing(one), typing(one)] {
        buses.publish(both[0], &event).await;
        for receiver in [&mut witness, &mut first, &mut twin] {
            assert_eq!(next(receiver).await, event);
        }
    }
    assert_nothing(&mut second);
    let event = typing(other);
    buses.publish(both[1], &event).await;
    for receiver in [&mut witness, &mut second] {
        assert_eq!(next(receiver).await, event);
    }
    for receiver in [&mut first, &mut twin, &mut none] {
        assert_nothing(receiver);
    }
}

/// A chat, a user and a user's presence are different topics, whatever their ids are.
pub async fn topics_of_different_kinds_do_not_meet(buses: &Buses) {
    let bytes = random();
    let topics = [
        Topic::Chat(id::from_bytes(bytes)),
        Topic::User(id::from_bytes(bytes)),
        Topic::Presence(id::from_bytes(bytes)),
    ];
    let mut witness = buses.follow(EVERYTHING, &topics).await;
    let mut receivers = Vec::new();
    for topic in topics {
        receivers.push(buses.follow(EVERYTHING, &[topic]).await);
    }
    for (n, topic) in topics.into_iter().enumerate() {
        let event = typing(new_chat());
        buses.publish(topic, &event).await;
        assert_eq!(next(&mut witness).await, event);
        assert_eq!(next(&mut receivers[n]).await, event);
        for receiver in &mut receivers {
            assert_nothing(receiver);
        }
    }
}

/// Of what a topic carries, one is woken for the kinds that one wants.
pub async fn an_event_reaches_who_wants_its_kind(buses: &Buses) {
    let topic = Topic::Chat(new_chat());
    let kinds = [
        Interest::MESSAGES,
        Interest::RECEIPTS,
        Interest::TYPING,
        Interest::MEMBERSHIP,
        Interest::SESSIONS,
        Interest::PRESENCE,
        Interest::PROFILE,
        Interest::MESSAGES.and(Interest::MEMBERSHIP),
    ];
    let mut witness = buses.follow(EVERYTHING, &[topic]).await;
    let mut receivers = Vec::new();
    for kind in kinds {
        receivers.push((kind, buses.follow(kind, &[topic]).await));
    }
    for event in every_event() {
        buses.publish(topic, &event).await;
        assert_eq!(next(&mut witness).await, event);
        for (kind, receiver) in &mut receivers {
            if kind.meets(event.interest()) {
                assert_eq!(next(receiver).await, event);
            }
            assert_nothing(receiver);
        }
    }
}

/// Everything that many publish at the same time arrives, each event once, in whatever order.
pub async fn everything_arrives_once(buses: &Buses) {
    let chat = new_chat();
    let topic = Topic::Chat(chat);
    let mut receivers = [
        buses.follow(Interest::TYPING, &[topic]).await,
        buses.follow(EVERYTHING, &[topic]).await,
    ];
    let sent = at_once((0..8).map(|_| {
        let here = Arc::clone(&buses.here);
        async move {
            let mut sent = Vec::new();
            for _ in 0..50 {
                let event = typing(chat);
                here.publish(topic, event.clone()).await.unwrap();
                sent.push(event);
            }
            sent
        }
    }))
    .await;
    let text = |event: &Event| serde_json::to_string(event).unwrap();
    let sent = sorted(sent.iter().flatten().map(text));
    for receiver in &mut receivers {
        let mut received = Vec::new();
        while received.len() < sent.len() {
            received.push(text(&next(receiver).await));
        }
        assert_eq!(sorted(received), sent);
        assert_nothing(receiver);
    }
}

/// A topic can be followed later: what comes from then on arrives, and no earlier event.
pub async fn a_topic_can_be_followed_later(buses: &Buses) {
    let (first, later) = (new_chat(), new_chat());
    let (first_topic, later_topic) = (Topic::Chat(first), Topic::Chat(later));
    let mut receiver = buses.follow(Interest::TYPING, &[first_topic]).await;
    let mut witness = buses.follow(EVERYTHING, &[later_topic]).await;
    buses.publish(later_topic, &typing(later)).await;
    next(&mut witness).await;
    assert_nothing(&mut receiver);

    let followed = buses.there.follow(&mut receiver, later_topic);
    followed.await.unwrap();
    for (topic, chat) in [(later_topic, later), (first_topic, first)] {
        let event = typing(chat);
        buses.publish(topic, &event).await;
        assert_eq!(next(&mut receiver).await, event);
    }
    let unwanted = Event::ChatJoined { chat_id: later };
    buses.publish(later_topic, &unwanted).await;
    next(&mut witness).await;
    assert_eq!(next(&mut witness).await, unwanted);
    assert_nothing(&mut receiver);
}

/// Following a topic twice brings its events once.
pub async fn a_topic_is_followed_once(buses: &Buses) {
    let chat = new_chat();
    let topic = Topic::Chat(chat);
    let mut receiver = buses.follow(Interest::TYPING, &[topic, topic]).await;
    buses.there.follow(&mut receiver, topic).await.unwrap();
    let mut witness = buses.follow(EVERYTHING, &[topic]).await;
    for event in [typing(chat), typing(chat)] {
        buses.publish(topic, &event).await;
        assert_eq!(next(&mut witness).await, event);
        assert_eq!(next(&mut receiver).await, event);
    }
    assert_nothing(&mut receiver);
}

/// Who lets go of a topic hears no more of it, and other followers are not disturbed: neither
/// when one lets go, nor when one goes.
pub async fn letting_go_disturbs_nobody(buses: &Buses) {
    let (chat, other) = (new_chat(), new_chat());
    let topics = [Topic::Chat(chat), Topic::Chat(other)];
    let mut leaving = buses.follow(Interest::TYPING, &topics).await;
    let gone = buses.follow(Interest::TYPING, &topics).await;
    let mut staying = buses.follow(Interest::TYPING, &topics).await;
    drop(gone);
    leaving.unfollow(topics[0]);
    let event = typing(chat);
    buses.publish(topics[0], &event).await;
    assert_eq!(next(&mut staying).await, event);
    assert_nothing(&mut leaving);
    let event = typing(other);
    buses.publish(topics[1], &event).await;
    for receiver in [&mut staying, &mut leaving] {
        assert_eq!(next(receiver).await, event);
    }
    drop((leaving, staying));
    buses.publish(topics[0], &typing(chat)).await;
}

/// A topic that its last follower has left is followed anew without what came in between.
pub async fn a_topic_can_be_followed_anew(buses: &Buses) {
    let chat = new_chat();
    let topic = Topic::Chat(chat);
    for _ in 0..20 {
        let mut receiver = buses.follow(Interest::TYPING, &[topic]).await;
        let event = typing(chat);
        buses.publish(topic, &event).await;
        assert_eq!(next(&mut receiver).await, event);
        receiver.unfollow(topic);
        buses.there.follow(&mut receiver, topic).await.unwrap();
        let event = typing(chat);
        buses.publish(topic, &event).await;
        assert_eq!(next(&mut receiver).await, event);
        drop(receiver);
    }
}

/// Many who come and go at the same time each hear what is published while they are there.
pub async fn many_come_and_go(buses: &Buses) {
    let chat = new_chat();
    let topic = Topic::Chat(chat);
    at_once((0..8).map(|_| {
        let (here, there) = (Arc::clone(&buses.here), Arc::clone(&buses.there));
        async move {
            for _ in 0..10 {
                let mut receiver = there.subscribe(Interest::TYPING, &[topic]).await.unwrap();
                let event = typing(chat);
                here.publish(topic, event.clone()).await.unwrap();
                // Others' events come too.
                while next(&mut receiver).await != event {}
            }
        }
    }))
    .await;
}

/// What an instance publishes reaches its own followers too.
pub async fn an_event_reaches_the_publishers_own_followers(buses: &Buses) {
    let chat = new_chat();
    let topic = Topic::Chat(chat);
    let mut own = buses.here.subscribe(EVERYTHING, &[topic]).await.unwrap();
    let mut others = buses.follow(EVERYTHING, &[topic]).await;
    let event = typing(chat);
    buses.publish(topic, &event).await;
    for receiver in [&mut own, &mut others] {
        assert_eq!(next(receiver).await, event);
        assert_nothing(receiver);
    }
}

/// Who follows the topic is told, on every instance, and nobody else.
pub async fn an_interruption_reaches_who_follows_its_topic(buses: &Buses) {
    let (chat, other) = (new_chat(), new_chat());
    let topics = [Topic::Chat(chat), Topic::Chat(other)];
    let mut own = buses
        .here
        .subscribe(EVERYTHING, &topics[..1])
        .await
        .unwrap();
    let mut there = buses.follow(EVERYTHING, &topics[..1]).await;
    let mut others = buses.follow(EVERYTHING, &topics[1..]).await;
    buses.here.interrupt(topics[0]).await.unwrap();
    for receiver in [&mut own, &mut there] {
        let signal = crate::soon("an interruption", receiver.recv()).await;
        assert!(!matches!(signal, Signal::Event(_)), "{signal:?}");
    }
    let event = typing(other);
    buses.publish(topics[1], &event).await;
    assert_eq!(next(&mut others).await, event);
}

super::suite::rules! {
    bus_rules:
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
    an_interruption_reaches_who_follows_its_topic,
}
