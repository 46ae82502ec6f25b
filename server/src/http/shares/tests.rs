use talksy_domain::id::from_bytes;

use super::*;

fn shares(change: impl FnOnce(&mut HttpConfig)) -> Arc<Shares> {
    let mut config = HttpConfig::default();
    change(&mut config);
    Shares::new(&config)
}

fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn user(number: u128) -> UserId {
    from_bytes(number.to_be_bytes())
}

#[test]
fn an_address_has_its_share_and_a_56_four_times_as_much() {
    let shares = shares(|http| http.shares.sockets_per_address = 2);
    let one = "203.0.113.9";
    let kept = [1, 2].map(|n| shares.take(Some(at(one)), Some(user(n))).unwrap());
    assert_eq!(
        shares.take(Some(at(one)), Some(user(3))).err(),
        Some(Bound::SocketsOfAddress)
    );
    let other = shares
        .take(Some(at("203.0.113.10")), Some(user(3)))
        .unwrap();
    let unknown = (0..9).map(|n| shares.take(None, Some(user(100 + n))).unwrap());
    let unknown: Vec<_> = unknown.collect();
    drop(kept);
    let again = shares.take(Some(at(one)), Some(user(3))).unwrap();
    drop((other, unknown, again));

    let of_56 = |n: usize| Some(at(&format!("2001:db8:0:12{n:02x}::1")));
    let mut kept = Vec::new();
    for n in 0..4 {
        for _ in 0..2 {
            kept.push(shares.take(of_56(n), Some(user(1))).unwrap());
        }
        assert_eq!(
            shares.take(of_56(n), Some(user(1))).err(),
            Some(Bound::SocketsOfAddress)
        );
    }
    assert_eq!(
        shares.take(of_56(200), Some(user(1))).err(),
        Some(Bound::SocketsOfAddress)
    );
    drop(kept);
    let taken = shares.taken.lock();
    assert!(taken.signed_in.is_empty() && taken.users.is_empty());
}

#[test]
fn who_has_not_signed_in_has_a_share_and_gives_way_to_the_next() {
    let shares = shares(|http| {
        http.websocket.max_sockets = 20;
        http.shares.anonymous_percent = 10;
        http.shares.sockets_per_user = 1;
    });
    let take = |n: u8| {
        shares
            .take(Some(at(&format!("203.0.113.{n}"))), None)
            .unwrap()
    };
    let has_given_way = |share: &Share| share.gave_way().is_cancelled();
    let (first, mut second) = (take(1), take(2));
    let mut third = take(3);
    assert!(has_given_way(&first) && !has_given_way(&second));
    second.sign_in(user(1)).unwrap();
    let fourth = take(4);
    assert!(!has_given_way(&third) && !has_given_way(&second));
    assert_eq!(third.sign_in(user(1)), Err(Bound::SocketsOfUser));
    let _fifth = take(5);
    assert!(has_given_way(&third) && !has_given_way(&fourth));
    assert_eq!(third.sign_in(user(2)), Err(Bound::Anonymous));
    drop((first, second, third, fourth));
    let taken = shares.taken.lock();
    assert_eq!((taken.anonymous.all(), taken.signed_in.all()), (1, 0));
}

#[test]
fn who_has_not_signed_in_gives_way_to_who_shares_the_address() {
    let shares = shares(|http| {
        http.shares.anonymous_per_address = 1;
        http.shares.sockets_per_address = 2;
    });
    let has_given_way = |share: &Share| share.gave_way().is_cancelled();
    let here = Some(at("203.0.113.1"));
    let elsewhere = shares.take(Some(at("203.0.113.2")), None).unwrap();
    let first = shares.take(here, None).unwrap();
    let second = shares.take(here, None).unwrap();
    assert!(has_given_way(&first) && !has_given_way(&second));
    let _kept = [1, 2].map(|n| shares.take(here, Some(user(n))).unwrap());
    assert!(has_given_way(&second) && !has_given_way(&elsewhere));
    assert_eq!(shares.take(here, None).err(), Some(Bound::SocketsOfAddress));
}

#[test]
fn all_together_have_as_many_as_the_server_may_have() {
    let shares = shares(|http| http.websocket.max_sockets = 2);
    let kept = [1, 2].map(|n| shares.take(None, Some(user(n))).unwrap());
    assert_eq!(shares.take(None, Some(user(3))).err(), Some(Bound::Sockets));
    drop(kept);
    assert!(shares.take(None, Some(user(3))).is_ok());
}

#[test]
fn nobody_gives_way_to_one_who_is_refused_all_the_same() {
    let shares = shares(|http| http.shares.sockets_per_address = 1);
    // A /56 has four places. One of the /64 is anonymous, three are of users elsewhere in it.
    let mut anonymous = shares.take(Some(at("2001:db8::1")), None).unwrap();
    let elsewhere = [1_u128, 2, 3].map(|n| {
        let ip = at(&format!("2001:db8:0:{n}::1"));
        shares.take(Some(ip), Some(user(n))).unwrap()
    });
    // Two more of them, so that one place is not enough.
    let mut taken = shares.taken.lock();
    for _ in 0..2 {
        taken.signed_in.add(elsewhere[0].networks);
    }
    drop(taken);
    let refused = shares.take(Some(at("2001:db8::1")), Some(user(9))).err();
    assert_eq!(refused, Some(Bound::SocketsOfAddress));
    assert!(!anonymous.gave_way().is_cancelled());
    // It is in its place, and can go on to sign in.
    anonymous.sign_in(user(9)).unwrap();
    let mut taken = shares.taken.lock();
    for _ in 0..2 {
        taken.signed_in.remove(elsewhere[0].networks);
    }
    drop(taken);
    drop((anonymous, elsewhere));
    let taken = shares.taken.lock();
    assert!(taken.signed_in.is_empty() && taken.anonymous.is_empty());
}
