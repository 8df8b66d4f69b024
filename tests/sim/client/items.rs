//! What is submitted.

use std::ops::Range;

use flowgate::intake::Draft;
use flowgate::model::{
    BatchSpec, Code, FailurePolicy, Form, Item, Operation, Ordering, Payload, Refusal, TargetName,
};

use super::Client;
use crate::checker::{Fact, ItemSent, Submitted, digest};
use crate::clock::Clock;
use crate::plan::{Bad, ItemPlan, JobPlan};
use crate::sim::nanos;

impl Client<'_> {
    pub(super) fn note_submitted(&self) {
        let plan = self.plan;
        let process = &self.front.process;
        process.saw(Fact::Submitted(Submitted {
            name: plan.name.clone(),
            tenant: plan.tenant.clone(),
            target: process.sim.plan.targets[plan.target].name.clone(),
            request_id: plan.request_id.clone(),
            first: 0,
            items: plan.items.iter().map(|item| self.sent(item)).collect(),
            strict: plan.strict,
            deadline: plan.deadline.map(nanos),
        }));
        if plan.stops_after > 0 {
            process.saw(Fact::StopsAfter {
                name: plan.name.clone(),
                failures: plan.stops_after,
            });
        }
    }

    pub(super) fn sent(&self, item: &ItemPlan) -> ItemSent {
        ItemSent {
            tag: item.tag.clone(),
            key: item.key.clone(),
            body: digest(self.body(item).as_bytes()),
        }
    }

    pub(super) fn body(&self, item: &ItemPlan) -> String {
        body(self.plan, item)
    }

    pub(super) fn spec(&self) -> BatchSpec {
        let plan = self.plan;
        let sim = &self.front.process.sim;
        let target = TargetName::new(&sim.plan.targets[plan.target].name);
        BatchSpec {
            request_id: plan.request_id.clone(),
            labels: [("name".to_owned(), plan.name.clone())].into(),
            validation: plan.validation,
            echo: plan.echo,
            ordering: match plan.strict {
                true => Ordering::Strict,
                false => Ordering::Parallel,
            },
            deadline_ms: plan.deadline.map(|at| Clock::wall_ms(nanos(at))),
            failure_policy: FailurePolicy {
                stop_after: plan.stops_after,
                stop_at_share: plan.stops_at_share,
            },
            ..BatchSpec::new(target)
        }
    }

    pub(super) fn drafts(&self, which: Range<usize>) -> Vec<Draft> {
        let items = self.plan.items.iter().skip(which.start);
        let items = items.take(which.end - which.start);
        items.map(|item| draft(self.plan, item)).collect()
    }
}

fn draft(plan: &JobPlan, item: &ItemPlan) -> Draft {
    let body = body(plan, item);
    let unreadable = || {
        let refusal = Refusal::new(Code::InvalidArgument, "UNREADABLE", "as scripted");
        Box::new(refusal)
    };
    Draft {
        bytes: body.len(),
        fault: (item.bad == Some(Bad::Unreadable)).then(unreadable),
        item: Item {
            index: 0,
            id: match item.bad {
                Some(Bad::Id) => Some("two\nlines".to_owned() + &item.tag),
                _ => item.id.clone(),
            },
            key: item.key.clone(),
            payload: Some(Payload {
                form: Form::JsonText,
                content_type: None,
                body: body.into(),
            }),
            operation: Operation::Target,
        },
    }
}

fn body(plan: &JobPlan, item: &ItemPlan) -> String {
    let kind = match item.bad {
        Some(Bad::NotAdmitted) => "not admitted",
        Some(Bad::Refused) => "refused",
        _ => "good",
    };
    let (tenant, tag) = (&plan.tenant, &item.tag);
    let safe = if item.safe { "yes" } else { "no" };
    let filling = "x".repeat(item.size);
    let end = match item.bad {
        Some(Bad::NotJson) => "",
        _ => "}",
    };
    format!(
        "{{\"tenant\":\"{tenant}\",\"tag\":\"{tag}\",\"kind\":\"{kind}\",\"safe\":\"{safe}\",\
         \"filling\":\"{filling}\"{end}"
    )
}
