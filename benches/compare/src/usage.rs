//! What processes use of the machine, by `/proc/PID` (see proc_pid_stat(5) and proc_pid_status(5)).

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::failure::Failure;

/// The processor time of all these processes so far, in the kernel and outside of it.
pub(crate) fn processor_time(pids: &[u32]) -> Result<Duration, Failure> {
    let ticks = pids.iter().map(|pid| read(*pid, "stat", ticks)).sum::<Result<u64, Failure>>()?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// The memory that the process has resident, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64, Failure> {
    read(pid, "status", resident_bytes)
}

fn read(pid: u32, file: &str, parse: fn(&str) -> Option<u64>) -> Result<u64, Failure> {
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    let text = fs::read_to_string(&path).map_err(|source| Failure::Usage { path: path.clone(), source })?;
    parse(&text).ok_or_else(|| Failure::Usage { path, source: io::ErrorKind::InvalidData.into() })
}

/// Fields 14 and 15; a name in brackets, which may contain anything, is the second.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 1200 34 5 6 20 0 1";
        assert_eq!(ticks(stat), Some(1234));
        assert_eq!(ticks("42 (a) S 1"), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t   10240 kB\nThreads:\t1\n"), Some(10 << 20));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let pid = std::process::id();
        let before = processor_time(&[pid]).expect("readable");
        let start = std::time::Instant::now();
        // Two ticks of a hundredth of a second, whatever else the machine does.
        while processor_time(&[pid]).expect("readable") < before + Duration::from_millis(20) {
            assert!(start.elapsed() < Duration::from_secs(60), "time does not pass");
        }
        assert!(resident(pid).expect("readable") > 100 << 10);
        assert!(processor_time(&[u32::MAX]).is_err());
    }
}
