//! What the file may say, and how it is told that it may not.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

const SAMPLE: &str = include_str!("../../../../docs/configuration.md");
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn classic() -> Cluster {
    Cluster::classic(LOCAL, CLASSIC_BASE_PORT).expect("the default ports fit")
}

const SMALL: &str = r#"
[cluster]
id = "small"
replicas = 1
nodes = [
  { name = "a", client = "127.0.0.1:1", peer = "127.0.0.1:2" },
  { name = "b", client = "127.0.0.1:3", peer = "127.0.0.1:4" },
]
[node]
name = "a"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("dir/config.toml"))
}

/// The message for a small file in which one text is replaced by another.
fn refusal(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from} is in the small file");
    let message = parse(&SMALL.replacen(from, to, 1)).expect_err(to).to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    message
}

#[test]
fn sample_in_the_docs_is_what_is_written() {
    let block =
        SAMPLE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a toml block");
    assert_eq!(block, render(&classic(), "5554"));
}

#[test]
fn written_file_reads_back_with_every_default() {
    let written = parse(&render(&classic(), "5558")).expect("what is written can be read");
    assert_eq!(written.cluster, classic());
    let nodes = r#"nodes = [{ name = "5558", client = "127.0.0.1:1", peer = "127.0.0.1:2" }]"#;
    let bare = parse(&format!("[cluster]\nid = \"x\"\nreplicas = 1\n{nodes}\n[node]\nname = \"5558\""))
        .expect("bare");
    let mut defaults = bare.node;
    assert_eq!(defaults.pid_file, None);
    assert!(!defaults.fault_injection);
    defaults.pid_file = Some("dir/node.pid".into());
    assert_eq!(written.node, defaults, "the explained values are the defaults");
    assert_eq!(written.node.data, Path::new("dir/data"));
}

#[test]
fn docs_list_every_key() {
    let lists = [
        refusal("[cluster]", "[cluster]\nzzz = 1"),
        refusal("[node]", "[node]\nzzz = 1"),
        refusal("{ name = \"a\"", "{ zzz = \"a\""),
    ];
    let mut keys = 0;
    for list in lists {
        let known = list.split("expected").nth(1).unwrap_or_else(|| panic!("a list of keys: {list}"));
        for key in known.split(" at ").next().expect("keys").split('`').skip(1).step_by(2) {
            assert!(SAMPLE.contains(&format!("| `{key}` |")), "docs/configuration.md has no row for {key}");
            keys += 1;
        }
    }
    assert_eq!(keys, 10 + 11 + 3, "all tables were looked at");
}

#[test]
fn unknown_and_malformed_keys_are_named_with_their_line() {
    let unknown = refusal("replicas = 1", "replica = 1");
    assert!(unknown.starts_with("dir/config.toml:4: unknown field `replica`, expected one of"), "{unknown}");
    let text = refusal("replicas = 1", "replicas = \"three\"");
    assert!(text.starts_with("dir/config.toml:4: ") && text.contains("replicas"), "{text}");
    let broken = refusal("replicas = 1", "replicas = ");
    assert!(broken.starts_with("dir/config.toml:4: ") && broken.contains("`replicas =`"), "{broken}");
    assert!(refusal("id = \"small\"", "").contains("missing field `id`"));
    assert!(refusal("[node]", "durability = \"sometimes\"\n[node]").contains("expected one of `always`"));
}

#[test]
fn senseless_values_are_refused() {
    for (from, to, part) in [
        ("replicas = 1", "replicas = 0", "config.toml:4: replicas = 0 does not fit 2 node(s): give 1 to 2"),
        ("replicas = 1", "replicas = 3", "config.toml:4: replicas = 3 does not fit"),
        ("replicas = 1", "", "config.toml:5: replicas = 3 does not fit"),
        ("replicas = 1", "replicas = -1", "config.toml:4: "),
        (
            "[node]\nname = \"a\"",
            "[node]\nname = \"c\"",
            "[node] name = \"c\" is not in [cluster] nodes: give one of a, b",
        ),
        ("name = \"b\"", "name = \"a\"", "config.toml:7: node name \"a\" is listed twice"),
        ("name = \"b\"", "name = \"../b\"", "config.toml:7: the name of a node = \"../b\""),
        ("name = \"b\"", "name = \"..\"", "not starting with a dot"),
        ("id = \"small\"", "id = \"\"", "[cluster] id = \"\""),
        ("127.0.0.1:4", "127.0.0.1:1", "peer = \"127.0.0.1:1\" of node b is already the client of node a"),
        ("127.0.0.1:4", "localhost:4", "give IP:PORT"),
        ("127.0.0.1:4", "127.0.0.1:0", "give IP:PORT"),
        ("127.0.0.1:4", "0.0.0.0:4", "other nodes cannot connect to it"),
        ("[node]", "max_value = 0\n[node]", "max_value = 0 is out of range: give 1 to"),
        (
            "[node]",
            "operation_timeout_ms = 0\n[node]",
            "config.toml:9: operation_timeout_ms = 0 is out of range",
        ),
        ("[node]", "read_timeout_ms = 5000\n[node]", "must be below operation_timeout_ms = 5000"),
        ("[node]", "[node]\nmax_clients = 0", "max_clients = 0 is out of range"),
        ("[node]", "[node]\ncache_bytes = 5", "cache_bytes = 5 is out of range: give 1048576 to"),
        ("[node]", "[node]\npassword_file = \"none\"", "dir/none: cannot read the password file"),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(part), "{to}: {message}");
    }
}

