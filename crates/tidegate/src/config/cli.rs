//! The command line: built from the table, read into a [`Command`].
//!
//! Only the shape is judged here (known flags, conflicts, positionals); values are judged by `resolve`, with
//! the same words as those of a file or a variable. Help names every default; `--help` adds variable and key.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, value_parser};
use clap_complete::Shell;

use super::env::Environment;
use super::error::{ConfigError, Place, Value};
use super::layers::{Given, Layer};
use super::nearest::nearest;
use super::settings::Settings;
use super::table::{
    CONFIG, CONTROL, Flag, GROUPS, HOST, LISTEN, PORT, Shape, TABLE, THREADS, TLS_CERT, TLS_KEY,
    TLS_SELF_SIGNED,
};

/// What the user asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Run the server; also without a subcommand.
    Serve(Box<Invocation>),
    /// Validate, print the effective configuration, start nothing.
    Check(Box<Invocation>),
    /// Walk through every feature.
    Demo {
        /// A running server; `None` starts one of its own.
        url: Option<String>,
    },
    /// Ask a running server whether it is alive.
    Healthcheck(Box<Invocation>),
    /// Ask a running server about its bans.
    Bans(Box<Invocation>, BansRequest),
    /// Have a running server read its configuration again.
    Reload(Box<Invocation>),
    /// Say what a refusal means.
    Explain(Explain),
    /// Print completions for a shell.
    Completions(Shell),
    /// Print the man page.
    Man,
}

/// What is asked about bans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BansRequest {
    /// Who is banned, for how long and why, for a person.
    List,
    /// Ban this client no longer.
    Lift(String),
    /// The same list for another program, in this format.
    Export(String),
}

/// Which refusals to explain, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explain {
    /// List all codes.
    All,
    /// The one of that name.
    One(String),
    /// All of them, as the page of the documentation.
    Markdown,
}

/// The flags as given, kept for the life of the process: a reload lays them over the newly read file again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invocation {
    pub(super) given: Vec<Given>,
    /// Whether to take the place of the server that runs: this process's task, not a setting of the server.
    pub takeover: bool,
}

impl Invocation {
    /// The file named by `-c` or `TIDEGATE_CONFIG`, the flag first.
    pub fn config_path(&self, environment: &Environment) -> Option<PathBuf> {
        self.path(&CONFIG, environment)
    }

    /// The control socket of the server that a command is for. The file is not read where flag or variable names it:
    /// a broken one must not keep `tidegate reload` from being told so by the server.
    ///
    /// # Errors
    /// As [`Invocation::resolve`], with the way round it: nobody was asked anything yet.
    pub fn control_path(&self, environment: &Environment) -> Result<Option<PathBuf>, Exit> {
        match self.path(&CONTROL, environment) {
            Some(path) => Ok(Some(path)),
            None => match self.resolve(environment) {
                Ok(settings) => Ok(settings.server.control),
                Err(error) => Err(Exit { code: 2, text: format!("error: {error}\n{NOT_ASKED}") }),
            },
        }
    }

    /// Whether this process can do what it is asked to with `settings`.
    ///
    /// # Errors
    /// `--takeover` without a way to the server that runs.
    pub fn judge(&self, settings: &Settings) -> Result<(), Exit> {
        match self.takeover && settings.server.control.is_none() {
            true => Err(Exit::usage(
                "--takeover needs --control PATH, the control socket of the server that runs",
            )),
            false => Ok(()),
        }
    }

    fn path(&self, of: &Flag, environment: &Environment) -> Option<PathBuf> {
        let flag = self.given.iter().find(|given| given.flag.name == of.name).cloned();
        let variables = || environment.read().ok()?.0.into_iter().find(|given| given.flag.name == of.name);
        let given = flag.or_else(variables)?;
        given.values.first().map(|value| PathBuf::from(&value.text))
    }
}

/// What a command says that looked for its server in a configuration that is wrong.
const NOT_ASKED: &str = "\
The server was not asked, and goes on as it was: its control socket would be found in this configuration.
Mend it, or name the socket with --control PATH.
";

/// Why the process ends before it starts: a text for the user and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// 0 for help and version (print to stdout), 2 for a mistake (print to stderr).
    pub code: u8,
    /// The text to print, with its final newline.
    pub text: String,
}

impl Exit {
    fn usage(problem: &str) -> Exit {
        Exit { code: 2, text: format!("error: {problem}\n\nFor more information, try '--help'.\n") }
    }
}

impl From<ConfigError> for Exit {
    fn from(error: ConfigError) -> Exit {
        Exit { code: 2, text: format!("error: {error}\n") }
    }
}

impl From<clap::Error> for Exit {
    fn from(error: clap::Error) -> Exit {
        Exit { code: if error.use_stderr() { 2 } else { 0 }, text: error.render().to_string() }
    }
}

