//! The server: `CONFIG`, `INFO`, `WAIT` and the plain ones.

use super::*;

fn settings() -> ConfigValues {
    ConfigValues {
        bind: "127.0.0.1".into(),
        port: 11_108,
        dir: "/data".into(),
        durability: "always",
        read_from: "any",
        replicas: 3,
        max_clients: 10_000,
        idle_timeout: 0,
        max_key: 65_000,
        max_value: 8_388_608,
    }
}

fn map(value: Value) -> Vec<(String, String)> {
    let text = |value: Value| match value {
        Value::Bulk(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
        other => panic!("{other:?} is no text"),
    };
    match value {
        Value::Map(pairs) => pairs.into_iter().map(|(name, value)| (text(name), text(value))).collect(),
        other => panic!("{other:?} is no map"),
    }
}

fn got(patterns: &[&str]) -> Vec<(String, String)> {
    map(settings().get(&patterns.iter().map(|pattern| bytes(pattern)).collect::<Vec<_>>()))
}

#[test]
fn config_get_answers_what_tools_read() {
    for (name, value) in [
        ("save", ""),
        ("appendonly", "yes"),
        ("maxmemory", "0"),
        ("databases", "1"),
        ("maxclients", "10000"),
        ("proto-max-bulk-len", "8388608"),
        ("timeout", "0"),
        ("appendfsync", "always"),
        ("port", "11108"),
    ] {
        assert_eq!(got(&[name]), [(name.to_owned(), value.to_owned())]);
        assert_eq!(got(&[&name.to_ascii_uppercase()]).len(), 1);
    }
    let names = |patterns: &[&str]| got(patterns).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&["max*"]), ["maxclients", "maxmemory", "maxmemory-policy"]);
    assert_eq!(names(&["save", "s?ve", "timeout"]), ["save", "timeout"]);
    assert_eq!(names(&["foo", "requirepass"]), [""; 0]);
    assert_eq!(names(&["*"]).len(), 19);
    assert!(names(&["*"]).is_sorted());
}

