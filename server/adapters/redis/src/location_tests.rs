//! The forms of Redis URLs, and what is wrong with others.

use super::*;

fn parse(url: &str) -> Result<Location, RedisOpenError> {
    Location::parse(&SecretString::from(url))
}

fn addresses(location: &Location) -> Vec<String> {
    location.addresses.iter().map(Address::to_string).collect()
}

#[test]
fn each_form_is_read() {
    let one = parse("redis://localhost").unwrap();
    assert_eq!(one.layout, Layout::Standalone);
    assert_eq!(addresses(&one), ["localhost:6379"]);
    assert_eq!((one.database, one.is_tls()), (0, false));

    let full = parse("rediss://us%65r:p%40ss%3A%2F@[::1]:7000/3").unwrap();
    assert_eq!(addresses(&full), ["::1:7000"]);
    assert_eq!((full.database, full.is_tls()), (3, true));
    assert_eq!(full.credentials.username.as_deref(), Some("user"));
    let password = full.credentials.password.unwrap();
    assert_eq!(password.expose_secret(), "p@ss:/");

    let sentinel = parse("redis+sentinel://:pw@a,b:1/mymaster/2?sentinel_password=x").unwrap();
    assert_eq!(sentinel.layout, Layout::Sentinel("mymaster".to_owned()));
    assert_eq!(addresses(&sentinel), ["a:26379", "b:1"]);
    assert_eq!(sentinel.database, 2);
    assert!(sentinel.credentials.username.is_none());
    assert!(sentinel.sentinel_credentials.password.is_some());

    let cluster = parse("redis+cluster://a:7000,b:7001,c").unwrap();
    assert_eq!(cluster.layout, Layout::Cluster);
    assert_eq!(addresses(&cluster), ["a:7000", "b:7001", "c:6379"]);
}

#[test]
fn what_is_wrong_is_said_on_one_line_without_the_secret() {
    use RedisOpenError as E;
    for (url, wrong) in [
        ("", E::Scheme),
        ("localhost:6379", E::Scheme),
        ("http://localhost", E::Scheme),
        ("redis+ring://localhost", E::Scheme),
        ("redis://", E::Host),
        ("redis://:hunter2/x@host", E::Host),
        ("redis://host:port", E::Host),
        ("redis://host:99999", E::Host),
        ("redis://hunter2 x@", E::Host),
        ("redis://a,b", E::ManyHosts),
        ("redis://:hunter2%@host", E::Credentials),
        ("redis://:hunter2%zz@host", E::Credentials),
        ("redis://host/hunter2", E::Database),
        ("redis+cluster://host/1", E::ClusterDatabase),
        ("redis+sentinel://host", E::MasterName),
        ("redis+sentinel://host//0", E::MasterName),
        ("redis://host?sentinel_password=hunter2", E::Query),
        ("redis://host?password=hunter2", E::Query),
        ("redis://host#hunter2", E::Query),
    ] {
        let error = parse(url).unwrap_err();
        assert_eq!(error, wrong, "{url}");
        let text = error.to_string();
        assert!(!text.contains("hunter2") && !text.contains('\n'), "{text}");
    }
    let location = parse("redis://me:hunter2@host").unwrap();
    assert!(!format!("{location:?}").contains("hunter2"));
}
