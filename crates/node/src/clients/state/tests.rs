//! Connections, stepped request by request.

use simpledynamo_chain::UnixMillis;

use super::*;
use crate::commands::CommandLimits;

const NOW: UnixMillis = 1_795_339_600_000;
const CONTEXT: Context =
    Context { now: NOW, limits: CommandLimits { max_key: 100, max_value: 1_000 }, fault_injection: false };

fn settings(durability: &'static str) -> ConfigValues {
    ConfigValues {
        bind: "127.0.0.1".into(),
        port: 11_108,
        dir: "/data".into(),
        durability,
        read_from: "any",
        replicas: 3,
        max_clients: 10_000,
        idle_timeout: 0,
        max_key: 65_000,
        max_value: 8_388_608,
    }
}

/// A connection with the server around it.
struct Session {
    state: ClientState,
    password: Option<&'static [u8]>,
    durability: &'static str,
}

impl Session {
    fn open(password: Option<&'static [u8]>) -> Self {
        let (peer, local) = ("127.0.0.1:40000", "127.0.0.1:11108");
        let (peer, local) = (peer.parse().expect("an address"), local.parse().expect("an address"));
        let state = ClientState::new(7, peer, local, 12, password.is_some(), NOW);
        Self { state, password, durability: "always" }
    }

    fn admit(&mut self, line: &str) -> Admitted {
        let words = line.split_whitespace().map(|word| word.trim_matches('\''));
        let arguments: Vec<Bytes> = words.map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        self.state.admit(&arguments, &CONTEXT)
    }

    /// What a request comes to: an answer, or a plan that concerns more than this connection.
    fn send(&mut self, line: &str) -> Result<ServerAnswer, Box<Plan>> {
        match self.admit(line).plan {
            Plan::Reply(value) => Ok(ServerAnswer::Reply(value)),
            Plan::Server(command) => {
                let config = settings(self.durability);
                let facts = ServerFacts {
                    now: NOW + 5_000,
                    password: self.password,
                    config: &config,
                    other_replicas: 2,
                };
                Ok(self.state.answer(command, &facts))
            }
            plan => Err(Box::new(plan)),
        }
    }

    fn reply(&mut self, line: &str) -> Value {
        match self.send(line) {
            Ok(ServerAnswer::Reply(value)) => value,
            other => panic!("{line:?} comes to {other:?}"),
        }
    }

    fn error(&mut self, line: &str) -> String {
        match self.reply(line) {
            Value::Error(text) => text.into_owned(),
            other => panic!("{line:?} is answered by {other:?}"),
        }
    }
}

fn bulk(text: &str) -> Value {
    Value::Bulk(Bytes::copy_from_slice(text.as_bytes()))
}

const NOAUTH: &str = "NOAUTH Authentication required.";
const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NOT_EXECUTED: &str =
    "ERR not executed: its MULTI was refused, and so is every command until EXEC or DISCARD";

#[test]
fn a_refused_multi_takes_every_command_of_its_block_with_it() {
    let mut client = Session::open(None);
    let refused = client.error("multi");
    assert!(refused.starts_with("ERR MULTI is not supported"), "{refused}");
    assert!(refused.contains("pipeline(transaction=False)"), "{refused}");
    for line in ["set k v", "get k", "ping", "foo", "get", "multi", "watch k", "client id", "flushall"] {
        assert_eq!(client.error(line), NOT_EXECUTED, "{line:?}");
    }
    let aborted = client.error("exec");
    assert!(aborted.starts_with("EXECABORT Transaction discarded because of: "), "{aborted}");
    assert!(client.send("set k v").is_err_and(|plan| matches!(*plan, Plan::Key(_))), "the block is over");
    assert_eq!(client.error("exec"), "ERR EXEC without MULTI");
    assert_eq!(client.error("discard"), "ERR DISCARD without MULTI");
}

#[test]
fn a_refused_block_ends_in_other_ways_too() {
    for (line, is_over) in [
        ("discard", true),
        ("reset", true),
        ("exec x", true),
        ("discard x", false),
        ("hello", false),
        ("auth a b", false),
    ] {
        let mut client = Session::open(None);
        let _ = client.reply("multi");
        let _ = client.reply(line);
        assert_eq!(client.send("set k v").is_err(), is_over, "{line:?}");
    }
    let mut client = Session::open(None);
    let _ = client.reply("multi");
    assert_eq!(client.reply("discard"), Value::OK);
    let _ = client.reply("multi");
    assert!(client.error("exec x").starts_with("EXECABORT "));
    let _ = client.reply("multi");
    assert!(matches!(client.reply("hello"), Value::Map(_)));
    assert_eq!(client.send("quit"), Ok(ServerAnswer::ReplyAndClose(Value::OK)));
}