#[test]
fn config_set_changes_what_can_change_and_nothing_else() {
    let set = |line: &str| match server_command_of(line) {
        ServerCommand::Config(ConfigCommand::Set(assignments)) => {
            settings().set(&assignments).map_err(|error| error.to_string())
        }
        other => panic!("{line:?} comes to {other:?}"),
    };
    assert_eq!(set("config set timeout 5"), Ok(vec![Setting::IdleTimeout(5)]));
    assert_eq!(
        set("config set TIMEOUT 0 maxclients 7 save ''"),
        Ok(vec![Setting::IdleTimeout(0), Setting::MaxClients(7)])
    );
    assert_eq!(set("config set appendonly YES"), Ok(vec![]));
    for (line, error) in [
        ("config set foo bar", "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
        ("config set timeout 0 foo 0", "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
        (
            "config set databases 5",
            "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config",
        ),
        (
            "config set timeout x",
            "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into \
             an integer",
        ),
        (
            "config set timeout -1",
            "ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be between 0 and \
             2147483647 inclusive",
        ),
        (
            "config set maxclients 0",
            "ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument must be between 1 \
             and 1000000 inclusive",
        ),
        (
            "config set timeout 0 timeout 0",
            "ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter",
        ),
    ] {
        assert_eq!(set(line), Err(error.to_owned()), "{line:?}");
    }
    assert_errors(&[
        ("config set a", "ERR wrong number of arguments for 'config|set' command"),
        ("config set maxmemory 0 maxmemory", "ERR syntax error"),
        (
            "config rewrite",
            "ERR CONFIG REWRITE is not supported: edit the node's configuration file and restart the node",
        ),
    ]);
}

#[test]
fn plain_commands_about_the_server() {
    assert_eq!(reply_of("time"), Value::Array(vec![bulk("1795339600"), bulk("0")]));
    assert_eq!(reply_of("role"), Value::Array(vec![bulk("master"), Value::Integer(0), Value::Array(vec![])]));
    assert!(matches!(reply_of("lolwut version 5"), Value::Verbatim(_)));
    assert_eq!(server_command_of("wait 1 0"), ServerCommand::Wait);
    assert_eq!(server_command_of("wait -1 0"), ServerCommand::Wait);
    assert_eq!(server_command_of("waitaof 1 2 0"), ServerCommand::WaitDurable);
    assert_errors(&[
        ("lolwut version x", "ERR value is not an integer or out of range"),
        ("wait x 1", "ERR value is not an integer or out of range"),
        ("wait 1 x", "ERR timeout is not an integer or out of range"),
        ("wait 0 -1", "ERR timeout is negative"),
        ("waitaof 2 1 0", "ERR value is out of range, value must between 0 and 1"),
        ("waitaof 1 -1 0", "ERR value is out of range, must be positive"),
    ]);
}

fn figures() -> Figures {
    Figures {
        node: "5554".into(),
        cluster: "classic".into(),
        run_id: "0".repeat(40),
        port: 11_108,
        now: NOW,
        uptime: 90_000,
        connected_clients: 3,
        max_clients: 10_000,
        resident_memory: 1_572_864,
        resident_memory_peak: 1_572_864,
        system_memory: 8_589_934_592,
        connections: 4,
        rejected_connections: 0,
        commands: 17,
        commands_per_second: 2,
        input_bytes: 100,
        output_bytes: 200,
        expired_keys: 0,
        keyspace_hits: 5,
        keyspace_misses: 1,
        cpu_system: 0.5,
        cpu_user: 1.25,
        durability: "always",
        read_from: "any",
        replicas: 3,
        ring: RingFigures {
            is_whole: true,
            is_formed: true,
            controller: "5556".into(),
            down: vec!["5558".into()],
            serving: 2,
            syncing: vec![("5562".into(), 7, 9, None), ("5560".into(), 0, 0, Some(3))],
            ..RingFigures::default()
        },
        writes_in_flight: 0,
        unsent_bytes: 0,
        dropped: vec![("duplicate", 2), ("gap", 1)],
        local_keys: 6,
        by_command: vec![(
            resolve(&arguments("client id"), &CONTEXT).expect("a command"),
            CommandFigures { calls: 4, micros: 10, rejected: 1, failed: 0 },
        )],
        keyspace: Some(Keyspace { keys: 10, expiring: 2 }),
    }
}

fn info(line: &str, figures: &Figures) -> String {
    match plan_of(line) {
        Plan::Ring(RingPlan::Info(sections)) => match render_info(sections, figures) {
            Value::Verbatim(text) => String::from_utf8(text.to_vec()).expect("text"),
            other => panic!("{other:?}"),
        },
        other => panic!("{line:?} comes to {other:?}"),
    }
}

#[test]
fn info_has_the_fields_that_clients_read() {
    let text = info("info", &figures());
    for field in [
        "redis_version:7.4.0",
        "redis_mode:standalone",
        "tcp_port:11108",
        "uptime_in_seconds:90000",
        "uptime_in_days:1",
        "loading:0",
        "role:master",
        "connected_clients:3",
        "used_memory:1572864",
        "used_memory_human:1.50M",
        "total_commands_processed:17",
        "cluster_enabled:0",
        "node:5554",
        "simpledynamo_serving:1",
        "dropped_messages:duplicate=2,gap=1",
        "whole:yes",
        "controller:5556",
        "down_nodes:5558",
        "lease:no",
        "partitions_syncing_here:2",
        "syncing_5562:held=7,committed=9",
        "syncing_5560:held=0,committed=0,pages=3",
        "db0:keys=10,expires=2,avg_ttl=0",
    ] {
        assert!(text.contains(&format!("\r\n{field}\r\n")), "{field} in {text}");
    }
    assert!(text.contains(&format!("\r\nprocess_id:{}\r\n", std::process::id())));
    assert!(text.starts_with("# Server\r\n"));
    assert!(text.contains("\r\n\r\n# Clients\r\n"), "an empty line between sections");
    assert!(!text.contains("cmdstat_"), "only if asked for");
}

#[test]
fn info_shows_the_sections_that_are_asked_for() {
    let figures = figures();
    assert_eq!(info("info cluster", &figures), "# Cluster\r\ncluster_enabled:0\r\n");
    assert_eq!(info("info foo", &figures), "");
    assert_eq!(info("info CLUSTER foo cluster", &figures), "# Cluster\r\ncluster_enabled:0\r\n");
    assert_eq!(
        info("info commandstats", &figures),
        "# Commandstats\r\ncmdstat_client|id:calls=4,usec=10,usec_per_call=2.50,rejected_calls=1,failed_calls=0\r\n"
    );
    assert!(info("info all", &figures).contains("cmdstat_"));
    assert_eq!(info("info default", &figures), info("info", &figures));
    let empty = Figures { keyspace: Some(Keyspace::default()), ..figures.clone() };
    assert_eq!(info("info keyspace", &empty), "# Keyspace\r\n");
    let unreachable = Figures { keyspace: None, ..figures };
    assert!(info("info keyspace", &unreachable).contains("unavailable"));
}

#[test]
fn only_the_keyspace_needs_the_ring() {
    let needs = |line| match plan_of(line) {
        Plan::Ring(RingPlan::Info(sections)) => sections.needs_keyspace(),
        other => panic!("{other:?}"),
    };
    assert!(needs("info") && needs("info keyspace") && needs("info server keyspace") && needs("info all"));
    assert!(!needs("info server") && !needs("info foo"));
}
