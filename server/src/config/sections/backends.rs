//! How the servers and files behind the ports are used. Where they are is said outside of any
//! section, by URLs.

use std::path::PathBuf;

use crate::config::section::section;
use crate::config::values::{Mailbox, is_name};

/// What a name on a backend looks like: [`is_name`].
const BE_A_NAME: &str = "be 1 to 100 letters, digits, `.`, `-`, `_` or `:`";

section! {
    /// How mail is sent.
    pub struct MailConfig {
        /// The sender of every mail.
        from: Mailbox = Mailbox::placeholder();
        /// The file of the authorities, in PEM, that the mail server's certificate may come from.
        /// Without it: the public ones.
        smtp_ca_file: Option<PathBuf> = None, such as "/etc/talksy/mail-ca.pem";
        /// Whether a password in `smtp_url` may go to another machine over a connection that is not
        /// certain to be encrypted: plain `smtp://`, or `?tls=opportunistic`.
        plain_credentials: bool = false;
        /// Whether a server without `smtp_url` may write mails to files also where `listen` lets
        /// other machines connect. Sign-in codes lie in them; the log has them on a loopback
        /// address alone.
        outbox: bool = false;
    }
}

section! {
    /// The embedded SQLite store.
    pub struct StoreConfig {
        /// How many connections read beside the one that writes. 0 for as many as there are
        /// cores, but at least 2 and at most 16.
        readers: usize = 0, in 0..=64;
        /// After how many pages of 4 KiB the write-ahead log is moved into the database.
        checkpoint_pages: u32 = 4_096, in 100..=1_000_000;
    }
}

section! {
    /// How Redis is used.
    pub struct RedisConfig {
        /// What all keys and channels begin with: deployments that share a Redis differ in it.
        prefix: String = "talksy:".to_owned(), must BE_A_NAME => |redis| is_name(&redis.prefix);
    }
}

section! {
    /// How RabbitMQ is used.
    pub struct AmqpConfig {
        /// What the queues' names start with; the worker's `--prefix`.
        prefix: String = "talksy.mail".to_owned(), must BE_A_NAME => |amqp| is_name(&amqp.prefix);
    }
}
