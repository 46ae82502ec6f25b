//! What strangers send as text: cursors, ids, mail addresses, metadata, and the jobs that a queue brings. Nothing
//! panics; what is taken is written as it was read; what is written is read as it was.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use talksy_domain::attachments::{ContentType, FileName, HEAD};
use talksy_domain::clock::Timestamp;
use talksy_domain::cursor::{
    ChatCursor, Cursor, MemberCursor, MessageCursor, ReplyCursor, SessionCursor, UserCursor,
};
use talksy_domain::feeds::AccountPosition;
use talksy_domain::id::{self, ChatKindTag, MessageKindTag, SessionKind, UserId, UserKind};
use talksy_domain::incarnation::Incarnation;
use talksy_domain::mail::{EmailAddress, MailJob};
use talksy_domain::messages::{Emoji, PinCursor, ReactionCursor};
use talksy_domain::metadata::Metadata;
use talksy_fuzz::proptest::collection::vec;
use talksy_fuzz::proptest::prelude::*;
use talksy_fuzz::{Case, edited, fuzz};

/// A cursor of each list, as the server writes it.
fn cursors() -> Vec<String> {
    let (chat_id, user_id) = (id::from_bytes([7; 16]), id::from_bytes([9; 16]));
    let message = |change_seq| {
        MessageCursor {
            chat_id,
            incarnation: Incarnation(3),
            seq: 5,
            change_seq,
        }
        .encode()
    };
    let active_at = Timestamp::from_millis(1_767_225_600_000);
    vec![
        message(None),
        message(Some(8)),
        ChatCursor { active_at, chat_id }.encode(),
        SessionCursor {
            last_used_at: active_at,
            session_id: id::from_bytes([1; 16]),
        }
        .encode(),
        UserCursor {
            name_key: "åsa".to_owned(),
            user_id,
        }
        .encode(),
        MemberCursor { chat_id, user_id }.encode(),
        ReplyCursor {
            chat_id,
            reply_to: 5,
            seq: 7,
        }
        .encode(),
        ReactionCursor {
            message_id: id::from_bytes([5; 16]),
            emoji: Emoji::stored("👍"),
            place: (3, user_id),
        }
        .encode(),
        PinCursor {
            chat_id,
            pinned_seq: 4,
        }
        .encode(),
    ]
}

/// What is taken for a cursor of this list is exactly what the list would write.
fn is_taken_as_written<C: Cursor>(text: &str) -> Case {
    if let Ok(cursor) = C::decode(text, "after") {
        prop_assert_eq!(cursor.encode(), text);
    }
    Ok(())
}

fn any_list(text: &str) -> Case {
    is_taken_as_written::<MessageCursor>(text)?;
    is_taken_as_written::<ChatCursor>(text)?;
    is_taken_as_written::<SessionCursor>(text)?;
    is_taken_as_written::<UserCursor>(text)?;
    is_taken_as_written::<ReactionCursor>(text)?;
    is_taken_as_written::<PinCursor>(text)?;
    is_taken_as_written::<MemberCursor>(text)?;
    is_taken_as_written::<ReplyCursor>(text)
}

#[test]
fn cursors_are_taken_as_they_are_written() {
    fuzz(&edited(cursors(), &["A", "_", "-", "=", "bQ"]), |text| {
        any_list(&text)
    });
}

