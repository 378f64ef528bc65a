//! `drctl unlock` on leases that real holders took.

use std::sync::Arc;
use std::time::Duration;

use drctl::config::{StoreConfig, StoreUrl};
use drctl::store::{Holder, Lease, ObjectStore};

use crate::lab::{self, Folder, Ran, folder};

async fn east(home: &Folder) -> Arc<dyn ObjectStore> {
    let url = StoreUrl::File { dir: home.join("east") };
    drctl::store::open(&StoreConfig::new("east", url, "us-east-1")).await.unwrap()
}

fn configured() -> Folder {
    let home = folder("unlock");
    let (east, west) = (home.join("east"), home.join("west"));
    let text = format!(
        "[project]\nname = \"petforce\"\n\
         [regions]\nprimary = \"us-east-1\"\nstandby = \"us-west-2\"\n\
         [store.east]\nurl = \"file://{}\"\nregion = \"us-east-1\"\n\
         [store.west]\nurl = \"file://{}\"\nregion = \"us-west-2\"\n\
         [database.petforce]\nurl = \"${{NOT_SET}}\"\nstores = [\"east\", \"west\"]\n",
        east.display(),
        west.display()
    );
    std::fs::write(home.join("drctl.toml"), text).unwrap();
    home
}

async fn taken(home: &Folder) -> Lease {
    let holder = Holder {
        host: "db1".to_owned(),
        pid: 4711,
        user: "cron".to_owned(),
        purpose: "take a snapshot of petforce".to_owned(),
        process: None,
    };
    let store = east(home).await;
    Lease::acquire(store, "snapshot-petforce", holder, Duration::from_secs(60)).await.unwrap()
}

fn unlock(home: &Folder, args: &[&str]) -> Ran {
    lab::run(lab::drctl(home.path()).arg("unlock").args(args))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_lease_is_shown_and_broken_only_by_force() {
    let home = configured();
    let lease = taken(&home).await;
    for args in [&[][..], &["petforce"], &["snapshot-petforce"], &["petforce", "--store", "east"]] {
        let shown = unlock(&home, args).expect(0).stdout;
        for piece in ["db1", "pid 4711", "cron", "held", "fence 1", "--force"] {
            assert!(shown.contains(piece), "{args:?}: no {piece} in {shown}");
        }
    }
    assert!(lease.is_held());

    let result = unlock(&home, &["petforce", "--force", "--json"]).expect(0).result();
    let [broken] = result["leases"].as_array().unwrap().as_slice() else { panic!("{result}") };
    assert_eq!(
        (&broken["standing"], &broken["broken"], &broken["store"]),
        (&"held".into(), &true.into(), &"east".into())
    );
    assert_eq!(broken["holder"]["pid"], 4711);
    // The next one need not wait, and has a greater number.
    assert_eq!(taken(&home).await.fence(), 2);
    let shown = unlock(&home, &["petforce", "--json"]).expect(0).result();
    assert_eq!(shown["leases"][0]["standing"], "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn slips_are_refused_and_what_cannot_be_known_is_said() {
    let home = configured();
    let shown = unlock(&home, &[]).expect(0).stdout;
    assert!(shown.contains("east: no leases") && shown.contains("west: no leases"), "{shown}");
    let shown = unlock(&home, &["petforce", "--force"]).expect(0).stdout;
    assert!(shown.contains("nobody ever took `snapshot-petforce`"), "{shown}");
    let slip = unlock(&home, &["petfroce", "--force"]).expect(2).stderr;
    assert!(slip.contains("did you mean `petforce`?"), "{slip}");
    unlock(&home, &["../x"]).expect(2);
    unlock(&home, &["--force"]).expect(2);
    unlock(&home, &["petforce", "--store", "nowhere"]).expect(2);

    let lease = taken(&home).await;
    let _ = std::fs::remove_dir_all(home.join("west"));
    std::fs::write(home.join("west"), "not a folder").unwrap();
    let partly = unlock(&home, &["petforce"]).expect(4).stdout;
    assert!(partly.contains("west: NOT KNOWN") && partly.contains("pid 4711"), "{partly}");
    unlock(&home, &["petforce", "--force"]).expect(6);
    let free = unlock(&home, &["petforce", "--store", "east"]).expect(0).stdout;
    assert!(free.contains("free; broken by"), "{free}");
    drop(lease);
}
