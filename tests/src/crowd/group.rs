//! Who makes groups and changes their members, roles and titles.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Person, Request, Told, Worker};
use crate::answer::{CHAT, Messages, Ref, Shown, data, messages, told};
use crate::client::User;

const OWNER: &str = "OWNER";
const ADMIN: &str = "ADMIN";
const MEMBER: &str = "MEMBER";

/// Somebody of a group: who makes it, and the others.
type Index = usize;

/// One thing that is done to a group, by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    /// With the history that they may read.
    Add(Index, &'static [Index], &'static str),
    Remove(Index, Index),
    SetRole(Index, Index, &'static str),
    Rename(Index),
    Leave(Index),
}

/// A group's life. The maker is 0; what is marked is refused.
const LIFE: [(Step, Option<&str>); 12] = [
    (Step::Create, None),
    (Step::Add(0, &[2, 3], "ALL"), None),
    (Step::Remove(1, 2), Some("FORBIDDEN")),
    (Step::SetRole(0, 1, ADMIN), None),
    (Step::Rename(1), None),
    (Step::Remove(1, 2), None),
    (Step::SetRole(0, 0, MEMBER), Some("CONFLICT")),
    (Step::Rename(2), Some("FORBIDDEN")),
    (Step::Add(1, &[2], "JOIN"), None),
    (Step::Leave(1), None),
    (Step::SetRole(0, 2, ADMIN), None),
    // Who became an admin takes over.
    (Step::Leave(0), None),
];

/// What goes on in a group that stays: one comes and goes.
const COMING_AND_GOING: [(Step, Option<&str>); 8] = [
    (Step::Add(0, &[1], "JOIN"), None),
    (Step::Rename(1), Some("FORBIDDEN")),
    (Step::Remove(0, 1), None),
    (Step::Rename(0), None),
    (Step::Add(0, &[1], "ALL"), None),
    (Step::SetRole(0, 1, ADMIN), None),
    (Step::Leave(1), None),
    (Step::SetRole(0, 1, ADMIN), Some("NOT_FOUND")),
];

/// A group, as what was acknowledged has made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group {
    id: String,
    title: String,
    roles: BTreeMap<Index, &'static str>,
    /// How many system messages say so.
    notices: usize,
}

/// Makes groups and changes them, or one that is there.
pub struct GroupWorker {
    people: Vec<Person>,
    name: String,
    life: &'static [(Step, Option<&'static str>)],
    count: usize,
    group: Option<Group>,
    /// The groups whose life is over.
    former: Vec<Group>,
    open: Option<Step>,
}

impl GroupWorker {
    /// Four people, of whom the first makes groups, one after the other.
    pub fn new(people: [&User; 4], name: &str) -> Self {
        Self {
            people: people.map(Person::new).into(),
            name: name.to_owned(),
            life: &LIFE,
            count: 0,
            group: None,
            former: Vec::new(),
            open: None,
        }
    }

    /// A group that its owner made, with this title, of which another becomes a member again and
    /// again.
    pub fn at_the_door(owner: &User, other: &User, group: &str, title: &str) -> Self {
        let group = Group {
            id: group.to_owned(),
            title: title.to_owned(),
            roles: BTreeMap::from([(0, OWNER)]),
            notices: 1,
        };
        Self {
            people: vec![Person::new(owner), Person::new(other)],
            name: "door".to_owned(),
            life: &COMING_AND_GOING,
            count: 0,
            group: Some(group),
            former: Vec::new(),
            open: None,
        }
    }

    fn title(&self) -> String {
        format!("{} {}", self.name, self.count)
    }

