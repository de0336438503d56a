use super::*;

/// A command line, an environment and a file `server.properties`.
fn load_all(flags: &[&str], variables: &[(&str, &str)], file: &str) -> Result<Loaded, LoadError> {
    let arguments = std::iter::once("ottla").chain(flags.iter().copied()).map(OsString::from);
    let environment = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    load(arguments, environment, |path| match path.to_str() {
        Some("server.properties") => Ok(file.to_string()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    })
}

fn usage(flags: &[&str], variables: &[(&str, &str)], file: &str) -> String {
    match load_all(flags, variables, file) {
        Err(error @ LoadError::Usage(_)) => {
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn flag_over_variable_over_file_over_default() {
    let file = "num.partitions=2\nlog.dirs=/file\n";
    let variable = [("KAFKA_NUM_PARTITIONS", "3")];
    for (flags, variables, partitions) in [
        (&[][..], &[][..], 1),
        (&["server.properties"], &[], 2),
        (&["server.properties"], &variable, 3),
        (&["server.properties", "--num.partitions=4"], &variable, 4),
        (&["--num.partitions", "4", "server.properties"], &variable, 4),
        (&["server.properties", "--override", "num.partitions=5"], &variable, 5),
        (&[], &variable, 3),
    ] {
        let config = load_all(flags, variables, file).unwrap().config;
        assert_eq!(config.num_partitions, partitions, "{flags:?} {variables:?}");
        let dir = if flags.contains(&"server.properties") { "/file" } else { "./ottla-data" };
        assert_eq!(config.data_dir(), Path::new(dir));
    }
}

#[test]
fn the_last_of_two_lines_counts() {
    let config = load_all(&["server.properties"], &[], "num.partitions=2\nnum.partitions=3").unwrap().config;
    assert_eq!(config.num_partitions, 3);
}

#[test]
fn negative_and_empty_values_on_the_command_line() {
    let config = load_all(&["--log.retention.ms", "-1", "--log.cleanup.policy="], &[], "").unwrap().config;
    assert_eq!(config.topic_defaults.retention_ms, -1);
    assert!(config.topic_defaults.cleanup_policy.is_empty());
}

#[test]
fn unknown_names_lead_to_the_nearest() {
    for (flag, nearest) in [
        ("--num.partition=3", "--num.partitions"),
        ("--log.dris=/x", "--log.dirs"),
        ("--log_dirs=/x", "--log.dirs"),
        ("--retention.ms=1", "--log.retention.ms"),
        ("--segment.bytes=1", "--log.segment.bytes"),
    ] {
        let text = usage(&[flag], &[], "");
        assert!(text.ends_with(&format!("the nearest one is {nearest}")), "{text}");
    }
    let text = usage(&["server.properties"], &[], "\nnum.partition=3\nzookeeper.connect=x\n");
    let expected = "server.properties line 2: unknown setting num.partition; the nearest one is num.partitions\n\
        server.properties line 3: unknown setting zookeeper.connect (Kafka 4 has no ZooKeeper); the nearest one is ";
    assert!(text.starts_with(expected), "{text}");
    let text = usage(&["--override", "num.partition=3"], &[], "");
    assert!(text.contains("nearest one is num.partitions"), "{text}");
}

#[test]
fn wrong_values_say_where_they_were_given() {
    let text = usage(&["server.properties"], &[], "a=b\nnum.partitions=0");
    assert!(text.contains("server.properties line 2: Invalid value 0 for configuration num.partitions"), "{text}");
    let text = usage(&[], &[("KAFKA_NUM_PARTITIONS", "x")], "");
    assert!(text.starts_with("variable KAFKA_NUM_PARTITIONS: Invalid value x"), "{text}");
    let text = usage(&["--num.partitions=x"], &[], "");
    assert!(text.starts_with("--num.partitions: Invalid value x"), "{text}");
    for (flags, part) in [
        (&["missing.properties"][..], "cannot read missing.properties: "),
        (&["server.properties", "extra"], "unexpected argument extra"),
        (&["--num.partitions"], "--num.partitions"),
        (&["--override", "num.partitions"], "expected name=value"),
        (&["-x"], "unexpected argument -x"),
    ] {
        let text = usage(flags, &[], "");
        assert!(text.contains(part), "{flags:?}: {text}");
    }
    assert!(usage(&["server.properties"], &[], r"a=\u1").contains("server.properties: line 1: malformed"));
}

#[test]
fn help_and_version_are_no_errors() {
    for (flag, part) in [("--help", "--log.dirs"), ("-h", "[default: ./ottla-data]"), ("--version", "ottla 0.")] {
        match load_all(&[flag], &[], "") {
            Err(error @ LoadError::Output(_)) => {
                assert_eq!(error.exit_code(), 0);
                assert!(error.to_string().contains(part), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn variables() {
    let loaded = load_all(
        &[],
        &[
            ("KAFKA_LOG_DIRS", "/data"),
            ("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw"),
            ("KAFKA_HEAP_OPTS", "-Xmx1G"),
            ("KAFKA_LOG4J_ROOT_LOGLEVEL", "INFO"),
            ("KAFKA_JMX_PORT", "9999"),
            ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
            ("KAFKA_NUM_PARTITION", "3"),
            ("HOME", "/root"),
        ],
        "",
    )
    .unwrap();
    assert_eq!(loaded.config.data_dir(), Path::new("/data"));
    assert_eq!(loaded.config.cluster_id.as_deref(), Some("5L6g3nShT-eMCtK--X86sw"));
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    assert!(warning.starts_with("ignored variables that are no settings: "), "{warning}");
    assert!(warning.contains("KAFKA_NUM_PARTITION (nearest: KAFKA_NUM_PARTITIONS)"), "{warning}");
    assert!(warning.contains("KAFKA_PORT (") && !warning.contains("HEAP") && !warning.contains("JMX"), "{warning}");
}

/// The keys and values of the `config/server.properties` that Kafka 4 ships, written down by hand.
const STOCK: &str = "
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn kafkas_own_file_needs_one_line() {
    let text = usage(&["server.properties"], &[], STOCK);
    assert!(text.starts_with("listener PLAINTEXT://:9092 can be reached"), "{text}");
    let line = text.lines().last().unwrap();
    assert_eq!(line, "allow.insecure.listeners=true");

    let loaded = load_all(&["server.properties"], &[], &format!("{STOCK}{line}\n")).unwrap();
    let [listener] = loaded.config.listeners.as_slice() else { panic!("{:?}", loaded.config.listeners) };
    assert_eq!((listener.host.as_str(), listener.port), ("", 9092));
    assert_eq!(listener.advertised, Some(("localhost".to_string(), 9092)));
    assert_eq!(loaded.config.data_dir(), Path::new("/tmp/kraft-combined-logs"));
    let [controllers, idle, insecure] = loaded.warnings.as_slice() else { panic!("{:#?}", loaded.warnings) };
    assert_eq!(
        controllers,
        "there are no controllers here, so these have no effect: controller.listener.names, \
         controller.quorum.bootstrap.servers, process.roles; not opened: CONTROLLER://:9093"
    );
    assert!(idle.contains("num.io.threads") && idle.contains("log.retention.hours"), "{idle}");
    for acting in ["num.partitions", "log.dirs", "log.segment.bytes,", "socket.request.max.bytes", "listeners"] {
        assert!(!idle.contains(acting), "{idle}");
    }
    assert!(insecure.contains("PLAINTEXT://:9092"), "{insecure}");
    assert!(loaded.warnings.iter().all(|warning| !warning.contains('\n')));
}

#[test]
fn kafkas_other_files() {
    // broker.properties: no controller among the listeners, and those on localhost.
    let broker = STOCK
        .replace("process.roles=broker,controller", "process.roles=broker")
        .replace("listeners=PLAINTEXT://:9092,CONTROLLER://:9093", "listeners=PLAINTEXT://localhost:9092");
    let loaded = load_all(&["server.properties"], &[], &broker).unwrap();
    assert_eq!(loaded.config.listeners[0].to_string(), "PLAINTEXT://localhost:9092");
    assert_eq!(loaded.warnings.len(), 2);
    // controller.properties: nothing to open.
    let controller = STOCK.replace("PLAINTEXT://:9092,", "").replace("PLAINTEXT://localhost:9092,", "");
    assert!(usage(&["server.properties"], &[], &controller).contains("every listener is in controller.listener.names"));
}

#[test]
fn settings_of_listeners_and_plugins_are_accepted() {
    let file = "listener.name.internal.ssl.keystore.type=PKCS12\n\
        listener.name.internal.scram-sha-256.sasl.jaas.config=x\nrsm.config.bucket=b\n";
    let loaded = load_all(&["server.properties"], &[], file).unwrap();
    let [warning] = loaded.warnings.as_slice() else { panic!("{:?}", loaded.warnings) };
    assert!(warning.contains("rsm.config.bucket") && warning.contains("listener.name.internal.ssl.keystore.type"));
    assert!(usage(&["server.properties"], &[], "listener.name.internal.nope=1").contains("unknown setting"));
}

#[test]
fn a_setting_that_acts_only_as_one_value_warns_of_others() {
    assert!(load_all(&["--compression.type=producer"], &[], "").unwrap().warnings.is_empty());
    let warnings = load_all(&["--compression.type=zstd"], &[], "").unwrap().warnings;
    assert!(matches!(warnings.as_slice(), [one] if one.ends_with("no effect yet: compression.type")), "{warnings:?}");
}

#[test]
fn tables_for_the_readme() {
    let acting = readme::acting();
    assert!(acting.contains("| `num.partitions` | broker | INT | `1` |"), "{acting}");
    assert!(acting.contains("| `segment.bytes` | topic | INT | from `log.segment.bytes` |"), "{acting}");
    assert!(!acting.contains("num.io.threads"));
    let different = readme::different_defaults();
    assert!(different.contains("| `log.flush.interval.messages` | `9223372036854775807` | `1` |"), "{different}");
    assert!(different.contains("| `offsets.topic.replication.factor` | `3` | at most the live brokers |"));
    let idle = readme::without_effect();
    assert!(
        acting.contains("| `consumer.session.timeout.ms` | group | INT | from `group.consumer.session.timeout.ms` |")
    );
    assert!(idle.contains("`share.isolation.level` (group)"), "{idle}");
    assert!(idle.contains("`retention.ms` (topic)") && idle.contains("`num.io.threads`"), "{idle}");
}
