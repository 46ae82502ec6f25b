//! SMTP (RFC 5321) with TLS by rustls, over a pool of connections. The server's certificate is
//! always checked.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::{Error as SmtpError, PoolConfig};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use talksy_domain::id::MailJobId;
use url::Url;

use super::{SendError, Transport};

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The most connections held open.
const CONNECTIONS: u32 = 4;
/// The replies that speak of the user name and the password, not of the mail (RFC 4954).
const ABOUT_CREDENTIALS: [u16; 4] = [530, 534, 535, 538];

/// How a mail server is talked to.
#[derive(Clone, Copy, Debug, Default)]
pub struct SmtpOptions<'a> {
    /// The authorities, in PEM, that the server's certificate must come from; the public ones where
    /// absent.
    pub ca_file: Option<&'a Path>,
    /// Whether the URL's user name and password may go to another machine over a connection that is
    /// not certain to be encrypted.
    pub plain_credentials: bool,
}

/// Sends by SMTP.
pub struct SmtpTransport(AsyncSmtpTransport<Tokio1Executor>);

impl SmtpTransport {
    /// A transport to the server of the URL: `smtps://user:password@host` (TLS from the start),
    /// `smtp://…?tls=required` (STARTTLS), `smtp://…?tls=opportunistic`, or plain `smtp://…`.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// Where the URL is none of these, the file is of no use, or a password would be shown. The error
    /// does not repeat the URL: it may hold a password.
    pub fn new(url: &SecretString, options: &SmtpOptions<'_>) -> Result<Self, SmtpSettingsError> {
        if !options.plain_credentials && shows_credentials(url) {
            return Err(SmtpSettingsError::PlainCredentials);
        }
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            .map_err(|_| SmtpSettingsError::Url)?;
        if let Some(path) = options.ca_file {
            let tls: fn(TlsParameters) -> Tls = match tls_of(url)? {
                Security::None => return Err(SmtpSettingsError::NothingToCheck),
                Security::Opportunistic => Tls::Opportunistic,
                Security::StartTls => Tls::Required,
                Security::Tls => Tls::Wrapper,
            };
            builder = builder.tls(tls(trusting(path, host_of(url)?)?));
        }
        let pool = PoolConfig::new().max_size(CONNECTIONS);
        Ok(Self(
            builder.pool_config(pool).timeout(Some(TIMEOUT)).build(),
        ))
    }
}

/// What the URL asks for.
enum Security {
    None,
    Opportunistic,
    StartTls,
    Tls,
}

fn parse(url: &SecretString) -> Result<Url, SmtpSettingsError> {
    Url::parse(url.expose_secret()).map_err(|_| SmtpSettingsError::Url)
}

fn tls_of(url: &SecretString) -> Result<Security, SmtpSettingsError> {
    let url = parse(url)?;
    let tls = url.query_pairs().find(|(name, _)| name == "tls");
    match (url.scheme(), tls.as_ref().map(|(_, value)| &**value)) {
        ("smtps", _) => Ok(Security::Tls),
        ("smtp", Some("required")) => Ok(Security::StartTls),
        ("smtp", Some("opportunistic")) => Ok(Security::Opportunistic),
        ("smtp", None) => Ok(Security::None),
        _ => Err(SmtpSettingsError::Url),
    }
}

/// Whether the URL has a password that whoever is between this machine and the mail
/// server may read: without TLS, and with TLS that is taken only where it is offered, as whoever is
/// between can take the offer away.
pub fn shows_credentials(url: &SecretString) -> bool {
    let Ok(parsed) = parse(url) else {
        return false;
    };
    let is_plain = matches!(tls_of(url), Ok(Security::None | Security::Opportunistic));
    // A user name alone is not sent.
    parsed.password().is_some() && is_plain && !is_this_machine(&parsed)
}

/// Whether the URL's host is this machine. Hosts of schemes like `smtp` are not parsed as addresses.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(is_loopback)
}

fn host_of(url: &SecretString) -> Result<String, SmtpSettingsError> {
    let url = parse(url)?;
    url.host_str()
        .map(str::to_owned)
        .ok_or(SmtpSettingsError::Url)
}

/// Trusts the authorities of the file alone.
fn trusting(path: &Path, host: String) -> Result<TlsParameters, SmtpSettingsError> {
    let unusable = |reason: Box<dyn std::error::Error + Send + Sync>| SmtpSettingsError::CaFile {
        path: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|error| unusable(error.into()))?;
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Err(unusable("there is no certificate in it".into()));
    }
    let certificates = Certificate::from_pem(&pem).map_err(|error| unusable(error.into()))?;
    TlsParameters::builder(host)
        .certificate_store(CertificateStore::None)
        .add_root_certificate(certificates)
        .build()
        .map_err(|error| unusable(error.into()))
}

