//! A simulated fleet of nodes: load balancers that scale, busy and quiet nodes, all kinds of log files, late, missing, duplicate and
//! reordered ones, pipelines that stall, and workers that take over from each other. The promise must hold in each seed, and each rule
//! must be needed.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;

/// Seeds of each test. All of their delays are within the bound.
const SEEDS: u64 = 10_000;

/// Seeds of scenes in which the bound does not hold.
const SEEDS_OF_SCENES: u64 = 1_000;

/// The time between two commits.
const TICK: TimeDelta = TimeDelta::minutes(1);

/// Log files are delivered for this many hours.
const HOURS: i64 = 9;

fn minutes(minutes: i64) -> TimeDelta {
    TimeDelta::minutes(minutes)
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number from `least` to `most`.
    fn within(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() % (most - least + 1) as u64) as i64
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// What goes wrong beyond the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// Nothing.
    WithinBound,
    /// Nothing is counted for a while. Then the backlog arrives in any order, mixed with new log files.
    Stall,
    /// The log files of one busy node are not counted for a while, and then in order.
    NodeStall,
    /// Some log files are set aside, and counted hours later.
    SetAside,
    /// Anything: some log files arrive hours late.
    VeryLate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Application,
    Network,
    Classic,
}

/// A log file, and when it is counted.
#[derive(Debug, Clone)]
struct File {
    arrival: Arrival,
    /// Whether the table knows the time of its first line. The simulation always does.
    is_time_known: bool,
    counted: DateTime<Utc>,
    set_aside: Option<DateTime<Utc>>,
}

struct World {
    scene: Scene,
    bounds: Bounds,
    files: Vec<File>,
    begin: DateTime<Utc>,
    end: DateTime<Utc>,
    /// Whether some node had traffic in each interval. Then hours become final in time.
    is_busy: bool,
    /// Whether all nodes always exist, and have traffic in nearly all intervals.
    is_steady: bool,
}

impl World {
    fn of(scene: Scene, random: &mut Random) -> Self {
        let begin: DateTime<Utc> = "2026-11-20T06:00:00Z".parse().unwrap();
        let delay = match scene {
            Scene::WithinBound => [7, 10, 30, 32, 60][random.within(0, 4) as usize],
            _ => [30, 32, 60][random.within(0, 2) as usize],
        };
        // A table reads logs of one kind.
        let kind = [
            Kind::Application,
            Kind::Application,
            Kind::Network,
            Kind::Classic,
        ];
        let kind = kind[random.within(0, 3) as usize];
        let mut world = Self {
            scene,
            bounds: Bounds {
                delay: minutes(delay),
                ..Bounds::default()
            },
            files: Vec::new(),
            begin,
            end: begin + TimeDelta::hours(HOURS),
            is_busy: false,
            is_steady: kind != Kind::Classic,
        };
        for balancer in 0..random.within(1, 3) {
            world.add_balancer(kind, balancer, random);
        }
        if random.percent(10) && !world.files.is_empty() {
            // Somebody has given a file a wrong name.
            let mut wrong = world.files[0].clone();
            wrong.arrival.end = Some("2031-01-01T00:00:00Z".parse().unwrap());
            wrong.arrival.first_time = Some(world.end);
            wrong.counted = begin + minutes(random.within(0, HOURS * 60));
            world.files.push(wrong);
        }
        if random.percent(10) && !world.files.is_empty() {
            // Names of a node are a few minutes ahead.
            let node = world.files[0].arrival.node.clone();
            let ahead = world.files.iter().filter(|file| file.arrival.node == node);
            let ahead: Vec<File> = ahead.cloned().collect();
            for mut wrong in ahead {
                wrong.arrival.end = Some(wrong.counted + minutes(random.within(1, 9)));
                wrong.arrival.first_time = Some(world.end);
                world.files.push(wrong);
            }
        }
        match scene {
            Scene::Stall => world.stall(random),
            Scene::SetAside => world.set_aside(random),
            Scene::VeryLate => world.very_late(random),
            Scene::WithinBound | Scene::NodeStall => {}
        }
        world.files.sort_by_key(|file| file.counted);
        world
    }

