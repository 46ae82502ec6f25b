//! How long the server takes from the start of its process until it is ready.

use std::path::Path;

use super::outcome::Outcome;
use super::process::Home;

/// Milliseconds of so many starts, each in a new data directory.
pub(super) async fn fresh(binary: &Path, starts: usize) -> Outcome<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..starts {
        let home = Home::new(binary)?;
        let (server, took) = home.start().await?;
        server.stop().await?;
        times.push(took.as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// The same in a data directory with all that is in it; nobody may use it meanwhile.
pub(super) async fn existing(home: &Home, starts: usize) -> Outcome<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..starts {
        let (server, took) = home.start().await?;
        server.stop().await?;
        times.push(took.as_secs_f64() * 1e3);
    }
    Ok(times)
}
