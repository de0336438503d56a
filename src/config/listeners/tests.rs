use super::*;

const MAP: &str = "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT";

fn source(listeners: &str) -> Source<'_> {
    Source { listeners, advertised: None, protocol_map: MAP, controller_names: None, allow_insecure: false }
}

fn refusal(source: Source<'_>) -> String {
    resolve(source).expect_err("refused").message
}

#[test]
fn names_hosts_and_ports() {
    let all = resolve(Source {
        protocol_map: "A:PLAINTEXT,b:plaintext,C:PLAINTEXT,D:PLAINTEXT,E-1:PLAINTEXT",
        allow_insecure: true,
        ..source("A://localhost:9092, b://127.0.0.1:0 ,C://[::1]:9093,D://:9094,E-1://host.example:0")
    })
    .unwrap();
    let seen: Vec<_> =
        all.listeners.iter().map(|one| (one.name.as_str(), one.host.as_str(), one.port, one.is_loopback())).collect();
    assert_eq!(
        seen,
        [
            ("A", "localhost", 9092, true),
            ("B", "127.0.0.1", 0, true),
            ("C", "::1", 9093, true),
            ("D", "", 9094, false),
            ("E-1", "host.example", 0, false),
        ]
    );
    let binds: Vec<_> = all.listeners.iter().map(Listener::bind_hosts).collect();
    assert_eq!(
        binds,
        [vec!["127.0.0.1", "::1"], vec!["127.0.0.1"], vec!["::1"], vec!["0.0.0.0", "::"], vec!["host.example"]]
    );
    assert_eq!(all.listeners[2].to_string(), "C://[::1]:9093");
    assert_eq!(all.insecure.iter().map(Listener::to_string).collect::<Vec<_>>(), ["D://:9094", "E-1://host.example:0"]);
}

#[test]
fn malformed_entries_are_refused() {
    for (listeners, part) in [
        ("localhost:9092", "no ://"),
        ("://localhost:9092", "no proper listener name"),
        ("PLAINTEXT://localhost", "no port"),
        ("PLAINTEXT://localhost:x", "no port between"),
        ("PLAINTEXT://localhost:65536", "no port between"),
        ("PLAINTEXT://localhost:-1", "no port between"),
        ("PLAINTEXT://::1:9092", "without brackets"),
        ("PLAINTEXT://[::1:9092", "no IPv6 address"),
        ("PLAINTEXT://[nine]:9092", "no IPv6 address"),
        ("PLAINTEXT://a b:9092", "no proper host"),
        ("PLAINTEXT://a/b:9092", "no proper host"),
    ] {
        let text = refusal(source(listeners));
        assert!(text.contains(part) && text.contains("NAME://host:port"), "{listeners}: {text}");
    }
}

#[test]
fn duplicates_are_refused_as_in_kafka() {
    let two = |listeners| Source { protocol_map: "A:PLAINTEXT,B:PLAINTEXT", ..source(listeners) };
    assert!(refusal(two("A://localhost:1,a://localhost:2")).contains("name A is given twice"));
    assert!(refusal(two("A://localhost:1,B://127.0.0.1:1")).contains("same port"));
    assert!(resolve(two("A://127.0.0.1:1,B://[::1]:1")).is_ok());
    assert!(resolve(two("A://localhost:0,B://localhost:0")).is_ok());
}

#[test]
fn a_reachable_listener_needs_the_exact_line_it_is_told() {
    for listeners in ["PLAINTEXT://:9092", "PLAINTEXT://0.0.0.0:9092", "PLAINTEXT://[::]:9092", "PLAINTEXT://db1:9092"]
    {
        let text = refusal(source(listeners));
        assert_eq!(text.lines().last(), Some("allow.insecure.listeners=true"), "{text}");
        assert!(text.contains(listeners));
        assert!(resolve(Source { allow_insecure: true, ..source(listeners) }).is_ok());
    }
    assert!(resolve(source("PLAINTEXT://127.1.2.3:9092")).unwrap().insecure.is_empty());
}

#[test]
fn protocols() {
    let text = refusal(source("SASL_SSL://localhost:9092"));
    assert!(text.contains("SASL_SSL, which is not supported yet"), "{text}");
    let text = refusal(Source { protocol_map: "X:SSL", ..source("X://localhost:1") });
    assert!(text.contains("uses SSL"), "{text}");
    let text = refusal(source("INSIDE://localhost:9092"));
    assert!(text.contains("add INSIDE:PLAINTEXT to listener.security.protocol.map"), "{text}");
    let text = refusal(Source { protocol_map: "PLAINTEXT:PLAIN", ..source("PLAINTEXT://localhost:1") });
    assert!(text.contains("PLAIN is no security protocol"), "{text}");
    let text = refusal(Source { protocol_map: "PLAINTEXT", ..source("PLAINTEXT://localhost:1") });
    assert!(text.contains("no colon"), "{text}");
    let text = refusal(Source { protocol_map: "A:SSL,a:PLAINTEXT", ..source("A://localhost:1") });
    assert!(text.contains("twice"), "{text}");
}

#[test]
fn advertised_addresses() {
    let given = |advertised| Source { advertised: Some(advertised), ..source("PLAINTEXT://localhost:9092") };
    let resolved = resolve(given("PLAINTEXT://broker.example:19092")).unwrap();
    assert_eq!(resolved.listeners[0].advertised, Some(("broker.example".to_string(), 19092)));
    assert_eq!(resolve(source("PLAINTEXT://localhost:9092")).unwrap().listeners[0].advertised, None);
    for (advertised, part) in [
        ("OTHER://h:1", "OTHER is not one of the listeners (PLAINTEXT)"),
        ("PLAINTEXT://0.0.0.0:9092", "no address that a client can connect to"),
        ("PLAINTEXT://[::]:9092", "no address that a client can connect to"),
        ("PLAINTEXT://:9092", "no address that a client can connect to"),
        ("PLAINTEXT://h:0", "port 0"),
        ("PLAINTEXT://h:1,PLAINTEXT://h:2", "twice"),
    ] {
        let text = refusal(given(advertised));
        assert!(text.contains(part), "{advertised}: {text}");
    }
}

#[test]
fn controller_listeners_are_dropped() {
    let stock = Source {
        advertised: Some("PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"),
        controller_names: Some("CONTROLLER"),
        allow_insecure: true,
        ..source("PLAINTEXT://:9092,CONTROLLER://:9093")
    };
    let resolved = resolve(stock).unwrap();
    assert_eq!(resolved.listeners.len(), 1);
    assert_eq!(resolved.controllers, ["CONTROLLER://:9093"]);
    let text = refusal(Source { listeners: "CONTROLLER://localhost:9093", ..stock });
    assert!(text.contains("every listener is in controller.listener.names"), "{text}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_resolved_or_refused(listeners in "[A-Z]{0,2}(://)?[a:\\[\\].,0-9/]{0,30}", map in "[A:,SL]{0,12}") {
        let _ = resolve(Source { protocol_map: &map, advertised: Some(&listeners), ..source(&listeners) });
    }
}
