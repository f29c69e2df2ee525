//! The contract with cron and the operator: commands, flags, and what a wrong command line gets.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::span::Span;
use crate::domain::ids::{OrderId, SkuId};
use crate::domain::notice::NoticeKind;
use crate::domain::time::Moment;
use crate::stages::runner::Stage;

/// Keep the stock of a VTEX store true against the retailer's ERP
#[derive(Debug, Clone, Parser)]
#[command(name = "stockbridge", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What every command knows.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  stockbridge config init --file stockbridge.toml   Write an annotated configuration
  stockbridge doctor                                Check everything, change nothing
  stockbridge run                                   Run all stages, as cron does
  stockbridge move --order 1234567890123-01         Run one stage for one order
  stockbridge status                                Show what waits, and why
  stockbridge explain ART1-N01-42                   Show a published number term by term

Exit codes: 0 done, 3 partial, 4 drift found, 5 needs a person, 64 wrong command line, 65 bad input data,
69 unreachable, 70 broken, 74 input/output error, 75 locked, 77 access denied, 78 configuration";

/// What every command knows.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Read this configuration file
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep the state in this file instead of the configured one
    #[arg(long, global = true, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Read variables from this file; only its owner may be able to read it
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    /// Write nothing anywhere outside, and say what would be done
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Start at most so many items
    #[arg(long, global = true, value_name = "N")]
    pub limit: Option<u32>,
    /// Start no item after this time
    #[arg(long, global = true, value_name = "TIME", default_value = "50s", value_parser = Span::parse)]
    pub deadline: Span,
    /// Wait so long for another run of the same stage
    #[arg(long, global = true, value_name = "TIME", default_value = "5s", value_parser = Span::parse)]
    pub wait: Span,
    /// End with code 75 when another run holds the lock
    #[arg(long, global = true)]
    pub fail_if_locked: bool,
    /// Skip backoff and brakes; never moves an unknown or quarantined effect
    #[arg(long, global = true)]
    pub force: bool,
    /// Log more; twice for every call, three times for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Write the log in this form
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        value_name = "FORM"
    )]
    pub log_format: LogFormat,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One sentence a line
    Text,
    /// One JSON object a line
    Json,
}

impl LogFormat {
    /// Tells whether the log is JSON.
    pub fn is_json(self) -> bool {
        self == Self::Json
    }
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Learn of orders
    Poll(PollArgs),
    /// Reserve the goods of new and changed orders
    Reserve(OrderArgs),
    /// Book movements in the ERP, then start handling
    Move(OrderArgs),
    /// Publish quantities
    PushStock(PushArgs),
    /// Send queued notices
    Notify(NotifyArgs),
    /// Forget what is settled and old
    Gc,
    /// Run all stages in order
    Run,
    /// Listen for the store's hook until stopped; health and metrics
    Serve,
    /// Configure the store's hook, which tells of orders at once
    #[command(subcommand)]
    Hook(HookCommand),
    /// Show orders per state, what waits for a person, and the last runs
    Status,
    /// Ask the ERP for the stock of a SKU, per base and in total
    Stock(SkuArg),
    /// Show everything known about an order
    Show(ShowArgs),
    /// Explain the published number of a SKU, or of every SKU of an order
    Explain(WhatArg),
    /// Send an order, or a notice, on its way again after its reason was mended
    Retry(RetryArgs),
    /// Say what is true of an effect that waits for a person
    Resolve(ResolveArgs),
    /// Compare the ERP's movements and the published numbers with the memory, now
    Reconcile(ReconcileArgs),
    /// Copy the state file, put a copy back, or take over a file that was moved
    Backup(BackupArgs),
    /// Check configuration, state file and outside systems; change nothing
    Doctor(DoctorArgs),
    /// Look at and correct the map from SKUs to ERP codes
    #[command(subcommand)]
    Sku(SkuCommand),
    /// Confirm that the remito of an order was made
    Remito(RemitoArgs),
    /// Write, check or show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions(ShellArg),
    /// Print the manual page
    Man,
}