    /// Who asks for the step, and what.
    fn request(&self, step: Step) -> (Index, Request) {
        let chat = self.group.as_ref().map(|group| group.id.as_str());
        let id = |index: Index| self.people[index].user.id.as_str();
        let (by, field, mut input) = match step {
            Step::Create => {
                let own_id = self.title();
                let input =
                    json!({ "memberIds": [id(1)], "clientChatId": own_id, "title": own_id });
                (0, "createGroup", input)
            }
            Step::Add(by, users, history) => {
                let users: Vec<_> = users.iter().map(|user| id(*user)).collect();
                (
                    by,
                    "addMembers",
                    json!({ "userIds": users, "historyFrom": history }),
                )
            }
            Step::Remove(by, user) => (by, "removeMember", json!({ "userId": id(user) })),
            Step::SetRole(by, user, role) => (
                by,
                "setMemberRole",
                json!({ "userId": id(user), "role": role }),
            ),
            Step::Rename(by) => (by, "updateGroup", json!({ "title": self.title() })),
            Step::Leave(by) => (by, "leaveChat", json!({})),
        };
        if step != Step::Create {
            input["chatId"] = json!(chat);
        }
        let selection = match step {
            Step::Leave(_) => "chatId",
            Step::SetRole(..) => "member { role }",
            _ => "chat { id }",
        };
        (by, Request::new(field, input, selection))
    }

    /// The group as the step leaves it. A step that finds it so already changes nothing.
    fn after(&self, step: Step) -> Group {
        let mut group = self.group.clone().unwrap_or_default();
        let before = group.clone();
        match step {
            Step::Create => {
                group.title = self.title();
                group.roles = BTreeMap::from([(0, OWNER), (1, MEMBER)]);
            }
            Step::Add(_, users, _) => {
                for user in users {
                    group.roles.entry(*user).or_insert(MEMBER);
                }
            }
            Step::Remove(_, user) | Step::Leave(user) => {
                let left = group.roles.remove(&user);
                if left == Some(OWNER) {
                    let mut roles = group.roles.values_mut();
                    if let Some(admin) = roles.find(|role| **role == ADMIN) {
                        *admin = OWNER;
                    }
                }
            }
            Step::SetRole(_, user, role) => drop(group.roles.insert(user, role)),
            Step::Rename(_) => group.title = self.title(),
        }
        group.notices += usize::from(group != before);
        group
    }

    fn done(&mut self, step: Step, payload: &Value) {
        let mut after = self.after(step);
        if step == Step::Create {
            after.id = told::<Ref>(&payload["chat"]).id;
        }
        self.group = Some(after);
    }

    fn next(&mut self) -> (Step, Option<&'static str>) {
        let at = self.count % self.life.len();
        self.count += 1;
        if self.life[at].0 == Step::Create {
            self.former.extend(self.group.take());
        }
        self.life[at]
    }

    async fn is_made_once(&mut self, at: SocketAddr) {
        const CHATS: &str = "query($title: String) { chats(search: $title) { nodes { title } } }";
        let title = self.title();
        let client = self.people[1].at(at);
        let data = data(client, CHATS, json!({ "title": title })).await;
        let found = data["chats"]["nodes"].as_array().into_iter().flatten();
        let same = found.filter(|chat| chat["title"] == json!(title));
        assert_eq!(same.count(), 1, "{title}");
    }

    /// The group as this server answers, to all of whom it may concern.
    async fn found(&mut self, at: SocketAddr, id: &str) -> Group {
        let query = format!(
            "query($id: ID!) {{ chat(id: $id) {{ {CHAT}
                members(first: 100) {{ nodes {{ role user {{ id }} }} }} }} }}"
        );
        let users = self.people.iter().map(|person| person.user.id.clone());
        let users: Vec<_> = users.collect();
        let mut found: Option<Group> = None;
        let mut shown_to = Vec::new();
        for (index, person) in self.people.iter_mut().enumerate() {
            let client = person.at(at);
            let data = data(client, &query, json!({ "id": id })).await;
            let chat = &data["chat"];
            if chat.is_null() {
                continue;
            }
            shown_to.push(index);
            let mut group = shown(id, chat, &users, index);
            let messages = messages(client, id).await;
            // Who may read from the first message on sees all that has happened.
            if messages.contains_key(&1) {
                let (members, notices) = fold(&messages, &users);
                assert!(members.iter().eq(group.roles.keys()), "{members:?}: {chat}");
                group.notices = notices;
            }
            let Some(found) = &mut found else {
                found = Some(group);
                continue;
            };
            found.notices = found.notices.max(group.notices);
            group.notices = found.notices;
            assert_eq!(*found, group, "members see different groups");
        }
        let found = found.unwrap_or_default();
        assert!(
            shown_to.iter().eq(found.roles.keys()),
            "shown to {shown_to:?}: {found:?}"
        );
        found
    }
}

