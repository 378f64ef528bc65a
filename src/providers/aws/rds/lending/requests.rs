//! What is asked of RDS. Parameters and errors: Amazon RDS API Reference, DescribeDBInstances,
//! ListTagsForResource, CreateDBInstance and DeleteDBInstance.

use aws_sdk_rds::types::DbInstance;

use super::blueprint::Blueprint;
use super::lender::RdsLender;
use super::ownership::{is_drills, name, tags};
use super::refusal::advised;
use crate::drill::Wish;
use crate::model::DrillId;
use crate::providers::Failure;
use crate::providers::aws::failure::{Call, code};

impl RdsLender {
    /// The instance of that name, where there is one.
    pub(super) async fn look(&self, id: &str) -> Result<Option<DbInstance>, Failure> {
        let region = &self.config.region;
        let what = format!("look at RDS instance `{id}` in {region}");
        let call = Call::reads("rds:DescribeDBInstances", what);
        let reach = self.clients.at(region).await?;
        let request = reach.rds().describe_db_instances().db_instance_identifier(id);
        match request.send().await {
            Ok(answer) => match answer.db_instances.unwrap_or_default().into_iter().next() {
                Some(found) => self.with_tags(found).await,
                None => Ok(None),
            },
            Err(e) if is_absent(code(&e)) => Ok(None),
            Err(e) => Err(call.failed(e)),
        }
    }

    /// An instance with its tags. Not every partition of AWS gives them with the instance, and what has
    /// none would pass for somebody else's. None: it is gone meanwhile.
    async fn with_tags(&self, mut found: DbInstance) -> Result<Option<DbInstance>, Failure> {
        let arn = found.db_instance_arn().map(str::to_owned);
        let Some(arn) = arn.filter(|_| found.tag_list().is_empty() && is_drills(&found)) else {
            return Ok(Some(found));
        };
        let call = Call::reads("rds:ListTagsForResource", format!("look at the tags of {arn}"));
        let reach = self.clients.at(&self.config.region).await?;
        match reach.rds().list_tags_for_resource().resource_name(arn).send().await {
            Ok(answer) => {
                found.tag_list = answer.tag_list;
                Ok(Some(found))
            }
            Err(e) if is_absent(code(&e)) => Ok(None),
            Err(e) => Err(call.failed(e)),
        }
    }

    /// Every instance of the region that may be a drill's by its name.
    pub(super) async fn all(&self) -> Result<Vec<DbInstance>, Failure> {
        let region = &self.config.region;
        let what = format!("look for instances of drills in {region}");
        let call = Call::reads("rds:DescribeDBInstances", what);
        let reach = self.clients.at(region).await?;
        let mut pages = reach.rds().describe_db_instances().into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| call.failed(e))?;
            all.extend(page.db_instances.unwrap_or_default().into_iter().filter(is_drills));
        }
        let mut tagged = Vec::with_capacity(all.len());
        for found in all {
            tagged.extend(self.with_tags(found).await?);
        }
        Ok(tagged)
    }

    /// Asks for the instance. Backups are off, so that nothing of it outlives it, and it may be
    /// deleted at any time; all else is the blueprint's.
    pub(super) async fn create(
        &self,
        wish: &Wish,
        plan: &Blueprint,
    ) -> Result<Option<String>, Failure> {
        let call = Call::writes("rds:CreateDBInstance", format!("make {}", self.told(&wish.drill)));
        let groups = Some(plan.security_groups.clone()).filter(|groups| !groups.is_empty());
        let password = wish.password.expose()?;
        let reach = self.clients.at(&self.config.region).await?;
        let answer = reach
            .writing()
            .rds()
            .create_db_instance()
            .db_instance_identifier(name(&wish.drill))
            .engine("postgres")
            .engine_version(&plan.engine_version)
            .db_instance_class(&plan.class)
            .allocated_storage(plan.storage)
            .set_storage_type(plan.storage_type.clone())
            .set_iops(plan.iops)
            .set_storage_throughput(plan.throughput)
            // It will hold what production holds.
            .storage_encrypted(true)
            .set_kms_key_id(plan.kms_key.clone())
            .master_username(&self.config.user)
            .master_user_password(password)
            .set_db_subnet_group_name(plan.subnet_group.clone())
            .set_vpc_security_group_ids(groups)
            .set_db_parameter_group_name(plan.parameter_group.clone())
            .set_port(plan.port)
            .set_ca_certificate_identifier(plan.ca.clone())
            .publicly_accessible(plan.public)
            .multi_az(false)
            .backup_retention_period(0)
            .deletion_protection(false)
            .auto_minor_version_upgrade(false)
            .copy_tags_to_snapshot(false)
            .set_tags(Some(tags(wish)))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(None),
            // An earlier request, whose answer was lost.
            Err(e) if code(&e) == Some("DBInstanceAlreadyExists") => Ok(None),
            Err(e) => {
                let code = code(&e).map(str::to_owned);
                let Failure { class, error } = call.failed(e);
                Err(Failure { class, error: advised(error, code.as_deref()) })
            }
        }
    }

    /// Asks for the deletion. `Some`: RDS will not begin it now, for this reason.
    pub(super) async fn delete(&self, drill: &DrillId) -> Result<Option<String>, Failure> {
        let call = Call::writes("rds:DeleteDBInstance", format!("delete {}", self.told(drill)));
        let reach = self.clients.at(&self.config.region).await?;
        let answer = reach
            .writing()
            .rds()
            .delete_db_instance()
            .db_instance_identifier(name(drill))
            .skip_final_snapshot(true)
            .delete_automated_backups(true)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(None),
            Err(e) if is_absent(code(&e)) => Ok(None),
            // It is still being made, or being deleted already.
            Err(e) if code(&e) == Some("InvalidDBInstanceState") => {
                Ok(Some(call.failed(e).error.one_line()))
            }
            Err(e) => Err(call.failed(e)),
        }
    }
}

/// RDS answers with one or the other name of the error.
fn is_absent(code: Option<&str>) -> bool {
    matches!(code, Some("DBInstanceNotFound" | "DBInstanceNotFoundFault"))
}
