//! The report as one page that needs nothing else.

use crate::result::RunReport;

/// The page.
pub(super) fn page(report: &RunReport) -> String {
    format!("{}", report.holds)
}
