//! Settings as an operator may write them, in every source: what is wrong is told and nothing panics;
//! what is taken is written as it is read.

use talksy_fuzz::proptest::collection::vec;
use talksy_fuzz::proptest::prelude::*;
use talksy_fuzz::proptest::sample::select;
use talksy_fuzz::{Case, edited, fuzz};

use super::*;

/// Every setting but those whose value is never shown, and so cannot be read back.
fn settings() -> Vec<SettingInfo> {
    let sections = Config::describe().into_iter();
    let settings = sections.flat_map(|section| section.settings);
    settings
        .filter(|setting| !setting.name.ends_with("_url"))
        .collect()
}

/// Values that are some setting's, and such as are none's.
fn values() -> Vec<String> {
    let mut values: Vec<String> = settings()
        .into_iter()
        .flat_map(|setting| {
            let example = setting.example.map(str::to_owned);
            setting.default.into_iter().chain(example)
        })
        .collect();
    values.sort();
    values.dedup();
    values
}

const WORDS: [&str; 18] = [
    "0",
    "-1",
    "1e99",
    "18446744073709551616",
    "nan",
    "true",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    "days",
    "ms",
    "\n",
    "\u{0}",
    "\u{fe0f}",
];

/// A configuration is valid, and comes out of what is shown of it; or its problems are told.
fn is_sound(loaded: Result<Config, ConfigError>) -> Case {
    match loaded {
        Ok(config) => {
            let shown = config.to_toml();
            let shown = shown.map_err(|error| TestCaseError::fail(error.to_string()))?;
            let again = load(&shown, &[], &[]);
            let again = again.map_err(|error| TestCaseError::fail(format!("{error}: {shown}")))?;
            prop_assert_eq!(again.to_toml().ok(), Some(shown));
        }
        Err(error) => prop_assert!(!error.problems.is_empty() && !error.to_string().is_empty()),
    }
    Ok(())
}

#[test]
fn any_value_of_any_setting_is_answered_for() {
    let names: Vec<String> = settings().into_iter().map(|setting| setting.name).collect();
    let setting = (select(names), edited(values(), &WORDS));
    fuzz(&vec(setting, 1..4), |settings| {
        let pairs: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        is_sound(load("", &[], &pairs))?;
        let variables: Vec<(String, &str)> = pairs
            .iter()
            .map(|(name, value)| {
                let name = name.replace('.', "__").to_uppercase();
                (format!("TALKSY_{name}"), *value)
            })
            .collect();
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        is_sound(load("", &variables, &[]))
    });
}

#[test]
fn any_file_is_answered_for() {
    // The file that shows the defaults, without what explains them and without secrets.
    let lines = Config::example();
    let lines = lines.lines().filter_map(|line| line.strip_prefix('#'));
    let lines = lines.filter(|line| line.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()));
    let lines = lines.filter(|line| !line.contains("_url ="));
    let file = lines.collect::<Vec<_>>().join("\n");
    assert!(load(&file, &[], &[]).is_ok(), "{file}");
    fuzz(&edited(vec![file], &WORDS), |file| {
        is_sound(load(&file, &[], &[]))
    });
}

#[test]
fn a_duration_is_read_as_it_is_shown() {
    fuzz(&(0..=u64::from(u32::MAX) * 1_000), |millis| {
        let duration = Duration::from_millis(millis);
        let shown = duration::show(duration);
        let read = humantime_serde::re::humantime::parse_duration(&shown).ok();
        prop_assert_eq!(read, Some(duration), "{}", shown);
        Ok(())
    });
}
