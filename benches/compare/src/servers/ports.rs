//! Ports that nobody has.

use std::net::{Ipv4Addr, TcpListener};

use crate::failure::Failure;

/// Ports are looked for from here on: above those of a ring's clients, below those of its peers and those that Linux
/// gives to connections.
const FIRST: u16 = 15_000;
const LAST: u16 = 21_000;

/// That many ports of the loopback address.
pub(super) fn free(count: usize) -> Result<Vec<u16>, Failure> {
    // Others that look at the same time begin at other places.
    let offset = (std::process::id() % u32::from(LAST - FIRST)) as u16;
    let candidates = (offset..LAST - FIRST).chain(0..offset).map(|step| FIRST + step);
    // All are held until all are found, so that none is found twice.
    let held: Vec<(u16, TcpListener)> = candidates
        .filter_map(|port| Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?)))
        .take(count)
        .collect();
    if held.len() < count {
        return Err(Failure::NoPorts { count, from: FIRST });
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_are_not_taken() {
        let first = free(3).expect("free");
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first[1])).expect("free");
        assert!(first[0] != first[1] && first[1] != first[2]);
        assert!(!free(3).expect("free").contains(&first[1]));
    }
}