/// The hook's configuration in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum HookCommand {
    /// Create or replace it; the store first tries whether our address answers
    Install,
    /// Show it, and whether it is as it should be
    Show,
    /// Remove it
    Remove,
}

/// What `poll` can be asked for.
#[derive(Debug, Clone, Args)]
pub struct PollArgs {
    /// Read these orders
    #[arg(long = "order", value_name = "ID", num_args = 1.., value_parser = order_id, conflicts_with_all = ["since", "until"])]
    pub orders: Vec<OrderId>,
    /// Take in every order placed from this instant on (2026-01-31 or 2026-01-31T12:00:00-03:00)
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub since: Option<Moment>,
    /// Take in orders placed before this instant
    #[arg(long, value_name = "INSTANT", value_parser = instant, requires = "since")]
    pub until: Option<Moment>,
    /// Take in a JSON list of orders that an older program has processed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["orders", "since", "until"])]
    pub import_processed: Option<PathBuf>,
}

/// A stage for some orders only.
#[derive(Debug, Clone, Args)]
pub struct OrderArgs {
    /// Work on these orders only
    #[arg(long = "order", value_name = "ID", num_args = 1.., value_parser = order_id)]
    pub orders: Vec<OrderId>,
}

/// What `push-stock` can be asked for.
#[derive(Debug, Clone, Args)]
pub struct PushArgs {
    /// Publish these SKUs (ids in the web store)
    #[arg(long = "sku", value_name = "ID", num_args = 1.., value_parser = sku_id, conflicts_with_all = ["all", "orders"])]
    pub skus: Vec<SkuId>,
    /// Compare every mapped SKU with the ERP
    #[arg(long)]
    pub all: bool,
    /// Publish the SKUs of these orders
    #[arg(long = "order", value_name = "ID", num_args = 1.., value_parser = order_id, conflicts_with = "all")]
    pub orders: Vec<OrderId>,
}

/// What `notify` can be asked for.
#[derive(Debug, Clone, Args)]
pub struct NotifyArgs {
    /// Send an invented notice of this kind at once, past the queue, and nothing else
    #[arg(long, value_name = "KIND", value_parser = notice_kind)]
    pub test: Option<NoticeKind>,
    /// The channel of the test
    #[arg(long, value_name = "NAME", default_value = "mail", requires = "test")]
    pub channel: String,
}

fn notice_kind(text: &str) -> Result<NoticeKind, String> {
    NoticeKind::parse(text).ok_or_else(|| {
        let known: Vec<_> = NoticeKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("must be one of {}", known.join(", "))
    })
}

/// A SKU.
#[derive(Debug, Clone, Args)]
pub struct SkuArg {
    /// The SKU's id or reference
    pub sku: String,
}

/// What `show` can be asked for.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The order's id
    #[arg(value_parser = order_id)]
    pub order: OrderId,
    /// Also ask the ERP's tables for sales documents that bear the order's id (needs erp.dragonfish.sql)
    #[arg(long)]
    pub erp: bool,
}

/// A SKU or an order.
#[derive(Debug, Clone, Args)]
pub struct WhatArg {
    /// A SKU's id or reference, or an order's id
    #[arg(value_name = "SKU|ORDER")]
    pub what: String,
}

/// A shell.
#[derive(Debug, Clone, Args)]
pub struct ShellArg {
    /// For which shell
    pub shell: Shell,
}

/// The map of SKUs.
#[derive(Debug, Clone, Subcommand)]
pub enum SkuCommand {
    /// Take in `sku,reference` lines that correct the catalogue's references
    Import {
        /// The file
        file: PathBuf,
    },
    /// List SKUs
    List {
        /// Only those without a code in the ERP, with the reason
        #[arg(long)]
        unmapped: bool,
    },
}

