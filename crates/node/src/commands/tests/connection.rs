//! The connection: `HELLO`, `AUTH`, `CLIENT` and the plain ones.

use simpledynamo_wire::resp::Protocol;

use super::*;

fn client_command_of(line: &str) -> ClientCommand {
    match server_command_of(line) {
        ServerCommand::Client(command) => command,
        other => panic!("{line:?} comes to {other:?}"),
    }
}

#[test]
fn plain_commands_are_answered_from_their_arguments() {
    assert_eq!(reply_of("ping"), Value::Simple("PONG".into()));
    assert_eq!(reply_of("ping hello"), bulk("hello"));
    assert_eq!(reply_of("echo hello"), bulk("hello"));
    for line in ["select 0", "readonly", "readwrite", "asking"] {
        assert_eq!(reply_of(line), Value::OK, "{line:?}");
    }
    for line in ["quit", "quit now please"] {
        assert_eq!(server_command_of(line), ServerCommand::Quit);
    }
    assert_eq!(server_command_of("reset"), ServerCommand::Reset);
    assert_errors(&[
        ("ping a b", "ERR wrong number of arguments for 'ping' command"),
        ("select x", "ERR value is not an integer or out of range"),
        ("select 1", "ERR DB index is out of range"),
        ("select -1", "ERR DB index is out of range"),
        (
            "watch k",
            "ERR WATCH is not supported: there are no transactions. To change a value only if it is \
                     still the same, use SET key value IFEQ old",
        ),
        (
            "unwatch",
            "ERR UNWATCH is not supported: there are no transactions. To change a value only if it is \
                     still the same, use SET key value IFEQ old",
        ),
    ]);
}

#[test]
fn hello_and_auth_take_credentials() {
    let credentials =
        |user: Option<&str>, password: &str| Credentials { user: user.map(bytes), password: bytes(password) };
    let hello = |protocol, credentials, name: Option<&str>| ServerCommand::Hello {
        protocol,
        credentials,
        name: name.map(bytes),
    };
    let (two, three) = (Some(Protocol::Resp2), Some(Protocol::Resp3));
    for (line, expected) in [
        ("hello", hello(None, None, None)),
        ("hello 2", hello(two, None, None)),
        ("hello 3", hello(three, None, None)),
        ("hello 3 auth u p", hello(three, Some(credentials(Some("u"), "p")), None)),
        ("hello 2 SETNAME me", hello(two, None, Some("me"))),
        ("hello 3 setname me AUTH u p", hello(three, Some(credentials(Some("u"), "p")), Some("me"))),
        ("auth p", ServerCommand::Auth(credentials(None, "p"))),
        ("auth u p", ServerCommand::Auth(credentials(Some("u"), "p"))),
    ] {
        assert_eq!(server_command_of(line), expected, "{line:?}");
    }
    assert_errors(&[
        ("hello 1", "NOPROTO unsupported protocol version"),
        ("hello 4", "NOPROTO unsupported protocol version"),
        ("hello x", "ERR Protocol version is not an integer or out of range"),
        ("hello setname x", "ERR Protocol version is not an integer or out of range"),
        ("hello 9223372036854775808", "ERR Protocol version is not an integer or out of range"),
        ("hello 3 auth", "ERR Syntax error in HELLO option 'auth'"),
        ("hello 3 auth u", "ERR Syntax error in HELLO option 'auth'"),
        ("hello 3 setname", "ERR Syntax error in HELLO option 'setname'"),
        ("hello 2 setname ab foo", "ERR Syntax error in HELLO option 'foo'"),
        (
            "hello 2 setname a\u{7f}b",
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ),
        ("auth a b c", "ERR syntax error"),
    ]);
}

