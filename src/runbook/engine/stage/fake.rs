//! The action of the stage: it makes what it is named after, or slips.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Slip, Stage};
use crate::error::{Error, Kind};
use crate::providers::{Action, Applied, Check, Context, Description, Facts, Failure, Observed};

pub(super) struct Fake {
    pub(super) stage: Stage,
    pub(super) step: String,
    pub(super) takes: Duration,
}

/// Counts what is under way, however it ends.
struct UnderWay(Stage);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.scene().under_way -= 1;
    }
}

fn slipped(what: &str) -> Error {
    Error::new(Kind::Failed, what)
}

impl Fake {
    fn make(&self) {
        let mut scene = self.stage.scene();
        *scene.made.entry(self.step.clone()).or_default() += 1;
        scene.in_place.insert(self.step.clone());
    }

    fn facts(&self) -> Facts {
        Facts::from_iter([("made".to_owned(), self.step.clone().into())])
    }
}

impl Action for Fake {
    fn describe(&self) -> Description {
        Description::changes(format!("make {}", self.step)).compensated_by("take it away")
    }

    async fn preflight(&self, _: &Context<'_>) -> Vec<Check> {
        Vec::new()
    }

    async fn observe(&self, _: &Context<'_>) -> Result<Observed, Failure> {
        tokio::time::sleep(self.takes / 2).await;
        let mut scene = self.stage.scene();
        scene.observed += 1;
        if let Some(blind) = scene.blind.get_mut(&self.step).filter(|left| **left > 0) {
            *blind -= 1;
            return Err(Failure::transient(slipped("no answer")));
        }
        Ok(match scene.in_place.contains(&self.step) {
            true => Observed::Done(self.facts()),
            false => Observed::NotDone("it is not there".to_owned()),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let slip = {
            let mut scene = self.stage.scene();
            scene.under_way += 1;
            let under_way = scene.under_way;
            scene.begun.push((self.step.clone(), under_way));
            scene.saw.insert(self.step.clone(), cx.facts.keys().cloned().collect());
            scene.slips.get_mut(&self.step).and_then(VecDeque::pop_front)
        };
        let _under_way = UnderWay(self.stage.clone());
        tokio::time::sleep(self.takes).await;
        match slip {
            None => {}
            Some(Slip::Before) => return Err(Failure::transient(slipped("throttled"))),
            Some(Slip::Refused) => return Err(Failure::permanent(slipped("refused"))),
            Some(Slip::Hangs) => std::future::pending().await,
            Some(Slip::HangsAfter) => {
                self.make();
                std::future::pending().await
            }
            Some(Slip::AnswerLost) => {
                self.make();
                return Err(Failure::unknown(slipped("the answer was lost")));
            }
        }
        self.make();
        Ok(Applied { facts: self.facts(), ..Applied::new(format!("made {}", self.step)) })
    }

    async fn compensate(&self, _: &Context<'_>) -> Result<Applied, Failure> {
        let mut scene = self.stage.scene();
        let slip = scene.slips.get_mut("undo").and_then(VecDeque::pop_front);
        if slip.is_some() {
            return Err(Failure::transient(slipped("throttled")));
        }
        scene.in_place.remove(&self.step);
        scene.undone.push(self.step.clone());
        Ok(Applied::new("taken away"))
    }
}
