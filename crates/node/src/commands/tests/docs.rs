//! `COMMAND` and the page of documentation.

use super::*;

fn names(value: Value) -> Vec<String> {
    let text = |value| match value {
        Value::Bulk(bytes) => String::from_utf8(bytes.to_vec()).expect("text"),
        Value::Simple(text) => text.into_owned(),
        other => panic!("{other:?} is no name"),
    };
    match value {
        Value::Array(values) | Value::Set(values) => values.into_iter().map(text).collect(),
        other => panic!("{other:?} is no list"),
    }
}

#[test]
fn only_what_is_supported_is_listed() {
    let listed = names(reply_of("command list"));
    for name in ["get", "set", "client", "client|id", "sd.query"] {
        assert!(listed.iter().any(|listed| listed == name), "{name}");
    }
    for name in ["multi", "exec", "watch", "cluster", "config|rewrite", "object|freq", "msetnx", "lpush"] {
        assert!(!listed.iter().any(|listed| listed == name), "{name}");
        assert_eq!(reply_of(&format!("command info {name}")), Value::Array(vec![Value::Null]));
        assert_eq!(reply_of(&format!("command docs {name}")), Value::Map(vec![]));
    }
    let commands = listed.iter().filter(|name| !name.contains('|')).count();
    assert_eq!(reply_of("command count"), Value::Integer(commands as i64));
    assert!(matches!(reply_of("command"), Value::Array(all) if all.len() == commands));
    assert!(matches!(reply_of("command docs"), Value::Map(all) if all.len() == commands));
}

#[test]
fn command_list_filters() {
    assert_eq!(
        names(reply_of("command list filterby pattern GET*")),
        ["get", "getdel", "getex", "getrange", "getset"]
    );
    assert_eq!(names(reply_of("command list filterby module x")), [""; 0]);
    let strings = names(reply_of("command list FILTERBY aclcat string"));
    assert!(strings.contains(&"append".to_owned()) && !strings.contains(&"del".to_owned()));
    assert_errors(&[
        ("command list foo", "ERR syntax error"),
        ("command list filterby", "ERR syntax error"),
        ("command list filterby foo bar", "ERR syntax error"),
    ]);
}

#[test]
fn command_info_has_the_ten_elements_of_redis_7() {
    let Value::Array(mut found) = reply_of("command info get") else { panic!("an array") };
    let Some(Value::Array(elements)) = found.pop() else { panic!("one command") };
    assert_eq!(elements.len(), 10);
    assert_eq!(elements[0], bulk("get"));
    assert_eq!(elements[1], Value::Integer(2));
    assert_eq!(names(elements[2].clone()), ["readonly", "fast"]);
    assert_eq!(elements[3..6], [Value::Integer(1), Value::Integer(1), Value::Integer(1)]);
    assert_eq!(names(elements[6].clone()), ["@read", "@string", "@fast"]);
    assert!(matches!(&elements[8], Value::Array(keys) if keys.len() == 1));
    assert_eq!(elements[9], Value::Array(vec![]));
    let Value::Array(found) = reply_of("command info client client|id") else { panic!("an array") };
    assert!(
        matches!(&found[0], Value::Array(client) if matches!(&client[9], Value::Array(parts) if parts.len() == 11))
    );
    assert!(matches!(&found[1], Value::Array(id) if id[0] == bulk("client|id")));
}

#[test]
fn getkeys_finds_the_keys() {
    for (line, keys) in [
        ("command getkeys get a", vec!["a"]),
        ("command getkeys set a b", vec!["a"]),
        ("command getkeys mset a b c d", vec!["a", "c"]),
        ("command getkeys del a b c", vec!["a", "b", "c"]),
        ("command getkeys object encoding a", vec!["a"]),
        ("command getkeys memory usage a", vec!["a"]),
    ] {
        assert_eq!(names(reply_of(line)), keys, "{line:?}");
    }
    assert_errors(&[
        ("command getkeys", "ERR wrong number of arguments for 'command|getkeys' command"),
        ("command getkeys get", "ERR Invalid number of arguments specified for command"),
        ("command getkeys mset a", "ERR Invalid number of arguments specified for command"),
        ("command getkeys foo a", "ERR Invalid command specified"),
        ("command getkeys object foo", "ERR Invalid command specified"),
        ("command getkeys client id", "ERR The command has no key arguments"),
    ]);
}

#[test]
fn command_docs_tell_arguments_and_subcommands() {
    let fields = |value: &Value, wanted: &str| match value {
        Value::Map(fields) => {
            fields.iter().find(|(name, _)| *name == bulk(wanted)).map(|(_, value)| value.clone())
        }
        other => panic!("{other:?} is no map"),
    };
    let Value::Map(found) = reply_of("command docs SET client") else { panic!("a map") };
    assert_eq!(found[0].0, bulk("set"));
    assert_eq!(fields(&found[0].1, "group"), Some(bulk("string")));
    assert!(
        matches!(fields(&found[0].1, "arguments"), Some(Value::Array(arguments)) if arguments.len() == 5)
    );
    assert!(matches!(fields(&found[1].1, "subcommands"), Some(Value::Map(parts)) if parts.len() == 11));
}

/// Set this variable to have the test write the page instead of comparing it.
const WRITE: &str = "SIMPLEDYNAMO_WRITE_DOCS";

#[test]
fn the_page_of_commands_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
    let page = render_markdown();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(path, &page).expect("docs/commands.md can be written");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/commands.md is out of date: run this test once with {WRITE}=1");
}
