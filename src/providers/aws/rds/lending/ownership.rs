//! By what an instance is known as a drill's: its name, and its tags. Nothing else is ever deleted.

use aws_sdk_rds::types::{DbInstance, Tag};
use chrono::{DateTime, SecondsFormat, Utc};

use crate::drill::{Loan, Wish};
use crate::model::DrillId;

/// With what the names of all instances of drills begin.
const PREFIX: &str = "drctl-drill-";

/// The tags of an instance. Keys and values as "Tagging Amazon RDS resources" in the Amazon RDS User
/// Guide allows them: letters, digits, spaces and `_ . : / = + - @`, and no key begins with `aws:` or
/// `rds:`.
const DRILL: &str = "drctl:drill";
const PROJECT: &str = "drctl:project";
const DATABASE: &str = "drctl:database";
const BEGAN: &str = "drctl:began";
const KEEP: &str = "drctl:keep";

/// The name of a drill's instance. RDS keeps names in lower case; they have at most 63 letters,
/// digits and single hyphens (Amazon RDS API Reference, CreateDBInstance, DBInstanceIdentifier).
pub fn name(drill: &DrillId) -> String {
    format!("{PREFIX}{}", drill.as_str().to_lowercase())
}

/// Whether an instance is called as those of drills are.
pub fn is_drills(found: &DbInstance) -> bool {
    found.db_instance_identifier().is_some_and(|id| id.to_lowercase().starts_with(PREFIX))
}

/// What an instance that is made for `wish` says of itself.
pub fn tags(wish: &Wish) -> Vec<Tag> {
    let began = wish.began.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut pairs = vec![
        (DRILL, wish.drill.to_string()),
        (PROJECT, wish.project.clone()),
        (DATABASE, wish.subject.clone()),
        (BEGAN, began),
    ];
    if wish.keep {
        pairs.push((KEEP, "yes".to_owned()));
    }
    pairs.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// The instance as a drill's of that project; none: it is not one's.
pub fn loan(found: &DbInstance, project: &str, region: &str) -> Option<Loan> {
    let drill: DrillId = tag(found, DRILL)?.parse().ok()?;
    let id = found.db_instance_identifier()?;
    if !id.eq_ignore_ascii_case(&name(&drill)) || tag(found, PROJECT) != Some(project) {
        return None;
    }
    let began = tag(found, BEGAN).and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    Some(Loan {
        drill,
        what: format!("RDS instance `{id}` in {region}"),
        began: began.map(|at| at.with_timezone(&Utc)),
        keep: tag(found, KEEP).is_some(),
        going: found.db_instance_status() == Some("deleting"),
    })
}

/// Why the instance must not be taken for the drill's; none: it is the drill's. `known` are the
/// instances that the configuration names.
pub fn foreign(found: &DbInstance, drill: &DrillId, known: &[String]) -> Option<String> {
    let id = found.db_instance_identifier().unwrap_or_default();
    if !id.eq_ignore_ascii_case(&name(drill)) {
        return Some(format!("its name is `{id}`, and that of the drill's is `{}`", name(drill)));
    }
    if known.iter().any(|other| other.eq_ignore_ascii_case(id)) {
        return Some("the configuration names it as an instance of production's".to_owned());
    }
    match tag(found, DRILL) {
        Some(text) if text == drill.as_str() => None,
        Some(text) => Some(format!("its tag `{DRILL}` is `{text}`")),
        None => Some(format!("it has no tag `{DRILL}`")),
    }
}

fn tag<'f>(found: &'f DbInstance, key: &str) -> Option<&'f str> {
    found.tag_list().iter().find(|tag| tag.key() == Some(key))?.value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn wish() -> Wish {
        Wish {
            drill: "d20261122T134512Z-3f9a1c".parse().unwrap(),
            project: "petforce".into(),
            subject: "orders".into(),
            began: DateTime::from_timestamp(1_795_355_112, 0).unwrap(),
            keep: false,
            major: 17,
            raw_bytes: 0,
            password: Secret::new("x"),
        }
    }

    fn instance(id: &str, tags: Vec<Tag>) -> DbInstance {
        let instance = DbInstance::builder().db_instance_identifier(id);
        instance.set_tag_list(Some(tags)).build()
    }

    #[test]
    fn names_are_such_as_rds_takes() {
        let name = name(&wish().drill);
        assert_eq!(name, "drctl-drill-d20261122t134512z-3f9a1c");
        assert!(name.len() <= 63 && !name.contains("--"));
    }

    #[test]
    fn an_instance_is_the_drills_by_its_name_and_its_tag_together() {
        let (wish, name) = (wish(), name(&wish().drill));
        let ours = instance(&name, tags(&wish));
        assert_eq!(foreign(&ours, &wish.drill, &[]), None);
        let loan = loan(&ours, "petforce", "us-west-2").unwrap();
        assert_eq!((loan.began, loan.keep, loan.going), (Some(wish.began), false, false));
        assert_eq!(super::loan(&ours, "billing", "us-west-2"), None, "another project's");

        let untagged = instance(&name, Vec::new());
        assert!(foreign(&untagged, &wish.drill, &[]).unwrap().contains("no tag"));
        assert_eq!(super::loan(&untagged, "petforce", "us-west-2"), None);
        let other = "d20261122T134512Z-000000".parse().unwrap();
        assert!(foreign(&ours, &other, &[]).unwrap().contains("its name is"));
        let copied = instance("petforce-usw2", tags(&wish));
        assert!(foreign(&copied, &wish.drill, &[]).unwrap().contains("petforce-usw2"));
        assert_eq!(super::loan(&copied, "petforce", "us-west-2"), None);
        assert!(foreign(&ours, &wish.drill, &[name.to_uppercase()]).is_some());
    }
}
