//! The command line: what can be typed, with examples. `main` runs `serve` itself and leaves the rest to [`run`].
//!
//! This file refuses to know how a command is carried out.

mod apply;
pub mod clean;
pub mod client;
mod describe;
mod diff;
mod document;
mod get;
mod kind;
mod order;
mod show;
mod simulate;
mod stream;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use cartridge_protocol::tenant::TenantId;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

pub use kind::Kind;

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  refused by the server (its reason is printed)
  2  mistyped, or a file that cannot be read
  3  the server cannot be reached
  4  no such thing";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "cartridge",
    version,
    about = "Runs applications from small blueprints, here and in clouds."
)]
#[command(after_help = EXIT_CODES, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// Where the server is and how to show answers.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// File with the server's address and credentials, which `cartridge serve` writes
    /// [default: ./cartridge-data/client.json, then ~/.config/cartridge/client.json]
    #[arg(
        long,
        global = true,
        env = "CARTRIDGE_CLIENT",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub client: Option<PathBuf>,
    /// The server's address, such as https://127.0.0.1:9443
    #[arg(long, global = true, value_name = "URL", help_heading = "Connection")]
    pub server: Option<String>,
    /// PEM file of the authority that signed the server's certificate
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub ca: Option<PathBuf>,
    /// User name
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub user: Option<String>,
    /// File whose first line is the password
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub password_file: Option<PathBuf>,
    /// How to show answers
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table, help_heading = "Output")]
    pub output: Output,
}

/// How to show answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people; columns that do not fit are left out.
    Table,
    /// As the server sent it.
    Json,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    #[command(after_help = "Example:\n  cartridge serve --data ./cartridge-data")]
    Serve(crate::serve::ServeOptions),
    /// Add or replace what files describe, and deploy applications that name their policy
    #[command(after_help = "Examples:
  cartridge apply -f hello.yaml
  cartridge apply -f cartridges/ -f application.json --deploy policy-1
  generate | cartridge apply -f -

Files are JSON or YAML, several documents each if need be. What a document is
follows from its `kind` field, or from its fields. Order does not matter: what
is needed first is applied first. An application with an `applicationPolicy`
field is deployed under that policy.")]
    Apply(ApplyOptions),
    /// Show what documents would change, and what would be decided then
    #[command(
        after_help = "Examples:\n  cartridge diff -f application.json\n  cartridge diff -f blueprints/"
    )]
    Diff {
        /// File, folder or - (standard input); may be repeated
        #[arg(long = "file", short, required = true, value_name = "FILE|DIR|-")]
        files: Vec<PathBuf>,
    },
    /// List things, or show one
    #[command(after_help = "Examples:
  cartridge get members
  cartridge get members --application hello
  cartridge get endpoints hello
  cartridge get policies -o json")]
    Get(GetOptions),
    /// Show everything known about one thing
    #[command(after_help = "Examples:
  cartridge describe member hello.web.hello.domain-1
  cartridge describe application hello")]
    Describe {
        /// What kind of thing
        #[arg(value_enum)]
        kind: Kind,
        /// Its name
        name: String,
    },
    /// Show what happened
    #[command(
        after_help = "Examples:\n  cartridge events -f\n  cartridge events --application hello --limit 20"
    )]
    Events(EventsOptions),
    /// Show what a member's application wrote
    #[command(after_help = "Example:\n  cartridge logs hello.web.hello.domain-1 -f")]
    Logs {
        /// Which member
        member: String,
        /// Keep showing new lines
        #[arg(long, short)]
        follow: bool,
        /// How many of the last lines
        #[arg(long, default_value_t = 100, value_name = "LINES")]
        tail: u32,
    },
    /// Fix the size of a cluster, or let the scaler decide again
    #[command(
        after_help = "Examples:\n  cartridge scale hello.web.hello.domain 5\n  cartridge scale hello.web.hello.domain auto"
    )]
    Scale {
        /// Which cluster
        cluster: String,
        /// Members in all, or `auto`
        #[arg(value_parser = order::size, value_name = "SIZE|auto")]
        size: order::Size,
    },
    /// Run an application, or bring a commit to a cluster
    #[command(after_help = "Examples:
  cartridge deploy hello --policy application-policy-1
  cartridge deploy hello.web.hello.domain --commit $(git rev-parse HEAD)
  cartridge deploy hello.web.hello.domain --follow")]
    Deploy(DeployOptions),
    /// Stop an application; its blueprint stays
    #[command(after_help = "Example:\n  cartridge undeploy hello")]
    Undeploy {
        /// Which application
        application: String,
        /// At once: requests in flight are lost
        #[arg(long)]
        force: bool,
    },
    /// Bring a cluster back to the commit before
    #[command(after_help = "Example:\n  cartridge rollback hello.web.hello.domain")]
    Rollback {
        /// Which cluster
        cluster: String,
    },
    /// Take one member out in order; it is replaced where the size asks for it
    #[command(after_help = "Example:\n  cartridge drain hello.web.hello.domain-1")]
    Drain {
        /// Which member
        member: String,
    },
    /// Remove a thing that nothing needs any more
    #[command(after_help = "Example:\n  cartridge delete autoscaling-policy autoscaling-policy-1")]
    Delete {
        /// What kind of thing
        #[arg(value_enum)]
        kind: Kind,
        /// Its name
        name: String,
    },
    /// Sign your tenant up for an application that several tenants share, with repositories of its own
    #[command(after_help = "Examples:
  cartridge sign-up shop -f application-signup.json
  cartridge sign-up shop -f application-signup.json --tenant one.example

