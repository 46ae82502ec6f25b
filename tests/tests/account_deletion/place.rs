//! A server that may be killed, and what its store has of an account: SQLite, or a MongoDB.

use std::path::Path;
use std::time::Duration;

use mongodb::Client as MongoClient;
use mongodb::bson::{Document, Uuid, doc};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};
use secrecy::ExposeSecret as _;
use talksy_domain::id::{self, UserId};
use talksy_tests::cluster::Cluster;
use talksy_tests::eventually;
use talksy_tests::process::ServerProcess;
use tempfile::TempDir;

use super::erased::holding as files_holding;
use super::instances::holding as collections_holding;

/// What nobody else has said. The one without a hyphen is a word of the search.
pub(super) const TEXTS: [&str; 11] = [
    "zanzibarword",
    "zanzibar-secret",
    "zanzibar-edited",
    "zanzibar-about",
    "zanzibar-key",
    "zanzibar-file",
    "zanzibar-bytes",
    "zanzibar-reason",
    "zanzibar-reported",
    "Zanzibar Name",
    "zanzibar-ada@example.org",
];

/// What is left of an account: groups, reactions, messages, attachments, blocks, reports, in the order
/// in which they go. Direct chats stay, but are counted among the groups.
pub(super) type Left = [u64; 6];

/// In milliseconds.
const HOUR: i64 = 3_600_000;

/// Where a server keeps what it knows, and how it is started there.
pub(super) struct Place {
    pub(super) data: TempDir,
    arguments: Vec<String>,
    store: Store,
}

enum Store {
    Sqlite,
    Mongo {
        /// Its servers end with it.
        _cluster: Box<Cluster>,
        database: mongodb::Database,
    },
}

impl Place {
    pub(super) fn sqlite() -> Self {
        let mut settings = quick();
        for limit in ["send", "react", "start_chat", "change_chats", "mark_read"] {
            settings.push(format!("limits.{limit}.burst=1000000"));
        }
        for budget in ["cost_user", "cost_ip"] {
            settings.push(format!("limits.{budget}.burst=2000000000"));
        }
        let set = |setting| ["--set".to_owned(), setting];
        Self {
            data: tempfile::tempdir().unwrap(),
            arguments: settings.into_iter().flat_map(set).collect(),
            store: Store::Sqlite,
        }
    }

    pub(super) async fn mongo() -> Self {
        let cluster = Cluster::start().await;
        let settings = quick();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let url = cluster.mongo.url("talksy");
        let client = MongoClient::with_uri_str(url.expose_secret())
            .await
            .unwrap();
        Self {
            data: tempfile::tempdir().unwrap(),
            arguments: cluster.arguments(&settings),
            store: Store::Mongo {
                _cluster: Box::new(cluster),
                database: client.database("talksy"),
            },
        }
    }

    pub(super) async fn start(&self) -> ServerProcess {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let server = ServerProcess::start(self.data.path(), &arguments).await;
        eventually("a ready server", async || {
            let request = server.client().request(http::Method::GET, "/readyz");
            let response = request.send().await.ok()?;
            (response.status() == 200).then_some(())
        })
        .await;
        server
    }

    pub(super) fn database(&self) -> Connection {
        database(self.data.path())
    }

    /// What is left of the user.
    pub(super) async fn left(&self, user: UserId) -> Left {
        let mut left = [0; 6];
        match &self.store {
            Store::Sqlite => {
                const COUNTS: [&str; 6] = [
                    "members WHERE user_id = ?1 AND left_seq IS NULL",
                    "reactions WHERE user_id = ?1",
                    "messages WHERE sender_id = ?1 AND deleted_at IS NULL AND kind <> 3",
                    "attachments WHERE owner_id = ?1",
                    "blocks WHERE blocker_id = ?1 OR blocked_id = ?1",
                    "reports WHERE reported_by = ?1 OR sender_id = ?1",
                ];
                let conn = self.database();
                for (left, from) in left.iter_mut().zip(COUNTS) {
                    *left = count(&conn, from, user);
                }
            }
            Store::Mongo { database, .. } => {
                let user = Uuid::from_bytes(id::bytes(user));
                let own = |field: &str| doc! { field: user };
                let either = |one: &str, other: &str| doc! { "$or": [own(one), own(other)] };
                let has_blocked = doc! { "_id": user, "blocked.0": { "$exists": true } };
                let counts = [
                    ("members", doc! { "userId": user, "active": true }),
                    ("reactions", doc! { "userId": user, "on": true }),
                    (
                        "messages",
                        doc! { "senderId": user, "deletedAt": { "$exists": false } },
                    ),
                    ("attachments", own("ownerId")),
                    ("blocks", doc! { "$or": [has_blocked, own("blocked.user")] }),
                    ("reports", either("reportedBy", "senderId")),
                ];
                for (left, (collection, filter)) in left.iter_mut().zip(counts) {
                    let of = database.collection::<Document>(collection);
                    *left = of.count_documents(filter).await.unwrap();
                }
            }
        }
        left
    }