#[test]
fn without_authentication_only_four_commands_run() {
    let mut client = Session::open(Some(b"sekrit"));
    for line in ["ping", "set a b", "client id", "client setname x", "config get *", "multi", "exec", "info"]
    {
        assert_eq!(client.error(line), NOAUTH, "{line:?}");
    }
    assert_eq!(client.error("foo"), "ERR unknown command 'foo', with args beginning with: ");
    assert_eq!(client.error("get"), "ERR wrong number of arguments for 'get' command");
    assert!(
        client
            .error("hello")
            .starts_with("NOAUTH HELLO must be called with the client already authenticated")
    );
    assert!(client.error("hello 3 setname x").starts_with("NOAUTH HELLO"));
    assert_eq!(client.state.protocol(), Protocol::Resp2, "a refused HELLO changes nothing");
    assert_eq!(client.reply("reset"), Value::Simple("RESET".into()));
    assert_eq!(client.send("quit"), Ok(ServerAnswer::ReplyAndClose(Value::OK)));
    assert!(!client.state.is_authenticated());
}

#[test]
fn authentication_takes_the_password_and_nothing_like_it() {
    for line in [
        "auth x",
        "auth sekri",
        "auth sekritt",
        "auth sekritsekrit",
        "auth ''",
        "auth other sekrit",
        "auth Sekrit",
    ] {
        let mut client = Session::open(Some(b"sekrit"));
        assert_eq!(client.error(line), WRONGPASS, "{line:?}");
        assert_eq!(client.error("ping"), NOAUTH, "{line:?}");
    }
    for line in ["auth sekrit", "auth default sekrit", "hello 3 auth default sekrit"] {
        let mut client = Session::open(Some(b"sekrit"));
        let _ = client.reply(line);
        assert_eq!(client.reply("ping"), Value::Simple("PONG".into()), "{line:?}");
        assert_eq!(client.reply("reset"), Value::Simple("RESET".into()));
        assert_eq!(client.error("ping"), NOAUTH, "a reset forgets it");
    }
    let mut client = Session::open(Some(b"sekrit"));
    assert_eq!(client.error("hello 3 auth default x"), WRONGPASS);
    assert_eq!(client.state.protocol(), Protocol::Resp2);
}

#[test]
fn without_a_password_configured_auth_says_so() {
    let mut client = Session::open(None);
    assert_eq!(
        client.error("auth x"),
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
         configuration is correct?"
    );
    assert_eq!(client.reply("auth default anything"), Value::OK);
    assert_eq!(client.error("auth a b"), WRONGPASS);
    assert_eq!(client.reply("ping"), Value::Simple("PONG".into()), "a failed AUTH takes nothing away");
}

#[test]
fn hello_greets_in_redis_order_and_changes_the_protocol() {
    let mut client = Session::open(None);
    let greeting = |proto| {
        Value::Map(vec![
            (bulk("server"), bulk("redis")),
            (bulk("version"), bulk("7.4.0")),
            (bulk("proto"), Value::Integer(proto)),
            (bulk("id"), Value::Integer(7)),
            (bulk("mode"), bulk("standalone")),
            (bulk("role"), bulk("master")),
            (bulk("modules"), Value::Array(vec![])),
        ])
    };
    assert_eq!(client.reply("hello"), greeting(2));
    assert_eq!(client.reply("hello 3 setname me"), greeting(3));
    assert_eq!(client.state.protocol(), Protocol::Resp3);
    assert_eq!(client.reply("hello"), greeting(3));
    assert_eq!(client.reply("client getname"), bulk("me"));
    assert_eq!(client.error("hello 9"), "NOPROTO unsupported protocol version");
    assert_eq!(client.state.protocol(), Protocol::Resp3);
    let _ = client.reply("reset");
    assert_eq!(client.state.protocol(), Protocol::Resp2);
    assert_eq!(client.reply("client getname"), Value::Null);
}

#[test]
fn replies_can_be_switched_off_and_skipped() {
    let mut client = Session::open(None);
    let mut silent = |line| client.admit(line).silent;
    assert!(!silent("ping"));
    assert_eq!(client.send("client reply skip"), Ok(ServerAnswer::Silent));
    assert!(client.admit("ping").silent);
    assert!(!client.admit("ping").silent, "one command only");
    assert_eq!(client.send("client reply off"), Ok(ServerAnswer::Silent));
    for line in ["ping", "get k", "client reply foo", "foo"] {
        assert!(client.admit(line).silent, "{line:?}");
    }
    assert_eq!(client.send("client reply skip"), Ok(ServerAnswer::Silent));
    assert!(client.admit("ping").silent);
    assert!(client.admit("ping").silent, "skipping does not switch replies on");
    let on = client.admit("client reply on");
    assert!(!on.silent);
    assert_eq!(client.send("client reply on"), Ok(ServerAnswer::Reply(Value::OK)));
    assert!(!client.admit("ping").silent);
}