    fn add_balancer(&mut self, kind: Kind, number: i64, random: &mut Random) {
        let (name, interval) = match kind {
            Kind::Application => (format!("app/a{number}/0"), 5),
            Kind::Network => (format!("net/n{number}/0"), 5),
            // Hourly ones publish at any minute.
            Kind::Classic => (
                format!("classic{number}"),
                [5, 60][random.within(0, 1) as usize],
            ),
        };
        let offset = 5 * random.within(0, interval / 5 - 1);
        for node in 0..random.within(1, 4) {
            let address = (kind != Kind::Network).then(|| format!("10.0.{number}.{node}"));
            let node = Node {
                account: "1".to_owned(),
                region: "eu-west-1".to_owned(),
                balancer: name.clone(),
                address,
            };
            // Percent of the intervals with traffic.
            let traffic = [100, 100, 90, 50, 5][random.within(0, 4) as usize];
            let all = HOURS * 60 / interval;
            let (from, to) = match random.percent(50) {
                true => (0, all),
                false => (random.within(0, all), random.within(0, all)),
            };
            let is_busy = traffic == 100 && (from, to) == (0, all) && interval == 5;
            self.is_busy |= is_busy;
            self.is_steady &= traffic >= 90 && (from, to) == (0, all);
            // The names of a Network Load Balancer's log files don't say which node is stalled.
            let may_stall = is_busy && kind != Kind::Network;
            let stall = (self.scene == Scene::NodeStall && may_stall).then(|| {
                let begin = self.begin + minutes(random.within(60, 240));
                (begin, begin + minutes(random.within(1, 90)))
            });
            for place in from..to {
                // Some log files are lost by AWS.
                if !random.percent(traffic) || random.percent(1) && self.scene != Scene::NodeStall {
                    continue;
                }
                let end = self.begin + minutes((place + 1) * interval + offset);
                for _ in 0..if random.percent(10) {
                    random.within(2, 3)
                } else {
                    1
                } {
                    self.add_file(&node, end, interval, stall, random);
                }
            }
        }
    }

    fn add_file(
        &mut self,
        node: &Node,
        end: DateTime<Utc>,
        interval: i64,
        stall: Option<(DateTime<Utc>, DateTime<Utc>)>,
        random: &mut Random,
    ) {
        let bound = self.bounds.delay.num_minutes() - TICK.num_minutes();
        let longest = match self.scene {
            Scene::WithinBound => bound,
            // Delayed log files are late by that much.
            _ => bound / 3,
        };
        let delay = match random.percent(90) {
            true => random.within(0, longest.min(5)),
            false => random.within(0, longest),
        };
        let mut counted = end + minutes(delay);
        if let Some((from, to)) = stall
            && counted >= from
        {
            counted = counted.max(to);
        }
        let number = self.files.len();
        let first_time = end - TimeDelta::seconds(random.within(1, interval * 60));
        self.files.push(File {
            arrival: Arrival {
                log_file: format!("{number}"),
                node: Some(node.clone()),
                end: Some(end),
                first_time: Some(first_time),
            },
            is_time_known: interval != 5 || random.percent(90),
            counted,
            set_aside: None,
        });
    }

    /// Log files that would be counted during a standstill are counted afterwards, within a while.
    fn stall(&mut self, random: &mut Random) {
        let from = self.begin + minutes(random.within(30, 240));
        let to = from + minutes(random.within(2 * self.bounds.delay.num_minutes(), 600));
        let mut backlog: Vec<&mut File> = self.files.iter_mut().collect();
        backlog.retain(|file| file.counted >= from && file.counted < to);
        match random.within(0, 2) {
            0 => backlog.sort_by_key(|file| file.arrival.end),
            1 => backlog.sort_by_key(|file| std::cmp::Reverse(file.arrival.end)),
            _ => backlog.sort_by_cached_key(|_| random.next()),
        }
        // The backlog arrives without long pauses; otherwise nothing could tell that there is more of it.
        let most = self.bounds.delay.num_seconds() / 2;
        let pace = random.within(1, most.min(3 * 3600 / (backlog.len() as i64 + 1)).max(2));
        for (place, file) in backlog.into_iter().enumerate() {
            file.counted = to + TimeDelta::seconds(pace * place as i64);
        }
    }

