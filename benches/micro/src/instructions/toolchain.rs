//! What numbers of instructions depend on, besides the code.

use std::process::Command;

/// Compiler, valgrind and C library, as far as they tell.
pub(crate) fn describe() -> String {
    let tools: [&[&str]; 3] =
        [&["rustc", "--version"], &["valgrind", "--version"], &["getconf", "GNU_LIBC_VERSION"]];
    tools.map(version).join(", ")
}

/// What a program says about its version, up to the date of its build.
fn version(command: &[&str]) -> String {
    let said = Command::new(command[0]).args(&command[1..]).output();
    let said = said.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    match said.split(" (").next().map(str::trim) {
        None | Some("") => format!("unknown {}", command[0]),
        Some(version) => version.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_what_the_program_says_but_for_its_date() {
        assert_eq!(version(&["echo", "tool 1.2.3 (abcdef 2026-01-01)"]), "tool 1.2.3");
        assert_eq!(version(&["echo", ""]), "unknown echo");
        assert_eq!(version(&["no-such-program-as-this"]), "unknown no-such-program-as-this");
    }
}
