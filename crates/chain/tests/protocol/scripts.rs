//! Runs the golden scripts: each file of `testscripts/` opens with why, goes on with commands, and has the
//! transcript that they must lead to below a line of three dashes.
//!
//! `UPDATE_GOLDEN=1` writes what happened into the files; read the difference before keeping it.

use std::fs;
use std::path::Path;

use crate::script;

const DIVIDER: &str = "---\n";

#[test]
fn golden_scripts_lead_where_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of scripts")
        .map(|entry| entry.expect("a file of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(files.len() > 20, "the scripts are there");
    let mut failed = Vec::new();
    for path in files {
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a script");
        let (commands, expected) = text.split_once(DIVIDER).unwrap_or((&text, ""));
        assert!(commands.starts_with('#'), "{name} opens with a comment that says why");
        let Ok(transcript) = std::panic::catch_unwind(|| script::run(commands)) else {
            failed.push(format!("{name} panicked"));
            continue;
        };
        if update {
            fs::write(&path, format!("{commands}{DIVIDER}{transcript}")).expect("the script can be written");
        } else if transcript != expected {
            failed.push(format!("{name} leads elsewhere:\n{}", first_difference(expected, &transcript)));
        }
    }
    assert!(failed.is_empty(), "UPDATE_GOLDEN=1 shows each difference in full:\n{}", failed.join("\n"));
}

/// The first line that differs, with what comes before it.
fn first_difference(expected: &str, found: &str) -> String {
    let (mut expected, mut found) = (expected.lines(), found.lines());
    let mut command = "";
    loop {
        match (expected.next(), found.next()) {
            (Some(same), Some(line)) if same == line => {
                if line.starts_with('>') {
                    command = line;
                }
            }
            (wanted, line) => {
                let show = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
                return format!("  after  {command}\n  wanted {}\n  found  {}", show(wanted), show(line));
            }
        }
    }
}
