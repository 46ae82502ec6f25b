//! Makes the people, their chats and what was said, by the services, at the times that the script tells.

use std::cmp::Reverse;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use secrecy::ExposeSecret as _;
use talksy_domain::chats::ChatTitle;
use talksy_domain::clock::{Clock as _, SystemClock};
use talksy_domain::id::{AttachmentId, ChatId, MessageId, UserId};
use talksy_domain::mail::EmailAddress;
use talksy_domain::messages::{Emoji, MessageContent, MessageText};
use talksy_domain::seq::Seq;
use talksy_domain::services::Services;
use talksy_domain::users::{About, DisplayName, ProfileChange};
use talksy_domain::viewer::{ClientInfo, Viewer};

use super::clock::DemoClock;
use super::mail::Mailbox;
use super::script::{
    DIRECT, ENGINE, ENGINE_TITLE, Line, READINGS, Then, WEATHER_TITLE, Who, corrected, reading,
};

/// What is attached to a message of the script.
const DRAWING: &[u8] = include_bytes!("engine.png");

/// How many minutes are between two readings.
const READ_EVERY: u32 = 50;

/// What went wrong: any error of the services.
type Failure = Box<dyn Error + Send + Sync>;

/// Who goes on when the chats are there.
pub(super) struct Cast {
    pub(super) bot: Viewer,
    pub(super) chats: BotChats,
}

/// Where the bot writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct BotChats {
    pub(super) weather: ChatId,
    pub(super) engine: ChatId,
}

/// A chat, and what was said in it so far.
struct Room {
    chat: ChatId,
    sent: Vec<MessageId>,
    last: Seq,
}

/// What is said at a time.
#[derive(Clone, Copy)]
enum Said {
    Line(&'static Line),
    Reading(u32),
}

/// So many minutes before the present, in the room of this place.
struct Step {
    ago: u32,
    room: usize,
    said: Said,
}

struct Seed<'a> {
    services: &'a Services,
    clock: &'a DemoClock,
    people: Vec<(Who, Viewer)>,
}

/// Makes everything; the clock then stands a few minutes behind the present.
///
/// # Errors
/// Whatever a service refuses.
pub(super) async fn seed(
    services: &Services,
    mailbox: &Mailbox,
    clock: &DemoClock,
) -> Result<Cast, Failure> {
    let mut people = Vec::new();
    for who in Who::ALL {
        people.push((who, sign_in(services, mailbox, who).await?));
    }
    let seed = Seed {
        services,
        clock,
        people,
    };
    let ada = seed.viewer(Who::Ada)?;
    let (grace, bot) = (seed.viewer(Who::Grace)?, seed.viewer(Who::Bot)?);
    let others = || vec![grace.user_id, bot.user_id];
    let groups = &services.groups;
    let weather = ChatTitle::parse(WEATHER_TITLE)?;
    let weather = groups.create(&ada, weather, others(), None).await?.id;
    let engine = ChatTitle::parse(ENGINE_TITLE)?;
    let engine = groups.create(&ada, engine, others(), None).await?.id;
    let (direct, _) = services.chats.start_direct(&ada, grace.user_id).await?;
    let mut rooms = [weather, engine, direct.id].map(|chat| Room {
        chat,
        sent: Vec::new(),
        last: 0,
    });
    for step in steps() {
        seed.at_minutes_ago(step.ago);
        seed.take(&mut rooms[step.room], step.said).await?;
    }
    // Something is left to be read.
    for (room, unread) in rooms.iter().zip([0, 2, 1]) {
        seed.read(room.chat, room.last - unread).await?;
    }
    Ok(Cast {
        bot,
        chats: BotChats { weather, engine },
    })
}

/// All that is said, in the order of time, which never goes back.
fn steps() -> Vec<Step> {
    let readings = (1..=READINGS).map(|number| Step {
        ago: (READINGS - number) * READ_EVERY + 3,
        room: 0,
        said: Said::Reading(number),
    });
    let mut steps: Vec<Step> = readings.collect();
    for (room, script) in [(1, ENGINE), (2, DIRECT)] {
        let mut left: u32 = script.iter().map(|line| line.after).sum();
        for line in script {
            left -= line.after;
            steps.push(Step {
                ago: left + 4,
                room,
                said: Said::Line(line),
            });
        }
    }
    steps.sort_by_key(|step| Reverse(step.ago));
    steps
}

/// Signs somebody in as a page would, and gives them a name.
async fn sign_in(services: &Services, mailbox: &Mailbox, who: Who) -> Result<Viewer, Failure> {
    let client = ClientInfo::default();
    let address = EmailAddress::parse(who.address())?;
    let ticket = mailbox.ticket(&services.auth, address, &client).await?;
    let challenge = ticket.sent.challenge.expose_secret();
    let verified = services.auth.verify_code(challenge, &ticket.code, &client);
    let signed_in = verified.await?;
    let viewer = Viewer {
        user_id: signed_in.user.id,
        session_id: signed_in.session.id,
        expires_at: signed_in.expires_at,
    };
    let profile = ProfileChange {
        name: Some(DisplayName::parse(who.name())?),
        about: Some(About::parse(who.about())?),
        ..ProfileChange::default()
    };
    services.users.update_profile(&viewer, &profile).await?;
    Ok(viewer)
}