/// Reads a command line that begins with the program's name.
///
/// # Errors
/// Help or version asked for (code 0); an unknown flag, a conflict or a first positional that is no port
/// (code 2).
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, Exit> {
    let matches = command().try_get_matches_from(args)?;
    let Some((name, inner)) = matches.subcommand() else {
        return Ok(Command::Serve(invocation(&matches)?));
    };
    // Flags before the subcommand belong to nobody; to drop them silently would be worse.
    if matches.args_present() {
        return Err(Exit::usage(&format!(
            "flags and positionals come after the subcommand: tidegate {name} ..."
        )));
    }
    match name {
        "check" => Ok(Command::Check(invocation(inner)?)),
        "demo" => Ok(Command::Demo { url: inner.get_one("URL").cloned() }),
        "healthcheck" => Ok(Command::Healthcheck(invocation(inner)?)),
        "bans" => bans(inner),
        "reload" => Ok(Command::Reload(invocation(inner)?)),
        "man" => Ok(Command::Man),
        "explain" => Ok(Command::Explain(explain(inner))),
        "completions" => match inner.get_one("SHELL") {
            Some(shell) => Ok(Command::Completions(*shell)),
            None => Err(Exit::usage("completions needs the name of a shell")),
        },
        _ => Ok(Command::Serve(invocation(inner)?)),
    }
}

fn bans(matches: &ArgMatches) -> Result<Command, Exit> {
    let Some((name, inner)) = matches.subcommand() else {
        return Err(Exit::usage("bans needs list, lift or export"));
    };
    let request = match (name, inner.try_get_one::<String>("CLIENT"), inner.try_get_one::<String>("format")) {
        ("lift", Ok(Some(client)), _) => BansRequest::Lift(client.clone()),
        ("export", _, Ok(Some(format))) => BansRequest::Export(format.clone()),
        _ => BansRequest::List,
    };
    Ok(Command::Bans(invocation(inner)?, request))
}

/// What commands need to find a running server.
fn reach() -> impl Iterator<Item = &'static Flag> {
    [&CONFIG, &CONTROL].into_iter()
}

fn bans_command() -> clap::Command {
    let format = Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .default_value("json")
        .value_parser(["json", "fail2ban", "nftables"])
        .help("How the list is written");
    sub("bans", "Show, lift or export the bans of a running server, by its control socket")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_flags(sub("list", "Who is banned, until when and why"), reach()))
        .subcommand(with_flags(
            sub("lift", "Ban a client no longer, and forget what it did")
                .arg(Arg::new("CLIENT").required(true).help("Its address, or network for IPv6")),
            reach(),
        ))
        .subcommand(with_flags(sub("export", "Write the bans for another program").arg(format), reach()))
}

/// The whole command line, for parsing, completions and the man page.
pub(super) fn command() -> clap::Command {
    let everything = || TABLE.iter().copied().filter(|flag| flag.flag);
    let server = |command: clap::Command| with_positionals(with_flags(command, everything()));
    let process = |command: clap::Command| server(command).arg(takeover());
    let address = [&CONFIG, &PORT, &HOST, &LISTEN, &TLS_CERT, &TLS_KEY, &TLS_SELF_SIGNED];
    process(clap::Command::new("tidegate"))
        // So that `--port -1` is told what a port is, and not taken for another flag.
        .allow_negative_numbers(true)
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Serves a folder over HTTP, takes JSON uploads, stays up under flood and explains each refusal",
        )
        .override_usage("tidegate [OPTIONS] [PORT] [HOST] [THREADS]\n       tidegate <COMMAND>")
        .after_help(LAYERS_HELP)
        .subcommand(process(sub("serve", "Run the server (what happens without a command)")))
        .subcommand(server(sub("check", "Validate the configuration and print what it comes to, as TOML")))
        .subcommand(
            sub("demo", "Walk through every feature over real sockets and show each exchange")
                .arg(Arg::new("URL").help("A running server, as http://HOST:PORT; by default one is started for the tour")),
        )
        .subcommand(with_flags(sub("healthcheck", "Ask the configured server whether it is alive"), address))
        .subcommand(bans_command())
        .subcommand(with_flags(
            sub("reload", "Have the server read its configuration again, by its control socket, and say what came of it"),
            reach(),
        ))
        .subcommand(
            sub("explain", "Say what a refusal means, by its code; without one, list all codes")
                .arg(
                    Arg::new("CODE")
                        .help("The code of a refusal, as body_too_large")
                        .conflicts_with("markdown"),
                )
                .arg(
                    Arg::new("markdown")
                        .long("markdown")
                        .action(ArgAction::SetTrue)
                        .help("All of them, as the page of the documentation"),
                ),
        )
        .subcommand(
            sub("completions", "Print completions for a shell")
                .arg(Arg::new("SHELL").required(true).value_parser(value_parser!(Shell)).help("The shell")),
        )
        .subcommand(sub("man", "Print the man page"))
}

/// What this process does at start; a file or a variable would make every later one do it too.
const TAKEOVER: &str = "takeover";

fn takeover() -> Arg {
    Arg::new(TAKEOVER)
        .long(TAKEOVER)
        .action(ArgAction::SetTrue)
        .help("Take the place of the server that runs with this --control: its listeners, without a refused connection")
        .help_heading(GROUPS.first().map(|(_, heading)| *heading))
}