#[test]
fn too_many_nodes_are_refused() {
    let list = |count: usize| {
        let entry = |n: usize| {
            format!(
                "{{ name = \"n{n}\", client = \"10.0.{}.{}:1\", peer = \"10.0.{}.{}:2\" }}",
                n / 256,
                n % 256,
                n / 256,
                n % 256
            )
        };
        let entries: Vec<String> = (0..count).map(entry).collect();
        format!("[cluster]\nid = \"x\"\nnodes = [{}]\n[node]\nname = \"n0\"", entries.join(","))
    };
    assert!(parse(&list(1000)).is_ok());
    assert!(
        parse(&list(1001))
            .expect_err("one too many")
            .to_string()
            .contains("lists 1001 nodes: give 1 to 1000")
    );
    assert!(parse(&list(0)).expect_err("none").to_string().contains("lists 0 nodes"));
}

#[test]
fn digest_sees_every_fact_and_nothing_else() {
    let base = parse(SMALL).expect("valid").cluster_digest();
    let other = |from: &str, to: &str| parse(&SMALL.replace(from, to)).expect(to).cluster_digest();
    let lines: Vec<&str> = SMALL.lines().collect();
    let swapped =
        SMALL.replace(lines[5], "  # moved").replace(lines[6], &format!("{}\n{}", lines[6], lines[5]));
    assert_eq!(parse(&swapped).expect("valid").cluster_digest(), base, "the order of nodes does not count");
    assert_eq!(other("[node]\nname = \"a\"", "[node]\nname = \"b\""), base, "[node] is each node's own");
    for (from, to) in [
        ("small", "large"),
        ("replicas = 1", "replicas = 2"),
        ("127.0.0.1:3", "127.0.0.1:5"),
        ("127.0.0.1:4", "127.0.0.1:5"),
        ("name = \"b\"", "name = \"c\""),
        ("[node]", "durability = \"none\"\n[node]"),
        ("[node]", "max_value = 1\n[node]"),
        ("[node]", "operation_timeout_ms = 1000\n[node]"),
        ("[node]", "read_timeout_ms = 100\n[node]"),
    ] {
        assert_ne!(other(from, to), base, "{to}");
    }
}

#[test]
fn classic_ports_are_twice_the_names() {
    let cluster = classic();
    for node in &cluster.nodes {
        let name: u16 = node.name.parse().expect("a number");
        assert_eq!((node.client.port(), node.peer.port()), (2 * name, 2 * name + 10_000));
    }
    assert_eq!(cluster.ring().names(), ["5562", "5556", "5554", "5558", "5560"]);
}

#[test]
fn base_port_must_leave_room() {
    let last = Cluster::classic(LOCAL, 55_519).expect("fits exactly");
    assert_eq!((last.nodes[4].client.port(), last.nodes[4].peer.port()), (55_535, 65_535));
    assert_eq!(Cluster::classic(LOCAL, 55_520), None);
    assert_eq!(Cluster::classic(LOCAL, u16::MAX), None);
    assert_eq!(Cluster::classic(LOCAL, 0), None);
}

#[test]
fn rings_of_other_sizes_go_on_as_the_classic_one() {
    let names = |cluster: &Cluster| cluster.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&classic()), CLASSIC_NAMES);
    let three = Cluster::of_size(3, LOCAL, 20_000).expect("fits");
    assert_eq!(names(&three), CLASSIC_NAMES[..3]);
    let nine = Cluster::of_size(9, LOCAL, 20_000).expect("fits");
    assert_eq!((nine.nodes[8].name.as_str(), nine.nodes[8].client.port()), ("5570", 20_032));
    assert_eq!(nine.voters, nine.ring().names()[..5]);
    let text = render(&nine, "5570");
    assert_eq!(parse(&text).expect("valid").cluster, nine);
    assert_eq!(Cluster::of_size(2, LOCAL, 20_000), None, "three copies need three nodes");
    assert_eq!(Cluster::of_size(9, LOCAL, 55_504), None, "the last peer port does not fit");
    assert_eq!(Cluster::of_size(u16::MAX, LOCAL, 1), None);
}

#[test]
fn moved_cluster_keeps_the_lines_of_the_node() {
    let path = Path::new("dir/config.toml");
    let edited = render(&classic(), "5556").replace("max_clients = 10000", "max_clients = 7 # few");
    let moved = Cluster::classic(LOCAL, 20_000).expect("fits");
    let merged = replace_cluster(&edited, path, &moved).expect("can be merged");
    assert!(merged.contains("max_clients = 7 # few"));
    let config = parse(&merged).expect("valid");
    assert_eq!((config.cluster, config.node.max_clients), (moved.clone(), 7));
    let turned = "[node]\nname = \"a\"\n".to_owned() + &SMALL.replace("[node]\nname = \"a\"", "");
    assert_eq!(replace_cluster(&turned, path, &moved), None, "the node's name is not in the new cluster");
    let mut small = parse(SMALL).expect("valid").cluster;
    small.replicas = 2;
    let merged = replace_cluster(&turned, path, &small).expect("the tables may come in either order");
    assert_eq!(parse(&merged).expect("valid").cluster, small);
}

#[test]
fn password_file_must_be_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "secret\n").expect("written");
    let chmod = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("chmod");
    chmod(0o640);
    let message = Password::load(&file).expect_err("open to the group").to_string();
    assert!(message.contains("mode 640") && message.contains("chmod 600"), "{message}");
    chmod(0o600);
    let password = Password::load(&file).expect("private");
    assert_eq!(password.as_bytes(), b"secret");
    assert!(!format!("{password:?}").contains("secret"));
    std::fs::write(&file, "\n").expect("written");
    assert!(Password::load(&file).is_err(), "empty");
}
