//! Checkpoints and cursors: what goes in comes out.

use super::*;

const NOW: Incarnation = Incarnation(7);

fn user() -> UserId {
    id::from_bytes([7; 16])
}

fn chat(first: u8, last: u64) -> ChatId {
    let mut bytes = [first; 16];
    bytes[8..].copy_from_slice(&last.to_be_bytes());
    id::from_bytes(bytes)
}

fn place(seq: Seq, change_seq: Seq) -> Place {
    Place {
        seq,
        change_seq,
        version: 3,
        read_by_all: 1,
        without_detail: false,
    }
}

fn since(chat_id: ChatId, seq: Seq, change_seq: Seq, without_detail: bool) -> String {
    let place = ChatPlace {
        chat_id,
        incarnation: NOW,
        seq,
        change_seq,
        without_detail,
    };
    AccountCursor::Chat(place).encode()
}

fn parse(checkpoint: &str, since: &[String]) -> AccountPosition {
    AccountPosition::parse(user(), checkpoint, since).unwrap()
}

#[test]
fn places_come_back_also_of_chats_that_share_a_short_name() {
    let without_detail = true;
    let places = [
        (chat(1, 1), place(5, 2)),
        (chat(1, 2), place(seq::MAX, seq::MAX)),
        (chat(2, 2), place(9, 0)),
        (
            chat(3, 3),
            Place {
                without_detail,
                ..place(1, 1)
            },
        ),
    ];
    let chats = places.map(|(chat, _)| chat);
    let mut position = parse(&AccountPosition::encode(user(), NOW, 40, &places), &[]);
    assert_eq!(position.take(&chats), places.into_iter().collect());
    assert!(position.is_empty());
}

#[test]
fn memberships_that_are_not_named_have_a_version_together() {
    let (one, new) = (chat(1, 1), chat(2, 2));
    let text = AccountPosition::encode(user(), NOW, 40, &[(one, place(5, 2))]);
    assert!(parse(&text, &[]).has_others_at(40));
    assert!(!parse(&text, &[]).has_others_at(41));
    assert!(parse(&text, &[since(one, 6, 2, false)]).has_others_at(40));
    assert!(!parse(&text, &[since(new, 6, 2, false)]).has_others_at(40));
}

#[test]
fn it_is_known_where_a_part_is_from_before_a_restore() {
    let one = chat(1, 1);
    let text = AccountPosition::encode(user(), NOW, 40, &[(one, place(5, 2))]);
    let of = |incarnation| ChatPlace {
        chat_id: one,
        incarnation,
        seq: 6,
        change_seq: 2,
        without_detail: false,
    };
    let since = |incarnation| [AccountCursor::Chat(of(incarnation)).encode()];
    let restored = Incarnation(8);
    assert!(parse(&text, &[]).is_of(NOW) && !parse(&text, &[]).is_of(restored));
    assert!(parse(&text, &since(NOW)).is_of(NOW));
    assert!(!parse(&text, &since(restored)).is_of(NOW));
    assert!(!parse(&text, &since(restored)).is_of(restored));
}

#[test]
fn a_short_name_that_two_chats_have_is_the_name_of_neither() {
    let text = AccountPosition::encode(user(), NOW, 40, &[(chat(1, 1), place(5, 2))]);
    let mut position = parse(&text, &[]);
    let found = position.take(&[chat(1, 1), chat(2, 1)]);
    assert_eq!((found.len(), position.is_empty()), (0, true));
}

#[test]
fn a_chat_costs_16_bytes_and_what_is_made_is_taken() {
    let places = |count: u64| -> Vec<_> {
        let numbers = 0..count;
        numbers
            .map(|n| (chat(1, n << 32), place(8_000, 1_500)))
            .collect()
    };
    let size = |count| AccountPosition::encode(user(), NOW, 40, &places(count)).len();
    assert!(size(1_000) <= 1_000 * 16 * 4 / 3 + 32, "{}", size(1_000));
    let most = AccountPosition::encode(user(), NOW, 40, &places(20_000));
    assert!(most.len() < MAX_POSITION - 40_000, "{}", most.len());
    assert!(!parse(&most, &[]).is_empty());
}

#[test]
fn cursors_move_a_place_forward_and_never_back() {
    let (one, new) = (chat(1, 1), chat(2, 2));
    let text = AccountPosition::encode(user(), NOW, 40, &[(one, place(5, 2))]);
    let merged = |since: &[String]| parse(&text, since).take(&[one, new]);
    let cursors = [since(one, 7, 1, false), since(one, 6, 4, false)];
    // What the last of them says may not be all that was told behind it.
    let version = 0;
    let moved = Place {
        version,
        ..place(7, 4)
    };
    assert_eq!(merged(&cursors)[&one], moved);
    // One of which no detail was told stands for what it says.
    assert!(merged(&[since(one, 9, 9, true)])[&one].without_detail);
    assert!(merged(&[since(one, 0, 0, true)])[&one].without_detail);
    let back = [since(one, 9, 9, true), since(one, 9, 9, false)];
    assert!(!merged(&back)[&one].without_detail);
    let joined = [
        since(new, 3, 0, false),
        AccountCursor::of_viewer(user()).encode(),
    ];
    assert_eq!(merged(&joined)[&new].seq, 3);
    assert_eq!(parse(&text, &joined).take(&[one]).len(), 1);
    let mut strange = parse(&text, &joined);
    strange.take(&[one]);
    assert_eq!(strange.strange_cursor(), Some(0));
}