const LAYERS_HELP: &str = "\
Precedence: flag > environment > file > default. Every flag is also a variable, as in
TIDEGATE_MAX_BODY=1MiB (lists by comma), and a key of the file; --help shows both.
Durations: 500ms 30s 5m 1h. Sizes: B KiB MiB GiB, KB MB GB.";

fn sub(name: &'static str, about: &'static str) -> clap::Command {
    clap::Command::new(name).about(about)
}

fn with_flags(command: clap::Command, flags: impl IntoIterator<Item = &'static Flag>) -> clap::Command {
    flags.into_iter().fold(command, |command, flag| command.arg(arg(flag)))
}

/// One row as a flag.
fn arg(flag: &'static Flag) -> Arg {
    let heading =
        flag.group_and_key().and_then(|(group, _)| GROUPS.iter().find(|(known, _)| *known == group));
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .short(flag.short)
        .help(short_help(flag))
        .long_help(long_help(flag))
        .help_heading(heading.map(|(_, heading)| *heading));
    let arg = if flag.name == LISTEN.name { arg.conflicts_with_all([PORT.name, HOST.name]) } else { arg };
    match flag.shape {
        Shape::Switch | Shape::OffSwitch => arg.action(ArgAction::SetTrue),
        Shape::List => arg.action(ArgAction::Append).value_name(flag.value),
        _ => arg.action(ArgAction::Set).value_name(flag.value),
    }
}

pub(super) fn short_help(flag: &Flag) -> String {
    match flag.default {
        Some(default) => format!("{} [default: {default}]", flag.help),
        None => flag.help.to_owned(),
    }
}

fn long_help(flag: &Flag) -> String {
    let plain = flag.plain_variable.map(|name| format!(", {name}")).unwrap_or_default();
    let key = if flag.key.is_empty() { String::new() } else { format!(" [key: {}]", flag.key) };
    format!("{}\n[env: {}{plain}]{key}", short_help(flag), flag.variable())
}

fn explain(matches: &ArgMatches) -> Explain {
    match matches.get_one::<String>("CODE") {
        Some(code) => Explain::One(code.clone()),
        None if matches.get_flag("markdown") => Explain::Markdown,
        None => Explain::All,
    }
}

/// The positionals, each another way to say its flag.
const POSITIONALS: [(&str, &Flag); 3] = [("PORT", &PORT), ("HOST", &HOST), ("THREADS", &THREADS)];

fn with_positionals(command: clap::Command) -> clap::Command {
    POSITIONALS.into_iter().fold(command, |command, (name, flag)| {
        let help = format!("The same as --{}", flag.name);
        command.arg(Arg::new(name).help(help).conflicts_with_all([flag.name, LISTEN.name]))
    })
}

/// What was given, as a layer.
fn invocation(matches: &ArgMatches) -> Result<Box<Invocation>, Exit> {
    let flags = TABLE.iter().filter_map(|flag| give(flag, flag.name, format!("--{}", flag.name), matches));
    let positionals =
        POSITIONALS.into_iter().filter_map(|(name, flag)| give(flag, name, name.to_owned(), matches));
    let given: Vec<Given> = flags.chain(positionals).collect();
    match given.iter().flat_map(|given| &given.values).find_map(misplaced_port) {
        Some(problem) => Err(Exit::usage(&problem)),
        None => {
            let takeover = matches.try_get_one(TAKEOVER).ok().flatten().copied().unwrap_or_default();
            Ok(Box::new(Invocation { given, takeover }))
        }
    }
}

/// The values of one argument, where the command has it and the user gave it.
fn give(flag: &'static Flag, id: &str, written: String, matches: &ArgMatches) -> Option<Given> {
    if matches.try_contains_id(id).ok()?
        && matches.value_source(id)? == clap::parser::ValueSource::CommandLine
    {
        let texts: Vec<String> = match flag.shape {
            Shape::Switch => vec!["true".to_owned()],
            Shape::OffSwitch => vec!["false".to_owned()],
            _ => matches.get_many::<String>(id)?.cloned().collect(),
        };
        let place = Place::Flag(written);
        let values = texts.into_iter().map(|text| Value { text, place: place.clone() }).collect();
        return Some(Given { flag, layer: Layer::CommandLine, values });
    }
    None
}

/// The hint for a first positional that is no number: most often the folder to serve (RUN-2).
fn misplaced_port(value: &Value) -> Option<String> {
    let text = &value.text;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty();
    if value.place != Place::Flag("PORT".to_owned()) || is_number {
        return None;
    }
    let root = command();
    let commands = root.get_subcommands().map(clap::Command::get_name);
    let meant = match nearest(text, commands) {
        Some(near) if !Path::new(text).exists() => format!("Did you mean the command {near}? "),
        _ => String::new(),
    };
    let looks_like_a_place = text.contains(['/', '.']) || Path::new(text).exists();
    let hint = match meant {
        meant if !meant.is_empty() && !looks_like_a_place => meant,
        meant => format!("{meant}A folder to serve has its own flag: tidegate -r {text}"),
    };
    Some(format!("'{text}' is neither a port nor a command. {}", hint.trim_end()))
}
