//! `flowgate prepare`: makes what targets need at their own side, as far as
//! that is for Flowgate to make: the dedupe tables of databases.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{Config, PostgresConfig, TargetConfig, TargetKind};
use crate::target::{dedupe_sql, make_dedupe_table};

/// Make the dedupe tables that a configuration names, where they are missing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,

    /// Print the SQL, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Makes the dedupe tables, and exits with 0; or with 1 where one of them
/// cannot be made, or the configuration is wrong.
///
/// # Errors
///
/// None of its own; as the other verbs.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut status = ExitCode::SUCCESS;
    let mut is_any = false;
    for (target, postgres) in config.targets.iter().filter_map(database) {
        let Some(sql) = dedupe_sql(postgres) else {
            continue;
        };
        is_any = true;
        let name = &target.name;
        if args.dry_run {
            println!("-- target {name}\n{sql}");
            continue;
        }
        let table = postgres.dedupe.as_ref().map(|dedupe| dedupe.table.plain());
        let table = table.unwrap_or_default();
        match make_dedupe_table(postgres).await {
            Ok(()) => println!("target {name}: the table {table} is there."),
            Err(why) => {
                eprintln!("error: target {name}: the table {table} cannot be made: {why}");
                status = ExitCode::FAILURE;
            }
        }
    }
    if !is_any {
        println!("No target has a `dedupe_table`: there is nothing to do.");
    }
    Ok(status)
}

fn database(target: &TargetConfig) -> Option<(&TargetConfig, &PostgresConfig)> {
    match &target.kind {
        TargetKind::Postgres(postgres) => Some((target, postgres)),
        TargetKind::Http(_) | TargetKind::HttpBatch(_) | TargetKind::Grpc(_) => None,
    }
}