impl Seed<'_> {
    fn viewer(&self, who: Who) -> Result<Viewer, Failure> {
        let found = self.people.iter().find(|(one, _)| *one == who);
        Ok(found.ok_or("nobody of this name is there")?.1)
    }

    async fn take(&self, room: &mut Room, said: Said) -> Result<(), Failure> {
        let (id, seq) = match said {
            Said::Line(line) => self.line(room, line).await?,
            Said::Reading(number) => self.reading(room.chat, number).await?,
        };
        room.sent.push(id);
        room.last = seq;
        Ok(())
    }

    async fn line(&self, room: &Room, line: &Line) -> Result<(MessageId, Seq), Failure> {
        let place = room.sent.len().checked_sub(line.replies);
        let reply_to_id = place.and_then(|place| room.sent.get(place)).copied();
        let said = self.say(room.chat, line, reply_to_id).await?;
        for then in line.then {
            self.follow(said.0, line.by, *then).await?;
        }
        Ok(said)
    }

    async fn say(
        &self,
        chat: ChatId,
        line: &Line,
        reply_to_id: Option<MessageId>,
    ) -> Result<(MessageId, Seq), Failure> {
        let viewer = self.viewer(line.by)?;
        let attachment_ids = if line.has_image {
            vec![self.drawing(&viewer).await?]
        } else {
            Vec::new()
        };
        let content = MessageContent {
            reply_to_id,
            mention_ids: self.mentioned(line.says),
            attachment_ids,
            ..MessageText::parse(line.says)?.into()
        };
        let sent = self.services.messages.send(&viewer, chat, content, None);
        let message = sent.await?.message;
        Ok((message.id, message.seq))
    }

    /// Who is named with an `@`.
    fn mentioned(&self, text: &str) -> Vec<UserId> {
        let named = |who: &Who| text.contains(&format!("@{}", who.name()));
        let people = self.people.iter().filter(|(who, _)| named(who));
        people.map(|(_, viewer)| viewer.user_id).collect()
    }

    async fn drawing(&self, viewer: &Viewer) -> Result<AttachmentId, Failure> {
        let bytes = stream::iter([Ok(Bytes::from_static(DRAWING))]).boxed();
        let attachments = &self.services.attachments;
        let received = attachments.receive_file(viewer, "engine-2.png", "image/png", bytes);
        Ok(received.await?.id)
    }

    async fn follow(&self, message: MessageId, by: Who, then: Then) -> Result<(), Failure> {
        let messages = &self.services.messages;
        let sender = self.viewer(by)?;
        match then {
            Then::Reacts(who, emoji) => {
                let emoji = Emoji::parse(emoji)?;
                let viewer = self.viewer(who)?;
                messages.react(&viewer, message, emoji, true).await?;
            }
            Then::Becomes(text) => {
                let text = MessageText::parse(text)?;
                messages.edit(&sender, message, text, None).await?;
            }
            Then::Goes => {
                messages.delete(&sender, message).await?;
            }
            Then::Stays(who) => {
                messages.pin(&self.viewer(who)?, message, true).await?;
            }
        }
        Ok(())
    }

    /// A reading; every fourth of them is corrected, and some are taken back.
    async fn reading(&self, chat: ChatId, number: u32) -> Result<(MessageId, Seq), Failure> {
        let bot = self.viewer(Who::Bot)?;
        let messages = &self.services.messages;
        let text = MessageText::parse(reading(number))?;
        let sent = messages.send(&bot, chat, text, None).await?.message;
        if number.is_multiple_of(4) {
            let text = MessageText::parse(corrected(number))?;
            messages.edit(&bot, sent.id, text, None).await?;
        } else if number.is_multiple_of(11) {
            messages.delete(&bot, sent.id).await?;
        }
        Ok((sent.id, sent.seq))
    }

    /// Both people have read up to here.
    async fn read(&self, chat: ChatId, seq: Seq) -> Result<(), Failure> {
        for who in [Who::Ada, Who::Grace] {
            let viewer = self.viewer(who)?;
            self.services.chats.mark_read(&viewer, chat, seq).await?;
        }
        Ok(())
    }

    fn at_minutes_ago(&self, minutes: u32) {
        let ago = Duration::from_mins(minutes.into());
        let present = SystemClock.now();
        self.clock.go_to(present - ago);
    }
}

#[cfg(test)]
mod tests {
    use super::super::PAST;
    use super::*;

    #[test]
    fn time_never_goes_back() {
        let steps = steps();
        assert!(steps.is_sorted_by(|one, next| one.ago >= next.ago));
        let first = Duration::from_mins(steps[0].ago.into());
        assert!(first < PAST, "{first:?}");
    }
}