#[test]
fn any_bytes_with_the_mark_of_a_list_are_answered_for() {
    let mark = prop::sample::select(b"mcsupyrikv".to_vec());
    fuzz(&(mark, vec(any::<u8>(), 0..80)), |(mark, mut bytes)| {
        bytes.insert(0, mark);
        any_list(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    });
}

#[test]
fn cursors_are_read_as_they_were_written() {
    let parts = (
        any::<[u8; 16]>(),
        any::<[u8; 16]>(),
        any::<i64>(),
        any::<u32>(),
        (
            0..=talksy_domain::seq::MAX,
            prop::option::of(0..=talksy_domain::seq::MAX),
        ),
        ".{0,100}",
    );
    fuzz(
        &parts,
        |(one, other, millis, incarnation, (seq, change_seq), name_key)| {
            let at = Timestamp::from_millis(millis);
            let message = MessageCursor {
                chat_id: id::from_bytes(one),
                incarnation: Incarnation(incarnation),
                seq,
                change_seq,
            };
            prop_assert_eq!(
                MessageCursor::decode(&message.encode(), "after"),
                Ok(message)
            );
            let chat = ChatCursor {
                active_at: at,
                chat_id: id::from_bytes(one),
            };
            prop_assert_eq!(ChatCursor::decode(&chat.encode(), "after"), Ok(chat));
            let session = SessionCursor {
                last_used_at: at,
                session_id: id::from_bytes(other),
            };
            prop_assert_eq!(
                SessionCursor::decode(&session.encode(), "after"),
                Ok(session)
            );
            let member = MemberCursor {
                chat_id: id::from_bytes(one),
                user_id: id::from_bytes(other),
            };
            prop_assert_eq!(MemberCursor::decode(&member.encode(), "after"), Ok(member));
            let reply = ReplyCursor {
                chat_id: id::from_bytes(one),
                reply_to: incarnation,
                seq,
            };
            prop_assert_eq!(ReplyCursor::decode(&reply.encode(), "after"), Ok(reply));
            let user = UserCursor {
                name_key,
                user_id: id::from_bytes(other),
            };
            // A longer one is no cursor of ours: a name's key is shorter.
            let text = user.encode();
            if text.len() <= 512 {
                prop_assert_eq!(UserCursor::decode(&text, "after"), Ok(user));
            }
            Ok(())
        },
    );
}

#[test]
fn a_position_of_the_account_is_answered_for_whatever_it_is() {
    let user: UserId = id::from_bytes([9; 16]);
    // A checkpoint of this user, in the incarnation 3, that names no chat; and one that names a chat
    // by the last half of its id, with the places 5, 2, 1 and 3.
    let head = [&b"k\x01"[..], &[9; 8], &[0, 0, 0, 3], &[0]].concat();
    let none = [&head[..], &[0]].concat();
    let one = [&head[..], &[1, 5 << 2], &[7; 8], &[2, 1, 3]].concat();
    let checkpoints = [none, one].map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes));
    for checkpoint in &checkpoints {
        assert!(
            AccountPosition::parse(user, checkpoint, &[]).is_ok(),
            "{checkpoint}"
        );
    }
    let checkpoint = edited(checkpoints.to_vec(), &["A", "_", "____", "AAAA"]);
    let since = vec(edited(cursors(), &["A", "_"]), 0..4);
    fuzz(&(checkpoint, since), |(checkpoint, since)| {
        let parse = || AccountPosition::parse(user, &checkpoint, &since);
        // What it holds, its own tests see: here that it is answered for, and always alike.
        prop_assert_eq!(parse(), parse());
        Ok(())
    });
}

#[test]
fn an_emoji_is_the_same_once_it_is_parsed() {
    let emoji = [
        "❤️",
        "👍🏽",
        "🇩🇪",
        "👨‍👩‍👧",
        "1️⃣",
        "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
    ];
    let words = [
        "\u{FE0F}", "\u{FE0E}", "\u{200D}", "🏽", "🇪", "\u{20E3}", "1", "👧", "\u{301}",
    ];
    fuzz(&edited(emoji.map(str::to_owned).to_vec(), &words), |text| {
        let Ok(emoji) = Emoji::parse(&text) else {
            return Ok(());
        };
        prop_assert!(emoji.as_str().len() <= Emoji::MAX_BYTES);
        prop_assert_eq!(Emoji::parse(emoji.as_str()), Ok(emoji.clone()));
        // Nothing but presentation selectors was added or left out.
        let signs = |text: &str| text.replace('\u{FE0F}', "");
        prop_assert_eq!(signs(&text), signs(emoji.as_str()));
        Ok(())
    });
}

#[test]
fn ids_are_taken_as_they_are_written() {
    let ids = ["usr", "cht", "msg", "ses"].map(|kind| format!("{kind}_01h455vb4pex5vsknk084sn02q"));
    fuzz(
        &edited(ids.to_vec(), &["_", "usr_", "8", "z", "I", "l"]),
        |text| {
            if let Ok(id) = id::parse::<UserKind>(&text, "id") {
                prop_assert_eq!(id.to_string(), text.as_str());
            }
            if let Ok(id) = id::parse::<ChatKindTag>(&text, "id") {
                prop_assert_eq!(id.to_string(), text.as_str());
            }
            if let Ok(id) = id::parse::<MessageKindTag>(&text, "id") {
                prop_assert_eq!(id.to_string(), text.as_str());
            }
            if let Ok(id) = id::parse::<SessionKind>(&text, "id") {
                prop_assert_eq!(id.to_string(), text.as_str());
            }
            Ok(())
        },
    );
    fuzz(&any::<[u8; 16]>(), |bytes| {
        let id: UserId = id::from_bytes(bytes);
        prop_assert_eq!(id::bytes(id), bytes);
        prop_assert_eq!(id::parse::<UserKind>(&id.to_string(), "id"), Ok(id));
        Ok(())
    });
}

