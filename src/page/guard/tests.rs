use super::*;

fn guard(key: Option<&str>) -> Guard {
    let address = "127.0.0.1:8090".parse().unwrap();
    let hosts = ["Tidegate.example.com".to_owned()];
    Guard::new(address, &hosts, key.map(str::to_owned), "mark".to_owned())
}

fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = axum::http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

fn code(guard: &Guard, request: &Request) -> u16 {
    guard
        .refuse(request)
        .map_or(200, |answer| answer.status().as_u16())
}

#[test]
fn only_our_own_names_lead_here() {
    for (host, good) in [
        ("127.0.0.1:8090", true),
        ("127.0.0.1", true),
        ("localhost:8090", true),
        ("[::1]:8090", true),
        ("tidegate.example.com", true),
        ("TIDEGATE.example.com:443", true),
        ("evil.example.com", false),
        ("evil.example.com:8090", false),
        ("127.0.0.1.evil.example.com", false),
        ("192.0.2.7:8090", false),
        ("", false),
    ] {
        let found = code(&guard(None), &request("GET", "/", &[("host", host)]));
        assert_eq!(found == 200, good, "{host}: {found}");
    }
    assert_eq!(
        code(&guard(None), &request("GET", "/", &[])),
        421,
        "no name at all"
    );
    let probe = request("GET", "/healthz", &[("host", "10.1.2.3:8080")]);
    assert_eq!(
        code(&guard(Some("k")), &probe),
        200,
        "a kubelet is answered"
    );
}

#[test]
fn who_has_the_key_is_let_in_and_has_it_in_no_address() {
    let guard = guard(Some("k1"));
    let host = ("host", "127.0.0.1:8090");
    for (path, cookie, expected) in [
        ("/", "", 403),
        ("/?key=", "", 403),
        ("/?key=k2", "", 403),
        ("/?key=k1", "", 303),
        ("/", "tidegate-8090=k1", 200),
        ("/", "a=b; tidegate-8090=k1", 200),
        ("/", "tidegate-8090=k2", 403),
        ("/", "tidegate-8091=k1", 403),
    ] {
        let request = request("GET", path, &[host, ("cookie", cookie)]);
        assert_eq!(code(&guard, &request), expected, "{path} {cookie:?}");
    }
    let answer = guard.refuse(&request("GET", "/?key=k1", &[host])).unwrap();
    assert_eq!(answer.headers()["location"], "/");
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    assert_eq!(guard.url(), "http://127.0.0.1:8090/?key=k1");
}

#[test]
fn what_changes_something_comes_from_the_page_alone() {
    let host = ("host", "127.0.0.1:8090");
    let (ours, mark) = (("origin", "http://127.0.0.1:8090"), (MARK, "mark"));
    for (headers, expected) in [
        (vec![host, ours, mark], 200),
        (vec![host, ours], 403),
        (vec![host, mark], 403),
        (vec![host, ours, (MARK, "other")], 403),
        (
            vec![host, ("origin", "https://evil.example.com"), mark],
            403,
        ),
        (vec![host, ("origin", "http://127.0.0.1:9999"), mark], 403),
        (vec![host, ("origin", "null"), mark], 403),
    ] {
        let request = request("POST", "/command", &headers);
        assert_eq!(code(&guard(None), &request), expected, "{headers:?}");
    }
}

#[test]
fn random_words_differ() {
    let (a, b) = (random_word().unwrap(), random_word().unwrap());
    assert_eq!(a.len(), 2 * RANDOM_BYTES);
    assert_ne!(a, b);
}
