//! A run: what is measured in which order.

use std::io::Write as _;
use std::path::PathBuf;

use super::backends;
use super::deliveries::{Paths, Room};
use super::inbox;
use super::indexing;
use super::inserts::Inserts;
use super::large_group;
use super::memory;
use super::options::{Options, Part, Plan};
use super::outcome::{Context as _, Outcome};
use super::personal;
use super::process::{self, Home, Process};
use super::reactions;
use super::reconnects;
use super::report::{Deliveries, Figures};
use super::search;
use super::sends::Load;
use super::site::Site;
use super::startup;
use super::stats::{Clock, float};
use super::stock;
use super::unread;
use super::uploads;

/// Measures, and prints the table.
pub(super) async fn run(options: &Options) -> Outcome<()> {
    let plan = options.plan();
    if let Some(missing) = options.missing_feature() {
        return Err(format!("build with `--features {missing}` for this").into());
    }
    let needed = 2 * u64::try_from(plan.idle_sockets)?;
    let files = rlimit::increase_nofile_limit(u64::MAX).context("cannot open more files")?;
    if options.wants(Part::Memory) && files < needed {
        let advice = format!("only {files} files can be open, {needed} are needed");
        return Err(format!("{advice}: raise the hard limit (`ulimit -Hn`)").into());
    }
    let binary = match &options.server {
        Some(binary) => binary.clone(),
        None => beside_this()?,
    };
    let size = std::fs::metadata(&binary).context(format_args!(
        "there is no server at {}; `make bench` builds it",
        binary.display()
    ))?;
    let mut figures = Figures::default();
    figures.cores = std::thread::available_parallelism()?.get();
    figures.load_before = process::load()?;
    figures.binary_bytes = float(size.len());
    let bench = Bench::start(&binary, plan).await?;
    bench.measure(options, &mut figures).await?;

    let table = figures.table()?;
    write!(std::io::stdout(), "\n{table}").context("cannot print")?;
    match &options.json {
        Some(file) => figures.write_json(file),
        None => Ok(()),
    }
}

/// What all measurements share.
struct Bench {
    plan: Plan,
    clock: Clock,
    binary: PathBuf,
    site: Site,
    bare: Process,
    bare_load: Load,
    bare_room: Room,
    gathered_room: Room,
    sizes: [usize; 2],
}

impl Bench {
    async fn start(binary: &std::path::Path, plan: Plan) -> Outcome<Self> {
        let clock = Clock::start();
        say("signing in");
        let site = Site::start(vec![Home::new(binary)?]).await?;
        let sample = site.room.sample(&site.servers[0], clock).await?;
        let bare = Process::start_bare(&sample).await?;
        Ok(Self {
            bare_load: Load::new(&bare, &site.users, &site.chats, false)?,
            gathered_room: site.room.at(Paths::GATHERED),
            bare_room: site.room.at(Paths::BARE),
            sizes: [sample.response.len(), sample.frame.len()],
            plan,
            clock,
            binary: binary.to_owned(),
            site,
            bare,
        })
    }