    fn set_aside(&mut self, random: &mut Random) {
        for _ in 0..random.within(1, 3).min(self.files.len() as i64) {
            let place = random.within(0, self.files.len() as i64 - 1) as usize;
            let (file, later) = (&mut self.files[place], minutes(random.within(1, 300)));
            if file.set_aside.is_none() {
                file.set_aside = Some(file.counted);
                file.counted += later;
            }
        }
    }

    fn very_late(&mut self, random: &mut Random) {
        for file in &mut self.files {
            if random.percent(5) {
                file.counted += minutes(random.within(1, 400));
            }
        }
    }
}

/// What happened in a seed.
#[derive(Debug, Default)]
struct Outcome {
    /// Log files with lines of a time that was already final, with that time.
    too_early: Vec<(String, DateTime<Utc>)>,
    /// Those that were reported.
    told: Vec<(String, DateTime<Utc>)>,
    /// For each hour that became final: minutes after its end.
    after_minutes: Vec<i64>,
    /// Hours that did not become final in time, although there was traffic.
    never: usize,
}

/// Counts the log files as a worker does.
fn count(world: &World, bounds: Bounds, random: &mut Random) -> Outcome {
    let mut outcome = Outcome::default();
    let mut watermark = Watermark::new(bounds, Arrivals::default(), None, None);
    let mut final_at: HashMap<DateTime<Utc>, DateTime<Utc>> = HashMap::new();
    let (mut now, mut done) = (world.begin, 0);
    let last = world.files.last().map_or(world.end, |file| file.counted);
    while now < world.end.max(last) + TimeDelta::hours(3) {
        now += TICK;
        if random.percent(2) {
            // Another worker takes over, with what the ledger and the record say.
            let mut arrivals = Arrivals::default();
            for file in &world.files[..done] {
                arrivals.add(&file.arrival, bounds, now);
            }
            arrivals.forget();
            watermark = Watermark::new(
                bounds,
                arrivals,
                watermark.final_until(),
                watermark.settles_at(),
            );
        }
        let before = watermark.final_until();
        let due = world.files[done..]
            .iter()
            .take_while(|file| file.counted <= now);
        let due: Vec<&File> = due.collect();
        done += due.len();
        for file in &due {
            if let Some(final_until) = before
                && file.arrival.first_time < Some(final_until)
            {
                outcome
                    .too_early
                    .push((file.arrival.log_file.clone(), final_until));
            }
        }
        let arrived: Vec<Arrival> = due
            .iter()
            .map(|file| Arrival {
                first_time: file.arrival.first_time.filter(|_| file.is_time_known),
                ..file.arrival.clone()
            })
            .collect();
        if !arrived.is_empty() {
            let late = watermark.counted(&arrived, now);
            outcome.told.extend(
                late.into_iter()
                    .map(|late| (late.log_file, late.final_until)),
            );
        }
        let set_aside = world.files[done..]
            .iter()
            .filter(|file| file.set_aside.is_some_and(|at| at <= now));
        let set_aside = set_aside.filter_map(|file| {
            let hour = file.arrival.end?.format("%Y-%m-%dT%H").to_string();
            reading::earliest_line(&[logmill_shared::Shard::from_name(hour)].into())
        });
        let next = watermark.next(now, set_aside.min());
        watermark.merge(next, None);
        assert!(watermark.final_until() >= before, "final_until went back");
        if let Some(final_until) = watermark.final_until() {
            for hour in 0..HOURS {
                let end = world.begin + TimeDelta::hours(hour + 1);
                if end <= final_until {
                    final_at.entry(end).or_insert(now);
                }
            }
        }
    }
    for hour in 0..HOURS {
        let end = world.begin + TimeDelta::hours(hour + 1);
        match final_at.get(&end) {
            Some(at) => outcome.after_minutes.push((*at - end).num_minutes()),
            // The clock of the log files must reach the end of the hour, the bounds, and an hourly interval.
            None if world.is_busy
                && end + bounds.silence + bounds.delay + minutes(130) < world.end =>
            {
                outcome.never += 1
            }
            None => {}
        }
    }
    outcome
}

