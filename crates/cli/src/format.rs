//! Pairs of any bytes as text.
//!
//! Each format is written page by page, so that nothing but a page is held. All three can be read back byte
//! for byte: the table by its escapes, the tab-separated lines by theirs, JSON by the kind of its values.

use std::io::{self, Write};

use bytes::Bytes;

use crate::arguments::PairFormat;

/// A key column wider than this would push most values off the screen: longer keys stick out.
const KEY_COLUMN_MAX: usize = 40;

/// Writes pairs in one format.
#[derive(Debug)]
pub(crate) struct PairWriter<W> {
    out: W,
    format: PairFormat,
    written: u64,
    /// Width of the key column, fixed by the first page.
    key_column: usize,
}

impl<W: Write> PairWriter<W> {
    pub(crate) fn new(out: W, format: PairFormat) -> Self {
        Self { out, format, written: 0, key_column: 0 }
    }

    /// Writes some more pairs, and hands them on.
    pub(crate) fn page(&mut self, pairs: &[(Bytes, Bytes)]) -> io::Result<()> {
        match self.format {
            PairFormat::Table => self.table(pairs)?,
            PairFormat::Tsv => self.tsv(pairs)?,
            PairFormat::Json => self.json(pairs)?,
        }
        self.written += pairs.len() as u64;
        self.out.flush()
    }

    /// Ends the document.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        match self.format {
            PairFormat::Table => {
                let pairs = if self.written == 1 { "pair" } else { "pairs" };
                writeln!(self.out, "({} {pairs})", self.written)?;
            }
            PairFormat::Tsv => {}
            PairFormat::Json => self.out.write_all(if self.written == 0 { b"[]\n" } else { b"\n]\n" })?,
        }
        self.out.flush()
    }

    fn table(&mut self, pairs: &[(Bytes, Bytes)]) -> io::Result<()> {
        let lines: Vec<(String, String)> =
            pairs.iter().map(|(key, value)| (escaped(key), escaped(value))).collect();
        if self.written == 0 && !lines.is_empty() {
            let widest = lines.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
            self.key_column = widest.clamp("key".len(), KEY_COLUMN_MAX);
            writeln!(self.out, "{:width$}  value", "key", width = self.key_column)?;
            writeln!(self.out, "{}  ─────", "─".repeat(self.key_column))?;
        }
        for (key, value) in lines {
            writeln!(self.out, "{key:width$}  {value}", width = self.key_column)?;
        }
        Ok(())
    }

    fn tsv(&mut self, pairs: &[(Bytes, Bytes)]) -> io::Result<()> {
        for (key, value) in pairs {
            write_tsv(&mut self.out, key)?;
            self.out.write_all(b"\t")?;
            write_tsv(&mut self.out, value)?;
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn json(&mut self, pairs: &[(Bytes, Bytes)]) -> io::Result<()> {
        for (number, (key, value)) in (self.written..).zip(pairs) {
            self.out.write_all(if number == 0 { b"[\n" } else { b",\n" })?;
            write!(self.out, "{}", serde_json::json!({ "key": json(key), "value": json(value) }))?;
        }
        Ok(())
    }
}

/// Bytes as text for people: printable characters as they are, all others as in a Rust or C string.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\'' => text.push(character),
                '\0' => text.push_str("\\x00"),
                other => text.extend(other.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Bytes as a JSON value: a string if they are UTF-8, else an object with their base64 (RFC 4648).
pub(crate) fn json(bytes: &[u8]) -> serde_json::Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => serde_json::json!({ "base64": base64(bytes) }),
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| group.get(index).map_or(0, |&byte| u32::from(byte));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            // One byte fills two characters, two fill three; the rest is padding.
            let character =
                if place > group.len() { b'=' } else { ALPHABET[(bits >> (18 - 6 * place) & 63) as usize] };
            text.push(char::from(character));
        }
    }
    text
}

