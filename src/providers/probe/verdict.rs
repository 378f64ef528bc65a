//! What several looks from several places come to. Pure.

use super::vantage::{Look, Vantage};

/// What a vantage point says of the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vote {
    Up,
    Down,
    /// It cannot say. Never counted as down.
    Unknown,
}

impl Vote {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// What one vantage point saw over all its looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub label: String,
    pub vote: Vote,
    pub found: String,
    /// Seeing it up proves that it runs: an HTTP endpoint may answer for it when it does not.
    pub decides: bool,
    /// The standby, and no look reached it: perhaps this machine reaches nobody.
    pub blind: bool,
    looked: bool,
}

impl Seen {
    pub fn nothing(vantage: &Vantage) -> Self {
        Self {
            label: vantage.label(),
            vote: Vote::Unknown,
            found: "not looked".to_owned(),
            decides: matches!(vantage, Vantage::Sql(_) | Vantage::Standby(_)),
            blind: matches!(vantage, Vantage::Standby(_)),
            looked: false,
        }
    }

    /// One look that sees it up is enough; down it is only if every look says so.
    pub fn add(&mut self, look: Look) {
        let vote = match (self.looked, self.vote, look.vote) {
            (false, _, vote) => vote,
            (true, Vote::Up, _) | (true, _, Vote::Up) => Vote::Up,
            (true, Vote::Down, Vote::Down) => Vote::Down,
            _ => Vote::Unknown,
        };
        if !self.looked || look.vote == vote {
            self.found = look.found;
        }
        self.vote = vote;
        self.blind &= look.blind;
        self.looked = true;
    }

    /// "the standby in us-west-2: down (nothing streams to it)".
    pub fn in_words(&self) -> String {
        format!("{}: {} ({})", self.label, self.vote.as_str(), self.found)
    }
}

/// What all of them together say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Answers,
    Down,
    Uncertain,
}

/// It answers if somebody who would know sees it up. It is down if enough see it down, and the
/// standby could be asked: a machine that reaches nobody has lost its own network.
pub fn judge(seen: &[Seen], need: usize) -> Verdict {
    if seen.iter().any(|s| s.decides && s.vote == Vote::Up) {
        return Verdict::Answers;
    }
    let cut_off = seen.iter().any(|s| s.blind);
    let down = seen.iter().filter(|s| s.vote == Vote::Down).count();
    match down >= need && !cut_off {
        true => Verdict::Down,
        false => Verdict::Uncertain,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `is_standby`: what it does not know it does not know because it was not reached.
    fn seen(decides: bool, is_standby: bool, votes: &[Vote]) -> Seen {
        let mut seen = Seen {
            label: String::new(),
            vote: Vote::Unknown,
            found: String::new(),
            decides,
            blind: is_standby,
            looked: false,
        };
        for vote in votes {
            let blind = *vote == Vote::Unknown;
            seen.add(Look { vote: *vote, found: String::new(), blind });
        }
        seen
    }

    #[test]
    fn down_is_only_what_enough_see_down_each_time() {
        use Vote::{Down, Unknown, Up};
        let all = |sql: &[Vote], standby: &[Vote], http: &[Vote], need| {
            judge(
                &[seen(true, false, sql), seen(true, true, standby), seen(false, false, http)],
                need,
            )
        };
        assert_eq!(all(&[Down; 3], &[Down; 3], &[Unknown; 3], 2), Verdict::Down);
        assert_eq!(all(&[Down, Up, Down], &[Down; 3], &[Down; 3], 2), Verdict::Answers);
        assert_eq!(all(&[Down; 3], &[Up], &[Down; 3], 2), Verdict::Answers);
        assert_eq!(all(&[Down, Unknown, Down], &[Down; 3], &[Unknown; 3], 2), Verdict::Uncertain);
        assert_eq!(all(&[Down; 3], &[Unknown; 3], &[Down; 3], 2), Verdict::Uncertain);
        // A page that is served without the database does not prove it alive, nor hold up the rest.
        assert_eq!(all(&[Down; 3], &[Down; 3], &[Up; 3], 2), Verdict::Down);
        assert_eq!(all(&[Down; 3], &[Down; 3], &[Up; 3], 3), Verdict::Uncertain);
        assert_eq!(all(&[], &[], &[], 1), Verdict::Uncertain);
    }

    fn vote() -> impl Strategy<Value = Vote> {
        prop_oneof![Just(Vote::Up), Just(Vote::Down), Just(Vote::Unknown)]
    }

    proptest! {
        /// Learning less never makes a primary more down.
        #[test]
        fn an_unknown_never_adds_to_down(
            votes in prop::collection::vec((vote(), any::<bool>(), any::<bool>()), 1..6),
            blind in any::<prop::sample::Index>(),
            need in 1_usize..5,
        ) {
            let all = |votes: &[(Vote, bool, bool)]| {
                votes.iter().map(|(v, d, s)| seen(*d, *s, &[*v; 3])).collect::<Vec<_>>()
            };
            let before = judge(&all(&votes), need);
            let mut less = votes.clone();
            let at = blind.index(votes.len());
            let was_up = votes[at].0 == Vote::Up;
            less[at].0 = Vote::Unknown;
            let after = judge(&all(&less), need);
            // Only what stood against it may be forgotten, and then it was said to answer.
            if after == Verdict::Down && before != Verdict::Down {
                prop_assert!(was_up && before == Verdict::Answers);
            }
        }
    }
}
