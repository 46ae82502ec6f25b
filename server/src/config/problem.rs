//! What is wrong with a configuration: all of it at once, each problem naming the setting and
//! the rule. A setting's value is never repeated, since it may be a secret.

use std::fmt;

/// One broken rule. Reads as a sentence: "`setting` rule (origin)".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting's dotted name, or empty where a whole source does not parse.
    pub setting: String,
    /// The rule, as the end of a sentence: "must be …".
    pub rule: String,
    /// Where the value came from: `in talksy.toml`, `from TALKSY_LISTEN`.
    pub origin: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.setting.is_empty() {
            write!(f, "`{}` ", self.setting)?;
        }
        f.write_str(&self.rule)?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

/// A configuration that cannot be used, with every reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one problem, in the order of the settings' names.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("The configuration has a problem:")?,
            count => write!(f, "The configuration has {count} problems:")?,
        }
        for problem in &self.problems {
            write!(f, "\n  - {problem}")?;
        }
        Ok(())
    }
}

/// Collects problems while the sections check themselves.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// `setting` breaks `rule`: "must be …".
    pub(super) fn add(&mut self, setting: impl Into<String>, rule: impl Into<String>) {
        self.0.push(Problem {
            setting: setting.into(),
            rule: rule.into(),
            origin: None,
        });
    }

    /// The problems that were found.
    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}
