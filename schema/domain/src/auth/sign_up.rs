//! For whom signing in makes an account.
//!
//! A stranger must not learn by it who has one. So `login` answers the same for every address, under
//! the same limits and with a challenge that takes as many tries; only the letter tells, to whoever
//! reads the mailbox, that there is no account and that none is made.

use crate::mail::EmailAddress;

/// Whose first sign-in makes an account. Who has one signs in whatever it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SignUp {
    /// Everybody's.
    #[default]
    Open,
    /// That of addresses with one of these domains, in lower case; a subdomain is another domain.
    Domains(Vec<String>),
    /// Nobody's.
    Closed,
}

impl SignUp {
    /// Whether an account may be made for the address.
    pub fn admits(&self, address: &EmailAddress) -> bool {
        match self {
            Self::Open => true,
            Self::Domains(domains) => domains.iter().any(|domain| domain == address.domain()),
            Self::Closed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_the_whole_of_it() {
        let address = |text: &str| EmailAddress::parse(text).unwrap();
        let domains = SignUp::Domains(vec!["example.org".to_owned(), "chat.example".to_owned()]);
        for (text, admitted) in [
            ("ada@example.org", true),
            ("ADA+x@Chat.Example", true),
            ("ada@sub.example.org", false),
            ("ada@badexample.org", false),
            ("ada@example.org.evil.test", false),
            ("example.org@evil.test", false),
        ] {
            assert_eq!(domains.admits(&address(text)), admitted, "{text}");
            assert!(SignUp::Open.admits(&address(text)));
            assert!(!SignUp::Closed.admits(&address(text)));
        }
    }
}
