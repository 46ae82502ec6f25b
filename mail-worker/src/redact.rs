//! What may be said of a failed mail. Mail servers like to repeat the address that they refuse, or
//! one that they rewrote it to; log lines name nobody.

use talksy_domain::error::chain;
use talksy_domain::mail::EmailAddress;

/// Stands for an address.
const SOMEBODY: &str = "(address)";

/// An error and its sources on one line, without addresses and without the recipient's name.
pub(crate) fn reason(error: &(dyn std::error::Error + 'static), to: &EmailAddress) -> String {
    let to = to.to_string();
    let name = to.rsplit_once('@').map_or(&*to, |(name, _)| name);
    chain(error)
        .split_inclusive(|c: char| c.is_whitespace() || "<>()[]{},;:\"'`".contains(c))
        .map(|piece| {
            let end = piece.trim_end_matches(|c: char| !is_of_name(c)).len();
            let (word, rest) = piece.split_at(end);
            if word.contains('@') || word.eq_ignore_ascii_case(name) {
                format!("{SOMEBODY}{rest}")
            } else {
                piece.to_owned()
            }
        })
        .collect()
}

/// Whether a name may end with it. What punctuates a sentence may stand in a name, not end one.
fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || "_-+@=/*&%$#~^|".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_mail_server_says_names_nobody() {
        let to = EmailAddress::try_from("Ada.Love@example.org".to_owned()).unwrap();
        for (said, told) in [
            (
                "550 5.1.1 <ada.love@example.org>: Recipient address rejected: no such user",
                "550 5.1.1 <(address)>: Recipient address rejected: no such user",
            ),
            (
                "550 ada.love, known as a.l@internal.example.org, is over quota",
                "550 (address), known as (address), is over quota",
            ),
            ("user ADA.LOVE.", "user (address)."),
            (
                "to=ada.love@example.org relay=[10.0.0.1]:25",
                "(address) relay=[10.0.0.1]:25",
            ),
            (
                "connection refused (os error 111)",
                "connection refused (os error 111)",
            ),
        ] {
            assert_eq!(reason(&std::io::Error::other(said), &to), told);
        }
    }
}
