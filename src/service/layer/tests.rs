//! Tests of layer.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::{MAX_TENANT_BYTES, REQUEST_ID, TENANT, request_id, tenant, timeout};

#[test]
fn timeouts_are_read_in_every_unit() {
    let table = [
        ("2H", Some(Duration::from_hours(2))),
        ("3M", Some(Duration::from_mins(3))),
        ("4S", Some(Duration::from_secs(4))),
        ("5m", Some(Duration::from_millis(5))),
        ("6u", Some(Duration::from_micros(6))),
        ("7n", Some(Duration::from_nanos(7))),
        ("99999999H", Some(Duration::from_hours(99_999_999))),
        ("123456789S", None),
        ("", None),
        ("S", None),
        ("5", None),
        ("5s", None),
        ("-5S", None),
        ("+5S", None),
        ("5.5S", None),
    ];
    for (given, expected) in table {
        assert_eq!(timeout(&HeaderValue::from_static(given)), expected, "{given}");
    }
    let not_ascii = HeaderValue::from_bytes("5ü".as_bytes()).expect("headers may hold such bytes");
    assert_eq!(timeout(&not_ascii), None);
}

#[test]
fn only_clean_request_ids_are_kept() {
    let long = "x".repeat(129);
    let table = [
        ("trace-1/a", true),
        ("", false),
        ("two words", false),
        (long.as_str(), false),
    ];
    for (given, is_kept) in table {
        let value = HeaderValue::from_str(given).expect("it is a header");
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(REQUEST_ID), value)]);
        let id = request_id(&headers);
        assert_eq!(&*id == given, is_kept, "{given}");
        assert!(!id.is_empty());
    }
    assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
}

#[test]
fn tenants_are_named_cleanly_or_not_at_all() {
    assert_eq!(tenant(&HeaderMap::new()).expect("no tenant is fine"), None);
    let headers = |names: &[&[u8]]| {
        let values = names.iter().map(|name| {
            let value = HeaderValue::from_bytes(name).expect("it is a header");
            (http::HeaderName::from_static(TENANT), value)
        });
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, value);
        }
        headers
    };
    let long = "x".repeat(MAX_TENANT_BYTES);
    for name in ["team-a", "a", &long] {
        let found = tenant(&headers(&[name.as_bytes()])).expect("it is a name");
        assert_eq!(found.as_deref(), Some(name));
    }
    let longer = [long.as_bytes(), b"x"].concat();
    for (names, part) in [
        (&[&b""[..]][..], "this is \"\""),
        (&[b"two words"], "this is \"two words\""),
        (&["5ü".as_bytes()], "this is \"5ü\""),
        (&[&longer], "this has 129"),
        (&[b"a", b"b"], "more than once"),
    ] {
        let error = tenant(&headers(names)).expect_err("it is none");
        assert_eq!(error.violations[0].field, TENANT, "{names:?}");
        assert!(error.message.contains(part), "{error}");
    }
}