/// Why there can be no transport with these settings.
#[derive(Debug, thiserror::Error)]
pub enum SmtpSettingsError {
    /// The SMTP URL is not one.
    #[error("the SMTP URL must be like `smtps://user:password@mail.example.org`")]
    Url,
    /// There are authorities, and no TLS to need them.
    #[error("the SMTP URL asks for no TLS, so that its CA file has nothing to check")]
    NothingToCheck,
    /// The URL's password would go to another machine in the clear.
    #[error(
        "the SMTP URL's user name and password would be sent without encryption: use `smtps://` or `?tls=required`, or allow it by `mail.plain_credentials` (`--plain-credentials`)"
    )]
    PlainCredentials,
    /// The file of the authorities is of no use.
    #[error("the SMTP server's CA file `{}` cannot be used", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The server wants another user name and password than the URL's.
#[derive(Debug, thiserror::Error)]
#[error("the mail server does not accept the SMTP URL's user name and password")]
struct CredentialsRefused(#[source] SmtpError);

#[async_trait]
impl Transport for SmtpTransport {
    async fn send(&self, _job: MailJobId, mail: &Message) -> Result<(), SendError> {
        let Err(error) = self.0.send(mail.clone()).await else {
            return Ok(());
        };
        let code = error.status().map(u16::from);
        if code.is_some_and(|code| ABOUT_CREDENTIALS.contains(&code)) {
            Err(SendError::Permanent(CredentialsRefused(error).into()))
        } else if error.is_permanent() {
            Err(SendError::Permanent(error.into()))
        } else {
            Err(SendError::Transient(error.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use lettre::message::header::ContentType;

    use super::*;

    fn transport(url: &str, ca_file: Option<&Path>) -> Result<SmtpTransport, SmtpSettingsError> {
        let options = SmtpOptions {
            ca_file,
            plain_credentials: false,
        };
        SmtpTransport::new(&url.to_owned().into(), &options)
    }

    fn refusal(url: &str, ca_file: Option<&Path>) -> String {
        let error = transport(url, ca_file).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("secret"));
        error.to_string()
    }

    #[tokio::test]
    async fn no_server_may_be_retried() {
        let mail = Message::builder()
            .from("a@example.org".parse().unwrap())
            .to("b@example.org".parse().unwrap())
            .header(ContentType::TEXT_PLAIN)
            .body("the body".to_owned())
            .unwrap();
        let nobody = transport("smtp://127.0.0.1:1", None).unwrap();
        let job = MailJobId::from_uuid(Default::default());
        let error = nobody.send(job, &mail).await.unwrap_err();
        assert!(matches!(error, SendError::Transient(_)));
    }

    #[test]
    fn wrong_settings_are_told_without_their_secret() {
        for url in ["http://u:secret@x", "secret", "smtp://u:secret@x?tls=maybe"] {
            assert!(refusal(url, None).contains("must be like"), "{url}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let said = refusal("smtp://x", Some(file.path()));
        assert!(said.contains("asks for no TLS"), "{said}");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "nonsense", broken] {
            std::fs::write(file.path(), text).unwrap();
            let said = refusal("smtps://u:secret@x", Some(file.path()));
            assert!(said.contains("CA file"), "{said}");
        }
        refusal("smtps://u:secret@x", Some(Path::new("/nowhere/ca.pem")));
    }

    #[tokio::test]
    async fn a_password_goes_to_another_machine_only_under_tls_or_where_that_is_allowed() {
        for url in [
            "smtp://u:secret@mail.example.org",
            "smtp://u:secret@192.0.2.1:25",
            "smtp://u:secret@[2001:db8::1]:25",
            "smtp://u:secret@localhost.example.org",
            // Whoever stands between takes the offer of TLS away.
            "smtp://u:secret@mail.example.org?tls=opportunistic",
        ] {
            let said = refusal(url, None);
            assert!(said.contains("mail.plain_credentials"), "{url}: {said}");
            let options = SmtpOptions {
                ca_file: None,
                plain_credentials: true,
            };
            let allowed = SmtpTransport::new(&url.to_owned().into(), &options);
            assert!(allowed.is_ok(), "{url}");
        }
        for url in [
            "smtps://u:secret@mail.example.org",
            "smtp://u:secret@mail.example.org?tls=required",
            "smtp://mail.example.org",
            "smtp://u:secret@localhost:1025",
            "smtp://u:secret@127.0.0.2",
            "smtp://u:secret@[::1]:25",
        ] {
            assert!(transport(url, None).is_ok(), "{url}");
        }
    }
}
