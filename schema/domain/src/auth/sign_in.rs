//! Signing in: a code is mailed, and exchanged together with the challenge for a session.
//!
//! What must hold (the invariants of sign-in in the design):
//! - **It cannot be guessed.** A code is good with its challenge alone, for minutes and a few tries.
//!   Once an address was given [`LONGER`] tries without a right code, its codes have more digits;
//!   where many are wrong everywhere, all have.
//! - **It cannot be locked.** The challenge is unguessable, so that nobody else can use up its tries
//!   or void it, and no limit refuses a code whose challenge is open. Letters are limited for each
//!   mailbox and network, so that a stranger elsewhere uses up their own share; a device that has
//!   signed in before has one of its own, wherever it is.
//! - **It floods nobody.** One letter a minute for each mailbox and network, some an hour, and a bound
//!   for the mailbox in all. An address with a `+tag` is the mailbox without it. Guesses are counted
//!   for the address itself: somebody else's tag may be a mailbox of its own, whose right codes must
//!   not make this one forget.
//! - **It tells nobody who has an account.** Where none is made for an address ([`SignUp`](super::SignUp)), all goes as
//!   for others, but that the letter has no code. That an account is suspended is told to who has the
//!   code alone.

use std::time::Duration;

use secrecy::SecretString;

use super::challenge::{Challenge, DeviceToken, Purpose};
use super::codes::{AddressKey, Attempt, Guesses, IssuedCode};
use super::error::AuthError;
use super::model::{RefreshToken, Session};
use super::places::{Place, addresses, networks};
use super::service::{AuthService, SignedIn};
use crate::clock::uniform;
use crate::error::{Invalid, PortError};
use crate::id;
use crate::limits::{Decision, Quota, Rule};
use crate::mail::{EmailAddress, MAIL_JOB_VERSION, MailContent, MailJob};
use crate::metrics;
use crate::users::model::{DisplayName, User};
use crate::viewer::ClientInfo;

/// How many digits codes have, from how many tries on that the address's codes were given since a
/// right one was presented. A guess hits one of six digits with a probability of 0.0001 %: so all six
/// digits that are guessed in a row come to 0.01 %.
const LONGER: [(u32, u8); 3] = [(0, 6), (100, 8), (1_000, 10)];

/// How many digits all codes have at least while many are wrong everywhere.
const LENGTH_UNDER_ATTACK: u8 = 8;

/// What `login` answers, whether or not there is an account.
#[derive(Clone, Debug)]
pub struct CodeSent {
    /// For `verifyOtp`, together with the code.
    pub challenge: SecretString,
    /// How many digits the code has: 6, 8 or 10.
    pub code_length: u8,
    /// How long the code is valid.
    pub expires_in: Duration,
    /// How long until another may be asked for.
    pub resend_after: Duration,
}

/// What a letter is counted under: a rule, and the key.
pub(crate) type Counted = (Rule, String);

impl AuthService {
    /// Mails a sign-in code. `device_token` is from an earlier sign-in on the device; one that is not
    /// valid for the address counts as none.
    ///
    /// # Errors
    /// Where too many were asked for, or the mail could not be queued; then the code is
    /// withdrawn and another may be asked for at once.
    pub async fn request_code(
        &self,
        address: EmailAddress,
        device_token: Option<&str>,
        client: &ClientInfo,
    ) -> Result<CodeSent, AuthError> {
        let device = device_token.and_then(|token| DeviceToken::open(token, &address, &self.hash));
        let counted = self
            .count_letter(&address, device.as_deref(), client)
            .await?;
        let sent = self.send_sign_in_code(address).await;
        if sent.is_err() {
            self.give_back(&counted).await;
        }
        sent
    }

    async fn send_sign_in_code(&self, address: EmailAddress) -> Result<CodeSent, AuthError> {
        // Looked up for all whom it concerns, so that the time tells nothing either.
        let may_sign_in = self.policy.sign_up.admits(&address)
            || self.users.user_of_email(&address).await?.is_some();
        let content = |code, expires_in| {
            if may_sign_in {
                MailContent::SignInCode { code, expires_in }
            } else {
                MailContent::NoAccount { expires_in }
            }
        };
        self.send_code(Purpose::SignIn, address, content).await
    }

