//! What comes before what: order, ways round in a circle, and the longest path through the steps.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

/// For each step, those that it needs, by their place in the list.
pub(super) type Needs = [Vec<usize>];

/// The steps so that each comes after what it needs, and otherwise as they stand. An error: steps
/// that need each other in a circle, each needed by the one before it.
pub(super) fn order(needs: &Needs) -> Result<Vec<usize>, Vec<usize>> {
    let mut missing: Vec<usize> =
        needs.iter().map(|n| n.iter().collect::<BTreeSet<_>>().len()).collect();
    let mut ready: BinaryHeap<_> =
        (0..needs.len()).filter(|i| missing[*i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(step)) = ready.pop() {
        order.push(step);
        for (other, its) in needs.iter().enumerate() {
            if its.contains(&step) {
                missing[other] -= 1;
                if missing[other] == 0 {
                    ready.push(Reverse(other));
                }
            }
        }
    }
    match order.len() == needs.len() {
        true => Ok(order),
        false => Err(circle(needs, &missing)),
    }
}

/// Follows steps that are still waited for until one comes a second time.
fn circle(needs: &Needs, missing: &[usize]) -> Vec<usize> {
    let mut path = Vec::new();
    let mut at = missing.iter().position(|m| *m > 0).unwrap_or(0);
    while !path.contains(&at) {
        path.push(at);
        at = needs[at].iter().copied().find(|n| missing[*n] > 0).unwrap_or(at);
    }
    path.drain(..path.iter().position(|p| *p == at).unwrap_or(0));
    path
}

/// For each step, all that come before it. `order` is that of `order`.
pub(super) fn before(needs: &Needs, order: &[usize]) -> Vec<BTreeSet<usize>> {
    let mut before = vec![BTreeSet::new(); needs.len()];
    for step in order {
        let mut all = BTreeSet::new();
        for need in &needs[*step] {
            all.insert(*need);
            all.extend(before[*need].iter().copied());
        }
        before[*step] = all;
    }
    before
}

/// For each step, when it begins at the latest and when it is over, if each takes its whole time.
pub(super) fn windows(
    needs: &Needs,
    order: &[usize],
    times: &[Duration],
) -> Vec<(Duration, Duration)> {
    let mut windows = vec![(Duration::ZERO, Duration::ZERO); needs.len()];
    for step in order {
        let begins = needs[*step].iter().map(|n| windows[*n].1).max().unwrap_or_default();
        windows[*step] = (begins, begins.saturating_add(times[*step]));
    }
    windows
}

/// The path that takes longest, from its first step to its last.
pub(super) fn critical_path(needs: &Needs, windows: &[(Duration, Duration)]) -> Vec<usize> {
    let last = |steps: &mut dyn Iterator<Item = usize>| {
        // The first of those that end at the same time.
        steps.max_by_key(|i| (windows[*i].1, Reverse(*i)))
    };
    let mut path = Vec::new();
    let mut at = last(&mut (0..needs.len()));
    while let Some(step) = at {
        path.push(step);
        at = last(&mut needs[step].iter().copied());
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(times: &[u64]) -> Vec<Duration> {
        times.iter().map(|s| Duration::from_secs(*s)).collect()
    }

    #[test]
    fn steps_come_after_what_they_need_and_otherwise_as_they_stand() {
        let needs = [vec![2], vec![], vec![], vec![0, 1, 1]];
        assert_eq!(order(&needs), Ok(vec![1, 2, 0, 3]));
        let before = before(&needs, &[1, 2, 0, 3]);
        assert_eq!(before[3], BTreeSet::from([0, 1, 2]));
        assert_eq!(order(&[]), Ok(vec![]));
    }

    #[test]
    fn a_circle_is_told_without_what_only_waits_for_it() {
        assert_eq!(order(&[vec![1], vec![2], vec![3], vec![1]]), Err(vec![1, 2, 3]));
        assert_eq!(order(&[vec![0]]), Err(vec![0]));
    }

    #[test]
    fn the_longest_path_is_that_of_the_times() {
        let needs = [vec![], vec![0], vec![0], vec![1, 2]];
        let windows = windows(&needs, &[0, 1, 2, 3], &seconds(&[1, 5, 9, 2]));
        assert_eq!(windows[3], (Duration::from_secs(10), Duration::from_secs(12)));
        assert_eq!(critical_path(&needs, &windows), vec![0, 2, 3]);
    }
}
