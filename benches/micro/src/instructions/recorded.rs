//! The file that numbers are recorded in.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

/// What the file begins with.
const HEAD: &str = "\
# Instructions per repetition of the cases of benches/micro, as callgrind counts them. `make counts` compares;
# `make counts RECORD=1` writes this file anew.
";

/// The numbers of one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    /// Compiler, valgrind and C library.
    pub(crate) made_with: String,
    /// By the case's name.
    pub(crate) instructions: BTreeMap<String, u64>,
}

/// All numbers, by architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Recorded(BTreeMap<String, Counts>);

impl Recorded {
    /// Reads a file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The numbers of an architecture.
    pub(crate) fn on(&self, arch: &str) -> Option<&Counts> {
        self.0.get(arch)
    }

    /// All architectures.
    #[cfg(test)]
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &Counts)> {
        self.0.iter()
    }

    /// Takes over what was counted, in place of all whose name contains the pattern.
    pub(crate) fn put(
        &mut self,
        arch: &str,
        made_with: String,
        pattern: &str,
        counted: BTreeMap<String, u64>,
    ) {
        let empty = Counts { made_with: String::new(), instructions: BTreeMap::new() };
        let counts = self.0.entry(arch.to_owned()).or_insert(empty);
        counts.made_with = made_with;
        counts.instructions.retain(|name, _| !name.contains(pattern));
        counts.instructions.extend(counted);
    }

    /// The file's text. Names of cases and architectures are bare keys.
    pub(crate) fn render(&self) -> String {
        let mut text = HEAD.to_owned();
        for (arch, counts) in &self.0 {
            // Rust quotes text as TOML does, if it is ordinary text.
            let made_with = format!("{:?}", counts.made_with);
            write!(text, "\n[{arch}]\nmade_with = {made_with}\n\n[{arch}.instructions]\n").expect("a string");
            for (name, count) in &counts.instructions {
                writeln!(text, "{name} = {count}").expect("a string takes all");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut recorded = Recorded::default();
        recorded.put("x86_64", "rustc 1, \"glibc\" 2".to_owned(), "", counts(&[("b", 2), ("a-1", 10)]));
        recorded.put("aarch64", "rustc 1".to_owned(), "", counts(&[("a-1", 11)]));
        let text = recorded.render();
        assert!(text.contains("\na-1 = 10\nb = 2\n"), "{text}");
        assert_eq!(Recorded::parse(&text).expect("it was written so"), recorded);
    }

    #[test]
    fn recording_replaces_what_the_pattern_names_and_nothing_else() {
        let mut recorded = Recorded::default();
        recorded.put("x86_64", "old".to_owned(), "", counts(&[("ring-a", 1), ("ring-gone", 1), ("peer", 1)]));
        recorded.put("aarch64", "old".to_owned(), "", counts(&[("ring-a", 1)]));
        recorded.put("x86_64", "new".to_owned(), "ring", counts(&[("ring-a", 2)]));
        let expected =
            Counts { made_with: "new".to_owned(), instructions: counts(&[("peer", 1), ("ring-a", 2)]) };
        assert_eq!(recorded.on("x86_64"), Some(&expected));
        assert_eq!(recorded.on("aarch64").map(|counts| counts.made_with.as_str()), Some("old"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(Recorded::parse("[x86_64]\nmade_with = \"\"\n[x86_64.instructions]\na = \"ten\"\n").is_err());
        assert!(Recorded::parse("[x86_64]\nmade_with = \"\"\ntypo = 1\n[x86_64.instructions]\n").is_err());
    }
}