    /// Mails a code. `content` makes the letter of it and of the seconds that it is valid for.
    pub(crate) async fn send_code(
        &self,
        purpose: Purpose,
        address: EmailAddress,
        content: impl FnOnce(String, u32) -> MailContent + Send,
    ) -> Result<CodeSent, AuthError> {
        let now = self.clock.now();
        let (key, tries) = (self.guesses_key(purpose, &address), self.policy.code_tries);
        let guesses = self.codes.count_tries(key, tries, now).await?;
        let code_length = self.code_length(guesses);
        let digit = |_| char::from(b'0' + u8::try_from(uniform(&*self.entropy, 10)).unwrap_or(0));
        let digits: String = (0..code_length).map(digit).collect();
        let challenge = Challenge::generate(purpose, address, code_length, &*self.entropy);
        let code = IssuedCode {
            digest: challenge.digest(&digits, &self.hash),
            issued_at: now,
            expires_at: now + self.policy.code_ttl,
            tries,
        };
        let key = challenge.key(&self.hash);
        self.codes.issue(key, &code).await?;
        let expires_in = u32::try_from(self.policy.code_ttl.as_secs()).unwrap_or(u32::MAX);
        let job = MailJob {
            version: MAIL_JOB_VERSION,
            id: self.ids.next(),
            to: challenge.address.clone(),
            content: content(digits, expires_in),
            created_at: now,
        };
        if let Err(error) = self.mail.enqueue(&job).await {
            self.codes.withdraw(key).await?;
            return Err(AuthError::MailDown(error));
        }
        Ok(CodeSent {
            challenge: challenge.seal(&self.hash),
            code_length,
            expires_in: self.policy.code_ttl,
            resend_after: self.policy.code_resend,
        })
    }

    /// How many digits the next code has.
    fn code_length(&self, guesses: Guesses) -> u8 {
        let reached = |(from, _): &&(u32, u8)| *from <= guesses.of_address;
        let own = LONGER
            .iter()
            .rev()
            .find(reached)
            .map_or(6, |(_, length)| *length);
        if guesses.of_all >= self.policy.wrong_code_alarm {
            metrics::code_lengthened("alarm");
            own.max(LENGTH_UNDER_ATTACK)
        } else {
            if own > 6 {
                metrics::code_lengthened("address");
            }
            own
        }
    }

    /// Counts a letter under all its limits, or under none where one of them refuses it. The client's
    /// own address comes first: who is refused there leaves nothing behind under the mailbox.
    async fn count_letter(
        &self,
        address: &EmailAddress,
        device: Option<&str>,
        client: &ClientInfo,
    ) -> Result<Vec<Counted>, AuthError> {
        let policy = &self.policy;
        let resend = Rule {
            name: "login-resend",
            quota: Quota {
                burst: 1,
                period: policy.code_resend,
            },
        };
        let mailbox = self.hash.of(&[b"mailbox", address.mailbox().as_bytes()]);
        let mailbox = hex::encode(mailbox);
        let of =
            |rule: Rule, place: &Place| (place.rule(rule), format!("{mailbox} {}", place.name));
        let from = client.ip.map(addresses).unwrap_or_default();
        let mut rules: Vec<Counted> = Vec::new();
        if let Some(device) = device.map(Place::device) {
            let login_ip = Rule {
                name: "login-device-ip",
                ..policy.login_ip
            };
            rules.extend(
                from.into_iter()
                    .map(|place| (place.rule(login_ip), place.name)),
            );
            rules.push(of(resend, &device));
            rules.push((policy.login_device, device.name));
        } else {
            let login_ip = policy.login_ip;
            rules.extend(
                from.into_iter()
                    .map(|place| (place.rule(login_ip), place.name)),
            );
            let nearby = client.ip.map_or_else(nowhere, networks);
            rules.extend(nearby.iter().map(|place| of(resend, place)));
            rules.extend(nearby.iter().map(|place| of(policy.login_network, place)));
            rules.push((policy.login_address, mailbox));
        }
        self.count_all(rules, resend.name).await
    }

    /// Counts a letter under all of these limits, or under none where one of them refuses it: `resend`
    /// is the one between two letters.
    pub(crate) async fn count_all(
        &self,
        rules: Vec<Counted>,
        resend: &str,
    ) -> Result<Vec<Counted>, AuthError> {
        let mut counted = Vec::new();
        for (rule, key) in rules {
            let error = match self.limiter.check(rule, &key).await {
                Ok(Decision::Allowed) => {
                    counted.push((rule, key));
                    continue;
                }
                Ok(Decision::Denied(wait)) if rule.name == resend => AuthError::CodeJustSent(wait),
                Ok(Decision::Denied(wait)) => AuthError::TooMany(wait),
                Err(error) => error.into(),
            };
            self.give_back(&counted).await;
            return Err(error);
        }
        Ok(counted)
    }

    /// Takes back that a letter was counted: none was sent.
    pub(crate) async fn give_back(&self, counted: &[Counted]) {
        for (rule, key) in counted {
            if let Err(error) = self.limiter.give_back(*rule, key).await {
                tracing::debug!(%error, rule = rule.name, "a letter that was not sent stays counted");
            }
        }
    }

    /// Exchanges a challenge and its code for a session. The first sign-in of an address makes its
    /// account, where [`SignUp`](super::SignUp) admits it.
    ///
    /// # Errors
    /// Where the code is wrong, expired or used, was tried too often, the challenge is none, there is no
    /// account and none is made, or it is suspended. A challenge of a secret that was replaced has expired.
    pub async fn verify_code(
        &self,
        challenge: &str,
        code: &str,
        client: &ClientInfo,
    ) -> Result<SignedIn, AuthError> {
        let address = self.present(Purpose::SignIn, challenge, code, client);
        self.begin_session(address.await?, client).await
    }

