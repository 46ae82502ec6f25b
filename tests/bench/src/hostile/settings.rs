//! The settings of the server under attack, as it tells them itself.

use std::path::Path;
use std::process::Command;

use crate::outcome::{Context as _, Outcome};

/// What `talksy check-config` prints.
pub(super) struct Settings(toml::Table);

impl Settings {
    /// Of this binary, without a configuration: its defaults.
    pub(super) fn of(binary: &Path) -> Outcome<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TALKSY_") {
                command.env_remove(name);
            }
        }
        let output = command
            .arg("check-config")
            .current_dir(folder.path())
            .output()
            .context("cannot ask for the settings")?;
        let text = String::from_utf8(output.stdout)?;
        text.parse().map(Self).context("cannot read the settings")
    }

    /// The setting of this dotted name, as a number of bytes.
    pub(super) fn bytes(&self, name: &str) -> Outcome<u64> {
        let found = self.number(name);
        found.context(format_args!("the server has no setting {name}"))
    }

    fn number(&self, name: &str) -> Option<u64> {
        let (sections, last) = name.rsplit_once('.').unwrap_or(("", name));
        let mut table = &self.0;
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            table = table.get(section)?.as_table()?;
        }
        u64::try_from(table.get(last)?.as_integer()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_found_by_its_name() {
        let text = "a = 1\n[http]\nb = 2\n[http.query]\nc = 3\n";
        let settings = Settings(text.parse().unwrap());
        for (name, value) in [("a", 1), ("http.b", 2), ("http.query.c", 3)] {
            assert_eq!(settings.bytes(name).unwrap(), value);
        }
        for name in ["http.none", "http", "none.b"] {
            assert!(settings.bytes(name).is_err(), "{name}");
        }
    }
}