/// The outcome of a seed, without a rule.
fn run(scene: Scene, seed: u64, without: Option<Rule>) -> Outcome {
    let mut random = Random(seed);
    let world = World::of(scene, &mut random);
    let bounds = Bounds {
        without,
        ..world.bounds
    };
    count(&world, bounds, &mut random)
}

/// The first seed in which something is final too early, or does not become final.
fn first_violation(scene: Scene, seeds: u64, without: Option<Rule>) -> Option<(u64, Outcome)> {
    let outcomes = (0..seeds).map(|seed| (seed, run(scene, seed, without)));
    let mut wrong =
        outcomes.filter(|(_, outcome)| !outcome.too_early.is_empty() || outcome.never > 0);
    wrong.next()
}

#[test]
fn nothing_is_final_too_early_while_delays_are_within_the_bound() {
    let mut after_minutes: HashMap<(i64, bool), Vec<i64>> = HashMap::new();
    for seed in 0..SEEDS {
        let outcome = run(Scene::WithinBound, seed, None);
        assert_eq!(outcome.too_early, [], "seed {seed}");
        assert_eq!(outcome.told, [], "seed {seed}");
        assert_eq!(outcome.never, 0, "seed {seed}");
        let world = World::of(Scene::WithinBound, &mut Random(seed));
        let of_bound = after_minutes.entry((world.bounds.delay.num_minutes(), world.is_steady));
        of_bound.or_default().extend(outcome.after_minutes);
    }
    let mut bounds: Vec<_> = after_minutes.into_iter().collect();
    bounds.sort();
    assert_eq!(bounds.len(), 2 * 5);
    for ((bound, is_steady), mut after) in bounds {
        after.sort_unstable();
        let at = |percent: usize| after[(after.len() - 1) * percent / 100];
        println!(
            "bound {bound} min, {}: {} hours final, {} min after their end at the median, {} at p90, {} at p99",
            if is_steady {
                "busy nodes that stay"
            } else {
                "nodes that come, go and pause"
            },
            after.len(),
            at(50),
            at(90),
            at(99)
        );
        assert!(at(0) >= bound);
    }
}

#[test]
fn a_pipeline_that_stands_still_looks_like_one() {
    for scene in [Scene::Stall, Scene::NodeStall, Scene::SetAside] {
        let wrong = first_violation(scene, SEEDS_OF_SCENES, None);
        assert!(wrong.is_none(), "{scene:?}: {wrong:?}");
    }
}

#[test]
fn every_log_file_that_comes_too_late_is_told() {
    let mut told = 0;
    for seed in 0..SEEDS_OF_SCENES {
        let outcome = run(Scene::VeryLate, seed, None);
        // Where the table does not know the time of the first line, it reports a log file whose lines may be of that time.
        for each in &outcome.too_early {
            assert!(outcome.told.contains(each), "seed {seed}: {each:?}");
        }
        told += outcome.told.len();
    }
    assert!(told > 100, "{told}");
}

#[test]
fn each_rule_is_needed() {
    for (rule, scene) in [
        (Rule::Delay, Scene::WithinBound),
        (Rule::SlowestNode, Scene::NodeStall),
        (Rule::Silence, Scene::WithinBound),
        (Rule::Hourly, Scene::WithinBound),
        (Rule::WholeIntervals, Scene::WithinBound),
        (Rule::Future, Scene::Stall),
        (Rule::Present, Scene::WithinBound),
        (Rule::SettleAfterLate, Scene::Stall),
        (Rule::SettleAfterPause, Scene::Stall),
        (Rule::SetAside, Scene::SetAside),
    ] {
        let found = first_violation(scene, SEEDS_OF_SCENES, Some(rule));
        let Some((seed, _)) = found else {
            panic!("nothing goes wrong without {rule:?}");
        };
        println!("without {rule:?}: seed {seed} of {scene:?} goes wrong");
    }
}
