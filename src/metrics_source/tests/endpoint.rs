//! Whom a source asks and how: addresses, names, headers, credentials, proxies.

use super::*;

#[tokio::test]
async fn who_is_not_there_is_unreachable() {
    // Bound and not listening: nobody else can have the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let fault = source(&url).check().await.unwrap_err();
    check_fault(
        &fault,
        "Unreachable",
        &["connection is refused", "NetworkPolicy"],
    );

    let nowhere: Lookup = Arc::new(|_| async { Err(io::Error::other(CANARY)) }.boxed());
    let empty: Lookup = Arc::new(|_| async { Ok(vec![]) }.boxed());
    for lookup in [nowhere, empty] {
        let source =
            Source::with_lookup(&endpoint("http://nowhere.test"), &Hosts::default(), lookup)
                .unwrap();
        let fault = source.check().await.unwrap_err();
        check_fault(&fault, "Unreachable", &["name cannot be resolved"]);
    }

    // One that hangs up.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hangs_up = tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let fault = source(&url).check().await.unwrap_err();
    check_fault(&fault, "Unreachable", &["connection broke"]);
    hangs_up.abort();

    // One that speaks no TLS.
    let plain = Server::start(|_| Some(bad(400, "bad_data"))).await;
    let url = plain.url().replace("http:", "https:");
    let fault = source(&url).check().await.unwrap_err();
    check_fault(&fault, "Unreachable", &["TLS is not understood"]);
}

#[tokio::test]
async fn a_name_leads_to_no_address_that_is_never_asked() {
    let one = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "1"]}]});
    let server = Server::start(move |_| Some(good(&one))).await;
    let port = server.address.port();
    let ask = |addresses: &[&str]| {
        let all: Vec<SocketAddr> = addresses
            .iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0))
            .collect();
        let lookup: Lookup = Arc::new(move |name| {
            assert_eq!(name, "metrics.test");
            let all = all.clone();
            async move { Ok(all) }.boxed()
        });
        let source = Source::with_lookup(
            &endpoint(&format!("http://metrics.test:{port}")),
            &Hosts::default(),
            lookup,
        );
        async move { source.unwrap().check().await }
    };
    for addresses in [
        &["169.254.169.254"][..],
        &["::ffff:169.254.169.254", "fe80::1"],
    ] {
        let fault = ask(addresses).await.unwrap_err();
        check_fault(&fault, "AddressRefused", &["link-local"]);
    }
    assert_eq!(ask(&["127.0.0.1"]).await, Ok(()));
    // What may be asked among others is asked.
    assert_eq!(ask(&["169.254.1.1", "127.0.0.1"]).await, Ok(()));
}

#[test]
fn which_addresses_are_never_asked() {
    let refused = |text: &str| address::is_refused(text.parse::<IpAddr>().unwrap());
    for text in [
        "169.254.169.254",
        "169.254.0.1",
        "169.254.170.23",
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "::",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:42::42",
        "fd00:c1::a9fe:a9fe",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::ffff:0.0.0.0",
    ] {
        assert!(refused(text), "{text}");
    }
    for text in [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "8.8.8.8",
        "169.253.255.255",
        "169.255.0.1",
        "223.255.255.255",
        "192.0.0.191",
        "fd00::1",
        "fd12:3456:789a::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "64:ff9b::808:808",
        "fec0::1",
    ] {
        assert!(!refused(text), "{text}");
    }
}