/// What is tried again.
#[derive(Debug, Clone, Args)]
pub struct RetryArgs {
    /// The order's id
    #[arg(value_parser = order_id, required_unless_present = "notice")]
    pub order: Option<OrderId>,
    /// Send this notice again, marked as possibly a second one
    #[arg(long, value_name = "KEY", conflicts_with = "order")]
    pub notice: Option<String>,
}

/// What a person says.
#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("word").args(["booked", "not_booked", "cancel", "handled", "before_cutover", "notice"]).required(true)))]
pub struct ResolveArgs {
    /// The order's id
    #[arg(value_parser = order_id, required_unless_present_any = ["before_cutover", "notice"])]
    pub order: Option<OrderId>,
    /// The movement stands in the ERP under this number
    #[arg(long, value_name = "NUMBER")]
    pub booked: Option<String>,
    /// The movement does not stand in the ERP: book it
    #[arg(long)]
    pub not_booked: bool,
    /// Not wanted any more, or done by other means
    #[arg(long)]
    pub cancel: bool,
    /// Handling was started in the store
    #[arg(long)]
    pub handled: bool,
    /// Which effect, where several wait (S1, C1, handling)
    #[arg(long, value_name = "NAME", requires = "order")]
    pub operation: Option<String>,
    /// All orders placed before the cut-over: booked by what came before, or unbooked and now this program's
    #[arg(long, value_enum, value_name = "WORD", conflicts_with = "order")]
    pub before_cutover: Option<Before>,
    /// This notice needs no sending any more
    #[arg(long, value_name = "KEY", conflicts_with = "order")]
    pub notice: Option<String>,
    /// What the decision rests on; kept for ever
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub evidence: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// What came before this program did with the orders placed before the cut-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Before {
    /// It booked them
    Booked,
    /// It did not: this program books them
    Unbooked,
}

/// A comparison.
#[derive(Debug, Clone, Args)]
pub struct ReconcileArgs {
    /// Change nothing; end with code 4 when something differs
    #[arg(long)]
    pub check: bool,
    /// Compare the movements of so many days, today included
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(i64).range(1..=92))]
    pub days: i64,
}

/// Copies of the state file.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct BackupArgs {
    /// Write a consistent copy to this new file
    #[arg(required = true)]
    pub file: Option<PathBuf>,
    /// What else to do with copies.
    #[command(subcommand)]
    pub command: Option<BackupCommand>,
}

