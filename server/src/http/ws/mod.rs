//! GraphQL over WebSocket: the upgrade, and what serves an upgraded socket.
//!
//! One task drives each socket ([`socket`]): it reads messages, writes what waits in the
//! [`send_queue`] and keeps the deadlines. What messages mean is in [`connection`], how they look in
//! [`protocol`]. Each operation is a task of its own ([`operation`]).

mod close;
mod connection;
mod misnamed_token;
mod operation;
mod pace;
mod protocol;
mod send_queue;
mod socket;

use std::future::ready;
use std::sync::Arc;

use axum::extract::FromRequestParts as _;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::{IntoResponse as _, Response};
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use talksy_domain::error::ErrorCode;

use super::Transports;
use super::client::{bearer_token, client_info, counted_address, is_trusted_peer, not_bearer};
use super::observe;
use super::origins::may_connect;
use super::reply::Malformed;
pub(super) use close::Close;
use connection::Connection;
pub(super) use connection::payloads;
use protocol::Protocol;
pub(super) use send_queue::SendQueue;
use socket::Socket;

/// Bytes read at a time, kept by each socket. Messages are mostly smaller.
const READ_BUFFER: usize = 1024;

/// Frames that wait are gathered up to this many bytes for one system call. Taken only while
/// there is something to write, and kept by sockets that once had that much.
const WRITE_BUFFER: usize = 16 * 1024;

/// The first subprotocol of the client's list that is spoken here. axum keeps no order.
fn preferred(headers: &HeaderMap) -> Option<Protocol> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let mut names = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    names.find_map(|name| Protocol::named(name.trim()))
}

/// Upgrades a `GET /graphql`. Without a subprotocol that is spoken here, the socket is closed
/// with 4406 at once, since a browser cannot see the status of a failed upgrade.
pub(super) async fn upgrade(server: Arc<Transports>, parts: &mut Parts) -> Response {
    let upgrade = match WebSocketUpgrade::from_request_parts(parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let config = &server.config;
    let is_proxied = is_trusted_peer(&config.trusted_proxies, &parts.extensions);
    if !may_connect(&config.cors_origins, &parts.headers, is_proxied) {
        let message = "Pages of this origin may open no socket (`http.cors_origins`).";
        return Malformed::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message).reply(None);
    }
    let limits = &config.websocket;
    let mut upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(limits.max_message_bytes)
        .max_frame_size(limits.max_message_bytes);
    // The client lists them in the order of its preference (RFC 6455, 4.1).
    let protocol = preferred(&parts.headers);
    if let Some(protocol) = protocol {
        upgrade.set_selected_protocol(HeaderValue::from_static(protocol.name()));
    }
    let client = client_info(&config.trusted_proxies, parts);
    let address = counted_address(&config.trusted_proxies, &client);
    let admitted = match protocol {
        None => Err(Close::NO_SUBPROTOCOL),
        // Nobody is signed in until the token of `connection_init` is proved.
        Some(protocol) => match server.shares.take(address, None) {
            Ok(share) => Ok((protocol, share)),
            Err(bound) => Err(Close::full(bound)),
        },
    };
    let credentials =
        bearer_token(&parts.headers).map(|token| token.map(Box::from).map_err(|_| not_bearer()));
    // So that a stop waits for the socket.
    let counted = server.tasks.token();
    // The socket has a task of its own: that of the upgrade has room for all that an upgrade takes,
    // and would keep it as long as the socket is open.
    upgrade.on_upgrade(move |stream| {
        match admitted {
            Ok((protocol, share)) => {
                let held = (counted, observe::open(protocol.name()));
                let connection = Connection::new(server, protocol, client, credentials, share);
                tokio::spawn(Socket::new(stream, connection).run(held));
            }
            Err(close) => {
                let timeout = server.config.websocket.close_timeout;
                let closing = socket::close(stream, Some(close), timeout);
                tokio::spawn(async move {
                    closing.await;
                    drop(counted);
                });
            }
        }
        ready(())
    })
}