    /// How the job stands: its state, and whether it has ended once. `None` where it is no more.
    pub(super) async fn job(&self, user: UserId) -> Option<(Job, bool)> {
        let (state, created, due) = match &self.store {
            Store::Sqlite => {
                let sql = "SELECT state, created_at, due_at FROM jobs WHERE id = ?1";
                let row = self.database().query_row(sql, [id::bytes(user)], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get(2)?))
                });
                let (state, created, due): (_, _, i64) = row.ok()?;
                let state =
                    [Job::Waiting, Job::Running, Job::Failed][usize::try_from(state).ok()?];
                (state, created, due)
            }
            Store::Mongo { database, .. } => {
                let jobs = database.collection::<Document>("jobs");
                let found = jobs.find_one(erasing()).await.unwrap()?;
                let at = |name| found.get_datetime(name).unwrap().timestamp_millis();
                let state = match found.get_str("state").unwrap() {
                    "waiting" => Job::Waiting,
                    "running" => Job::Running,
                    _ => Job::Failed,
                };
                (state, at("createdAt"), at("dueAt"))
            }
        };
        Some((state, state == Job::Waiting && due - created > HOUR / 2))
    }

    /// Has the job's second look, which is an hour later, come now.
    pub(super) async fn an_hour_passes(&self, user: UserId) {
        match &self.store {
            Store::Sqlite => {
                let sql = "UPDATE jobs SET created_at = created_at - ?2, due_at = 0 WHERE id = ?1";
                let passed = self
                    .database()
                    .execute(sql, params![id::bytes(user), 2 * HOUR]);
                assert_eq!(passed.unwrap(), 1);
            }
            Store::Mongo { database, .. } => {
                let jobs = database.collection::<Document>("jobs");
                let found = jobs.find_one(erasing()).await.unwrap().unwrap();
                let at = found.get_datetime("createdAt").unwrap().timestamp_millis();
                let before = mongodb::bson::DateTime::from_millis(at - 2 * HOUR);
                let update = doc! { "$set": { "createdAt": before, "dueAt": before } };
                let passed = jobs.update_one(erasing(), update).await.unwrap();
                assert_eq!(passed.matched_count, 1);
            }
        }
    }

    /// Which of the texts are found where. Of SQLite's file all that it holds counts, and its log; not what it
    /// has left in unused parts of pages, from where it has moved rows: a copy has no such parts.
    pub(super) async fn holding(&self) -> Vec<String> {
        let mut found = files_holding(self.data.path(), &TEXTS);
        match &self.store {
            Store::Sqlite => {
                found.retain(|line| !line.ends_with("/talksy.db"));
                let copy = tempfile::tempdir().unwrap();
                let path = copy.path().join("copy");
                self.database()
                    .execute("VACUUM INTO ?1", [path.to_str()])
                    .unwrap();
                found.extend(files_holding(copy.path(), &TEXTS));
            }
            Store::Mongo { database, .. } => {
                found.extend(collections_holding(database, &TEXTS).await);
            }
        }
        found
    }
}

/// The job, of which there is one.
fn erasing() -> Document {
    doc! { "kind": "eraseAccount.1" }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Waiting,
    Running,
    Failed,
}

/// Looks for jobs often, takes over soon, and gives none up.
fn quick() -> Vec<String> {
    let settings = [
        "jobs.poll=100ms",
        "jobs.lease=1s",
        "jobs.attempts=100",
        "limits.uploads.burst=1000",
        "limits.report.burst=1000",
    ];
    settings.map(str::to_owned).to_vec()
}

/// The database, whose log stays as a kill has left it.
fn database(data: &Path) -> Connection {
    let conn = Connection::open(data.join("talksy.db")).unwrap();
    conn.busy_timeout(Duration::from_secs(30)).unwrap();
    let as_it_is = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    assert!(conn.set_db_config(as_it_is, true).unwrap());
    conn
}

pub(super) fn count(conn: &Connection, from: &str, user: UserId) -> u64 {
    let sql = format!("SELECT count(*) FROM {from}");
    let found: i64 = conn
        .query_row(&sql, [id::bytes(user)], |row| row.get(0))
        .unwrap();
    u64::try_from(found).unwrap()
}
