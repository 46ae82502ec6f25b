//! Tokens that a client sends under a name that nobody looks at. It would be nobody without knowing why.

use serde_json::value::RawValue;

/// Names that a token goes by elsewhere, without regard to case, `-` and `_`; any that end in
/// `token` besides, but for those of other tokens.
const MISNAMED: [&str; 8] = [
    "auth",
    "bearer",
    "credentials",
    "jwt",
    "xauth",
    "xauthorization",
    "authorizationheader",
    "apikey",
];
const OTHER_TOKENS: [&str; 3] = ["csrf", "xsrf", "device"];

/// Longest key that is told back, in characters.
const MAX_KEY: usize = 32;

/// The key of a `connection_init` payload, or of its `headers`, that seems to carry a token and is
/// none of those that are looked at, or whose value is no text.
pub(super) fn misnamed_token(payload: &RawValue) -> Option<String> {
    let payload: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(payload.get()).ok()?;
    let headers = payload
        .get("headers")
        .and_then(serde_json::Value::as_object);
    let seems_token = |(key, value): &(&String, &serde_json::Value)| {
        let name: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        let is_known = matches!(&*name, "authorization" | "accesstoken" | "token");
        let is_token = MISNAMED.contains(&&*name)
            || (name.ends_with("token") && !OTHER_TOKENS.iter().any(|other| name.contains(other)));
        match value {
            serde_json::Value::String(text) => (is_token || is_known) && !text.trim().is_empty(),
            serde_json::Value::Null | serde_json::Value::Bool(_) => false,
            _ => is_token || is_known,
        }
    };
    let mut fields = payload.iter().chain(headers.into_iter().flatten());
    let (key, _) = fields.find(seems_token)?;
    Some(key.chars().take(MAX_KEY).collect())
}

/// Tells which keys carry a token, in as many bytes as a close frame has.
pub(super) fn told_of(key: &str) -> String {
    format!(
        "'{key}' is not read: send the token as a string in 'authorization', 'accessToken' or 'token'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_under_another_name_is_noticed() {
        let key = |payload: &str| {
            let payload: Box<RawValue> = serde_json::from_str(payload).unwrap();
            misnamed_token(&payload)
        };
        for (payload, found) in [
            (r#"{"authToken":"abc"}"#, "authToken"),
            (r#"{"x":1,"access_token":"abc"}"#, "access_token"),
            (r#"{"AccessToken":"abc"}"#, "AccessToken"),
            (r#"{"headers":{"X-Auth":"abc"}}"#, "X-Auth"),
            (r#"{"jwt":"abc"}"#, "jwt"),
            (r#"{"authorization":{"bearer":"abc"}}"#, "authorization"),
            (r#"{"token":7}"#, "token"),
        ] {
            assert_eq!(key(payload).as_deref(), Some(found), "{payload}");
            assert!(told_of(&"x".repeat(MAX_KEY)).len() <= 123);
        }
        for payload in [
            "{}",
            r#"{"authToken":""}"#,
            r#"{"authToken":null}"#,
            r#"{"authenticated":"yes","author":"ada"}"#,
            r#"{"x-csrf-token":"abc","deviceToken":"abc"}"#,
            r#"{"headers":7}"#,
        ] {
            assert_eq!(key(payload), None, "{payload}");
        }
    }
}