#[test]
fn a_password_is_never_shown() {
    let shown =
        format!("{:?}", plan_of("auth secret-one")) + &format!("{:?}", plan_of("hello 3 auth u secret-two"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn client_subcommands() {
    use ClientCommand::{
        GetName, Id, Info, List, NoEvict, NoTouch, Reply, SetLibraryName, SetLibraryVersion, SetName,
    };
    for (line, expected) in [
        ("client id", Id),
        ("client info", Info),
        ("client getname", GetName),
        ("client setname me", SetName(bytes("me"))),
        ("client setname ''", SetName(bytes(""))),
        ("client setinfo LIB-NAME redis-py", SetLibraryName(bytes("redis-py"))),
        ("client setinfo lib-ver 5.0", SetLibraryVersion(bytes("5.0"))),
        ("client reply on", Reply(ReplyMode::On)),
        ("client reply OFF", Reply(ReplyMode::Off)),
        ("client reply skip", Reply(ReplyMode::Skip)),
        ("client no-evict on", NoEvict(true)),
        ("client no-touch off", NoTouch(false)),
        ("client list", List(ListFilter::All)),
        ("client list type normal", List(ListFilter::All)),
        ("client list type pubsub", List(ListFilter::None)),
        ("client list id 1 2", List(ListFilter::Ids(vec![1, 2]))),
        ("client list id -1", List(ListFilter::Ids(vec![]))),
    ] {
        assert_eq!(client_command_of(line), expected, "{line:?}");
    }
    let long = format!("client setname {}", "n".repeat(TEXT_MAX + 1));
    assert_errors(&[
        ("client", "ERR wrong number of arguments for 'client' command"),
        ("client id x", "ERR wrong number of arguments for 'client|id' command"),
        (
            "client setname a\u{7f}b",
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ),
        (&long, "ERR the client name is too long: at most 256 bytes are kept per client"),
        ("client setinfo foo bar", "ERR Unrecognized option 'foo'"),
        (
            "client setinfo lib-ver \u{e9}",
            "ERR lib-ver cannot contain spaces, newlines or special characters.",
        ),
        ("client reply foo", "ERR syntax error"),
        ("client no-evict foo", "ERR syntax error"),
        ("client list foo", "ERR syntax error"),
        ("client list type", "ERR syntax error"),
        ("client list type foo", "ERR Unknown client type 'foo'"),
        ("client list type normal foo", "ERR syntax error"),
        ("client list id", "ERR syntax error"),
        ("client list id 1 x", "ERR Invalid client ID"),
    ]);
}

#[test]
fn client_kill_in_both_forms() {
    let all = || KillFilter {
        id: None,
        peer: None,
        local: None,
        age_min: None,
        any_type: true,
        skip_me: true,
        old_form: false,
    };
    for (line, expected) in [
        (
            "client kill 1.2.3.4:5",
            KillFilter { peer: Some(bytes("1.2.3.4:5")), skip_me: false, old_form: true, ..all() },
        ),
        ("client kill id 7", KillFilter { id: Some(7), ..all() }),
        ("client kill addr 1.2.3.4:5", KillFilter { peer: Some(bytes("1.2.3.4:5")), ..all() }),
        ("client kill laddr 1.2.3.4:5", KillFilter { local: Some(bytes("1.2.3.4:5")), ..all() }),
        ("client kill type NORMAL skipme no", KillFilter { skip_me: false, ..all() }),
        ("client kill type replica", KillFilter { any_type: false, ..all() }),
        ("client kill user default skipme yes", all()),
        ("client kill maxage 10", KillFilter { age_min: Some(10), ..all() }),
    ] {
        assert_eq!(client_command_of(line), ClientCommand::Kill(expected), "{line:?}");
    }
    assert_errors(&[
        ("client kill", "ERR wrong number of arguments for 'client|kill' command"),
        ("client kill id x", "ERR client-id should be greater than 0"),
        ("client kill id 0", "ERR client-id should be greater than 0"),
        ("client kill id -1", "ERR client-id should be greater than 0"),
        ("client kill type foo", "ERR Unknown client type 'foo'"),
        ("client kill user foo", "ERR No such user 'foo'"),
        ("client kill skipme foo", "ERR syntax error"),
        ("client kill id 1 addr", "ERR syntax error"),
        ("client kill foo bar", "ERR syntax error"),
        ("client kill maxage x", "ERR maxage is not an integer or out of range"),
        ("client kill maxage 0", "ERR maxage should be greater than 0"),
    ]);
}

#[test]
fn transactions_are_for_the_connection_to_refuse() {
    for (line, expected) in
        [("multi", ServerCommand::Multi), ("exec", ServerCommand::Exec), ("discard", ServerCommand::Discard)]
    {
        assert_eq!(server_command_of(line), expected);
    }
}