#[test]
fn an_address_is_the_same_once_it_is_parsed() {
    let addresses = [
        "ada@example.org",
        "Ada.L+tag@Mail.Example.ORG",
        "ö@bücher.example",
    ];
    let words = [
        "@", "..", "+", " ", "\r\n", "\u{130}", "ß", "\u{200b}", "<", ">", ",", "\"",
    ];
    fuzz(
        &edited(addresses.map(str::to_owned).to_vec(), &words),
        |text| {
            let Ok(address) = EmailAddress::parse(&text) else {
                return Ok(());
            };
            let canonical = address.as_str();
            prop_assert!(canonical.len() <= 254);
            prop_assert!(!canonical.contains(|c: char| c.is_whitespace() || "<>,\"".contains(c)));
            prop_assert_eq!(EmailAddress::parse(canonical), Ok(address.clone()));
            // Its mailbox, where that is an address, is its own mailbox: a limit counts nobody twice.
            if let Ok(mailbox) = EmailAddress::parse(&address.mailbox()) {
                prop_assert_eq!(mailbox.mailbox(), address.mailbox());
            }
            Ok(())
        },
    );
}

/// How deeply a value nests.
fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn metadata_is_json_within_its_bounds_and_stays_as_it_is() {
    let texts = [
        r#"{"b":1,"a":[1.0,-0.0,null,true,"\"[{\\"]}"#.to_owned(),
        format!("{}7{}", "[".repeat(16), "]".repeat(16)),
        format!("\"{}\"", "x".repeat(4_094)),
    ];
    for text in &texts {
        assert!(Metadata::parse(text.clone()).is_ok(), "{text}");
    }
    let words = [
        "[",
        "]",
        "{",
        "}",
        "\"",
        "\\",
        "[[[[[[[[[[[[[[[[[",
        "\\u0000",
        "\\ud800",
        "1e999",
        ",",
        ":",
        "null",
    ];
    fuzz(&edited(texts.to_vec(), &words), |text| {
        let Ok(metadata) = Metadata::parse(text.clone()) else {
            return Ok(());
        };
        prop_assert_eq!(metadata.as_str(), text.as_str());
        prop_assert!(text.len() <= Metadata::MAX_BYTES);
        let value = serde_json::from_str(&text);
        prop_assert!(value.is_ok_and(|value| depth(&value) <= Metadata::MAX_DEPTH));
        Ok(())
    });
}

#[test]
fn a_job_is_read_as_it_was_written() {
    let job = r#"{"version":1,"id":"mail_01h455vb4pex5vsknk084sn02q","to":"ada@example.org","content":{"kind":"signInCode","code":"042137","expiresIn":300},"createdAt":1767225600000}"#;
    let words = [
        "null",
        "-1",
        "{}",
        "[",
        "\"",
        "\\u0000",
        "\\ud800",
        "1e99",
        "\"kind\":",
    ];
    let read = |text: &str| serde_json::from_str::<MailJob>(text).ok();
    assert!(read(job).is_some(), "the example is one");
    fuzz(&edited(vec![job.to_owned()], &words), |text| {
        let Some(job) = read(&text) else {
            return Ok(());
        };
        let written =
            serde_json::to_string(&job).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(read(&written), Some(job));
        // No more than what came, but for what is written out.
        prop_assert!(written.len() <= 4 * text.len() + 256);
        Ok(())
    });
}

#[test]
fn the_name_of_a_file_is_harmless_whatever_it_was() {
    let long = "a ".repeat(150) + ".tar.gz";
    let names = [
        "../a b.tar.gz",
        "Grüße \u{202E}gpj.exe",
        "C:\\x\\…",
        long.as_str(),
    ]
    .map(str::to_owned);
    let words = [
        "/", "\\", ".", " ", "\u{200B}", "\u{301}", "\r\n", "\u{2066}", "\u{85}",
    ];
    fuzz(&edited(names.to_vec(), &words), |text| {
        let name = FileName::cleaned(&text);
        let shown = name.as_str();
        prop_assert!((1..=FileName::MAX_CHARS).contains(&shown.chars().count()));
        let is_harmful = |c: char| c.is_control() || "/\\\"\u{202E}\u{2066}\u{200B}".contains(c);
        prop_assert!(!shown.contains(is_harmful));
        prop_assert!(!shown.starts_with('.') && !shown.ends_with('.'));
        prop_assert_eq!(FileName::cleaned(shown), name.clone());
        Ok(())
    });
}

#[test]
fn any_bytes_are_of_a_type_that_is_known_or_of_none() {
    let heads: [&[u8]; 8] = [
        b"",
        b"\xFF\xD8\xFF",
        b"\x89PNG\r\n\x1A\n",
        b"PK\x03\x04",
        b"%PDF-",
        b"RIFF",
        b"\x1A\x45\xDF\xA3",
        b"<?xml",
    ];
    let head = prop::sample::select(heads.to_vec());
    fuzz(&(head, vec(any::<u8>(), 0..300)), |(head, rest)| {
        let bytes = [head, &rest].concat();
        prop_assert!(bytes.len() < HEAD);
        if let Some(found) = ContentType::of_content(&bytes) {
            prop_assert_eq!(ContentType::parse(found.as_str()), Some(found));
        }
        Ok(())
    });
}
