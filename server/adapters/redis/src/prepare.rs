//! Whether Redis is there and fit for use. Asked once, before the server starts.

use redis::Value;

use super::fault::{Fault, PrepareError};
use super::hello::Hello;
use super::location::Layout;
use super::script::Script;
use super::servers::Servers;

/// The oldest version that will do: the first with sharded channels.
const MIN_VERSION: u32 = 7;

/// Checks servers, their version and kind, and what our user may do there.
pub(super) async fn prepare(servers: &Servers, prefix: &str) -> Result<(), PrepareError> {
    let map = match servers.map().await {
        Ok(map) => map,
        Err(fault) => return Err(misread(servers, fault)),
    };
    if let Some(slot) = map.gap() {
        return Err(Fault::NoNode(slot).into());
    }
    for node in map.nodes() {
        check_server(servers, node.query(&redis::cmd("HELLO")).await?)?;
    }
    check_permissions(servers, prefix).await?;
    Ok(())
}

/// A deployment of another kind does not know the question for the map.
fn misread(servers: &Servers, fault: Fault) -> PrepareError {
    if fault.code() == Some("ERR") {
        match servers.location.layout {
            Layout::Cluster => {
                return PrepareError::Layout(
                    "it is no node of a Cluster; one server is written redis://host",
                );
            }
            Layout::Sentinel(_) => {
                return PrepareError::Layout(
                    "it is no Sentinel; one server is written redis://host",
                );
            }
            Layout::Standalone => {}
        }
    }
    fault.into()
}

fn check_server(servers: &Servers, hello: Value) -> Result<(), PrepareError> {
    let Hello { version, mode, .. } = Hello::read(hello)?;
    let wrong = match (mode.as_str(), &servers.location.layout) {
        ("cluster", Layout::Standalone | Layout::Sentinel(_)) => {
            Some("it is a node of a Cluster, which is written redis+cluster://host,host")
        }
        ("sentinel", _) => {
            Some("it is a Sentinel, which is written redis+sentinel://host:26379/master-name")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(PrepareError::Layout(wrong));
    }
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if major.unwrap_or(0) < MIN_VERSION {
        return Err(PrepareError::TooOld(version));
    }
    Ok(())
}

/// Does a little of everything that will be done.
async fn check_permissions(servers: &Servers, prefix: &str) -> Result<(), Fault> {
    let script = Script::new(include_str!("scripts/probe.lua"));
    let key = format!("{prefix}probe:{{0}}");
    servers.script(&script, &[&key], &[]).await?;

    let channel = format!("{prefix}bus:probe");
    let (publish, subscribe) = if servers.is_cluster() {
        ("SPUBLISH", "SSUBSCRIBE")
    } else {
        ("PUBLISH", "SUBSCRIBE")
    };
    let mut probe = redis::cmd(publish);
    probe.arg(&channel).arg("");
    servers.query(&channel, &probe).await?;

    let map = servers.map().await?;
    let node = map.owner(servers.slot(&channel))?;
    let mut connection = node.dedicated(|_| Ok::<_, ()>(())).await?;
    let mut probe = redis::pipe();
    probe.cmd(subscribe).arg(&channel);
    let answers = connection.send_packed_commands(&probe, 0, 1).await?;
    for answer in answers {
        if let Value::ServerError(error) = answer {
            return Err(Fault::Redis(error.into()));
        }
    }
    Ok(())
}
