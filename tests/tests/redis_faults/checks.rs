//! What is told before the start.

use secrecy::SecretString;
use talksy_redis::PrepareError;
use talksy_tests::servers::redis::RedisServer;
use talksy_tests::soon;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::closed;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_before_the_start() {
    let server = RedisServer::with("requirepass s3cret").await;
    let port = server.0.port;
    let prepare = async |url: &str| closed(&SecretString::from(url)).prepare().await;
    for password in ["", ":wr0ng@"] {
        let error = prepare(&format!("redis://{password}127.0.0.1:{port}")).await;
        let error = error.unwrap_err();
        assert!(matches!(error, PrepareError::Credentials(_)), "{error:?}");
        assert!(!error.is_transient());
        assert!(!format!("{error:?}").contains("wr0ng"));
    }
    prepare(&format!("redis://:s3cret@127.0.0.1:{port}/5"))
        .await
        .unwrap();
    let setuser = [
        "ACL", "SETUSER", "guest", "on", ">pw", "+ping", "+hello", "~*", "&*",
    ];
    server
        .run(&[&["-a", "s3cret", "--no-auth-warning"], &setuser[..]].concat())
        .await;
    let error = prepare(&format!("redis://guest:pw@127.0.0.1:{port}")).await;
    assert!(
        matches!(error, Err(PrepareError::Permission(_))),
        "{error:?}"
    );

    let plain = RedisServer::start().await;
    for form in [
        "redis+cluster://127.0.0.1:{}",
        "redis+sentinel://127.0.0.1:{}/x",
    ] {
        let error = prepare(&form.replace("{}", &plain.0.port.to_string())).await;
        assert!(matches!(error, Err(PrepareError::Layout(_))), "{error:?}");
    }

    let nobody = format!("redis://127.0.0.1:{}", talksy_tests::servers::free_port());
    let error = prepare(&nobody).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_is_refused() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    for _ in text.matches("PING") {
                        stream.write_all(b"+PONG\r\n").await.unwrap();
                    }
                    for _ in text.matches("HELLO") {
                        let hello = "%2\r\n$7\r\nversion\r\n$5\r\n6.2.7\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n";
                        stream.write_all(hello.as_bytes()).await.unwrap();
                    }
                    for _ in text.matches("SETINFO") {
                        stream.write_all(b"+OK\r\n").await.unwrap();
                    }
                }
            });
        }
    });
    let url = SecretString::from(format!("redis://127.0.0.1:{port}"));
    let error = soon("the check", closed(&url).prepare()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Redis 7 or newer is needed; this is version 6.2.7"
    );
    assert!(!error.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (
        folder.path().join("key.pem"),
        folder.path().join("cert.pem"),
    );
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    assert!(made.unwrap().status.success(), "openssl is needed");
    let port = talksy_tests::servers::free_port();
    let _server = RedisServer::with(&format!(
        "tls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-auth-clients no",
        certificate.display(),
        key.display()
    ))
    .await;
    let url = SecretString::from(format!("rediss://localhost:{port}"));
    let error = soon("the check", closed(&url).prepare()).await.unwrap_err();
    assert!(matches!(error, PrepareError::Certificate(_)), "{error:?}");
    assert!(!error.is_transient());
}
