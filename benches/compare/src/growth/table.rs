//! What was found as a table in Markdown.

use crate::cell::Operations;
use crate::results::{CPU, P50, P99, PER_SECOND};
use crate::servers::Target;
use crate::table::{ERRORED, grouped};

use super::Measured;

const HEAD: &str = "| connections | nodes | keys | | per second | p50 ms | p99 ms | CPU us/op | errors | MiB per node |\n\
                    |---:|---:|---:|---|---:|---:|---:|---:|---:|---:|\n";

/// Two rows for each point, reads and writes; what grows is in bold.
pub(crate) fn table(found: &[Measured]) -> String {
    let rows = found.iter().flat_map(|measured| {
        [Operations::Reads, Operations::Writes].map(|operations| row(measured, operations))
    });
    HEAD.to_owned() + &rows.collect::<String>()
}

fn row(measured: &Measured, operations: Operations) -> String {
    let figure = |figure, digits| {
        measured.median(operations, figure).map_or("-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let per_second = measured.median(operations, PER_SECOND);
    let errors = match measured.result(operations).errors(Target::Ring) {
        0 if per_second > Some(0.0) => "0".to_owned(),
        count => format!("{} {ERRORED}", grouped(count)),
    };
    let what = if operations == Operations::Reads { "reads" } else { "writes" };
    format!(
        "{}{what} | {} | {} | {} | {} | {errors} | {} |\n",
        place(measured, operations),
        per_second.map_or("-".to_owned(), |value| grouped(value.round() as u64)),
        figure(P50, 3),
        figure(P99, 3),
        figure(CPU, 1),
        memory(measured, operations),
    )
}

/// The cells that say which point this is: in its first row.
fn place(measured: &Measured, operations: Operations) -> String {
    if operations == Operations::Writes {
        return "| | | | ".to_owned();
    }
    let point = &measured.point;
    let mut cells = [point.connections.into(), point.nodes.into(), point.keys].map(grouped);
    let grows = &mut cells[point.grows as usize];
    *grows = format!("**{grows}**");
    format!("| {} | ", cells.join(" | "))
}

/// In the first row of a point.
fn memory(measured: &Measured, operations: Operations) -> String {
    let (least, most) = measured.resident;
    if operations == Operations::Reads { format!("{least:.0} to {most:.0}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::point::Grows;
    use crate::growth::tests::measured;

    #[test]
    fn every_point_has_two_rows_and_errors_are_marked() {
        let mut found = measured(Grows::Nodes);
        let writes = found[1].writes.samples.get_mut(&Target::Ring).expect("measured");
        writes[0].errors.insert("ERR".to_owned(), 1_234);
        let table = table(&found);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(rows.len(), 2 * found.len());
        assert_eq!(
            rows[..4],
            [
                "| 64 | **3** | 64,000 | reads | 64,000 | 0.500 | 1.000 | 1.0 | 0 | 1000 to 2000 |",
                "| | | | writes | 6,400 | 0.500 | 1.000 | 1.0 | 0 |  |",
                "| 64 | **5** | 64,000 | reads | 64,000 | 0.500 | 1.000 | 1.0 | 0 | 1000 to 2000 |",
                "| | | | writes | 6,400 | 0.500 | 1.000 | 1.0 | 1,234 **ERRORS** |  |",
            ]
        );
        assert!(table.lines().all(|line| line.matches('|').count() == 11));
    }

    #[test]
    fn what_grows_is_bold() {
        let first = |grows| place(&measured(grows)[0], Operations::Reads);
        assert_eq!(first(Grows::Connections), "| **1** | 5 | 64,000 | ");
        assert_eq!(first(Grows::Keys), "| 64 | 5 | **10,000** | ");
    }
}
