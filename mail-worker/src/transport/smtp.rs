//! SMTP (RFC 5321) with TLS by rustls, over a pool of connections.

use std::time::Duration;

use async_trait::async_trait;
use lettre::transport::smtp::PoolConfig;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use talksy_schema::id::MailJobId;

use super::{SendError, Transport};

/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The most connections held open.
const CONNECTIONS: u32 = 4;

/// Sends by SMTP.
pub struct SmtpTransport(AsyncSmtpTransport<Tokio1Executor>);

impl SmtpTransport {
    /// A transport to the server of the URL: `smtps://user:password@host` (TLS from the start),
    /// `smtp://…?tls=required` (STARTTLS), `smtp://…?tls=opportunistic`, or plain `smtp://…`.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// Where the URL is none of these. The error does not repeat it: it may hold a password.
    pub fn new(url: &SecretString) -> Result<Self, InvalidSmtpUrl> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret())
            .map_err(|_| InvalidSmtpUrl)?;
        let pool = PoolConfig::new().max_size(CONNECTIONS);
        Ok(Self(
            builder.pool_config(pool).timeout(Some(TIMEOUT)).build(),
        ))
    }
}

/// The SMTP URL is not one.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the SMTP URL must be like `smtps://user:password@mail.example.org`")]
pub struct InvalidSmtpUrl;

#[async_trait]
impl Transport for SmtpTransport {
    async fn send(&self, _job: MailJobId, mail: &Message) -> Result<(), SendError> {
        match self.0.send(mail.clone()).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(SendError::Permanent(error.into())),
            Err(error) => Err(SendError::Transient(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lettre::message::header::ContentType;
    use parking_lot::Mutex;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// Speaks as much SMTP as a client needs, and answers `RCPT TO` as told.
    async fn server(reply_to_rcpt: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let (read, mut write) = stream.split();
                    let mut lines = BufReader::new(read).lines();
                    write.write_all(b"220 test\r\n").await.unwrap();
                    let mut in_data = false;
                    while let Ok(Some(line)) = lines.next_line().await {
                        let verb = line.get(..4).unwrap_or_default().to_uppercase();
                        let reply = match (in_data, verb.as_str()) {
                            (true, _) if line == "." => {
                                in_data = false;
                                "250 ok"
                            }
                            (true, _) => "",
                            (_, "RCPT") => reply_to_rcpt,
                            (_, "DATA") => {
                                in_data = true;
                                "354 go on"
                            }
                            (_, "QUIT") => "221 bye",
                            _ => "250 ok",
                        };
                        log.lock().push(line);
                        if !reply.is_empty() {
                            write
                                .write_all(format!("{reply}\r\n").as_bytes())
                                .await
                                .unwrap();
                        }
                    }
                });
            }
        });
        (url, seen)
    }

    fn mail() -> Message {
        Message::builder()
            .from("a@example.org".parse().unwrap())
            .to("b@example.org".parse().unwrap())
            .header(ContentType::TEXT_PLAIN)
            .body("the body".to_owned())
            .unwrap()
    }

    async fn send(url: String) -> Result<(), SendError> {
        let transport = SmtpTransport::new(&url.into()).unwrap();
        transport
            .send(MailJobId::from_uuid(Default::default()), &mail())
            .await
    }

    #[tokio::test]
    async fn a_mail_is_handed_over() {
        let (url, seen) = server("250 ok").await;
        send(url).await.unwrap();
        assert!(seen.lock().iter().any(|line| line == "the body"));
    }

    #[tokio::test]
    async fn a_4xx_may_be_retried_and_a_5xx_not() {
        let (url, _) = server("451 busy").await;
        assert!(matches!(send(url).await, Err(SendError::Transient(_))));
        let (url, _) = server("550 no such user").await;
        assert!(matches!(send(url).await, Err(SendError::Permanent(_))));
    }

    #[tokio::test]
    async fn no_server_may_be_retried_and_a_wrong_url_is_told_without_its_secret() {
        assert!(matches!(
            send("smtp://127.0.0.1:1".into()).await,
            Err(SendError::Transient(_))
        ));
        let error = SmtpTransport::new(&"http://u:secret@x".to_owned().into())
            .err()
            .unwrap();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}
