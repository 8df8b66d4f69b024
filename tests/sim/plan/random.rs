//! Draws a world from a seed.

use std::time::Duration;

use flowgate::core::classify::RetryPolicy;
use flowgate::model::{Echo, Pace, Validation};

use super::{
    Bad, DiskPlan, End, Faults, HoldPlan, How, ItemPlan, JobPlan, Plan, Point, QuotaPlan, Safety,
    TargetPlan,
};
use crate::dice::Dice;

impl Plan {
    /// The world of a seed.
    pub fn random(seed: u64) -> Plan {
        let dice = Dice::new(seed);
        let quotas: Vec<QuotaPlan> = (1..=dice.number(1..=2)).map(|n| quota(n, &dice)).collect();
        let harsh = *dice.one_of(&[0, 1, 1, 3]);
        let targets: Vec<TargetPlan> = (1..=dice.number(1..=3))
            .map(|n| target(n, quotas.len(), harsh, &dice))
            .collect();
        let mut jobs: Vec<JobPlan> = Vec::new();
        for number in 1..=dice.number(1..=4) {
            let request = request(number, &mut jobs, &dice);
            jobs.push(job(number, request, &targets, &dice));
        }
        share_keys(&mut jobs, &dice);
        let held = (0..targets.len()).filter(|_| dice.chance(100));
        let holds = held.map(|target| HoldPlan {
            target,
            begins: dice.ms(0..=3_000),
            lasts: dice.ms(0..=4_000),
        });
        let ends = (0..dice.number(0..=3)).map(|_| (end(&dice), down(&dice)));
        let ends: Vec<_> = ends.collect();
        Plan {
            ends,
            holds: holds.collect(),
            open_timeout: dice.ms(8_000..=90_000),
            quotas,
            targets,
            jobs,
            disk: disk(&dice),
            intake_memory: *dice.one_of(&[200, 1_000, 1 << 20]),
            calm_after: dice.ms(0..=6_000),
        }
    }
}

fn quota(number: u32, dice: &Dice) -> QuotaPlan {
    let limits = *dice.one_of(&[
        "5/s",
        "20/s",
        "3/200ms",
        "1/50ms",
        "10/s 15/3s",
        "100/s",
        "4/250ms 30/10s",
        "",
    ]);
    let limits = limits.split_whitespace();
    QuotaPlan {
        name: format!("quota{number}"),
        limits: limits.map(|l| l.parse().expect("a limit")).collect(),
        pace: match dice.chance(200) {
            true => Pace::Smooth,
            false => Pace::Window,
        },
        transit: dice.ms(0..=60),
    }
}

fn target(number: u32, quotas: usize, harsh: u32, dice: &Dice) -> TargetPlan {
    let often = |most: u32| dice.number(0..=most) * harsh;
    let slowest = *dice.one_of(&[1, 20, 20, 300]);
    TargetPlan {
        name: format!("target{number}"),
        quota: dice.number(1..=3) as usize % quotas,
        chunk_items: dice.number(1..=8),
        concurrency: *dice.one_of(&[1, 2, 5, 20]),
        retry: RetryPolicy {
            attempts: dice.number(1..=4),
            base: dice.ms(10..=500),
            max: Duration::from_secs(2),
            patience: *dice.one_of(&[dice.ms(100..=2_000), dice.ms(2_000..=60_000)]),
        },
        safety: *dice.one_of(&[
            Safety::None,
            Safety::Keys,
            Safety::Repeatable,
            Safety::SomeItems,
        ]),
        key_window: *dice.one_of(&[Duration::from_hours(1), dice.ms(1_000..=20_000)]),
        faults: Faults {
            refused: often(30),
            busy: often(30),
            fault: often(60),
            unsent: often(60),
            torn: often(80),
            panics: often(10),
            slow: often(40),
        },
        answers: (0, slowest),
    }
}

fn disk(dice: &Dice) -> DiskPlan {
    let fails = dice.chance(200);
    DiskPlan {
        commit: *dice.one_of(&[(0, 0), (0, 3), (1, 10), (5, 60)]),
        late_answers: *dice.one_of(&[0, 100, 500]),
        full: if fails { dice.number(0..=60) } else { 0 },
        slow_reads: *dice.one_of(&[0, 100, 500]),
        fails_before: if fails { dice.number(0..=60) } else { 0 },
        fails_after: if fails { dice.number(0..=60) } else { 0 },
    }
}

fn end(dice: &Dice) -> End {
    let point = *dice.one_of(&[
        Point::BeforeCommit,
        Point::Committed,
        Point::Answered,
        Point::BeforeWrite,
        Point::Written,
        Point::Arrived,
        Point::Replied,
    ]);
    match dice.number(0..=9) {
        0..=2 => End::Killed(dice.ms(0..=3_000)),
        3..=8 => End::KilledAt(point, dice.number(1..=25)),
        _ => End::Drained(dice.ms(0..=3_000)),
    }
}

fn down(dice: &Dice) -> Duration {
    match dice.number(0..=3) {
        0 => Duration::ZERO,
        1 => dice.ms(0..=100),
        2 => dice.ms(0..=2_000),
        _ => dice.ms(0..=60_000),
    }
}

