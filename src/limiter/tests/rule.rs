//! Random traffic through a gate, judged by the rule as it is written down:
//! every permit that was given was allowed, everyone who waited had to, and no
//! target can have seen more than a limit allows, wherever between the send
//! and the answer its requests arrived.
//!
//! All happens at even milliseconds; holds and questions about what is due come
//! at odd ones, so that it is plain what they were before and after of.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Traffic {
    limits: Vec<(u32, u64)>,
    transit: u64,
    concurrency: Vec<u32>,
    /// What was sent before: how long ago, and how many units.
    spent: Vec<(u64, u64)>,
    requests: Vec<Request>,
    /// When, and for how long.
    holds: Vec<(u64, u64)>,
    /// When, and how many units ahead.
    questions: Vec<(u64, u32)>,
}

#[derive(Clone, Debug)]
struct Request {
    at: u64,
    target: usize,
    cost: u32,
    /// How long it waits.
    patience: u64,
    /// What it does with its permit, each after a while.
    acts: Vec<(u64, Act)>,
    /// How long it then keeps it.
    keep: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Written,
    Unwritten,
    Answered,
}

/// What happened, to which request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Asked(usize),
    /// It stopped waiting.
    Left(usize),
    Granted(usize),
    Acted(usize, Act),
    Dropped(usize),
    Held {
        until: u64,
    },
    /// What was due if so many units were admitted before.
    Due {
        ahead: u32,
        at: u64,
    },
}

/// Events in order, with milliseconds since the start.
type Log = Vec<(u64, Event)>;

fn even(most: u64) -> impl Strategy<Value = u64> {
    (0..=most / 2).prop_map(|half| half * 2)
}

fn traffic() -> impl Strategy<Value = Traffic> {
    let act = prop_oneof![
        5 => Just(Act::Written),
        1 => Just(Act::Unwritten),
        4 => Just(Act::Answered),
    ];
    let while_ = prop_oneof![3 => even(30), 1 => even(300)];
    let request = (
        even(1_500),
        0..3_usize,
        prop_oneof![3 => Just(1_u32), 1 => 0..=4_u32],
        prop_oneof![4 => Just(1_000_000_u64), 1 => even(400)],
        prop::collection::vec((while_, act), 0..5),
        even(200),
    );
    let request = request.prop_map(|(at, target, cost, patience, acts, keep)| Request {
        at,
        target,
        cost,
        patience,
        acts,
        keep,
    });
    let odd = |most| even(most).prop_map(|at| at + 1);
    (
        prop::collection::vec((1..=8_u32, even(1_000).prop_map(|per| per + 2)), 1..=3),
        even(60),
        prop::collection::vec(1..=5_u32, 3),
        prop::collection::vec((even(1_200), 0..4_u64), 0..6),
        prop::collection::vec(request, 1..50),
        prop::collection::vec((odd(2_000), even(500).prop_map(|wait| wait + 1)), 0..2),
        prop::collection::vec((odd(3_000), 0..12_u32), 0..20),
    )
        .prop_map(
            |(limits, transit, concurrency, spent, requests, holds, questions)| Traffic {
                limits,
                transit,
                concurrency,
                spent,
                requests,
                holds,
                questions,
            },
        )
}

/// Writes down what happens.
#[derive(Clone)]
struct Scribe {
    start: Instant,
    log: Arc<Mutex<Log>>,
}

impl Scribe {
    fn ms_at(&self, at: Instant) -> u64 {
        u64::try_from((at - self.start).as_nanos().div_ceil(1_000_000)).unwrap()
    }

    fn note(&self, event: Event) {
        let at = self.ms_at(Instant::now());
        self.log.lock().unwrap().push((at, event));
    }
}

