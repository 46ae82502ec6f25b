//! The worker's process: from settings to a consumer that has stopped in order.

use std::process;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::amqp::{AmqpConsumer, ConsumerState};
use crate::cli::Cli;
use crate::health;

/// Runs the worker until it is told to stop.
///
/// # Errors
/// Where a setting is wrong, or the broker refuses or stays away for too long at the start.
pub async fn run(cli: &Cli) -> Result<(), Box<dyn std::error::Error>> {
    let (stop, abandon) = (CancellationToken::new(), CancellationToken::new());
    on_signals(stop.clone(), abandon.clone(), cli.process.drain)?;
    let worker = cli.mail.worker()?;
    let consumer = AmqpConsumer::new(cli.queue.url()?, &cli.queue.options(), worker)?;
    let mut state = consumer.state();

    let listen = cli.process.listen;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let address = listener.local_addr()?;
    tracing::info!("health is served at http://{address}/readyz");
    let served = axum::serve(listener, health::router(consumer.state()));
    let until = stop.clone();
    tokio::spawn(
        served
            .with_graceful_shutdown(until.cancelled_owned())
            .into_future(),
    );

    let taking = consumer.run(stop.clone(), abandon);
    tokio::pin!(taking);
    let started = tokio::time::timeout(cli.process.start_timeout, consuming(&mut state));
    tokio::select! {
        ended = &mut taking => return Ok(ended?),
        started = started => if started.is_err() && !stop.is_cancelled() {
            let ConsumerState::Waiting(reason) = state.borrow().clone() else {
                return Ok(taking.await?);
            };
            let waited = humantime::format_duration(cli.process.start_timeout);
            return Err(format!("RabbitMQ was waited for in vain for {waited}: {reason}").into());
        },
    }
    taking.await?;
    tracing::info!("stopped");
    Ok(())
}

/// Resolves when jobs are taken.
async fn consuming(state: &mut watch::Receiver<ConsumerState>) {
    let consuming = state.wait_for(|state| *state == ConsumerState::Consuming);
    if consuming.await.is_err() {
        // The consumer has ended, which whoever waits is told by other means.
        std::future::pending::<()>().await;
    }
}

/// The first signal stops in order, within the drain time; the second at once.
fn on_signals(
    stop: CancellationToken,
    abandon: CancellationToken,
    drain: Duration,
) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let (name, _) = either(&mut interrupt, &mut terminate).await;
        tracing::info!(signal = name, "stopping; a second signal stops at once");
        stop.cancel();
        tokio::select! {
            () = tokio::time::sleep(drain) => abandon.cancel(),
            (name, code) = either(&mut interrupt, &mut terminate) => {
                tracing::warn!(signal = name, "stopped at once");
                process::exit(code);
            }
        }
    });
    Ok(())
}

/// The next of both signals: its name and the exit code that a shell gives it.
async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = interrupt.recv() => ("SIGINT", 130),
        _ = terminate.recv() => ("SIGTERM", 143),
    }
}
