//! How long a plan may take: when each step begins and ends at the latest, and the longest path.

use std::time::Duration;

use super::graph;
use super::plan::{Plan, PlannedStep};

/// The times of a plan if every step takes as long as it may.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// For each step of the plan, from when to when.
    pub windows: Vec<(Duration, Duration)>,
    /// The steps of the path that takes longest, by their place in the plan.
    pub critical: Vec<usize>,
    /// What the whole plan may take.
    pub total: Duration,
}

impl Plan {
    pub fn budget(&self) -> Budget {
        let needs = self.needs();
        let order: Vec<usize> = (0..self.steps.len()).collect();
        let times: Vec<_> = self.steps.iter().map(PlannedStep::longest).collect();
        let windows = graph::windows(&needs, &order, &times);
        let critical = graph::critical_path(&needs, &windows);
        let total = windows.iter().map(|w| w.1).max().unwrap_or_default();
        Budget { windows, critical, total }
    }

    /// The steps in stages: those of one stage wait for nothing but earlier stages, and run
    /// together as far as they do.
    pub fn stages(&self) -> Vec<Vec<usize>> {
        let needs = self.needs();
        let mut stage = vec![0; self.steps.len()];
        for step in 0..self.steps.len() {
            stage[step] = needs[step].iter().map(|n| stage[*n] + 1).max().unwrap_or(0);
        }
        let last = stage.iter().copied().max().map_or(0, |m| m + 1);
        (0..last).map(|s| (0..stage.len()).filter(|i| stage[*i] == s).collect()).collect()
    }

    /// The step from which on there is no way back.
    pub fn point_of_no_return(&self) -> Option<&PlannedStep> {
        self.steps.iter().find(|s| s.point_of_no_return)
    }

    /// The needs of each step, by place. What a step needs stands before it.
    fn needs(&self) -> Vec<Vec<usize>> {
        let place = |id: &String| self.steps.iter().position(|s| s.id == *id);
        let needs = |(i, step): (usize, &PlannedStep)| {
            step.needs.iter().filter_map(place).filter(|n| *n < i).collect()
        };
        self.steps.iter().enumerate().map(needs).collect()
    }
}

impl PlannedStep {
    /// The longest that it may take: its timeout and that of its approval.
    pub fn longest(&self) -> Duration {
        let approval = self.approve.as_ref().map_or(Duration::ZERO, |a| a.timeout.0);
        self.timeout.0.saturating_add(approval)
    }
}