/// What frees something is noted before it is done, what takes something after.
async fn run_request(no: usize, request: Request, gate: Gate, scribe: Scribe) {
    sleep(ms(request.at)).await;
    scribe.note(Event::Asked(no));
    let wait = gate.permit(request.target, request.cost);
    let Ok(mut permit) = tokio::time::timeout(ms(request.patience), wait).await else {
        return scribe.note(Event::Left(no));
    };
    scribe.note(Event::Granted(no));
    let (mut written, mut stands) = (false, true);
    for (after, act) in request.acts {
        sleep(ms(after)).await;
        // Nobody writes twice, or without a permit that stands.
        if !stands || (written && act == Act::Written) {
            continue;
        }
        scribe.note(Event::Acted(no, act));
        match act {
            Act::Written => permit.written(),
            Act::Unwritten => stands = permit.unwritten(),
            Act::Answered => permit.answered(),
        }
        written = act != Act::Unwritten;
    }
    sleep(ms(request.keep)).await;
    scribe.note(Event::Dropped(no));
}

fn spent(&(age, units): &(u64, u64)) -> Spent {
    Spent {
        age: ms(age),
        units,
    }
}

/// Waits until then, and until all others are done with that moment.
async fn settled(at: u64) {
    sleep(ms(at)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

fn run(traffic: &Traffic, pace: Pace) -> Log {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let gate = Gate::new(GateSpec {
            limits: traffic
                .limits
                .iter()
                .map(|&(count, per)| Limit {
                    count,
                    per: ms(per),
                })
                .collect(),
            pace,
            transit: ms(traffic.transit),
            concurrency: traffic.concurrency.clone(),
            spent: traffic.spent.iter().map(spent).collect(),
        });
        let scribe = Scribe {
            start: Instant::now(),
            log: Arc::default(),
        };
        let mut tasks = JoinSet::new();
        for (no, request) in traffic.requests.iter().cloned().enumerate() {
            tasks.spawn(run_request(no, request, gate.clone(), scribe.clone()));
        }
        for (at, wait) in traffic.holds.iter().copied() {
            let (gate, scribe) = (gate.clone(), scribe.clone());
            tasks.spawn(async move {
                settled(at).await;
                scribe.note(Event::Held { until: at + wait });
                gate.hold_until(scribe.start + ms(at + wait));
            });
        }
        for (at, ahead) in traffic.questions.iter().copied() {
            let (gate, scribe) = (gate.clone(), scribe.clone());
            tasks.spawn(async move {
                settled(at).await;
                let at = scribe.ms_at(gate.due(ahead));
                scribe.note(Event::Due { ahead, at });
            });
        }
        tasks.join_all().await;
        assert!(gate.status().in_flight.iter().all(|&n| n == 0));
        scribe.log.lock().unwrap().clone()
    })
}

/// A permit, as the rule sees it.
#[derive(Clone, Copy, Debug)]
struct Held {
    no: usize,
    sent: Option<u64>,
    answered: Option<u64>,
    dropped: bool,
    /// Proved to be unwritten, after its slot was freed.
    spent: bool,
}

/// The rule, worked out from nothing at every step.
struct Rule<'a> {
    traffic: &'a Traffic,
    waiting: Vec<usize>,
    held: Vec<Held>,
    hold: u64,
}