/// Whose `request_id` a job uses: mostly its own.
struct Request {
    tenant: String,
    id: Option<String>,
    contested: bool,
}

/// Another tenant may well use the same `request_id`; the same tenant should
/// not.
fn request(number: u32, jobs: &mut [JobPlan], dice: &Dice) -> Request {
    let own = Request {
        tenant: (*dice.one_of(&["ada", "bob"])).to_owned(),
        id: dice.chance(650).then(|| format!("request{number}")),
        contested: false,
    };
    let Some(last) = jobs.last_mut().filter(|_| dice.chance(200)) else {
        return own;
    };
    if last.tenant != own.tenant {
        let id = last.request_id.clone();
        let taken = |job: &JobPlan| job.tenant == own.tenant && job.request_id == id;
        return match jobs.iter().any(taken) {
            true => own,
            false => Request { id, ..own },
        };
    }
    if let (How::Unary { .. }, Some(id)) = (&last.how, &last.request_id) {
        last.contested = true;
        let id = Some(id.clone());
        return Request {
            id,
            contested: true,
            ..own
        };
    }
    own
}

fn job(number: u32, request: Request, targets: &[TargetPlan], dice: &Dice) -> JobPlan {
    let most = *dice.one_of(&[1, 5, 12, 25, 60]);
    let bad = *dice.one_of(&[0, 0, 100, 300]);
    let keyed = *dice.one_of(&[0, 0, 500]);
    let count = dice.number(1..=most);
    let strict = dice.chance(150) && count <= 25;
    let begins = *dice.one_of(&[dice.ms(0..=800), dice.ms(0..=800), dice.ms(0..=6_000)]);
    let name = format!("job{number}");
    let items = (0..count).map(|index| item(&name, index, bad, keyed, dice));
    let twins = *dice.one_of(&[1, 1, 2, 3]);
    JobPlan {
        items: items.collect(),
        target: dice.number(0..=5) as usize % targets.len(),
        validation: match dice.chance(100) {
            true => Validation::Batch,
            false => Validation::Item,
        },
        echo: *dice.one_of(&[Echo::Failed, Echo::None, Echo::All]),
        begins,
        strict,
        deadline: dice.chance(120).then(|| begins + dice.ms(0..=4_000)),
        stops_after: if dice.chance(100) {
            dice.number(1..=4)
        } else {
            0
        },
        stops_at_share: if dice.chance(60) { 0.3 } else { 0.0 },
        pause: dice
            .chance(150)
            .then(|| (dice.ms(0..=1_500), dice.ms(0..=3_000))),
        retries: dice.chance(300),
        how: match request.contested || dice.chance(500) {
            true => How::Unary {
                // Without a `request_id`, each is a batch of its own.
                twins: if request.id.is_some() { twins } else { 1 },
            },
            false => How::Stream {
                frame: *dice.one_of(&[1, 3, 10, 60]),
                offsets: dice.chance(700),
            },
        },
        cancel: dice.chance(150).then(|| dice.ms(0..=2_000)),
        breaks: *dice.one_of(&[0, 0, 100]),
        watches: dice.number(0..=2),
        dice: dice.seed(),
        name,
        tenant: request.tenant,
        request_id: request.id,
        contested: request.contested,
    }
}

/// Gives items of one batch a place in another, or their keys to others there.
fn share_keys(jobs: &mut [JobPlan], dice: &Dice) {
    for second in 1..jobs.len() {
        let (before, rest) = jobs.split_at_mut(second);
        let (first, second) = (&mut before[second - 1], &mut rest[0]);
        let places = first.items.len().min(second.items.len());
        if first.contested || second.contested {
            continue;
        }
        if (&first.tenant, first.target) != (&second.tenant, second.target) || dice.chance(300) {
            continue;
        }
        for place in (0..places).filter(|_| dice.chance(200)) {
            let shared = &mut first.items[place];
            if !matches!(shared.bad, None | Some(Bad::Refused)) || shared.is_shared {
                continue;
            }
            // Ids would be twice in a message.
            shared.id = None;
            shared.is_shared = true;
            shared
                .key
                .get_or_insert_with(|| format!("{}-key", shared.tag));
            let own = second.items[place].tag.clone();
            second.items[place] = shared.clone();
            if dice.chance(200) {
                // The same key for something else.
                second.items[place].tag = own;
            }
        }
    }
}

fn item(job: &str, index: u32, bad: u32, keyed: u32, dice: &Dice) -> ItemPlan {
    let kinds = [
        Bad::Unreadable,
        Bad::NotJson,
        Bad::Id,
        Bad::NotAdmitted,
        Bad::Refused,
        Bad::Refused,
        Bad::Refused,
    ];
    ItemPlan {
        tag: format!("{job}.{index}"),
        id: dice.chance(300).then(|| format!("row {index}")),
        key: dice.chance(keyed).then(|| format!("{job}-{index}")),
        bad: dice.chance(bad).then(|| *dice.one_of(&kinds)),
        safe: dice.chance(500),
        is_shared: false,
        size: dice.number(0..=40) as usize,
    }
}
