//! How SQLite runs the statements of the rooms.

use std::time::Duration;

use rusqlite::StatementStatus;
use talksy_domain::id;

use super::super::{
    attachments, authors, blocks, chats, groups, incarnation, jobs, mentions, messages, moderation,
    open, reactions, replies, rows, search, sessions, unread, users,
};
use super::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_scans_a_table() {
    let fixture = Fixture::new().await;
    let conn = fixture.outside();
    rusqlite::vtab::array::load_module(&conn).unwrap();
    for (name, sql) in statements() {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut steps = explain.raw_query();
        while let Some(step) = steps.next().unwrap() {
            let detail: String = step.get("detail").unwrap();
            let scans = detail.starts_with("SCAN") && !detail.contains("VIRTUAL TABLE");
            assert!(!scans, "{name}: {detail}");
        }
    }
}

#[tokio::test]
async fn no_statement_is_planned_anew_for_other_values() {
    let fixture = Fixture::new().await;
    let conn = open::connect_reader(&fixture.path(), Duration::ZERO).unwrap();
    for (name, sql) in statements() {
        if !sql.trim_start().starts_with("SELECT") {
            continue;
        }
        let mut statement = conn.prepare(sql).unwrap();
        for round in 1..4_i64 {
            for index in 1..=statement.parameter_count() {
                if sql.contains(&format!("rarray(?{index})")) {
                    let list = rows::list(&[id::bytes(fixture.chat.id)]);
                    statement.raw_bind_parameter(index, list).unwrap();
                } else {
                    statement.raw_bind_parameter(index, round).unwrap();
                }
            }
            let mut rows = statement.raw_query();
            while rows.next().unwrap().is_some() {}
        }
        let planned = statement.get_status(StatementStatus::RePrepare);
        assert_eq!(planned, 0, "{name} is planned anew");
    }
}

/// Every statement of the rooms, by name.
fn statements() -> Vec<(&'static str, &'static str)> {
    let rooms = [
        users::STATEMENTS,
        sessions::STATEMENTS,
        chats::STATEMENTS,
        messages::STATEMENTS,
        reactions::STATEMENTS,
        blocks::STATEMENTS,
        groups::STATEMENTS,
        jobs::STATEMENTS,
        attachments::STATEMENTS,
        authors::STATEMENTS,
        incarnation::STATEMENTS,
        unread::STATEMENTS,
        replies::STATEMENTS,
        mentions::STATEMENTS,
        moderation::STATEMENTS,
        search::STATEMENTS,
        search::FINDING,
    ];
    rooms.concat()
}