fn write_tsv(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| b"\t\n\r\\".contains(byte)) {
        out.write_all(&rest[..at])?;
        out.write_all(match rest[at] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            _ => b"\\\\",
        })?;
        rest = &rest[at + 1..];
    }
    out.write_all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte, alone and in company, and texts with meaning to one of the formats.
    fn samples() -> Vec<Bytes> {
        let mut samples: Vec<Bytes> = (0..=255u8).map(|byte| Bytes::from(vec![byte])).collect();
        samples.push((0..=255u8).collect());
        for text in ["", "\\t", "\\x00", "\t\n", "a\"b", "ключ 鍵 🔑", "\u{202e}x", "{\"base64\":\"eA==\"}"]
        {
            samples.push(Bytes::copy_from_slice(text.as_bytes()));
        }
        samples.push(Bytes::from_static(b"half \xe2\x82 a sign"));
        samples
    }

    fn written(format: PairFormat, pages: &[&[(Bytes, Bytes)]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = PairWriter::new(&mut out, format);
        for page in pages {
            writer.page(page).expect("a vector takes every write");
        }
        writer.finish().expect("a vector takes every write");
        out
    }

    fn unescape_tsv(field: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut field = field.iter();
        while let Some(&byte) = field.next() {
            bytes.push(match byte {
                b'\\' => match field.next() {
                    Some(b't') => b'\t',
                    Some(b'n') => b'\n',
                    Some(b'r') => b'\r',
                    Some(b'\\') => b'\\',
                    other => panic!("no such escape: {other:?}"),
                },
                other => other,
            });
        }
        bytes
    }

    fn unescape_json(value: &serde_json::Value) -> Vec<u8> {
        if let Some(text) = value.as_str() {
            return text.as_bytes().to_vec();
        }
        let text = value["base64"].as_str().expect("a string or base64");
        assert_eq!(text.len() % 4, 0, "padded");
        let mut bits = 0u32;
        let mut count = 0;
        let mut bytes = Vec::new();
        for character in text.trim_end_matches('=').bytes() {
            let digit = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                other => panic!("no digit of base64: {other}"),
            };
            bits = bits << 6 | u32::from(digit);
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes.push((bits >> count & 255) as u8);
            }
        }
        bytes
    }

    #[test]
    fn tsv_reads_back_byte_for_byte() {
        let pairs: Vec<(Bytes, Bytes)> = samples().into_iter().map(|bytes| (bytes.clone(), bytes)).collect();
        let (first, second) = pairs.split_at(100);
        let text = written(PairFormat::Tsv, &[first, second]);
        let lines: Vec<&[u8]> =
            text.strip_suffix(b"\n").expect("ended").split(|&byte| byte == b'\n').collect();
        assert_eq!(lines.len(), pairs.len());
        for (line, (key, value)) in lines.iter().zip(&pairs) {
            let fields: Vec<Vec<u8>> = line.split(|&byte| byte == b'\t').map(unescape_tsv).collect();
            assert_eq!(fields, [key.to_vec(), value.to_vec()]);
        }
    }

    #[test]
    fn json_reads_back_byte_for_byte() {
        let pairs: Vec<(Bytes, Bytes)> = samples().into_iter().map(|bytes| (bytes.clone(), bytes)).collect();
        let (first, second) = pairs.split_at(100);
        for pages in [vec![first, second], vec![&[], first, &[], second, &[]]] {
            let text = written(PairFormat::Json, &pages);
            let document: Vec<serde_json::Value> = serde_json::from_slice(&text).expect("one JSON array");
            assert_eq!(document.len(), pairs.len());
            for (object, (key, value)) in document.iter().zip(&pairs) {
                assert_eq!(unescape_json(&object["key"]), key.to_vec());
                assert_eq!(unescape_json(&object["value"]), value.to_vec());
            }
        }
        assert_eq!(written(PairFormat::Json, &[]), b"[]\n");
    }

    #[test]
    fn table_shows_no_control_character() {
        let pairs: Vec<(Bytes, Bytes)> = samples().into_iter().map(|bytes| (bytes.clone(), bytes)).collect();
        let text = String::from_utf8(written(PairFormat::Table, &[&pairs])).expect("UTF-8");
        assert_eq!(text.lines().count(), pairs.len() + 3, "a line each, a header of two, the count");
        let hostile =
            |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
        assert!(!text.contains(hostile));
        assert_eq!(escaped(b"a\\\n\t\xff\x00\x7f\"'"), "a\\\\\\n\\t\\xff\\x00\\u{7f}\"'");
        assert_eq!(escaped("ключ 鍵".as_bytes()), "ключ 鍵");
    }

    #[test]
    fn table_lines_up_by_its_first_page() {
        let pair = |key: &'static str| (Bytes::from(key), Bytes::from("v"));
        let text = written(PairFormat::Table, &[&[pair("a"), pair("long")], &[pair("b"), pair("longer")]]);
        let expected = "key   value\n────  ─────\na     v\nlong  v\nb     v\nlonger  v\n(4 pairs)\n";
        assert_eq!(String::from_utf8(text).expect("UTF-8"), expected);
    }
}
