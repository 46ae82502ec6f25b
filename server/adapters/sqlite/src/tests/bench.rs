//! How close sends come to what SQLite itself can do. Run with
//! `cargo test --release -p talksy-server --lib sqlite -- --ignored --nocapture`.

use std::time::Instant;

use super::*;

const CALLERS: usize = 64;
const SENDS_EACH: usize = 500;
const ROUNDS: usize = 3;

fn text(n: usize) -> String {
    format!("message {n}: the quick brown fox jumps over the lazy dog, then has a rest")
}

async fn through_the_store() -> f64 {
    let fixture = Arc::new(Fixture::new().await);
    let started = Instant::now();
    let mut tasks = Vec::new();
    for caller in 0..CALLERS {
        let fixture = Arc::clone(&fixture);
        tasks.push(tokio::spawn(async move {
            for n in 0..SENDS_EACH {
                let mut draft = fixture.draft(&text(n));
                let own_id = format!("{caller:08}-{n:08}");
                draft.client_message_id = Some(ClientMessageId::parse(own_id).unwrap());
                done(fixture.store.append(&draft).await.unwrap());
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    per_second(started)
}

/// The same rows into the same tables in transactions of one round of callers, without checks,
/// counters or answers.
async fn bare() -> f64 {
    let fixture = Fixture::new().await;
    fixture.store.close().await;
    let mut conn = crate::open::connect_writer(&fixture.path(), Duration::ZERO).unwrap();
    crate::open::set_up_writer(&conn, 4096).unwrap();
    let (chat, sender) = (id::bytes(fixture.chat.id), id::bytes(fixture.users[0].id));
    let ids = ids();
    let started = Instant::now();
    for n in 0..SENDS_EACH {
        let batch = conn.transaction().unwrap();
        for caller in 0..CALLERS {
            let id = id::bytes::<id::MessageKindTag>(ids.next());
            let (own_id, text) = (format!("{caller:08}-{n:08}"), text(n));
            let seq = n * CALLERS + caller + 1;
            batch
                .prepare_cached(
                    "INSERT INTO messages (chat_id, seq, id, kind, sender_id, created_at,
                     client_message_id, text) VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7)",
                )
                .unwrap()
                .execute((
                    chat,
                    i64::try_from(seq).unwrap(),
                    id,
                    sender,
                    NOW.as_millis(),
                    own_id,
                    text,
                ))
                .unwrap();
        }
        batch.commit().unwrap();
    }
    per_second(started)
}

#[expect(clippy::cast_precision_loss, reason = "a figure to print")]
fn per_second(started: Instant) -> f64 {
    (CALLERS * SENDS_EACH) as f64 / started.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for release builds"]
async fn appends_per_second_against_bare_inserts() {
    for _ in 0..ROUNDS {
        let (bare, store) = (bare().await, through_the_store().await);
        println!(
            "bare {bare:.0}/s, store {store:.0}/s: {:.0} %",
            store / bare * 100.0
        );
    }
}
