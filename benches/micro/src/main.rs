//! What the steps of a request cost by themselves: `time`, `count`, `check`, `record`, `grow`, `list`.

mod case;
mod cases;
mod grow;
mod instructions;
mod nodes;
mod processor_time;
mod samples;

use std::path::Path;
use std::process::ExitCode;

/// Where `grow` draws unless told otherwise.
const DRAWING: &str = "cost.svg";

const USAGE: &str = "usage: simpledynamo-micro COMMAND
  list                   names the cases
  time [PATTERN]         nanoseconds of the thread per repetition, of the cases whose name contains PATTERN
  count CASE REPETITIONS carries a case out so often: what valgrind --tool=callgrind looks at
  check [PATTERN]        counts instructions per repetition, and fails if they are a tenth more than recorded
  record [PATTERN]       records them
  grow [--large] [FILE]  what steps cost as things grow, as a table and drawn in FILE (cost.svg); --large takes minutes";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        ["list"] => list(),
        ["time"] => time(""),
        ["time", pattern] => time(pattern),
        ["count", name, repetitions] => count(name, repetitions)?,
        ["check"] => instructions::check("")?,
        ["check", pattern] => instructions::check(pattern)?,
        ["record"] => instructions::record("")?,
        ["record", pattern] => instructions::record(pattern)?,
        ["grow", "--large"] => grow::grow(true, Path::new(DRAWING))?,
        ["grow", "--large", drawing] => grow::grow(true, Path::new(drawing))?,
        ["grow"] => grow::grow(false, Path::new(DRAWING))?,
        ["grow", drawing] => grow::grow(false, Path::new(drawing))?,
        _ => return Err(USAGE.to_owned()),
    }
    Ok(())
}

fn list() {
    for case in case::all() {
        println!("{:24} {}", case.name, case.about);
    }
}

fn time(pattern: &str) {
    println!("{:24} {:>10} {:>10} {:>10}  ns per repetition", "", "median", "min", "max");
    for case in case::all().into_iter().filter(|case| case.name.contains(pattern)) {
        let spent = processor_time::measure(&mut *(case.prepare)());
        println!(
            "{:24} {:>10.0} {:>10.0} {:>10.0}  {}",
            case.name, spent.median, spent.min, spent.max, case.about
        );
    }
}

fn count(name: &str, repetitions: &str) -> Result<(), String> {
    let case = case::named(name).ok_or_else(|| format!("there is no case {name}"))?;
    let repetitions =
        repetitions.parse().map_err(|_| format!("{repetitions} is no number of repetitions"))?;
    case.run(repetitions);
    Ok(())
}