The file is JSON or YAML: artifactRepositories, each with the alias of a cartridge
of the application and a repoUrl (docs/blueprint.md).")]
    SignUp {
        /// For which application
        application: String,
        /// File with the repositories, or - (standard input)
        #[arg(long, short, value_name = "FILE|-")]
        file: PathBuf,
        /// Another tenant, by its domain; for users of the super tenant
        #[arg(long, value_name = "DOMAIN")]
        tenant: Option<String>,
    },
    /// End the sign-up of your tenant: its files go
    #[command(after_help = "Example:\n  cartridge sign-off shop")]
    SignOff {
        /// For which application
        application: String,
        /// Another tenant, by its domain; for users of the super tenant
        #[arg(long, value_name = "DOMAIN")]
        tenant: Option<String>,
    },
    /// Have a domain of your tenant lead to a cartridge of an application for which it signed up
    #[command(after_help = "Examples:
  cartridge map-domain shop www.one.example web
  cartridge map-domain shop www.one.example web --path /t/one

With --path, requests for the domain reach what is below that path, and nothing
else (docs/blueprint.md).")]
    MapDomain {
        /// Into which application
        application: String,
        /// Which domain
        domain: String,
        /// The alias of the cartridge that is to answer
        alias: String,
        /// What to put in front of the paths of its requests
        #[arg(long, value_name = "PATH", default_value = "/")]
        path: String,
    },
    /// Have a domain lead into an application no more
    #[command(after_help = "Example:\n  cartridge unmap-domain shop www.one.example")]
    UnmapDomain {
        /// Into which application it leads
        application: String,
        /// Which domain
        domain: String,
    },
    /// Stop all automation: nothing is started, stopped or replaced until `resume`
    #[command(after_help = "Example:\n  cartridge pause --reason 'network maintenance'")]
    Pause {
        /// Why, for the others
        #[arg(long, default_value = "ordered", value_name = "TEXT")]
        reason: String,
    },
    /// Let automation work again
    #[command(after_help = "Example:\n  cartridge resume")]
    Resume,
    /// Show why a cluster has the size it has, or why nothing happens
    #[command(after_help = "Example:\n  cartridge explain hello.web.hello.domain")]
    Explain {
        /// Which cluster
        cluster: String,
    },
    /// Try a policy on a trace of requests, without a server: how many members, how many broken promises
    #[command(after_help = "Examples:
  cartridge simulate shop.csv
  cartridge simulate shop.csv --start-delay 90 --workers 8 --service-time 0.25 --plot shop.svg
  cartridge simulate shop.csv -f blueprint/ --policy web --csv shop-members.csv
  cartridge simulate shop.csv --rule cartridge --rule hpa --rule stratos --rule static
  cartridge simulate shop.csv --price 20 --decisions
  judge traces/*.csv --cmd 'cartridge simulate --judge'

A trace is CSV with the columns `seconds,requests_per_second` and a constant step;
lines that begin with # are notes. docs/scaling.md says how to plan capacity with it.")]
    Simulate(simulate::SimulateOptions),
    /// Show how the server is
    #[command(after_help = "Example:\n  cartridge status")]
    Status,
    /// Create an API token, on the machine of the server; it is printed once
    #[command(after_help = "Examples:
  cartridge token ci --role viewer --data ./cartridge-data
  curl --cacert cartridge-data/ca.pem -H \"Authorization: Bearer $TOKEN\" \\
    https://127.0.0.1:9443/api/members")]
    Token(TokenOptions),
    /// Create the secret that Git servers sign web hooks with, on the machine of the server; it is printed once
    #[command(after_help = "Example:
  cartridge web-hook --data ./cartridge-data

Whatever signed with the secret before is refused from now on. docs/api.md says where
GitHub, Gitea and GitLab want to have it.")]
    WebHook {
        /// The server's data folder
        #[arg(
            long,
            env = "CARTRIDGE_DATA",
            default_value = "./cartridge-data",
            value_name = "DIR"
        )]
        data: PathBuf,
    },
    /// Print the OpenAPI document of the server's API
    #[command(after_help = "Example:\n  cartridge openapi > openapi.json")]
    Openapi,
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  cartridge completions bash > /etc/bash_completion.d/cartridge")]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the version
    #[command(after_help = "Example:\n  cartridge version")]
    Version,
}

/// Options of `apply`.
#[derive(Clone, Debug, Args)]
pub struct ApplyOptions {
    /// File, folder or - (standard input); may be repeated
    #[arg(long = "file", short, required = true, value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,
    /// Deploy the applications among them under this application policy
    #[arg(long, value_name = "POLICY")]
    pub deploy: Option<String>,
    /// Change nothing: show what would change, as `cartridge diff` does
    #[arg(long, conflicts_with = "deploy")]
    pub dry_run: bool,
}

/// Options of `get`.
#[derive(Clone, Debug, Args)]
pub struct GetOptions {
    /// What kind of thing
    #[arg(value_enum)]
    pub kind: Kind,
    /// Its name; all of them without
    pub name: Option<String>,
    /// Only members and clusters of this application
    #[arg(long, value_name = "NAME")]
    pub application: Option<String>,
}

/// Options of `events`.
#[derive(Clone, Debug, Args)]
pub struct EventsOptions {
    /// Keep showing what happens
    #[arg(long, short)]
    pub follow: bool,
    /// Only what concerns this application
    #[arg(long, value_name = "NAME")]
    pub application: Option<String>,
    /// Only what came after this number
    #[arg(long, value_name = "SEQ")]
    pub after: Option<u64>,
    /// How many of the last events to begin with
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    pub limit: u32,
}

/// Options of `deploy`.
#[derive(Clone, Debug, Args)]
pub struct DeployOptions {
    /// Application (with --policy) or cluster (with --commit or --follow)
    pub target: String,
    /// What to bring there.
    #[command(flatten)]
    pub what: DeployWhat,
    /// Although a repository cannot be reached now; members try until it can
    #[arg(long, requires = "policy")]
    pub unchecked: bool,
}

/// What to deploy: exactly one of these.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct DeployWhat {
    /// Run the application under this application policy
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,
    /// Bring this commit to every member, and stop following the branch
    #[arg(long, value_name = "HASH")]
    pub commit: Option<String>,
    /// Follow the head of the branch again
    #[arg(long)]
    pub follow: bool,
}

/// Options of `token`.
#[derive(Clone, Debug, Args)]
pub struct TokenOptions {
    /// Whose it is: stands beside what is ordered with it
    pub owner: String,
    /// What it allows
    #[arg(long, value_enum, default_value_t = crate::auth::Role::Viewer)]
    pub role: crate::auth::Role,
    /// Whose user it is: a tenant's number, or -1234 (the super tenant)
    #[arg(long, default_value = "-1234", value_parser = tenant, allow_negative_numbers = true, value_name = "NUMBER")]
    pub tenant_id: TenantId,
    /// The server's data folder
    #[arg(
        long,
        env = "CARTRIDGE_DATA",
        default_value = "./cartridge-data",
        value_name = "DIR"
    )]
    pub data: PathBuf,
}

fn tenant(text: &str) -> Result<TenantId, String> {
    let number: i64 = text
        .parse()
        .map_err(|_| format!("{text:?} is no number of a tenant; `cartridge get tenants` shows them"))?;
    TenantId::new(number).map_err(|fault| fault.to_string())
}

/// Reads the command line. What is mistyped gets one clear line and the exit code in `Err`; so do `--help` and
/// `--version`, with 0.
pub fn parse<I, T>(arguments: I) -> Result<Cli, ExitCode>
where
    I: IntoIterator<Item = T>,
    T: Into<std::ffi::OsString> + Clone,
{
    Cli::try_parse_from(arguments).map_err(|fault| {
        if fault.use_stderr()
            && fault.kind() != clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        {
            show::error(&one_line(&fault.to_string()));
        } else {
            // Standard output may be closed; there is nobody left to tell.
            let _ = fault.print();
        }
        ExitCode::from(if fault.use_stderr() { 2 } else { 0 })
    })
}

/// The words of a clap error up to its usage, and its tips.
fn one_line(text: &str) -> String {
    let said = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let words = said
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let words = words.strip_prefix("error: ").unwrap_or(&words);
    format!("{words} (see --help)")
}

/// Carries out every command but `serve`.
pub async fn run(cli: Cli) -> ExitCode {
    match carry_out(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            show::error(&fault.to_string());
            fault.exit_code()
        }
    }
}

async fn carry_out(cli: Cli) -> Result<(), client::Fault> {
    match cli.command {
        Command::Completions { shell } => {
            // Into memory first: the generator panics when whoever reads it stops reading.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cartridge", &mut script);
            std::io::stdout().write_all(&script)?;
            return Ok(());
        }
        Command::Token(options) => {
            let token =
                crate::auth::create_token(&options.data, options.tenant_id, &options.owner, options.role)
                    .map_err(|fault| client::Fault::Usage(fault.to_string()))?;
            return show::line(token.expose());
        }
        Command::WebHook { data } => {
            let secret = crate::auth::web_hook::create(&data)
                .map_err(|fault| client::Fault::Usage(fault.to_string()))?;
            return show::line(secret.expose());
        }
        Command::Openapi => {
            let text = serde_json::to_string_pretty(crate::api::openapi::document());
            return show::line(&text.expect("a document is always JSON"));
        }
        Command::Simulate(options) => return simulate::simulate(&options, &cli.global),
        Command::Version => return show::line(concat!("cartridge ", env!("CARGO_PKG_VERSION"))),
        Command::Serve(_) => {
            return Err(client::Fault::Usage(
                "`serve` is run by the program itself".into(),
            ));
        }
        _ => {}
    }
    let client = client::Client::open(&cli.global)?;
    let output = cli.global.output;
    match cli.command {
        Command::Apply(options) if options.dry_run => diff::diff(&client, &options.files, output).await,
        Command::Apply(options) => apply::apply(&client, &options).await,
        Command::Diff { files } => diff::diff(&client, &files, output).await,
        Command::Get(options) => get::get(&client, &options, output).await,
        Command::Describe { kind, name } => describe::describe(&client, kind, &name, output).await,
        Command::Explain { cluster } => describe::explain(&client, &cluster, output).await,
        Command::Status => describe::status(&client, output).await,
        Command::Events(options) => stream::events(&client, &options, output).await,
        Command::Logs { member, follow, tail } => stream::logs(&client, &member, follow, tail, output).await,
        other => order::order(&client, other).await,
    }
}

#[cfg(test)]
mod tests;
