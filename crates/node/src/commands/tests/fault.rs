//! `SD.FAULT`.

use super::*;

fn fault_of(line: &str) -> FaultCommand {
    match server_command_of(line) {
        ServerCommand::Fault(fault) => fault,
        other => panic!("{line:?} comes to {other:?}"),
    }
}

#[test]
fn faults_are_read() {
    assert_eq!(fault_of("sd.fault cut to 5554"), FaultCommand::CutTo(bytes("5554")));
    assert_eq!(fault_of("SD.FAULT CUT FROM 5554"), FaultCommand::CutFrom(bytes("5554")));
    assert_eq!(fault_of("sd.fault Heal"), FaultCommand::Heal);
    assert_eq!(fault_of("sd.fault clock -2000"), FaultCommand::Clock { ppm: -2_000, offset: 0 });
    assert_eq!(
        fault_of("sd.fault clock 2000 -86400000"),
        FaultCommand::Clock { ppm: 2_000, offset: -86_400_000 }
    );
}

#[test]
fn what_is_no_fault_is_refused() {
    for line in ["cut", "cut to", "cut off 5554", "cut to a b", "heal all", "clock", "clock 1 2 3", "foo"] {
        assert_eq!(
            error_of(&format!("sd.fault {line}")),
            "ERR SD.FAULT takes CUT TO node, CUT FROM node, HEAL, or CLOCK ppm [milliseconds]",
            "{line:?}"
        );
    }
    for line in ["clock x", "clock 1.5", "clock 0 x"] {
        let error = error_of(&format!("sd.fault {line}"));
        assert_eq!(error, "ERR value is not an integer or out of range", "{line:?}");
    }
    for line in ["clock 2001", "clock -2001 0", "clock 0 86400001", "clock 0 -86400001"] {
        assert_eq!(
            error_of(&format!("sd.fault {line}")),
            "ERR a clock can be put wrong by at most 2000 ppm and 86400000 milliseconds, either way",
            "{line:?}"
        );
    }
}

#[test]
fn without_fault_injection_there_is_no_such_command() {
    let context = Context { fault_injection: false, ..CONTEXT };
    let reply = |line: &str| plan(&arguments(line), &context);
    assert_eq!(
        reply("sd.fault heal"),
        Plan::Reply(Value::Error("ERR unknown command 'sd.fault', with args beginning with: 'heal' ".into()))
    );
    assert_eq!(reply("command info sd.fault"), Plan::Reply(Value::Array(vec![Value::Null])));
    assert_eq!(reply("command docs sd.fault"), Plan::Reply(Value::Map(vec![])));
    assert_eq!(reply("command list filterby pattern sd.f*"), Plan::Reply(Value::Array(vec![])));
    assert_eq!(
        reply("command getkeys sd.fault heal"),
        Plan::Reply(Value::Error("ERR Invalid command specified".into()))
    );
    let Plan::Reply(Value::Integer(count)) = reply("command count") else { panic!("a number") };
    assert_eq!(reply_of("command count"), Value::Integer(count + 1));
    let Plan::Reply(Value::Array(commands)) = reply("command") else { panic!("an array") };
    assert_eq!(commands.len() as i64, count);
}
