//! The example file, which documents every setting: `talksy.example.toml`, as it follows from
//! the declarations.

use super::section::{SectionInfo, SettingInfo};

/// How long a line of comment may be, in characters.
const WIDTH: usize = 98;

const HEADER: &str = "\
# Talksy's settings. Each is shown with its default, or with an example where there is none: take
# out the `#` before a line to change it. `make example` writes this file from the code.
#
# The server reads `talksy.toml` in its working directory, or the file that `--config` or
# TALKSY_CONFIG names. Over the file go environment variables (TALKSY_LISTEN,
# TALKSY_LIMITS__SEND__BURST: a double underscore between section and setting) and over those
# the command line (`--set limits.send.burst=50`). `talksy check-config` shows the outcome.
# Durations are written as \"30s\", \"5m\", \"1h 30m\", \"30days\".";

/// The text of the file.
pub(super) fn render(sections: &[SectionInfo]) -> String {
    let mut lines = vec![HEADER.to_owned()];
    for section in sections {
        let outside = section.path.is_empty();
        if !outside {
            lines.push(String::new());
            lines.extend(comment(&section.about));
            lines.push(format!("#[{}]", section.path));
        }
        for setting in &section.settings {
            if outside {
                lines.push(String::new());
            }
            let name = setting.name.rsplit('.').next().unwrap_or_default();
            lines.extend(comment(&about(setting)));
            lines.push(format!("#{name} = {}", shown(setting)));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What the setting is for, its bounds, and its rules where no example shows what they demand.
fn about(setting: &SettingInfo) -> String {
    let mut sentences = vec![setting.about.clone()];
    sentences.extend(setting.bounds.as_ref().map(|bounds| format!("{bounds}.")));
    if setting.example.is_none() {
        sentences.extend(setting.rules.iter().map(|rule| format!("Must {rule}.")));
    }
    sentences.join(" ")
}

fn shown(setting: &SettingInfo) -> String {
    let example = || Some(toml::Value::from(setting.example?).to_string());
    setting.default.clone().or_else(example).unwrap_or_default()
}

/// The lines of comment that hold the words of `paragraph`.
fn comment(paragraph: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::from("#");
    for word in paragraph.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, String::from("#")));
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push(line);
    lines
}
