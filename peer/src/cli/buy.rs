//! `matinee-peer buy`

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::Args;
use matinee_protocol::api::PlanSummary;
use matinee_protocol::id::PlanId;
use serde_json::json;

use super::context::Context;
use super::failure::Failure;
use super::output::{Output, one_line};
use super::{lookup, titles};

/// Buy a title.
#[derive(Debug, Args)]
pub(super) struct Buy {
    /// Id or name of the title
    title: String,
    /// Which plan, if there are several
    #[arg(long, value_name = "ID")]
    plan: Option<PlanId>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Buy {
    pub(super) async fn run(self, context: &Context, output: &Output) -> Result<(), Failure> {
        let api = context.signed_in()?;
        let title = lookup::title(&api, &self.title).await?;
        let plan = choose(&title.plans, self.plan)?;
        let (name, price) = (one_line(&title.name), titles::money(&plan.price));
        if !self.yes && !agreed(&format!("Buy {name} ({}) for {price}?", one_line(&plan.kind)))? {
            return Err(Failure::other("purchase_declined", "nothing was bought"));
        }
        let bought = api.buy(plan.id).await?;
        let fields =
            json!({"title": title.id, "purchase": bought.purchase, "entitlement": bought.entitlement});
        output.event(
            "bought",
            fields,
            &format!("Bought {name} for {}.", titles::money(&bought.purchase.amount)),
        );
        Ok(())
    }
}

fn choose(plans: &[PlanSummary], wanted: Option<PlanId>) -> Result<&PlanSummary, Failure> {
    match (wanted, plans) {
        (Some(id), plans) => plans
            .iter()
            .find(|plan| plan.id == id)
            .ok_or_else(|| Failure::other("plan_not_found", "the title has no such plan")),
        (None, [plan]) => Ok(plan),
        (None, []) => Err(Failure::other("plan_not_found", "the title is not for sale")),
        (None, several) => {
            let plans: Vec<String> =
                several.iter().map(|plan| format!("{} ({})", plan.id, titles::plan(plan))).collect();
            Err(Failure::usage("plan_missing", &format!("choose one with --plan: {}", plans.join(", "))))
        }
    }
}

fn agreed(question: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("consent_missing", &format!("{question} say so with --yes")));
    }
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::other("terminal", &error.to_string()))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
