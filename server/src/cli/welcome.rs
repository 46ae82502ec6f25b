//! What a server that is started by hand says on the terminal: where to look.

use std::fmt::Write as _;

use crate::config::Config;

/// Where the pages are, at this URL, and where sign-in codes come; for a person who has just started the
/// server.
pub fn welcome(config: &Config, url: &str) -> String {
    let mut text = String::from("\n  Talksy is ready.\n\n");
    let trusted_only = config.http.documents.trusted_only;
    let places = [
        ("Web chat", "/", config.http.web_chat && !trusted_only),
        (
            "GraphiQL",
            "/graphiql",
            config.http.graphiql && !trusted_only,
        ),
        ("GraphQL", "/graphql", true),
    ];
    for (name, path, is_there) in places {
        if is_there {
            // Writing to memory cannot fail.
            let _ = writeln!(text, "      {name:<10} {url}{path}");
        }
    }
    text.push('\n');
    if config.shows_codes() {
        text.push_str("  No mail server is set: sign-in codes appear here.\n");
        text.push_str("  `talksy demo` shows a server with people in it.\n\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_what_is_served() {
        let mut config = Config::default();
        let said = welcome(&config, "http://127.0.0.1:4000");
        for part in [
            "Web chat   http://127.0.0.1:4000/\n",
            "GraphiQL   http://127.0.0.1:4000/graphiql\n",
            "GraphQL    http://127.0.0.1:4000/graphql\n",
            "sign-in codes appear here",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        config.http.web_chat = false;
        config.smtp_url = Some("smtp://localhost".to_owned().into());
        let said = welcome(&config, "https://chat.example.org");
        assert!(
            !said.contains("Web chat") && !said.contains("codes"),
            "{said}"
        );
        config.http.documents.trusted_only = true;
        assert!(!welcome(&config, "https://x").contains("GraphiQL"));
    }
}
