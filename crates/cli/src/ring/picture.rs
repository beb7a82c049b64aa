//! The circle, drawn with braille dots.
//!
//! A terminal's cell is about twice as high as wide and a braille character holds two by four dots, so dots
//! stand about evenly and a circle looks round. The lowest token is at the top; tokens rise clockwise.

use std::f64::consts::TAU;

use crate::placement::Placement;
use crate::terminal::Paint;

use super::percent;

/// Height of the circle in cells.
const ROWS: usize = 17;
/// Width of the circle in cells: two for one of height makes it round.
const COLUMNS: usize = 2 * ROWS;
/// Room for a name and its share on either side.
const MARGIN: usize = 20;
/// More labels than this crowd the circle: then only the table is shown.
const NODES_MAX: usize = 20;
/// Longer names would leave the margin.
const NAME_MAX: usize = 10;
/// Points tried along the circle: a few for each dot that it passes.
const STEPS: usize = 2000;

/// One character of the drawing and whose colour it has.
#[derive(Clone, Copy)]
struct Cell {
    character: char,
    node: Option<usize>,
}

/// Draws the ring, or `None` if it would be too crowded to read.
pub(super) fn draw(placement: &Placement, paint: Paint) -> Option<String> {
    let names = placement.ring.names();
    if names.len() > NODES_MAX || names.iter().any(|name| name.len() > NAME_MAX) {
        return None;
    }
    let mut cells = vec![vec![Cell { character: ' ', node: None }; COLUMNS + 2 * MARGIN]; ROWS];
    draw_arcs(placement, &mut cells);
    draw_nodes(placement, &mut cells);
    let copies = format!("{} nodes, {} copies", names.len(), placement.replicas);
    for (row, text) in [(ROWS / 2 - 1, placement.cluster.as_str()), (ROWS / 2, &copies), (ROWS / 2 + 1, "↻")]
    {
        let text: String = text.chars().take(COLUMNS - 6).collect();
        put(&mut cells[row], MARGIN + (COLUMNS - text.chars().count()) / 2, &text, None);
    }
    let lines = cells.iter().map(|line| render(line, paint));
    Some(lines.map(|line| format!("{}\n", line.trim_end())).collect())
}

/// Where a fraction of the circle lies, in cells from the left and the top of the drawing.
fn place(fraction: f64) -> (f64, f64) {
    let (sine, cosine) = (fraction * TAU).sin_cos();
    let (half_width, half_height) = (COLUMNS as f64 / 2.0, ROWS as f64 / 2.0);
    // Half a dot inside, so that the outermost dots still lie in the drawing.
    let x = MARGIN as f64 + half_width + (half_width - 0.25) * sine;
    let y = half_height - (half_height - 0.125) * cosine;
    (x, y)
}

fn draw_arcs(placement: &Placement, cells: &mut [Vec<Cell>]) {
    let partitions = placement.ring.partitions();
    for step in 0..STEPS {
        let fraction = step as f64 / STEPS as f64;
        let owner =
            partitions.partition_point(|partition| partition.token.fraction() < fraction) % partitions.len();
        let (x, y) = place(fraction);
        let cell = &mut cells[y as usize][x as usize];
        let dot = braille_dot((x.fract() * 2.0) as u32, (y.fract() * 4.0) as u32);
        let dots = if cell.character == ' ' { 0 } else { cell.character as u32 - BRAILLE };
        *cell = Cell { character: char::from_u32(BRAILLE | dots | dot).unwrap_or('·'), node: Some(owner) };
    }
}

/// The braille character without dots.
const BRAILLE: u32 = 0x2800;

/// The bit of a dot in its character (Unicode block Braille Patterns: the lowest row was added last).
fn braille_dot(column: u32, row: u32) -> u32 {
    match (column, row) {
        (column, 3) => 0x40 << column,
        (column, row) => 1 << (row + 3 * column),
    }
}

fn draw_nodes(placement: &Placement, cells: &mut [Vec<Cell>]) {
    for side in [Side::Right, Side::Left] {
        let mut labels: Vec<(usize, usize, usize)> = Vec::new();
        for (node, partition) in placement.ring.partitions().iter().enumerate() {
            let fraction = partition.token.fraction();
            let (x, y) = place(fraction);
            cells[y as usize][x as usize] = Cell { character: '●', node: Some(node) };
            if (fraction < 0.5) == (side == Side::Right) {
                labels.push((y as usize, x as usize, node));
            }
        }
        labels.sort_unstable();
        for ((_, column, node), row) in labels.iter().zip(spread(&labels)) {
            let share = percent(placement.ring.partitions()[*node].share());
            let name = &placement.ring.names()[*node];
            let is_drawn = |cell: &Cell| cell.character != ' ';
            match side {
                Side::Right => {
                    let edge = cells[row].iter().rposition(is_drawn).unwrap_or(*column);
                    put(&mut cells[row], edge + 2, &format!("{name}  {share}"), Some(*node));
                }
                Side::Left => {
                    let edge = cells[row].iter().position(is_drawn).unwrap_or(*column);
                    let text = format!("{share}  {name}");
                    put(&mut cells[row], edge - 1 - text.chars().count(), &text, Some(*node));
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A row of its own for each label, as near to its node as the others let it be, in the same order.
fn spread(labels: &[(usize, usize, usize)]) -> Vec<usize> {
    let mut rows: Vec<usize> = Vec::with_capacity(labels.len());
    for (row, _, _) in labels {
        let free = rows.last().map_or(0, |last| last + 1);
        rows.push((*row).max(free));
    }
    // What was pushed past the bottom goes up again, pushing others before it.
    let mut limit = ROWS;
    for row in rows.iter_mut().rev() {
        *row = (*row).min(limit.saturating_sub(1));
        limit = *row;
    }
    rows
}

fn put(line: &mut [Cell], column: usize, text: &str, node: Option<usize>) {
    for (cell, character) in line[column..].iter_mut().zip(text.chars()) {
        *cell = Cell { character, node };
    }
}

/// A line as text, neighbours of one colour together.
fn render(line: &[Cell], paint: Paint) -> String {
    line.chunk_by(|left, right| left.node == right.node)
        .map(|run| {
            let text: String = run.iter().map(|cell| cell.character).collect();
            run[0].node.map_or_else(|| text.clone(), |node| paint.node(node, &text))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_named_with_its_share() {
        let drawing = draw(&Placement::classic(), Paint::plain()).expect("five fit");
        for label in ["5562  33.3 %", "5556  3.5 %", "5554  7.5 %", "46.9 %  5558", "8.8 %  5560"] {
            assert!(drawing.contains(label), "{label} in\n{drawing}");
        }
        assert_eq!(drawing.matches('●').count(), 5, "\n{drawing}");
        assert!(drawing.lines().all(|line| line.chars().count() <= 80), "\n{drawing}");
    }

    #[test]
    fn labels_get_rows_of_their_own() {
        let at = |rows: &[usize]| spread(&rows.iter().map(|&row| (row, 0, 0)).collect::<Vec<_>>());
        assert_eq!(at(&[1, 5, 9]), [1, 5, 9]);
        assert_eq!(at(&[1, 1, 2, 9]), [1, 2, 3, 9]);
        assert_eq!(at(&[ROWS - 1, ROWS - 1, ROWS - 1]), [ROWS - 3, ROWS - 2, ROWS - 1]);
    }

    #[test]
    fn dots_fill_a_character() {
        let all = (0..2).flat_map(|column| (0..4).map(move |row| braille_dot(column, row)));
        assert_eq!(all.fold(0, |dots, dot| dots | dot), 0xff);
    }
}
