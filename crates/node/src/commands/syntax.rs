//! From a command's syntax, as the table spells it, to the arguments that `COMMAND DOCS` tells.
//!
//! A word in capitals, or a sign, is a token; any other word is an argument, and one after a token is the
//! token's. `[a]` may be left out, `a | b` is a choice, `(a b)` groups, and `...` after any of them lets it be
//! repeated. Only the table's own texts are read, so what does not fit is a mistake here and panics in a test.

use bytes::Bytes;
use simpledynamo_wire::resp::Value;

/// One argument of a command, or several in some arrangement.
#[derive(Clone, Debug, PartialEq)]
struct Argument {
    /// The argument's name.
    name: String,
    /// What it is.
    kind: Kind,
    /// The token that must stand before it.
    token: Option<String>,
    /// Whether it may be left out.
    optional: bool,
    /// Whether it may be repeated.
    multiple: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// A value that the caller chooses, of this type.
    Plain(&'static str),
    /// All of these in order.
    Block(Vec<Argument>),
    /// One of these.
    OneOf(Vec<Argument>),
}

/// The arguments as `COMMAND DOCS` shows them; empty for a command without any.
pub(super) fn arguments(syntax: &str) -> Vec<Value> {
    let spaced = syntax.replace('[', " [ ").replace(']', " ] ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let arguments = sequence_or_choice(&mut rest);
    assert!(rest.is_empty(), "{syntax:?} closes a bracket that it did not open");
    arguments.iter().map(Argument::describe).collect()
}

/// Everything up to a closing bracket or the end.
fn sequence_or_choice(rest: &mut &[&str]) -> Vec<Argument> {
    let mut alternatives: Vec<Vec<Argument>> = vec![Vec::new()];
    while let [word, after @ ..] = *rest {
        if matches!(*word, "]" | ")") {
            break;
        }
        *rest = after;
        let sequence = alternatives.last_mut().expect("there is at least one alternative");
        match *word {
            "|" => alternatives.push(Vec::new()),
            "..." => sequence.last_mut().expect("something precedes dots").multiple = true,
            "[" | "(" => {
                let mut argument = single(sequence_or_choice(rest));
                *rest = rest.split_first().expect("a bracket is closed").1;
                argument.optional |= *word == "[";
                sequence.push(argument);
            }
            token if is_token(token) => {
                let of_token = rest.iter().take_while(|word| is_argument(word)).count();
                let (arguments, after) = rest.split_at(of_token);
                *rest = after;
                sequence.push(tokened(token, arguments));
            }
            name => sequence.push(Argument::plain(name)),
        }
    }
    if alternatives.len() == 1 {
        return alternatives.pop().expect("there is one");
    }
    let choices: Vec<Argument> = alternatives.into_iter().map(single).collect();
    let name = choices[0].name.clone();
    vec![Argument { name, kind: Kind::OneOf(choices), token: None, optional: false, multiple: false }]
}

fn is_token(word: &str) -> bool {
    !word.starts_with(|first: char| first.is_ascii_lowercase())
}

fn is_argument(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
}

fn tokened(token: &str, arguments: &[&str]) -> Argument {
    let plain: Vec<Argument> = arguments.iter().map(|name| Argument::plain(name)).collect();
    let argument = if plain.is_empty() {
        Argument { kind: Kind::Plain("pure-token"), ..Argument::plain(&token.to_ascii_lowercase()) }
    } else {
        single(plain)
    };
    Argument { token: Some(token.to_owned()), ..argument }
}

/// One argument that stands for all of these.
fn single(mut arguments: Vec<Argument>) -> Argument {
    if arguments.len() == 1 {
        return arguments.pop().expect("there is one");
    }
    let name = arguments.first().expect("brackets are not empty").name.clone();
    Argument { name, kind: Kind::Block(arguments), token: None, optional: false, multiple: false }
}

impl Argument {
    fn plain(name: &str) -> Self {
        let kind = match name {
            "key" => "key",
            "pattern" => "pattern",
            _ if name.starts_with("unix-time") => "unix-time",
            "seconds" | "milliseconds" | "count" | "cursor" | "start" | "end" | "offset" | "decrement"
            | "index" | "client-id" | "maxage" | "numreplicas" | "numlocal" | "timeout" | "protover"
            | "version" => "integer",
            _ => "string",
        };
        Self { name: name.to_owned(), kind: Kind::Plain(kind), token: None, optional: false, multiple: false }
    }

    fn describe(&self) -> Value {
        let (kind, nested) = match &self.kind {
            Kind::Plain(kind) => (*kind, None),
            Kind::Block(arguments) => ("block", Some(arguments)),
            Kind::OneOf(arguments) => ("oneof", Some(arguments)),
        };
        let text = |text: &str| Value::Bulk(Bytes::copy_from_slice(text.as_bytes()));
        let mut fields = vec![(text("name"), text(&self.name)), (text("type"), text(kind))];
        if let Some(token) = &self.token {
            fields.push((text("token"), text(token)));
        }
        let flags = [(self.optional, "optional"), (self.multiple, "multiple")];
        let flags: Vec<Value> =
            flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| Value::Simple(name.into())).collect();
        if !flags.is_empty() {
            fields.push((text("flags"), Value::Set(flags)));
        }
        if let Some(arguments) = nested {
            fields.push((text("arguments"), Value::Array(arguments.iter().map(Self::describe).collect())));
        }
        Value::Map(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::COMMANDS;
    use super::*;

    fn parsed(syntax: &str) -> String {
        let show = |value: &Value| describe(value);
        arguments(syntax).iter().map(show).collect::<Vec<_>>().join(" ")
    }

    /// The description in a form that a test can spell.
    fn describe(value: &Value) -> String {
        match value {
            Value::Map(fields) => {
                let fields = fields.iter().map(|(name, value)| match describe(name).as_str() {
                    "name" => describe(value),
                    "type" => format!(":{}", describe(value)),
                    "token" => format!(" token={}", describe(value)),
                    "flags" => format!(" flags={}", describe(value)),
                    "arguments" => format!(" {{{}}}", describe(value)),
                    other => panic!("{other} is no field"),
                });
                fields.collect()
            }
            Value::Array(values) | Value::Set(values) => {
                values.iter().map(describe).collect::<Vec<_>>().join(", ")
            }
            Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Simple(text) => text.to_string(),
            other => panic!("{other:?} does not occur"),
        }
    }

    #[test]
    fn syntax_becomes_arguments() {
        assert_eq!(parsed(""), "");
        assert_eq!(parsed("key value"), "key:key value:string");
        assert_eq!(parsed("key ..."), "key:key flags=multiple");
        assert_eq!(parsed("(key value) ..."), "key:block flags=multiple {key:key, value:string}");
        assert_eq!(
            parsed("[EX seconds | KEEPTTL]"),
            "seconds:oneof flags=optional {seconds:integer token=EX, keepttl:pure-token token=KEEPTTL}"
        );
        assert_eq!(
            parsed("[AUTH username password]"),
            "username:block token=AUTH flags=optional {username:string, password:string}"
        );
        assert_eq!(parsed("[ID client-id ...]"), "client-id:integer token=ID flags=optional, multiple");
    }

    #[test]
    fn every_syntax_of_the_table_can_be_read() {
        for spec in COMMANDS {
            assert_eq!(arguments(spec.syntax).is_empty(), spec.syntax.is_empty(), "{}", spec.name);
        }
    }
}