/// A group as it was told to the person with this index.
fn shown(id: &str, chat: &Value, users: &[String], viewer: Index) -> Group {
    let shown: Shown = told(chat);
    let members = chat["members"]["nodes"].as_array();
    let members = members.map(Vec::as_slice).unwrap_or_default();
    assert_eq!(json!(shown.member_count), json!(members.len()), "{chat}");
    // Others of the group are not this worker's.
    let roles = members.iter().filter_map(|member| {
        let mut users = users.iter();
        let index = users.position(|user| member["user"]["id"] == json!(user))?;
        let mut roles = [OWNER, ADMIN, MEMBER].into_iter();
        Some((index, roles.find(|role| member["role"] == *role)?))
    });
    let roles: BTreeMap<_, _> = roles.collect();
    let own = shown.viewer_member.map(|own| own.role);
    assert_eq!(own.as_deref(), roles.get(&viewer).copied(), "{chat}");
    Group {
        id: id.to_owned(),
        title: shown.title,
        roles,
        notices: 0,
    }
}

/// The members of whom the messages tell, and how many system messages there are. A successor is
/// told by the members alone.
fn fold(messages: &Messages, users: &[String]) -> (BTreeSet<Index>, usize) {
    let (mut members, mut count) = (BTreeSet::new(), 0);
    let notices = messages
        .values()
        .filter_map(|message| message.system.as_ref());
    for notice in notices {
        count += 1;
        let index = |of: &Ref| users.iter().position(|user| *user == of.id);
        let subjects = notice.subjects.iter().filter_map(index);
        match notice.kind.as_str() {
            "CHAT_CREATED" => members.extend(subjects.chain(notice.actor.iter().filter_map(index))),
            "MEMBER_ADDED" => members.extend(subjects),
            "MEMBER_REMOVED" | "MEMBER_LEFT" => {
                let left: BTreeSet<_> = subjects.collect();
                members = &members - &left;
            }
            _ => {}
        }
    }
    (members, count)
}

#[async_trait]
impl Worker for GroupWorker {
    async fn work(&mut self, at: SocketAddr) -> bool {
        let (step, refusal) = self.next();
        let (by, request) = self.request(step);
        match (self.people[by].ask(at, &request).await, refusal) {
            (Told::Done(payload), None) => self.done(step, &payload),
            (Told::Refused(code), Some(expected)) => assert_eq!(code, expected, "{step:?}"),
            (Told::Nothing, None) => {
                self.open = Some(step);
                return false;
            }
            // What is refused is refused again.
            (Told::Nothing, Some(_)) => return false,
            (told, _) => panic!("{step:?} of {:?}: {told:?}", self.group),
        }
        true
    }

    async fn check(&mut self, at: SocketAddr) {
        for group in self.former.clone() {
            assert_eq!(self.found(at, &group.id).await, group);
        }
        let Some(group) = self.group.clone() else {
            return;
        };
        let found = self.found(at, &group.id).await;
        let after = self.open.map(|step| self.after(step));
        assert!(
            found == group || Some(&found) == after.as_ref(),
            "{found:#?}\nis neither what was acknowledged\n{group:#?}\nnor that behind {:?}",
            self.open,
        );
    }

    async fn settle(&mut self, at: SocketAddr) {
        let Some(step) = self.open.take() else { return };
        let (by, request) = self.request(step);
        match (self.people[by].insist(at, &request).await, step) {
            (Told::Done(payload), _) => {
                self.done(step, &payload);
                if step == Step::Create {
                    self.is_made_once(at).await;
                }
            }
            // Who has left by the first try asks no more.
            (Told::Refused(code), Step::Leave(by)) if code == "FORBIDDEN" => {
                let after = self.after(step);
                assert!(!after.roles.contains_key(&by));
                self.group = Some(after);
            }
            (told, _) => panic!("{step:?} again: {told:?}"),
        }
    }
}