    async fn measure(mut self, options: &Options, figures: &mut Figures) -> Outcome<()> {
        [figures.answer_bytes, figures.frame_bytes] = self.sizes;
        let mut inserts = Inserts::open()?;
        for round in 1..=self.plan.rounds {
            let of = format!("round {round} of {}", self.plan.rounds);
            if options.wants(Part::Sends) {
                say(&format!("{of}: sends"));
                inserts = self.sends(inserts, figures).await?;
            }
            if options.wants(Part::Deliveries) {
                say(&format!("{of}: deliveries"));
                self.deliveries(options, figures).await?;
            }
        }
        drop(inserts);
        if options.wants(Part::Inbox) {
            figures.inbox = inbox::measure(&self.binary, &self.plan, self.clock).await?;
        }
        if options.wants(Part::Unread) {
            figures.unread = Some(unread::measure(&self.binary, &self.plan, self.clock).await?);
        }
        if options.wants(Part::Search) {
            figures.search = search::measure(&self.binary, &self.plan, self.clock).await?;
        }
        if options.wants(Part::Indexing) {
            let measuring = indexing::measure(&self.binary, &self.plan, self.clock);
            figures.indexing = Some(measuring.await?);
        }
        if options.wants(Part::Uploads) {
            figures.uploads = Some(Box::pin(uploads::measure(&self.binary)).await?);
        }
        if options.wants(Part::Reactions) {
            let measuring = reactions::measure(&self.binary, self.plan.reactions);
            figures.reactions = Some(measuring.await?);
        }
        if options.wants(Part::Groups) {
            let members = self.plan.members;
            let measuring = large_group::measure(&self.binary, members, &self.plan, self.clock);
            figures.large_group = Some(measuring.await?);
        }
        if options.wants(Part::Stock) {
            let measuring = stock::measure(&self.binary, &self.plan, self.clock);
            figures.stock = Some(Box::pin(measuring).await?);
        }
        if options.wants(Part::Personal) {
            for round in 1..=self.plan.rounds {
                say(&format!(
                    "personal feeds, round {round} of {}",
                    self.plan.rounds
                ));
                let measured = personal::measure(&self.binary, self.clock).await?;
                figures.personal.extend(measured);
            }
        }
        if options.wants(Part::Memory) {
            self.memory(figures).await?;
        }
        if options.wants(Part::Heap) {
            say("idle sockets, whose blocks are counted");
            figures.heap = Some(Box::pin(memory::heap(self.clock)).await?);
        }
        let home = self.site.stop().await?;
        if options.wants(Part::Reconnects) {
            let (clients, rounds) = (options.clients, self.plan.reconnect_rounds);
            let measuring = reconnects::measure(&self.binary, clients, rounds);
            figures.reconnects = Some(Box::pin(measuring).await?);
        }
        if options.wants(Part::Backends) {
            figures.backends =
                Some(Box::pin(backends::measure(&self.binary, &self.plan, self.clock)).await?);
        }
        if options.wants(Part::Startup) {
            say("starts");
            let database = std::fs::metadata(home.data().join("talksy.db"))?;
            figures.database_bytes = float(database.len());
            figures.starts_fresh = startup::fresh(&self.binary, self.plan.starts).await?;
            figures.starts_existing = startup::existing(&home, self.plan.starts).await?;
        }
        Ok(())
    }

    async fn sends(&mut self, mut inserts: Inserts, figures: &mut Figures) -> Outcome<Inserts> {
        let (plan, clock) = (&self.plan, self.clock);
        figures.sends.push(self.site.sends(plan, clock).await?);
        let bare = self.bare_load.round(&self.bare, plan, clock).await?;
        figures.bare_handler.push(bare);
        let length = plan.bare;
        let measured = tokio::task::spawn_blocking(move || {
            let rate = inserts.round(length)?;
            let syncs = inserts.syncs(length / 4)?;
            Outcome::Ok((inserts, rate, syncs))
        });
        let (inserts, rate, syncs) = measured.await??;
        figures.bare_inserts.push(rate);
        figures.syncs.push(syncs);
        Ok(inserts)
    }

    async fn deliveries(&self, options: &Options, figures: &mut Figures) -> Outcome<()> {
        if figures.deliveries.is_empty() {
            let fanouts = options.fanouts();
            figures.deliveries.extend(fanouts.map(|fanout| Deliveries {
                subscribers: fanout.subscribers,
                window: fanout.window,
                real: Vec::new(),
                bare: Vec::new(),
                gathered: Vec::new(),
            }));
        }
        let (plan, clock) = (&self.plan, self.clock);
        for (fanout, of) in options.fanouts().zip(&mut figures.deliveries) {
            of.real
                .push(self.site.deliveries(fanout, plan, clock).await?);
            let servers = std::slice::from_ref(&self.bare);
            let bare = self
                .bare_room
                .round(servers, fanout, plan, plan.bare, clock);
            of.bare.push(bare.await?);
            let gathered = self
                .gathered_room
                .round(servers, fanout, plan, plan.bare, clock);
            of.gathered.push(gathered.await?);
        }
        Ok(())
    }

    async fn memory(&self, figures: &mut Figures) -> Outcome<()> {
        let sockets = self.plan.idle_sockets;
        figures.idle_sockets = sockets;
        let sample = (self.site.room)
            .sample(&self.site.servers[0], self.clock)
            .await?;
        for _ in 0..self.plan.idle_rounds {
            say(&format!("{sockets} idle sockets"));
            let measuring = memory::resident(&self.binary, sockets, self.clock);
            let memory = Box::pin(measuring).await?;
            figures.memory.push(memory);
            let bare = Process::start_bare(&sample).await?;
            let room = std::slice::from_ref(&self.bare_room);
            let memory = memory::idle(&bare, room, sockets, self.clock).await?;
            figures.bare_memory.push(memory);
        }
        Ok(())
    }
}

/// Tells whoever waits what is being done.
pub(super) fn say(what: &str) {
    eprintln!("talksy-bench: {what}");
}

/// The server that was built together with this program.
pub(super) fn beside_this() -> Outcome<PathBuf> {
    let this = std::env::current_exe().context("where is this program?")?;
    Ok(this.with_file_name("talksy"))
}
