//! What a mail says: templates compiled into the binary.

use std::time::Duration;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use talksy_domain::mail::MailContent;

/// A rendered mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The subject, on one line.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The same in HTML.
    pub html: String,
}

/// The templates, parsed.
pub struct Templates(Environment<'static>);

impl Templates {
    /// Parses the templates. HTML is escaped, and a variable that is not given is an error.
    ///
    /// # Errors
    /// Where a template does not parse.
    pub fn new() -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|name| {
            if std::path::Path::new(name)
                .extension()
                .is_some_and(|kind| kind == "html")
            {
                AutoEscape::Html
            } else {
                AutoEscape::None
            }
        });
        templates.add_template(
            "code.subject",
            include_str!("../templates/sign_in_code.subject.txt"),
        )?;
        templates.add_template("code.txt", include_str!("../templates/sign_in_code.txt"))?;
        templates.add_template("code.html", include_str!("../templates/sign_in_code.html"))?;
        templates.add_template(
            "deletion.subject",
            include_str!("../templates/account_deletion_code.subject.txt"),
        )?;
        templates.add_template(
            "deletion.txt",
            include_str!("../templates/account_deletion_code.txt"),
        )?;
        templates.add_template(
            "deletion.html",
            include_str!("../templates/account_deletion_code.html"),
        )?;
        templates.add_template(
            "no_account.subject",
            include_str!("../templates/no_account.subject.txt"),
        )?;
        templates.add_template(
            "no_account.txt",
            include_str!("../templates/no_account.txt"),
        )?;
        templates.add_template(
            "no_account.html",
            include_str!("../templates/no_account.html"),
        )?;
        Ok(Self(templates))
    }

    /// Renders a mail.
    ///
    /// # Errors
    /// Where a template fails.
    pub fn render(&self, content: &MailContent) -> Result<Rendered, minijinja::Error> {
        let valid_for = spell(Duration::from_secs(u64::from(content.expires_in())));
        let (name, variables) = match content {
            MailContent::SignInCode { code, .. } => ("code", context! { code, valid_for }),
            MailContent::AccountDeletionCode { code, .. } => {
                ("deletion", context! { code, valid_for })
            }
            MailContent::NoAccount { .. } => ("no_account", context! {}),
        };
        let part = |kind: &str| {
            let template = self.0.get_template(&format!("{name}.{kind}"))?;
            template.render(&variables)
        };
        Ok(Rendered {
            subject: part("subject")?.trim().to_owned(),
            text: part("txt")?,
            html: part("html")?,
        })
    }
}

/// A time span in words, rounded down to whole minutes from two minutes on.
fn spell(span: Duration) -> String {
    match span.as_secs() {
        1 => "1 second".to_owned(),
        seconds @ 0..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_the_code_and_html_is_escaped() {
        let content = MailContent::SignInCode {
            code: "<042>".into(),
            expires_in: 300,
        };
        let mail = Templates::new().unwrap().render(&content).unwrap();
        assert_eq!(mail.subject, "<042> is your Talksy sign-in code");
        assert!(mail.text.contains("    <042>\n"));
        assert!(mail.text.contains("valid for 5 minutes"));
        assert!(mail.html.contains("&lt;042&gt;") && !mail.html.contains("<042>"));
    }

    #[test]
    fn whoever_is_about_to_delete_an_account_is_told_what_the_code_does() {
        let content = MailContent::AccountDeletionCode {
            code: "<042>".into(),
            expires_in: 300,
        };
        let mail = Templates::new().unwrap().render(&content).unwrap();
        assert_eq!(mail.subject, "<042> deletes your Talksy account");
        assert!(mail.text.contains("    <042>\n"));
        assert!(mail.html.contains("&lt;042&gt;") && !mail.html.contains("<042>"));
        for part in [&mail.text, &mail.html] {
            assert!(part.contains("valid for 5 minutes"), "{part}");
            assert!(part.contains("cannot be undone"), "{part}");
            assert!(!part.contains("sign-in code"), "{part}");
        }
    }

    #[test]
    fn who_has_no_account_is_told_so_and_given_no_code() {
        let content = MailContent::NoAccount { expires_in: 300 };
        let mail = Templates::new().unwrap().render(&content).unwrap();
        assert_eq!(mail.subject, "There is no Talksy account of this address");
        for part in [&mail.text, &mail.html] {
            assert!(part.contains("makes no new account"), "{part}");
            // Nothing in it could be taken for a code.
            let digits = part.split(|c: char| !c.is_ascii_digit());
            assert!(digits.into_iter().all(|run| run.len() < 6), "{part}");
        }
    }
}
