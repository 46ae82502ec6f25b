//! What the binary serves: what an operator has configured, or the demo, with the demo's own flags.

use std::time::Duration;

use clap::Args;

use crate::config::Config;
use crate::demo::Demo;

/// What the server is run with.
pub enum Serving {
    /// The configuration of an operator.
    Usual(Box<Config>),
    /// What `talksy demo` shows.
    Demo(Box<Demo>),
}

impl Serving {
    /// The configuration.
    pub fn config(&self) -> &Config {
        match self {
            Self::Usual(config) => config,
            Self::Demo(demo) => &demo.config,
        }
    }
}

/// How the demo goes.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DemoArgs {
    /// Open no browser
    #[arg(long)]
    pub no_open: bool,
    /// How long the bot rests between two things that it does, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1_500,
        value_parser = clap::value_parser!(u32).range(20..=60_000))]
    pub pause: u32,
}

impl DemoArgs {
    /// How long the bot rests.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(self.pause.into())
    }
}