/// What to do with copies.
#[derive(Debug, Clone, Subcommand)]
pub enum BackupCommand {
    /// Put a copy back; what it misses is looked for before anything is booked
    Restore {
        /// The copy
        file: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Take over the state file as it is, after it was moved or lost
    Adopt {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What is checked.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// What else to try.
    #[command(subcommand)]
    pub probe: Option<Probe>,
}

/// Trials that write.
#[derive(Debug, Clone, Subcommand)]
pub enum Probe {
    /// Book and reverse one unit in a test base, and see whether it can be found again
    ErpProbe {
        /// The base; never one in which sales are booked
        #[arg(long, value_name = "BASE")]
        base: String,
        /// A reference whose one unit goes out and back in
        #[arg(long, value_name = "REFERENCE")]
        reference: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// The confirmation of a remito.
#[derive(Debug, Clone, Args)]
pub struct RemitoArgs {
    /// The order's id
    #[arg(value_parser = order_id)]
    pub order: OrderId,
    /// Say that it was made
    #[arg(long, required = true)]
    pub done: bool,
}

/// The configuration.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigCommand {
    /// Print the annotated example, or write it to a new file
    Init {
        /// The new file
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Check the configuration without touching the network
    Check,
    /// Print the merged configuration and the layer of each value; secrets as their source
    Show,
}

fn order_id(text: &str) -> Result<OrderId, String> {
    // A stage's name would pass for an id, and `poll --order ID move` for one command.
    if Stage::ALL.iter().any(|stage| stage.as_str() == text) || text == "run" {
        return Err(format!(
            "{text} is a command, not an order id; give one command at a time"
        ));
    }
    OrderId::parse(text).map_err(|err| err.to_string())
}

fn sku_id(text: &str) -> Result<SkuId, String> {
    SkuId::parse(text).map_err(|err| err.to_string())
}

/// Parses an instant, or a day as its first instant in UTC.
fn instant(text: &str) -> Result<Moment, String> {
    Moment::parse(text)
        .or_else(|| Moment::parse(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| {
            format!("{text:?} is not an instant; write 2026-01-31 or 2026-01-31T12:00:00-03:00")
        })
}

/// A command line that ends the program at once: help, version, or a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliEnd {
    /// 0 for help and version, 64 for a mistake.
    pub code: u8,
    /// What to print: on standard output for 0, on standard error for 64.
    pub text: String,
}

/// Parses a command line, the program's name first.
///
/// # Errors
///
/// [`CliEnd`] for help, version, and every mistake.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, CliEnd> {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(odd) = args.iter().find(|arg| arg.to_str().is_none()) {
        return Err(CliEnd {
            code: 64,
            text: format!("error: {odd:?} is not UTF-8\n"),
        });
    }
    let cli = Cli::try_parse_from(args).map_err(|err| {
        let shown = matches!(
            err.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        );
        CliEnd {
            code: if shown { 0 } else { 64 },
            text: err.render().to_string(),
        }
    })?;
    match &cli.command {
        Command::Poll(PollArgs {
            since: Some(since),
            until: Some(until),
            ..
        }) if since >= until => {
            let text = "error: --since must be earlier than --until\n".to_owned();
            Err(CliEnd { code: 64, text })
        }
        _ => Ok(cli),
    }
}

/// Returns the completion script of a shell.
pub fn completions(shell: Shell) -> String {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "stockbridge", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns the manual page.
pub fn man() -> String {
    let mut out = Vec::new();
    // Writing into memory cannot fail.
    let _ = clap_mangen::Man::new(Cli::command()).render(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Cli, CliEnd> {
        parse(text.split(' ').map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn c12_wrong_command_lines_end_with_64() {
        for text in [
            "stockbridge",
            "stockbridge pull",
            "stockbridge poll reserve",
            "stockbridge poll --order ../../x",
            "stockbridge push-stock --sku abc",
            "stockbridge push-stock --all --sku 1",
            "stockbridge poll --until 2026-01-01",
            "stockbridge remito 1-01",
            "stockbridge run --deadline 50",
            "stockbridge poll --order 1-01 move",
            "stockbridge poll --since 2026-01-02 --until 2026-01-01",
            "stockbridge -v -q status",
        ] {
            assert_eq!(line(text).unwrap_err().code, 64, "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn c12_arguments_that_are_not_utf8_end_with_64() {
        use std::os::unix::ffi::OsStringExt;
        let args = [
            "stockbridge".into(),
            "show".into(),
            OsString::from_vec(vec![0xff, 0xfe]),
        ];
        assert_eq!(parse(args).unwrap_err().code, 64);
    }

    #[test]
    fn help_and_version_end_with_0() {
        for text in [
            "stockbridge --help",
            "stockbridge --version",
            "stockbridge poll --help",
        ] {
            assert_eq!(line(text).unwrap_err().code, 0, "{text}");
        }
    }

    #[test]
    fn global_flags_stand_before_and_after_the_command() {
        let cli = line("stockbridge --json run --deadline 2m --wait 0s").unwrap();
        assert!(cli.global.json);
        assert_eq!(cli.global.deadline, Span::secs(120));
        let cli =
            line("stockbridge poll --since 2026-01-01 --until 2026-01-02T00:00:00-03:00").unwrap();
        assert!(matches!(
            cli.command,
            Command::Poll(PollArgs {
                since: Some(_),
                until: Some(_),
                ..
            })
        ));
    }

    #[test]
    fn completions_and_manual_name_the_program() {
        assert!(completions(Shell::Bash).contains("stockbridge"));
        assert!(man().contains("stockbridge"));
    }
}