#[test]
fn a_client_is_listed_as_redis_lists_it() {
    let mut client = Session::open(None);
    let line = "id=7 addr=127.0.0.1:40000 laddr=127.0.0.1:11108 fd=12 name= age=5 idle=5 flags=N db=0 sub=0 psub=0 \
                ssub=0 multi=-1 watch=0 events=r cmd=NULL user=default redir=-1 resp=2 lib-name= lib-ver=\n";
    assert_eq!(client.state.line(NOW + 5_000), line);
    for line in [
        "hello 3",
        "client setname me",
        "client setinfo lib-name py",
        "client setinfo lib-ver 1.2",
        "client no-evict on",
    ] {
        let _ = client.reply(line);
    }
    let line = "id=7 addr=127.0.0.1:40000 laddr=127.0.0.1:11108 fd=12 name=me age=5 idle=5 flags=e db=0 sub=0 psub=0 \
                ssub=0 multi=-1 watch=0 events=r cmd=client|info user=default redir=-1 resp=3 lib-name=py \
                lib-ver=1.2\n";
    assert_eq!(client.reply("client info"), Value::Verbatim(Bytes::from_static(line.as_bytes())));
    let all = list_reply([&client.state], &ListFilter::All, NOW + 5_000);
    assert_eq!(all, Value::Verbatim(Bytes::from_static(line.as_bytes())));
    assert_eq!(client.reply("client id"), Value::Integer(7));
    let none = Value::Verbatim(Bytes::new());
    assert_eq!(list_reply([&client.state], &ListFilter::Ids(vec![8]), NOW), none);
    assert_eq!(list_reply([&client.state], &ListFilter::None, NOW), none);
    assert_eq!(client.send("client list id 7"), Ok(ServerAnswer::ListClients(ListFilter::Ids(vec![7]))));
}

#[test]
fn kill_closes_whom_the_filter_means() {
    let mut client = Session::open(None);
    let mut killed = |line: &str, asker| match client.send(line) {
        Ok(ServerAnswer::KillClients(filter)) => client.state.is_killed_by(&filter, asker, NOW + 60_000),
        other => panic!("{line:?} comes to {other:?}"),
    };
    for (line, asker, expected) in [
        ("client kill 127.0.0.1:40000", 7, true),
        ("client kill 127.0.0.1:40001", 9, false),
        ("client kill id 7", 9, true),
        ("client kill id 7", 7, false),
        ("client kill id 7 skipme no", 7, true),
        ("client kill id 8", 9, false),
        ("client kill addr 127.0.0.1:40000", 9, true),
        ("client kill laddr 127.0.0.1:11108", 9, true),
        ("client kill laddr 127.0.0.1:1", 9, false),
        ("client kill id 7 addr 127.0.0.1:1", 9, false),
        ("client kill type normal", 9, true),
        ("client kill type pubsub", 9, false),
        ("client kill maxage 60", 9, true),
        ("client kill maxage 61", 9, false),
    ] {
        assert_eq!(killed(line, asker), expected, "{line:?} by {asker}");
    }
    let filter = |old_form| KillFilter {
        id: None,
        peer: None,
        local: None,
        age_min: None,
        any_type: true,
        skip_me: true,
        old_form,
    };
    assert_eq!(kill_reply(&filter(false), 3), Value::Integer(3));
    assert_eq!(kill_reply(&filter(true), 1), Value::OK);
    assert_eq!(kill_reply(&filter(true), 0), Value::Error("ERR No such client".into()));
}

#[test]
fn the_server_is_asked_for_what_a_connection_cannot_know() {
    let mut client = Session::open(None);
    assert_eq!(client.reply("wait 0 0"), Value::Integer(2));
    assert_eq!(client.reply("waitaof 1 2 0"), Value::Array(vec![Value::Integer(1), Value::Integer(2)]));
    client.durability = "interval";
    assert_eq!(client.reply("waitaof 1 2 0"), Value::Array(vec![Value::Integer(0), Value::Integer(0)]));
    assert_eq!(client.reply("config get save"), Value::Map(vec![(bulk("save"), bulk(""))]));
    assert_eq!(
        client.send("config set timeout 5"),
        Ok(ServerAnswer::SetConfig(vec![Setting::IdleTimeout(5)]))
    );
    assert_eq!(client.send("config resetstat"), Ok(ServerAnswer::ResetStatistics));
    assert_eq!(
        client.error("config set foo bar"),
        "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"
    );
}
