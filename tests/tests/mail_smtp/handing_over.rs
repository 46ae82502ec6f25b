//! One mail, one server.

use serde_json::json;
use talksy_tests::mailbox::sign_in_job;
use talksy_tests::servers::smtp::{Event, PASSWORD, Security, SmtpServer, USER, write_other_ca};

use super::{FROM, send, send_json};

/// That the server has heard neither of a password nor of a mail.
fn nothing_was_told(server: &SmtpServer) {
    let events = server.events();
    let greetings = events
        .iter()
        .all(|event| matches!(event, Event::Greeting(_)));
    assert!(greetings, "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_goes_over_starttls_and_over_tls_with_a_password() {
    for security in [Security::StartTls, Security::Tls] {
        let server = SmtpServer::with_password(security).await;
        let job = sign_in_job("ada@example.org");
        let sent = send(&server.url(), Some(&server.ca_file()), &job).await;
        assert_eq!(sent, Ok(()), "{security:?}");
        let mails = server.mails();
        assert_eq!(mails.len(), 1, "{security:?}");
        let mail = &mails[0];
        assert!(mail.over.tls);
        assert_eq!(mail.user.as_deref(), Some(USER));
        assert_eq!(mail.sender, "no-reply@talksy.example");
        assert_eq!(mail.recipients, ["ada@example.org"]);
        assert_eq!(mail.header("From"), [FROM]);
        assert_eq!(mail.header("To"), ["ada@example.org"]);
        assert_eq!(
            mail.header("Subject"),
            ["042137 is your Talksy sign-in code"]
        );
        let id = format!("<{}@talksy.example>", job.id);
        assert_eq!(mail.header("Message-ID"), [id]);
        assert_eq!(mail.header("Auto-Submitted"), ["auto-generated"]);
        let kinds: Vec<_> = mail.parts.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["text/plain", "text/html"]);
        for (kind, text) in &mail.parts {
            assert!(text.contains("042137"), "{kind}: {text}");
        }
        for event in server.events() {
            if let Event::Password(over) | Event::Sender(over) = event {
                assert!(over.tls, "{security:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_told_nothing_where_tls_is_required() {
    let server = SmtpServer::with_password(Security::Plain).await;
    let (port, own) = (server.server.port, server.ca_file());
    for ca_file in [None, Some(own.as_path())] {
        let url = format!("smtp://{USER}:hunter2@localhost:{port}?tls=required");
        let said = send(&url.into(), ca_file, &sign_in_job("ada@example.org")).await;
        let said = said.unwrap_err();
        assert!(said.contains("STARTTLS"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        nothing_was_told(&server);

        // Nor where TLS is to begin with the first byte, and the server greets in the clear.
        let url = format!("smtps://{USER}:hunter2@localhost:{port}");
        let said = send(&url.into(), ca_file, &sign_in_job("ada@example.org")).await;
        assert!(said.is_err());
        nothing_was_told(&server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_unknown_authority_or_for_another_host_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = write_other_ca(folder.path());
    for security in [Security::StartTls, Security::Tls] {
        let server = SmtpServer::with_password(security).await;
        for ca_file in [None, Some(other.as_path())] {
            let said = send(&server.url(), ca_file, &sign_in_job("ada@example.org")).await;
            let said = said.unwrap_err();
            assert!(said.contains("certificate"), "{said}");
            nothing_was_told(&server);
        }
        let server = SmtpServer::with_name(security, "mail.example.org").await;
        let ca_file = server.ca_file();
        let said = send(
            &server.url(),
            Some(&ca_file),
            &sign_in_job("ada@example.org"),
        )
        .await;
        let said = said.unwrap_err();
        assert!(said.contains("certificate"), "{said}");
        nothing_was_told(&server);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_clearly_and_without_the_password() {
    let server = SmtpServer::with_password(Security::StartTls).await;
    let ca_file = server.ca_file();
    let wrong = server.url_with("not/this:one");
    let said = send(&wrong, Some(&ca_file), &sign_in_job("ada@example.org")).await;
    let said = said.unwrap_err();
    let reason = "does not accept the SMTP URL's user name and password";
    assert!(said.contains(reason) && said.contains("535"), "{said}");
    assert!(
        !said.contains("this:one") && !said.contains("this%3Aone"),
        "{said}"
    );

    for (to, reasons) in [
        (
            "gone@example.org",
            ["refused", "550", "nobody of this name"],
        ),
        (
            "busy-1@example.org",
            ["could not be sent now", "451", "come back later"],
        ),
    ] {
        let said = send(&server.url(), Some(&ca_file), &sign_in_job(to)).await;
        let said = said.unwrap_err();
        assert!(reasons.iter().all(|reason| said.contains(reason)), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
    }
    let again = send(
        &server.url(),
        Some(&ca_file),
        &sign_in_job("busy-1@example.org"),
    )
    .await;
    assert_eq!(again, Ok(()));
    assert_eq!(server.mails().len(), 1);
}

/// Whatever stands in a name, an address or a code: it makes no header and no recipient.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_job_or_a_name_makes_a_header_or_a_recipient() {
    const EVIL: [&str; 6] = [
        "\r\nBcc: eve@example.org",
        "\nBcc: eve@example.org",
        "\rBcc: eve@example.org",
        "\r\n\r\nBcc: eve@example.org\r\n.\r\nRCPT TO:<eve@example.org>",
        ",eve@example.org",
        "> SIZE=1\r\nRCPT TO:<eve@example.org",
    ];
    let server = SmtpServer::start(Security::Plain).await;
    let url = server.url();
    let mut taken = 0;
    for evil in EVIL {
        let good = serde_json::to_value(sign_in_job("ada@example.org")).unwrap();
        let mut in_address = good.clone();
        in_address["to"] = json!(format!("ada@example.org{evil}"));
        let said = send_json(&url, None, FROM, &in_address.to_string()).await;
        assert!(said.is_err(), "{evil:?}");

        let mut in_code = good.clone();
        in_code["content"]["code"] = json!(format!("042137{evil}"));
        let sent = send_json(&url, None, FROM, &in_code.to_string()).await;
        taken += usize::from(sent.is_ok());

        for from in [
            format!("Talksy{evil} <no-reply@talksy.example>"),
            format!("\"Talksy{evil}\" <no-reply@talksy.example>"),
            format!("Talksy <no-reply@talksy.example{evil}>"),
        ] {
            let sent = send_json(&url, None, &from, &good.to_string()).await;
            taken += usize::from(sent.is_ok());
        }
    }
    let mails = server.mails();
    assert_eq!(mails.len(), taken);
    assert!(taken >= EVIL.len(), "not all is refused: {taken}");
    let names = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
    ];
    for mail in mails {
        assert_eq!(mail.recipients, ["ada@example.org"]);
        assert_eq!(mail.sender, "no-reply@talksy.example");
        let mut found: Vec<_> = mail.headers.iter().map(|(name, _)| name.as_str()).collect();
        found.sort_unstable();
        let mut expected = names;
        expected.sort_unstable();
        assert_eq!(found, expected, "{mail:?}");
        assert_eq!(mail.parts.len(), 2, "{mail:?}");
    }
}
