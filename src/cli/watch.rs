//! `flowgate watch`: a batch's progress, and its report once it has finished.

use super::follow::{Live, Stop, conclude, follow};
use super::source::Lines;
use super::submit::Shown;
use super::tally::Tally;
use super::view::View;
use super::{Ending, Session};

const EXAMPLES: &str = "\
Example:
  flowgate watch 0199f3a2-7c1e-7b6a-9d0e-3f2b1c4d5e6f

Exit status: 0 all succeeded, 2 some failed, 1 anything else, 130 after Ctrl-C.";

/// Follow a batch to its end.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The batch.
    pub id: String,
    /// Begin after this event of its log; failures before it are counted, but
    /// not shown.
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    pub cursor: u64,
    /// How many failures are shown at the end.
    #[command(flatten)]
    pub shown: Shown,
}

/// Follows and reports. Ctrl-C ends the following, not the batch.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<Ending> {
    let mut live = Live {
        tally: Tally::new(args.cursor, args.shown.rows()),
        view: View::new(session),
        total: None,
        recorder: None,
        lines: Lines::default(),
        format: None,
    };
    let mut stop = Stop::on_ctrl_c();
    let ended = follow(session, &args.id, &mut live, &mut stop).await?;
    conclude(ended, &args.id, live, session)
}
