//! Counting by valgrind.

use std::env;
use std::path::Path;
use std::process::Command;

/// The environment that valgrind needs. No more is passed on: what a process inherits lies on its stack, and a case
/// should meet the same one everywhere.
const KEPT: [&str; 2] = ["PATH", "VALGRIND_LIB"];

/// The instructions of a process that carries a case out so often.
pub(crate) fn count(program: &Path, case: &str, repetitions: u64) -> Result<u64, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["count", case, &repetitions.to_string()])
        .env_clear()
        .envs(KEPT.iter().filter_map(|name| Some((name, env::var_os(name)?))))
        .output()
        .map_err(|error| format!("cannot run valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{case} failed under valgrind ({}): {said}", output.status));
    }
    collected(&said).ok_or_else(|| format!("valgrind does not say what it counted: {said}"))
}

/// The total, as callgrind tells it at the end.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().rev().find_map(|line| line.split_once("Collected : "));
    line?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_in_what_valgrind_says() {
        let said = "==7== Callgrind, a call-graph generating cache profiler\n==7== \n==7== Events    : Ir\n\
                    ==7== Collected : 30153853\n==7== \n==7== I   refs:      30,153,853\n";
        assert_eq!(collected(said), Some(30_153_853));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