    /// Takes a code that is presented with its challenge. The address to which it was sent.
    ///
    /// # Errors
    /// Where the code is wrong, expired or used, was tried too often, or the challenge is none for this
    /// purpose.
    pub(crate) async fn present(
        &self,
        purpose: Purpose,
        challenge: &str,
        code: &str,
        client: &ClientInfo,
    ) -> Result<EmailAddress, AuthError> {
        let given = challenge.trim();
        let Some(challenge) = Challenge::open(given, purpose, &self.hash) else {
            self.admit(self.policy.verify_ip, client).await?;
            let rule = match purpose {
                // Most likely the secret was replaced since: its code is good for nothing.
                Purpose::SignIn if Challenge::is_alike(given) => {
                    return Err(AuthError::CodeExpired);
                }
                Purpose::SignIn => "must be what `login` has answered",
                Purpose::Deletion(_) => {
                    "must be what `requestAccountDeletion` has answered this account"
                }
            };
            return Err(Invalid::new("challenge", rule).into());
        };
        let code: String = code.chars().filter(|char| !char.is_whitespace()).collect();
        let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
        if code.len() != usize::from(challenge.code_length) || !is_number {
            let rule = match challenge.code_length {
                6 => "must be six digits",
                8 => "must be eight digits",
                _ => "must be all digits that were mailed",
            };
            return Err(Invalid::new("code", rule).into());
        }
        let now = self.clock.now();
        let (key, digest) = (
            challenge.key(&self.hash),
            challenge.digest(&code, &self.hash),
        );
        let attempt = self.codes.attempt(key, digest, now).await?;
        if attempt == Attempt::Void {
            self.admit(self.policy.verify_ip, client).await?;
            return Err(AuthError::CodeExpired);
        }
        let noted = match attempt {
            Attempt::Accepted => {
                let guesses = self.guesses_key(purpose, &challenge.address);
                self.codes.note_right(guesses).await
            }
            _ => self.codes.note_wrong(now).await,
        };
        if let Err(error) = noted {
            tracing::debug!(%error, "an attempt to sign in was not counted");
        }
        if let Attempt::Wrong(left) = attempt {
            return Err(AuthError::WrongCode(left));
        }
        Ok(challenge.address)
    }

    /// Signs in whoever has proved that the address is theirs.
    async fn begin_session(
        &self,
        address: EmailAddress,
        client: &ClientInfo,
    ) -> Result<SignedIn, AuthError> {
        let now = self.clock.now();
        let candidate = User {
            id: self.ids.next(),
            name: DisplayName::of_address(&address),
            email: address,
            about: None,
            metadata: None,
            created_at: now,
            avatar_id: None,
            last_seen_at: None,
            block_version: 0,
            deleted_at: None,
        };
        let (user, is_new_user) = if self.policy.sign_up.admits(&candidate.email) {
            self.users.find_or_create_user(&candidate).await?
        } else {
            let found = self.users.user_of_email(&candidate.email).await?;
            (found.ok_or(AuthError::SignUpRefused)?, false)
        };
        let session = Session {
            id: self.ids.next(),
            user_id: user.id,
            created_at: now,
            last_used_at: now,
            expires_at: self.policy.session_life.expiry(now, now),
            user_agent: client.user_agent.clone(),
            ip_address: client.ip,
        };
        let refresh_token = RefreshToken::first(session.id, &*self.entropy, &self.hash);
        self.sessions
            .create_session(&session, refresh_token.hash())
            .await?;
        let found = self.users.users(&[user.id]).await?.pop();
        if found.is_none_or(|user| user.is_deleted()) {
            // The account was deleted between the two: no session of it may be left behind.
            self.sessions.delete_session(session.id, user.id).await?;
            return Err(AuthError::NoAccount);
        }
        self.refuse_suspended(&session).await?;
        self.signed_in(session, refresh_token, user, is_new_user)
    }

    /// Under what guesses of codes are counted: of each purpose for itself, so that right codes of one
    /// do not make the other forget.
    fn guesses_key(&self, purpose: Purpose, address: &EmailAddress) -> AddressKey {
        AddressKey(match purpose {
            Purpose::SignIn => self.hash.of(&[b"address", address.as_str().as_bytes()]),
            Purpose::Deletion(user) => self.hash.of(&[b"deletion-guesses", &id::bytes(user)]),
        })
    }

    /// Forgets what is counted of the address of an account that is gone.
    pub(crate) async fn forget_address(&self, address: &EmailAddress) -> Result<(), PortError> {
        let key = self.guesses_key(Purpose::SignIn, address);
        self.codes.note_right(key).await
    }
}

/// The place of a client without an address.
fn nowhere() -> Vec<Place> {
    vec![Place {
        name: "nowhere".to_owned(),
        share: 1,
    }]
}
