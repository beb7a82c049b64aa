//! What is answered, and when.

use bytes::Bytes;
use simpledynamo_chain::{Query, Reading, Version};
use simpledynamo_topology::{Member, PartitionId};

use super::Judge;
use crate::clock::Micros;
use crate::group::Group;
use crate::host::Host;

impl Judge {
    /// A captured value is about to be answered.
    pub(crate) fn on_release(&self, host: &Host, now: Micros, group: &Group, term: Micros) {
        let process = host.process.as_ref().expect("it answers");
        let (clock, me) = (host.clock.millis(now), process.core.me());
        let known = process.core.topology().version();
        let is_good = |lease: &(_, u64, u64)| lease.0 == me.session && clock < lease.1 && lease.2 <= known;
        assert!(process.leases.iter().any(is_good), "I7: {me} answers without a lease");
        assert!(now <= group.able_at + term, "I24: {me} answers, but there has been no majority for a term");
    }

    /// The places in the log between which a key had this version.
    fn places(&self, key: &Bytes, version: Option<Version>, from: u64) -> Option<(u64, u64)> {
        let start = [(0, None)];
        let timeline = self.timelines.get(key).map_or(&start[..], |timeline| timeline);
        let mut places = timeline.iter().enumerate().map(|(at, (first, state))| {
            let after = timeline.get(at + 1).map_or(u64::MAX, |(next, _)| *next);
            (*state, *first, after)
        });
        places
            .find(|(state, _, after)| *state == version && *after > from)
            .map(|(_, first, after)| (first, after))
    }

    fn check_shown(&mut self, member: Member, key: &Bytes, version: Option<Version>) {
        let shown = self.shown.get(&(member, key.clone())).copied().unwrap_or_default();
        let Some((first, _)) = self.places(key, version, shown) else {
            let is_committed = self.places(key, version, 0).is_some();
            let name = if is_committed { "I14" } else { "I20" };
            panic!("{name}: {member} shows {key:?} as {version:?}, and had shown it as of entry {shown}");
        };
        self.shown.insert((member, key.clone()), first.max(shown));
    }

    /// A member answers.
    pub(crate) fn on_reading(&mut self, member: Member, query: &Query, reading: &Reading) {
        match (query, reading) {
            (Query::Get { key, .. }, Reading::Absent) => self.check_shown(member, key, None),
            (Query::Get { key, .. }, Reading::Present { version, .. }) => {
                self.check_shown(member, key, Some(*version));
            }
            (_, Reading::Page(page)) => {
                for item in &page.items {
                    self.check_shown(member, &item.key, Some(item.version));
                }
            }
            _ => {}
        }
    }

    /// A client is told what it asked for. `committed` is how much was committed when it asked.
    pub(crate) fn on_read(
        &self,
        partition: PartitionId,
        query: &Query,
        reading: &Reading,
        committed: u64,
        keys: &[(Bytes, PartitionId)],
    ) {
        let check = |key: &Bytes, version| {
            let is_good = self.places(key, version, committed).is_some();
            assert!(
                is_good,
                "I20: {key:?} is read as {version:?}, older than entry {committed} of {partition}"
            );
        };
        match (query, reading) {
            (Query::Get { key, .. }, Reading::Absent) => check(key, None),
            (Query::Get { key, .. }, Reading::Present { version, .. }) => check(key, Some(*version)),
            (_, Reading::Page(page)) => {
                for (key, _) in keys.iter().filter(|(_, place)| *place == partition) {
                    let item = page.items.iter().find(|item| item.key == *key);
                    check(key, item.map(|item| item.version));
                }
            }
            _ => {}
        }
    }
}
