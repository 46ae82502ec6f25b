//! Reads the sources and lays them over each other.
//!
//! Serde stops at the first error; a person wants all of them. So the loader reads the merged
//! values, notes the error, takes the offending value out of the source it came from, which lets
//! the source below show through, and reads again until everything fits. Only then are the
//! sections' own rules checked.

use std::path::{Path, PathBuf};
use std::{fs, io};

use figment::error::{Actual, Kind};
use figment::value::{Dict, Value};

use super::Config;
use super::problem::{ConfigError, Problem, Problems};

/// The file that is read when none is named. It need not exist.
pub const DEFAULT_FILE: &str = "talksy.toml";

/// What every environment variable of the configuration begins with.
pub const ENV_PREFIX: &str = "TALKSY_";

/// Names the configuration file, and so is no setting.
const FILE_VARIABLE: &str = "TALKSY_CONFIG";

/// Where the configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; it must exist. `None`: [`DEFAULT_FILE`] where that exists.
    pub file: Option<PathBuf>,
    /// The environment. Variables without [`ENV_PREFIX`] and empty ones are passed over.
    pub environment: Vec<(String, String)>,
    /// Settings from the command line, as dotted names with values, the last one winning.
    pub overrides: Vec<(String, String)>,
}

/// One source's values.
struct Layer {
    kind: LayerKind,
    values: Dict,
}

enum LayerKind {
    Defaults,
    File(PathBuf),
    Environment,
    CommandLine,
}

impl Layer {
    fn new(kind: LayerKind) -> Self {
        Self {
            kind,
            values: Dict::new(),
        }
    }

    /// Where a person finds the setting in this source.
    fn origin(&self, path: &[String]) -> Option<String> {
        match &self.kind {
            LayerKind::Defaults => None,
            LayerKind::File(file) => Some(format!("in {}", file.display())),
            LayerKind::Environment => Some(format!(
                "from {ENV_PREFIX}{}",
                path.join("__").to_uppercase()
            )),
            LayerKind::CommandLine => Some("from the command line".to_owned()),
        }
    }
}

pub(super) fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut problems = Vec::new();
    let mut layers = vec![defaults()?, file(sources, &mut problems)];
    layers.push(variables(&sources.environment));
    layers.push(flags(&sources.overrides));

    let config = read(&mut layers, &mut problems);
    if let Some(config) = &config {
        let mut broken = Problems::default();
        config.check(&mut broken);
        problems.extend(broken.into_vec().into_iter().map(|problem| {
            let path: Vec<String> = problem.setting.split('.').map(str::to_owned).collect();
            let origin = layers
                .iter()
                .rev()
                .find(|layer| find(&layer.values, &path).is_some());
            Problem {
                origin: origin.and_then(|layer| layer.origin(&path)),
                ..problem
            }
        }));
    }
    problems.sort_by(|a, b| a.setting.cmp(&b.setting));
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError { problems }),
    }
}

/// The values that hold where no source says otherwise.
fn defaults() -> Result<Layer, ConfigError> {
    match Value::serialize(Config::default()) {
        Ok(Value::Dict(_, values)) => Ok(Layer {
            kind: LayerKind::Defaults,
            values,
        }),
        // Unreachable short of a programming error, which every test would meet.
        other => Err(whole_source(format!(
            "the defaults do not serialise: {other:?}"
        ))),
    }
}

fn file(sources: &Sources, problems: &mut Vec<Problem>) -> Layer {
    let path = sources.file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    let mut layer = Layer::new(LayerKind::File(path.to_owned()));
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && sources.file.is_none() => {
            return layer;
        }
        Err(error) => {
            problems.extend(
                whole_source(format!("{} cannot be read: {error}", path.display())).problems,
            );
            return layer;
        }
    };
    match text.parse::<toml::Table>() {
        Ok(table) => {
            if let Ok(Value::Dict(_, values)) = Value::serialize(table) {
                layer.values = values;
            }
        }
        // The parser's own text quotes the line, which may hold a secret.
        Err(error) => {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let what = format!(
                "{} is not TOML: line {line}: {}",
                path.display(),
                error.message()
            );
            problems.extend(whole_source(what).problems);
        }
    }
    layer
}

fn whole_source(rule: String) -> ConfigError {
    ConfigError {
        problems: vec![Problem {
            setting: String::new(),
            rule,
            origin: None,
        }],
    }
}

fn variables(environment: &[(String, String)]) -> Layer {
    let mut layer = Layer::new(LayerKind::Environment);
    let mut variables: Vec<_> = environment
        .iter()
        .filter(|(name, value)| name != FILE_VARIABLE && !value.is_empty())
        .filter_map(|(name, value)| Some((name.strip_prefix(ENV_PREFIX)?, value)))
        .filter(|(name, _)| !is_service_link(name))
        .collect();
    variables.sort();
    for (name, value) in variables {
        let path: Vec<String> = name.to_lowercase().split("__").map(str::to_owned).collect();
        insert(&mut layer.values, &path, guess(value));
    }
    layer
}