#[test]
fn what_is_no_endpoint_is_refused_with_what_is_allowed() {
    for (url, why) in [
        ("", "is not a URL"),
        ("prometheus:9090", "neither http nor https"),
        ("//prometheus", "is not a URL"),
        ("file:///etc/passwd", "neither"),
        ("unix:/run/prometheus.sock", "neither"),
        ("ftp://prometheus", "neither"),
        ("http://", "is not a URL"),
        ("http://prometheus:99999", "is not a URL"),
        ("http://user:s3cret@prometheus", "has a user name"),
        ("http://@prometheus", "has a user name"),
        ("http://prometheus/?query=up", "has a query"),
        ("http://prometheus/?", "has a query"),
        ("http://prometheus/#a", "or a fragment"),
        ("http://prometheus\\.evil", "backslash"),
        (" http://prometheus", "white space"),
        ("http://prometheus\n", "white space"),
        ("http://169.254.169.254", "link-local"),
        ("http://169.254.169.254.", "link-local"),
        ("https://169.254.169.254:443/latest", "link-local"),
        ("http://2852039166", "link-local"),
        ("http://0xa9fea9fe/", "link-local"),
        ("http://0251.0376.0251.0376/", "link-local"),
        ("http://169.16689662", "link-local"),
        ("http://%31%36%39.254.169.254/", "link-local"),
        ("http://１６９.254.169.254/", "link-local"),
        ("http://[fe80::1]:9090", "link-local"),
        ("http://[::ffff:169.254.169.254]", "link-local"),
        ("http://[::ffff:a9fe:a9fe]", "link-local"),
        ("http://[fd00:ec2::254]", "link-local"),
        ("http://0.0.0.0:9090", "link-local"),
        ("http://0", "link-local"),
    ] {
        let error = Source::new(endpoint(url)).unwrap_err().to_string();
        assert!(error.starts_with("prometheus.url "), "{error}");
        assert!(error.contains(why), "{url:?}: {error}");
        assert!(error.contains("allowed is http:// or https://"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    for url in [
        "http://prometheus",
        "http://127.0.0.1:9090/",
        "https://[::1]:9090/prometheus/",
        "HTTPS://Prometheus.example.com:8443/a/b",
    ] {
        assert!(Source::new(endpoint(url)).is_ok(), "{url}");
    }
    let long = format!("http://{}", "a".repeat(2000));
    let error = Source::new(endpoint(&long)).unwrap_err().to_string();
    assert!(
        error.contains("longer than 1024") && error.len() < 600,
        "{error}"
    );

    for (name, value) in [
        ("Authorization", "x"),
        ("cookie", "x"),
        ("Host", "x"),
        ("", "x"),
        ("a b", "x"),
        ("x-a", "line\nbreak"),
    ] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let error = Source::new(Endpoint {
            headers,
            ..endpoint("http://prometheus")
        });
        let error = error.unwrap_err().to_string();
        let named = format!("prometheus.headers {name:?}");
        assert!(error.starts_with(&named), "{error}");
    }
    for (login, words) in [
        (
            Login::Bearer(" \n".into()),
            "auth.bearer: the token is empty",
        ),
        (
            Login::Bearer("s3cret\u{7f}\nx".into()),
            "auth.bearer: has characters",
        ),
        (basic("", "s3cret"), "auth.basic: the user name is empty"),
        (basic("a:b", "s3cret"), "auth.basic: the user name"),
    ] {
        let refused = Endpoint {
            login: Some(login),
            ..endpoint("http://prometheus")
        };
        assert!(!format!("{refused:?}").contains("s3cret"));
        let error = Source::new(refused).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
    let zero = Endpoint {
        timeout: Duration::ZERO,
        ..endpoint("http://prometheus")
    };
    assert_eq!(
        Source::new(zero).unwrap_err(),
        EndpointError::Limit("timeoutSeconds")
    );
    let none = Endpoint {
        concurrency: 0,
        ..endpoint("http://prometheus")
    };
    let error = Source::new(none).unwrap_err();
    assert_eq!(error, EndpointError::Limit("maxConcurrentQueries"));
    let defaults = Endpoint::default();
    assert_eq!((defaults.timeout.as_secs(), defaults.concurrency), (10, 10));
}

fn basic(username: &str, password: &str) -> Login {
    Login::Basic {
        username: username.to_owned(),
        password: password.to_owned(),
    }
}

#[tokio::test]
async fn headers_credentials_path_and_long_queries_arrive() {
    let one = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "1"]}]});
    let server = Server::start(move |_| Some(good(&one))).await;
    let long = format!("sum({})", "x+".repeat(2044));
    for (login, path, authorization) in [
        (None, "", None),
        (
            Some(Login::Bearer("t0ken\n".into())),
            "/",
            Some("Bearer t0ken"),
        ),
        // "aladdin:opensesame", the example of RFC 7617's forerunners.
        (
            Some(basic("aladdin\n", "opensesame\n")),
            "/select/0/prometheus",
            Some("Basic YWxhZGRpbjpvcGVuc2VzYW1l"),
        ),
        (None, "/prometheus/", None),
    ] {
        let source = Source::new(Endpoint {
            headers: vec![("X-Scope-OrgID".into(), "a|b".into())],
            login,
            ..endpoint(&format!("{}{path}", server.url()))
        })
        .unwrap();
        assert!(!format!("{source:?}").contains("t0ken"));
        source.check().await.unwrap();
        source.ask(&threshold(&long), &QUESTION).await.unwrap();
        let seen = server.seen();
        let [.., check, ask] = seen.as_slice() else {
            panic!("{seen:?}");
        };
        assert_eq!((check.query(), ask.query()), ("vector(1)", &*long));
        assert_eq!(check.form.get("time"), None);
        for seen in [check, ask] {
            let expected = format!("{}/api/v1/query", path.trim_end_matches('/'));
            assert_eq!(seen.path, expected);
            let header = |name: &str| seen.headers.get(name).map(|v| v.to_str().unwrap());
            assert_eq!(header("x-scope-orgid"), Some("a|b"));
            assert_eq!(header("authorization"), authorization);
            assert_eq!(header("accept-encoding"), None);
            let agent = header("user-agent").unwrap();
            assert!(agent.starts_with("tidegate/"), "{agent}");
        }
    }
}

/// Set in a process in which the environment names a proxy that nobody listens at.
const WITH_PROXY: &str = "TIDEGATE_TEST_WITH_PROXY";

#[tokio::test]
async fn the_environments_proxy_is_not_asked() {
    if std::env::var_os(WITH_PROXY).is_some() {
        let one = json!({"resultType": "vector", "result": [{"metric": {}, "value": [AT, "1"]}]});
        let server = Server::start(move |_| Some(good(&one))).await;
        assert_eq!(source(&server.url()).check().await, Ok(()));
        return;
    }
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", socket.local_addr().unwrap());
    let mut again = again("endpoint::the_environments_proxy_is_not_asked");
    again
        .env(WITH_PROXY, "1")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        again.env(name, &nobody);
    }
    passes(again).await;
}
