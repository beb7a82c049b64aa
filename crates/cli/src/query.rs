//! `simpledynamo query KEY|@|*`.
//!
//! A selection is walked page by page and each page is written before the next is asked for, so that any
//! number of pairs passes through in the memory of one page.

use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use bytes::Bytes;
use simpledynamo_wire::resp::Value;

use crate::arguments::QueryOptions;
use crate::client::{Client, Effect, unexpected};
use crate::failure::{Failure, NOT_FOUND, unless_reader_gone};
use crate::format::PairWriter;

/// About how many pairs come in one page.
const PAGE: &[u8] = b"1000";

/// Writes the pairs that were asked for to standard output.
pub(crate) fn run(options: &QueryOptions) -> Result<ExitCode, Failure> {
    let mut client = Client::open(&options.connection)?;
    let mut pairs = PairWriter::new(BufWriter::new(io::stdout().lock()), options.output);
    let selection = options.selection.as_bytes();
    let code = match selection {
        b"@" | b"*" => {
            walk(&mut client, selection, &mut pairs)?;
            ExitCode::SUCCESS
        }
        key => one(&mut client, key, &mut pairs)?,
    };
    unless_reader_gone(pairs.finish())?;
    Ok(code)
}

fn one<W: Write>(client: &mut Client, key: &[u8], pairs: &mut PairWriter<W>) -> Result<ExitCode, Failure> {
    match client.call(&[b"GET", key], Effect::Read)? {
        Value::Bulk(value) => {
            unless_reader_gone(pairs.page(&[(Bytes::copy_from_slice(key), value)]))?;
            Ok(ExitCode::SUCCESS)
        }
        Value::Null => Ok(ExitCode::from(NOT_FOUND)),
        other => Err(unexpected("GET", &other)),
    }
}

fn walk<W: Write>(client: &mut Client, selection: &[u8], pairs: &mut PairWriter<W>) -> Result<(), Failure> {
    let mut cursor = Bytes::from_static(b"0");
    loop {
        let arguments = [b"SD.QUERY", selection, b"CURSOR", cursor.as_ref(), b"COUNT", PAGE];
        let (next, page) = split_page(client.call(&arguments, Effect::Read)?)?;
        unless_reader_gone(pairs.page(&page))?;
        if next.as_ref() == b"0" {
            return Ok(());
        }
        if next == cursor {
            return Err(Failure::other(
                "the node answered SD.QUERY with the cursor that it was given: stopped",
            ));
        }
        cursor = next;
    }
}

/// Takes a reply of `SD.QUERY` apart: the next cursor, and an array of key, value, key, value.
fn split_page(reply: Value) -> Result<(Bytes, Vec<(Bytes, Bytes)>), Failure> {
    let (cursor, items) = match &reply {
        Value::Array(parts) => match parts.as_slice() {
            [Value::Bulk(cursor), Value::Array(items)] => (cursor, items),
            _ => return Err(unexpected("SD.QUERY", &reply)),
        },
        _ => return Err(unexpected("SD.QUERY", &reply)),
    };
    let pairs = items.chunks(2).map(|pair| match pair {
        [Value::Bulk(key), Value::Bulk(value)] => Ok((key.clone(), value.clone())),
        _ => Err(unexpected("SD.QUERY", &reply)),
    });
    Ok((cursor.clone(), pairs.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &'static str) -> Value {
        Value::Bulk(Bytes::from_static(text.as_bytes()))
    }

    fn page(cursor: &'static str, items: Vec<Value>) -> Value {
        Value::Array(vec![bulk(cursor), Value::Array(items)])
    }

    #[test]
    fn page_is_a_cursor_and_pairs() {
        let reply = page("17", vec![bulk("a"), bulk("1"), bulk("b"), bulk("")]);
        let (cursor, pairs) = split_page(reply).expect("well formed");
        assert_eq!(cursor, "17");
        assert_eq!(pairs, [("a".into(), "1".into()), ("b".into(), "".into())]);
        assert_eq!(split_page(page("0", vec![])).expect("well formed").1, []);
    }

    #[test]
    fn malformed_pages_are_refused() {
        let half = page("0", vec![bulk("a"), bulk("1"), bulk("b")]);
        let hole = page("0", vec![Value::Null, bulk("1")]);
        for reply in [half, hole, bulk("0"), Value::Array(vec![]), Value::Array(vec![bulk("0"), bulk("1")])] {
            assert!(split_page(reply).is_err());
        }
    }
}