/// Kubernetes gives every pod the addresses of its namespace's services; those of a service named
/// `talksy` look like settings: `TALKSY_SERVICE_HOST`, `TALKSY_PORT_4000_TCP_ADDR`.
fn is_service_link(name: &str) -> bool {
    name == "PORT"
        || name == "SERVICE_HOST"
        || name == "SERVICE_PORT"
        || name.starts_with("SERVICE_PORT_")
        || name
            .strip_prefix("PORT_")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn flags(overrides: &[(String, String)]) -> Layer {
    let mut layer = Layer::new(LayerKind::CommandLine);
    for (name, value) in overrides {
        let path: Vec<String> = name.split('.').map(str::to_owned).collect();
        insert(&mut layer.values, &path, guess(value));
    }
    layer
}

/// A text as number, boolean, list or table where it looks like one. What the setting's type
/// then refuses is tried again as the text it was.
fn guess(text: &str) -> Value {
    match text.parse::<Value>() {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// Deserialises the merged layers; takes what does not fit out of them, a problem each.
fn read(layers: &mut [Layer], problems: &mut Vec<Problem>) -> Option<Config> {
    // The value that is tried as a text, and the rule it broke as what it looked like.
    let mut retried: Option<(Vec<String>, String)> = None;
    loop {
        let mut merged = Dict::new();
        for layer in layers.iter() {
            overlay(&mut merged, &layer.values);
        }
        let error = match Value::from(merged).deserialize::<Config>() {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let mut path = error.path.clone();
        let Some(layer) = topmost(layers, &mut path) else {
            problems.push(Problem {
                setting: error.path.join("."),
                rule: rule(&error.kind),
                origin: None,
            });
            return None;
        };
        let before = retried.take().filter(|(tried, _)| *tried == path);
        if before.is_none() && reread_as_text(layer, &path) {
            retried = Some((path, rule(&error.kind)));
            continue;
        }
        problems.push(Problem {
            setting: path.join("."),
            rule: before.map_or_else(|| rule(&error.kind), |(_, rule)| rule),
            origin: layer.origin(&path),
        });
        remove(&mut layer.values, &path);
    }
}

/// The topmost source that holds the value at `path`. An error inside of a list or of a value
/// that was given whole has a longer path than the value: it is cut to what is there.
fn topmost<'a>(layers: &'a mut [Layer], path: &mut Vec<String>) -> Option<&'a mut Layer> {
    while !path.is_empty() {
        let found = layers
            .iter()
            .rposition(|layer| find(&layer.values, path).is_some());
        if let Some(index) = found {
            let layer = &mut layers[index];
            return (!matches!(layer.kind, LayerKind::Defaults)).then_some(layer);
        }
        path.pop();
    }
    None
}

/// Undoes [`guess`] for a value that its setting refuses: `TALKSY_DATA_DIR=2026` is a path.
fn reread_as_text(layer: &mut Layer, path: &[String]) -> bool {
    if !matches!(layer.kind, LayerKind::Environment | LayerKind::CommandLine) {
        return false;
    }
    let text = match find(&layer.values, path) {
        Some(Value::Num(_, number)) => match number.to_actual() {
            Actual::Unsigned(n) => n.to_string(),
            Actual::Signed(n) => n.to_string(),
            Actual::Float(n) => n.to_string(),
            _ => return false,
        },
        Some(Value::Bool(_, value)) => value.to_string(),
        Some(Value::Char(_, value)) => value.to_string(),
        _ => return false,
    };
    insert(&mut layer.values, path, Value::from(text));
    true
}

fn find<'a>(values: &'a Dict, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    match (values.get(first)?, rest) {
        (value, []) => Some(value),
        (Value::Dict(_, inner), rest) => find(inner, rest),
        _ => None,
    }
}

fn insert(values: &mut Dict, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        values.insert(first.clone(), value);
        return;
    }
    let entry = values
        .entry(first.clone())
        .or_insert_with(|| Value::from(Dict::new()));
    if !matches!(entry, Value::Dict(..)) {
        *entry = Value::from(Dict::new());
    }
    if let Value::Dict(_, inner) = entry {
        insert(inner, rest, value);
    }
}

fn remove(values: &mut Dict, path: &[String]) {
    match path {
        [] => {}
        [last] => {
            values.remove(last);
        }
        [first, rest @ ..] => {
            if let Some(Value::Dict(_, inner)) = values.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}

fn overlay(below: &mut Dict, above: &Dict) {
    for (name, value) in above {
        match (below.get_mut(name), value) {
            (Some(Value::Dict(_, inner)), Value::Dict(_, value)) => overlay(inner, value),
            _ => {
                below.insert(name.clone(), value.clone());
            }
        }
    }
}

/// What a type demands, as the end of a sentence, without repeating the value.
fn rule(kind: &Kind) -> String {
    match kind {
        Kind::Message(rule) => rule.clone(),
        Kind::UnknownField(_, known) => format!("is not a setting; there are {}", list(known)),
        Kind::UnknownVariant(_, known) => format!("must be one of {}", list(known)),
        Kind::InvalidType(actual, expected) => {
            format!("must be {}, not {}", wanted(expected), noun(actual))
        }
        Kind::InvalidValue(_, expected) => format!("must be {}", wanted(expected)),
        other => other.to_string(),
    }
}

fn list(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn wanted(expected: &str) -> &str {
    match expected {
        "u32" | "u64" | "usize" => "a whole number, zero or more",
        text if text.starts_with("struct ") => "a table of settings",
        text if text.starts_with("enum ") || text.starts_with("variant ") => "one of its names",
        text => text,
    }
}

fn noun(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Str(_) | Actual::Char(_) => "a string",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "what it is",
    }
}