impl<'a> Rule<'a> {
    fn new(traffic: &'a Traffic) -> Rule<'a> {
        Rule {
            traffic,
            waiting: Vec::new(),
            held: Vec::new(),
            hold: 0,
        }
    }

    fn cost(&self, no: usize) -> u32 {
        let smallest = self.traffic.limits.iter().map(|l| l.0).min().unwrap();
        self.traffic.requests[no].cost.clamp(1, smallest)
    }

    fn target(&self, no: usize) -> usize {
        self.traffic.requests[no].target
    }

    /// The last moment at which the target can have seen it.
    fn seen(&self, held: &Held) -> Option<u64> {
        let latest = held.sent? + self.traffic.transit;
        Some(held.answered.map_or(latest, |at| at.min(latest)))
    }

    /// Units that were sent before, and that the target can have seen less
    /// than so long before then.
    fn spent(&self, per: u64, then: u64) -> u32 {
        let transit = self.traffic.transit;
        let spent = self.traffic.spent.iter();
        let counts = spent.filter(|(age, _)| then + age < transit + per);
        u32::try_from(counts.map(|(_, units)| units).sum::<u64>()).unwrap()
    }

    fn allows(&self, no: usize, now: u64) -> bool {
        let within = |&(count, per): &(u32, u64)| {
            let counts = |held: &&Held| match self.seen(held) {
                Some(seen) => now < seen + per,
                None => !held.dropped && !held.spent,
            };
            let held = self.held.iter().filter(counts);
            let held = held.map(|held| self.cost(held.no)).sum::<u32>();
            held + self.spent(per, now) + self.cost(no) <= count
        };
        self.hold <= now && self.traffic.limits.iter().all(within)
    }

    /// How many more may be under way.
    fn room(&self, target: usize) -> usize {
        let under_way = |held: &&Held| !held.dropped && self.target(held.no) == target;
        let under_way = self.held.iter().filter(under_way).count();
        (self.traffic.concurrency[target] as usize).saturating_sub(under_way)
    }

    fn has_room(&self, target: usize) -> bool {
        self.room(target) > 0
    }

    fn was_refunded(&self, no: usize) -> bool {
        let held = self.held.iter().find(|held| held.no == no);
        held.is_some_and(|held| held.dropped && held.sent.is_none())
    }

    fn apply(&mut self, now: u64, event: Event) {
        let find = |held: &mut Vec<Held>, no| held.iter().position(|h| h.no == no).unwrap();
        match event {
            Event::Asked(no) => self.waiting.push(no),
            Event::Left(no) => self.waiting.retain(|&other| other != no),
            Event::Granted(no) => {
                self.waiting.retain(|&other| other != no);
                self.held.push(Held {
                    no,
                    sent: None,
                    answered: None,
                    dropped: false,
                    spent: false,
                });
            }
            Event::Acted(no, act) => {
                let index = find(&mut self.held, no);
                let seen = self.seen(&self.held[index]);
                let held = &mut self.held[index];
                match act {
                    _ if held.answered.is_some() => {}
                    Act::Written => held.sent = Some(now),
                    Act::Unwritten => {
                        let shortest = self.traffic.limits.iter().map(|limit| limit.1).min();
                        held.spent = seen.is_some_and(|seen| seen + shortest.unwrap() <= now);
                        held.sent = None;
                    }
                    Act::Answered => {
                        held.sent = held.sent.or(Some(now));
                        held.answered = Some(now);
                    }
                }
            }
            Event::Dropped(no) => {
                let index = find(&mut self.held, no);
                self.held[index].dropped = true;
            }
            Event::Held { until } => self.hold = self.hold.max(until),
            Event::Due { .. } => {}
        }
    }
}

/// All moments at which the rule may come to allow something.
fn moments(traffic: &Traffic, log: &Log) -> BTreeSet<u64> {
    let mut moments = BTreeSet::new();
    for &(age, _) in &traffic.spent {
        let free = |&(_, per): &(u32, u64)| (traffic.transit + per).checked_sub(age);
        moments.extend(traffic.limits.iter().filter_map(free));
    }
    for &(at, event) in log {
        moments.insert(at);
        for &(_, per) in &traffic.limits {
            moments.extend([at + per, at + traffic.transit + per]);
        }
        if let Event::Held { until } = event {
            moments.insert(until);
        }
    }
    moments
}

/// No permit that the rule does not allow, and none out of turn; and, where
/// `promptly`, nobody waits whom the rule allows.
fn check_grants(traffic: &Traffic, log: &Log, promptly: bool) {
    let mut rule = Rule::new(traffic);
    let mut rest = log.iter().copied().peekable();
    for now in moments(traffic, log) {
        let mut granted = Vec::new();
        // How much room the targets have all the time. A permit may have been
        // handed over well before the note of it, so drops do not count.
        let mut room: Vec<usize> = (0..3).map(|target| rule.room(target)).collect();
        while let Some((_, event)) = rest.next_if(|&(at, _)| at <= now) {
            if let Event::Granted(no) = event {
                assert!(rule.has_room(rule.target(no)), "{now}: {no} has no room");
                assert!(rule.allows(no, now), "{now}: {no} is over a limit");
                granted.push((no, rule.waiting.clone()));
                let room = &mut room[rule.target(no)];
                *room = room.saturating_sub(1);
            }
            rule.apply(now, event);
        }
        for (no, line) in granted {
            let before = line.iter().take_while(|&&other| other != no);
            for &other in before.filter(|other| rule.waiting.contains(other)) {
                let target = rule.target(other);
                let passed = target == rule.target(no) || room[target] > 0;
                assert!(!passed, "{now}: {no} went before {other}");
            }
        }
        let first = rule.waiting.iter().copied();
        let first = first.into_iter().find(|&no| rule.has_room(rule.target(no)));
        if let Some(no) = first.filter(|_| promptly) {
            assert!(!rule.allows(no, now), "{now}: {no} waits for nothing");
        }
    }
    assert!(rule.waiting.is_empty() && rest.next().is_none());
}

/// No window holds more than its limit, if every request arrives when it does
/// most harm.
fn check_target(traffic: &Traffic, log: &Log) {
    let mut rule = Rule::new(traffic);
    for &(at, event) in log {
        rule.apply(at, event);
    }
    let spans: Vec<(u64, u64, u32)> = rule
        .held
        .iter()
        .filter_map(|held| Some((held.sent?, rule.seen(held)?, rule.cost(held.no))))
        .collect();
    // The worst windows begin at the latest arrival of some request, which may
    // have been sent before: what is negative then begins at 0 here, and ends
    // as much sooner.
    let transit = traffic.transit;
    let before = traffic.spent.iter().map(|(age, _)| (transit, *age));
    let starts = spans.iter().map(|&(_, last, _)| (last, 0)).chain(before);
    let starts: Vec<(u64, u64)> = starts.collect();
    for &(count, per) in &traffic.limits {
        for &(at, back) in &starts {
            let inside = |&&(first, last, _): &&(u64, u64, u32)| {
                first + back < at + per && last + back >= at
            };
            let seen: u32 = spans.iter().filter(inside).map(|span| span.2).sum();
            let spent = traffic.spent.iter();
            // Sent at any time before, and seen at the latest then.
            let spent = spent.filter(|(age, _)| transit + back >= at + age);
            let spent: u64 = spent.map(|(_, units)| units).sum();
            let most = u64::from(seen) + spent;
            // It is not for the gate that too many were sent before.
            assert!(
                seen == 0 || most <= u64::from(count),
                "{most} in the {per} ms from {at} - {back}"
            );
        }
    }
}

/// Whoever sleeps until a permit is due misses none, unless a write proves not
/// to have happened.
fn check_due(traffic: &Traffic, log: &Log) {
    for (index, &(_, event)) in log.iter().enumerate() {
        let Event::Due { ahead, at: due } = event else {
            continue;
        };
        let mut rule = Rule::new(traffic);
        for &(at, event) in &log[..index] {
            rule.apply(at, event);
        }
        // Those admitted since, and not refunded.
        let mut since: Vec<usize> = Vec::new();
        for &(at, event) in &log[index..] {
            rule.apply(at, event);
            match event {
                Event::Granted(no) => {
                    let before: u32 = since.iter().map(|&no| rule.cost(no)).sum();
                    assert!(before < ahead || at >= due, "{at}: {no} was due at {due}");
                    since.push(no);
                }
                Event::Acted(_, Act::Unwritten) => break,
                Event::Dropped(no) if rule.was_refunded(no) => since.retain(|&one| one != no),
                _ => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn window_gives_what_the_rule_allows_and_no_more(traffic in traffic()) {
        let log = run(&traffic, Pace::Window);
        check_grants(&traffic, &log, true);
        check_target(&traffic, &log);
        check_due(&traffic, &log);
    }

    #[test]
    fn smooth_gives_no_more_than_the_rule_allows(traffic in traffic()) {
        let log = run(&traffic, Pace::Smooth);
        check_grants(&traffic, &log, false);
        check_target(&traffic, &log);
        check_due(&traffic, &log);
    }
}
