//! When a node asks for its lease, and what an answer is worth.

use std::collections::BTreeMap;

use simpledynamo_topology::{Member, Session};

use super::{Grant, LeaseTerms, Offer, Renewal, Suspect};
use crate::Millis;

/// Renewals that may be unanswered: what a term has room for, and some more.
const UNANSWERED_MAX: usize = 64;

/// When a node asks for its lease, and what an answer is worth.
#[derive(Clone, Debug)]
pub struct Renewer {
    terms: LeaseTerms,
    last: u64,
    /// When each unanswered renewal was sent, by its number.
    sent: BTreeMap<u64, (Session, Millis)>,
    due: Millis,
}

impl Renewer {
    /// A renewer that asks at once.
    #[must_use]
    pub fn new(terms: LeaseTerms) -> Self {
        Self { terms, last: 0, sent: BTreeMap::new(), due: 0 }
    }

    /// The renewal to be sent to all voters now, if it is time. `now` is read before it is sent.
    pub fn tick(
        &mut self,
        now: Millis,
        member: Member,
        offers: Vec<Offer>,
        suspects: Vec<Suspect>,
    ) -> Option<Renewal> {
        if now < self.due {
            return None;
        }
        self.due = now + self.terms.renew_every;
        self.last += 1;
        self.sent.insert(self.last, (member.session, now));
        if self.sent.len() > UNANSWERED_MAX {
            self.sent.pop_first();
        }
        Some(Renewal { member, number: self.last, offers, suspects })
    }

    /// Ask at the next tick, whenever the last time was: the node has news for the controller.
    pub fn hurry(&mut self) {
        self.due = 0;
    }

    /// Until when the lease is good by this answer; `None` if it answers nothing that was asked.
    pub fn on_grant(&mut self, grant: &Grant) -> Option<Millis> {
        let (session, sent) = self.sent.remove(&grant.number)?;
        (session == grant.member.session).then(|| self.terms.usable_until(sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simpledynamo_topology::NodeId;

    const TERMS: LeaseTerms = LeaseTerms { term: 750, drift_ppm: 2_000, margin: 10, renew_every: 75 };
    const ME: Member = Member { node: NodeId(3), session: Session(2) };

    #[test]
    fn a_grant_counts_from_when_it_was_asked_for() {
        let mut renewer = Renewer::new(TERMS);
        let first = renewer.tick(1_000, ME, Vec::new(), Vec::new()).expect("due at once");
        assert_eq!(renewer.tick(1_074, ME, Vec::new(), Vec::new()), None);
        let second = renewer.tick(1_075, ME, Vec::new(), Vec::new()).expect("due again");
        let grant = |number| Grant { member: ME, number, version: 1 };
        assert_eq!(renewer.on_grant(&grant(second.number)), Some(1_075 + 738));
        assert_eq!(renewer.on_grant(&grant(first.number)), Some(1_000 + 738), "late, and worth no more");
        assert_eq!(renewer.on_grant(&grant(first.number)), None, "once only");
    }

    #[test]
    fn a_grant_of_another_session_is_worth_nothing() {
        let mut renewer = Renewer::new(TERMS);
        let renewal = renewer.tick(0, ME, Vec::new(), Vec::new()).expect("due");
        let later = Member { session: Session(3), ..ME };
        assert_eq!(renewer.on_grant(&Grant { member: later, number: renewal.number, version: 1 }), None);
    }
}
