//! Collects the sources: each becomes a layer of values, and knows where a person finds them.

use std::path::{Path, PathBuf};
use std::{fs, io};

use figment::value::{Dict, Value};

use super::Config;
use super::problem::{ConfigError, Problem};
use super::read::read;
use super::tree::{find, insert};

/// The file that is read when none is named. It need not exist.
pub const DEFAULT_FILE: &str = "talksy.toml";

/// What every environment variable of the configuration begins with.
pub const ENV_PREFIX: &str = "TALKSY_";

/// What the mail worker's own variables begin with, behind [`ENV_PREFIX`]: both processes may
/// share one environment.
const WORKER_PREFIX: &str = "MAIL_WORKER_";

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
pub(super) struct Layer {
    pub(super) kind: LayerKind,
    pub(super) values: Dict,
}

/// Which source.
pub(super) enum LayerKind {
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
    pub(super) fn origin(&self, path: &[String]) -> Option<String> {
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

/// Reads every source, then checks the rules of every section.
pub(super) fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut problems = Vec::new();
    let mut layers = vec![defaults()?, file(sources, &mut problems)];
    layers.push(variables(&sources.environment));
    layers.push(flags(&sources.overrides));

    let config = read(&mut layers, &mut problems);
    if let Some(config) = &config {
        problems.extend(config.problems().into_iter().map(|problem| {
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
        .filter(|(name, _)| !is_service_link(name) && !name.starts_with(WORKER_PREFIX))
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
