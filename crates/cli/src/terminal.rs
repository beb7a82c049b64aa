//! What standard output can show.

use std::io::IsTerminal as _;

use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle, presets};
use indicatif::HumanCount;

/// Colours of standard output: real ones on a terminal, none in a pipe, nor where `NO_COLOR` asks for none
/// (<https://no-color.org>).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    colours: bool,
}

/// The foreground colours of the 16 that every terminal has and its owner chose, without black, white and red.
const COLOURS: [u8; 5] = [36, 33, 35, 32, 34];

impl Paint {
    /// What standard output takes.
    pub(crate) fn stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { colours: std::io::stdout().is_terminal() && !unwanted && !dumb }
    }

    /// No colours at all.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colours: false }
    }

    /// Colours, whatever standard output is.
    #[cfg(test)]
    pub(crate) fn coloured() -> Self {
        Self { colours: true }
    }

    /// The text in the colour of the node at that position of the ring.
    pub(crate) fn node(self, position: usize, text: &str) -> String {
        self.wrap(COLOURS[position % COLOURS.len()], text)
    }

    /// The text in a strong type.
    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap(1, text)
    }

    /// The text in a faint type.
    pub(crate) fn faint(self, text: &str) -> String {
        self.wrap(2, text)
    }

    /// The text as something that is in order.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap(32, text)
    }

    /// The text as something that somebody should look at.
    pub(crate) fn warning(self, text: &str) -> String {
        self.wrap(33, text)
    }

    /// The text as something that is broken.
    pub(crate) fn bad(self, text: &str) -> String {
        self.wrap(31, text)
    }

    fn wrap(self, code: u8, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A line under the header and nothing else: what is sober can also be cut out and sent to somebody.
const LOOK: TableStyle = presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─'));

/// An empty table in the one look that all subcommands share.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(LOOK);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let texts: Vec<String> = [0, 999, 1000, 1_234_567].map(grouped).to_vec();
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }
}
