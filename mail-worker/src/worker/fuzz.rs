//! Jobs that a queue may bring, and the mails that come of them: no job makes the worker panic, and
//! none has a header that is not the worker's own.

use async_trait::async_trait;
use talksy_domain::clock::SystemClock;
use talksy_domain::id::MailJobId;
use talksy_fuzz::proptest::prelude::*;
use talksy_fuzz::{edited, fuzz};

use super::*;

/// No mail is sent here: they are composed, and looked at.
struct Nowhere;

#[async_trait]
impl Transport for Nowhere {
    async fn send(&self, _: MailJobId, _: &Message) -> Result<(), SendError> {
        Ok(())
    }
}

const JOB: &str = r#"{"version":1,"id":"mail_01h455vb4pex5vsknk084sn02q","to":"ada@example.org","content":{"kind":"signInCode","code":"042137","expiresIn":300},"createdAt":1767225600000}"#;

fn worker() -> MailWorker {
    let clock = Arc::new(SystemClock);
    MailWorker::new(Arc::new(Nowhere), "Talksy <no-reply@localhost>", clock).unwrap()
}

fn job(text: &str) -> Option<MailJob> {
    serde_json::from_str(text).ok()
}

/// The names of the mail's headers.
fn headers(mail: &Message) -> Vec<String> {
    let mail = String::from_utf8(mail.formatted()).unwrap();
    let (head, _) = mail.split_once("\r\n\r\n").unwrap();
    // A line that begins with a blank goes on with the header before it.
    let lines = head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']));
    let names = lines.map(|line| line.split(':').next().unwrap_or_default());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn no_job_panics_or_brings_headers_of_its_own() {
    let worker = worker();
    let usual = headers(&worker.compose(&job(JOB).unwrap()).unwrap());
    assert!(usual.iter().any(|name| name == "Subject"), "{usual:?}");
    let words = [
        "\\r\\nBcc: eve@example.org",
        "\\n",
        "\\u0000",
        "\\u202e",
        "😀",
        "9999999999999",
        "{{ code }}",
        "<b>",
        "-",
        "\"",
    ];
    fuzz(&edited(vec![JOB.to_owned()], &words), |text| {
        if let Some(job) = job(&text)
            && let Ok(mail) = worker.compose(&job)
        {
            prop_assert_eq!(headers(&mail), usual.clone());
        }
        Ok(())
    });
}

#[test]
fn a_job_from_beyond_the_calendar_is_composed() {
    let worker = worker();
    for millis in [i64::MIN, -1, 0, i64::MAX] {
        let mut job = job(JOB).unwrap();
        job.created_at = Timestamp::from_millis(millis);
        let mail = worker.compose(&job).unwrap();
        assert!(headers(&mail).iter().any(|name| name == "Date"), "{millis}");
    }
}
