//! Where orders to a world are carried out.

use std::any::Any;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard};

use super::fault::Part;
use super::order::{Kind, Order, Where};
use super::region::Region;
use super::world::{EAST, WEST, World};
use super::writer::Writer;

/// Where orders are carried out.
pub struct Desk {
    world: World,
    writer: Mutex<Option<Writer>>,
}

impl Desk {
    pub fn of(world: World) -> Self {
        Self { world, writer: Mutex::default() }
    }

    /// Reads one order, carries it out and answers; `Break` ends the world.
    pub fn answer(&self, mut stream: UnixStream) -> std::ops::ControlFlow<()> {
        let mut line = String::new();
        let _ = BufReader::new(&stream).read_line(&mut line);
        let words: Vec<&str> = line.split_whitespace().collect();
        let order = Order::read(&words);
        let ends = matches!(order, Ok(Order::Down));
        // A part that cannot do what it is told panics, which must not take the world down.
        let done = order.and_then(|order| {
            let carried = AssertUnwindSafe(|| self.carry_out(&order));
            catch_unwind(carried).unwrap_or_else(|panic| Err(told(&*panic)))
        });
        let answer = match done {
            Ok(text) => format!("ok\n{text}"),
            Err(why) => format!("error\n{why}"),
        };
        let _ = stream.write_all(answer.as_bytes());
        if ends { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        // An order that failed while it had it leaves nothing half done.
        self.writer.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn carry_out(&self, order: &Order) -> Result<String, String> {
        let world = &self.world;
        let region = |name: &str| -> &Region { world.region(name) };
        match order {
            Order::Down => {}
            Order::Status => return Ok(self.status()),
            Order::Fail(Where::Part(name, Part::Db), Kind::Lag) => {
                region(name).server().psql("postgres", "SELECT pg_wal_replay_pause()");
            }
            Order::Fail(Where::Part(name, Part::Db), Kind::Behind) => {
                region(name).server().stop_receiving();
            }
            Order::Fail(_, Kind::Lag | Kind::Behind) => {
                return Err("only a standby's database lags: west.db".to_owned());
            }
            Order::Fail(Where::Region(name), Kind::Fault(fault)) => region(name).fail_all(*fault),
            Order::Fail(Where::Part(name, part), Kind::Fault(fault)) => {
                region(name).fail(*part, *fault);
            }
            Order::Fail(Where::Route53, Kind::Fault(fault)) => world.fail_route53(*fault)?,
            Order::Heal(Where::Region(name)) => world.revive(region(name)),
            Order::Heal(Where::Part(name, Part::Aws)) => world.revive_aws(region(name)),
            Order::Heal(Where::Part(name, part)) => region(name).heal(*part),
            Order::Heal(Where::Route53) => world.heal_route53(),
            Order::Rebuild(name) => {
                let other = if name == EAST { WEST } else { EAST };
                if region(other).role() != "primary" {
                    return Err(format!("{other} has no primary to follow"));
                }
                world.rebuild(region(name), region(other));
            }
            Order::Write(name) => {
                *self.writer() = Some(world.writer(name));
            }
            Order::Writes { json } => return self.writes(*json),
            Order::Show(name) => return world.show(name.as_deref()),
        }
        Ok(String::new())
    }

    fn status(&self) -> String {
        let mut lines = self.world.status();
        if let Some(writer) = &*self.writer() {
            lines.push(format!("client      {}", writer.tale()));
        }
        lines.join("\n")
    }

    fn writes(&self, json: bool) -> Result<String, String> {
        let writer = self.writer();
        let writer = writer.as_ref().ok_or("nobody writes; `scripts/lab write` starts a client")?;
        let Some(server) = self.world.primary() else {
            return match json {
                true => Err("no database takes writes, so what is lost is not known".to_owned()),
                false => Ok(format!("{}\nno database takes writes", writer.tale())),
            };
        };
        let lost = writer.lost(&server);
        if json {
            let seen: Vec<_> = writer.acknowledged();
            let first = |region| seen.iter().find(|ack| ack.region == region).map(|ack| ack.at);
            let last = |region| seen.iter().rfind(|ack| ack.region == region).map(|ack| ack.at);
            let regions = [EAST, WEST].map(|region| {
                let count = seen.iter().filter(|ack| ack.region == region).count();
                let told = serde_json::json!({
                    "acknowledged": count, "first": first(region), "last": last(region),
                });
                (region, told)
            });
            let told = serde_json::json!({
                "acknowledged": seen.len(), "lost": lost.len(), "refused": writer.refused().0,
                "regions": std::collections::BTreeMap::from(regions),
            });
            return Ok(told.to_string());
        }
        Ok(format!("{}\n{} acknowledged writes are lost", writer.tale(), lost.len()))
    }
}

/// What a panic said.
fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("the log says why").to_owned()
}
