//! The tasks of a service: which are healthy, and why others stopped.

use aws_sdk_ecs::types::{DesiredStatus, HealthStatus, Task, TaskDefinition, TaskStopCode};
use chrono::{DateTime, Utc};

use super::service::Place;
use crate::providers::aws::failure::Call;
use crate::providers::{Context, Failure};

/// DescribeTasks takes so many (Amazon ECS API Reference).
const AT_ONCE: usize = 100;

/// A task that stopped.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stop {
    pub at: DateTime<Utc>,
    /// It never ran: its image, its secrets or its network were not to be had.
    pub failed_to_start: bool,
    /// "CannotPullContainerError: …".
    pub reason: String,
}

impl Place {
    /// The task definition by its ARN or `family:revision`.
    pub async fn task_definition(
        &self,
        cx: &Context<'_>,
        name: &str,
    ) -> Result<TaskDefinition, Failure> {
        let call = Call::reads("ecs:DescribeTaskDefinition", format!("look at `{name}`"));
        let ecs = cx.world.aws.at(&self.region).await?;
        let request = ecs.ecs().describe_task_definition().task_definition(name);
        let answer = request.send().await.map_err(|e| call.failed(e))?;
        Ok(answer.task_definition.unwrap_or_else(|| TaskDefinition::builder().build()))
    }

    /// How many running tasks ECS says are healthy, by the health checks of their containers.
    pub async fn healthy(&self, cx: &Context<'_>) -> Result<usize, Failure> {
        let tasks = self.tasks(cx, DesiredStatus::Running).await?;
        let healthy = |task: &&Task| {
            task.last_status() == Some("RUNNING")
                && task.health_status() == Some(&HealthStatus::Healthy)
        };
        Ok(tasks.iter().filter(healthy).count())
    }

    /// Tasks that stopped of themselves; ECS tells of them for about an hour.
    pub async fn stops(&self, cx: &Context<'_>) -> Result<Vec<Stop>, Failure> {
        let tasks = self.tasks(cx, DesiredStatus::Stopped).await?;
        Ok(tasks.iter().filter_map(stop).collect())
    }

    async fn tasks(&self, cx: &Context<'_>, status: DesiredStatus) -> Result<Vec<Task>, Failure> {
        let call = Call::reads("ecs:ListTasks", format!("list the tasks of {self}"));
        let reach = cx.world.aws.at(&self.region).await?;
        let listed = reach
            .ecs()
            .list_tasks()
            .cluster(&self.cluster)
            .service_name(&self.service)
            .desired_status(status)
            .send()
            .await
            .map_err(|e| call.failed(e))?;
        let arns = listed.task_arns();
        if arns.is_empty() {
            return Ok(Vec::new());
        }
        let call = Call::reads("ecs:DescribeTasks", format!("look at the tasks of {self}"));
        let request = reach.ecs().describe_tasks().cluster(&self.cluster);
        let some = arns.iter().take(AT_ONCE).cloned().collect();
        let answer = request.set_tasks(Some(some)).send().await.map_err(|e| call.failed(e))?;
        Ok(answer.tasks.unwrap_or_default())
    }
}

/// Why a task stopped; `None` where ECS stopped it by design, as when a service is scaled in.
fn stop(task: &Task) -> Option<Stop> {
    let failed_to_start = match task.stop_code()? {
        TaskStopCode::TaskFailedToStart => true,
        TaskStopCode::EssentialContainerExited => false,
        _ => return None,
    };
    let at = task.stopped_at().or_else(|| task.stopping_at())?;
    let mut reason = task.stopped_reason().unwrap_or("no reason given").to_owned();
    for container in task.containers() {
        let code = container.exit_code().map(|code| format!("exit code {code}"));
        let said = container.reason().map(str::to_owned).or(code);
        if let (Some(name), Some(said)) = (container.name(), said)
            && !reason.contains(&said)
        {
            reason.push_str(&format!("; `{name}`: {said}"));
        }
    }
    let at = DateTime::from_timestamp(at.secs(), at.subsec_nanos())?;
    Some(Stop { at, failed_to_start, reason })
}
