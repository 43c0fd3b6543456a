//! The arguments of `kiln bench`.
use std::time::Duration;

use clap::Args;

use crate::cli::bench::load::{Bound, Load};
use crate::cli::bench::peer::Peer;
use crate::cli::bench::workload::Workload;
use crate::cli::remote::RemoteArguments;

/// Rounds at most, so that what is kept has a bound.
const MOST_ROUNDS: i64 = 100;

/// Clients at most; the daemon admits more connections than that.
const MOST_CLIENTS: i64 = 500;

/// What to measure.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Exit codes: 0 every job went well, 1 some did not, 2 usage, 69 no daemon. Whether a ratio is \
                        as it should be changes no code. What is started by --against runs here, as the caller.")]
pub(in crate::cli) struct BenchArguments {
    #[command(flatten)]
    pub(super) remote: RemoteArguments,
    /// What to run: http is GET /healthz, which is no job
    #[arg(long, value_enum, value_delimiter = ',', default_value = "http,true,bash,python,c")]
    pub(super) workload: Vec<Workload>,
    /// Clients at a time, each with a connection of its own that it keeps
    #[arg(long, value_name = "NUMBER", value_delimiter = ',', default_value = "1,2,4,8,32",
          value_parser = clap::value_parser!(u16).range(1..=MOST_CLIENTS))]
    pub(super) clients: Vec<u16>,
    /// Time of each measurement in a round
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(super) seconds: Duration,
    /// Jobs of each measurement, instead of a time
    #[arg(long, value_name = "NUMBER", conflicts_with = "seconds", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) jobs: Option<u32>,
    /// Everything is measured so many times, in turn
    #[arg(long, value_name = "NUMBER", default_value = "5",
          value_parser = clap::value_parser!(u16).range(1..=MOST_ROUNDS))]
    pub(super) rounds: u16,
    /// Measure single jobs after so much idleness as well
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(super) idle: Option<Duration>,
    /// Measure so many jobs at once as well
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=MOST_CLIENTS))]
    pub(super) burst: Option<u16>,
    /// Measure at half of the highest rate that was reached as well, jobs evenly spaced whatever was answered
    #[arg(long)]
    pub(super) half_load: bool,
    /// Start these here beside the daemon, in turn with it
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PEER")]
    pub(super) against: Vec<Peer>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl BenchArguments {
    /// The loads, in the order in which they are measured.
    pub(super) fn loads(&self) -> Vec<Load> {
        let clients = self.clients.iter().map(|count| Load::Clients(*count));
        clients.chain(self.idle.map(Load::Idle)).chain(self.burst.map(Load::Burst)).collect()
    }

    /// When a measurement ends.
    pub(super) const fn bound(&self) -> Bound {
        match self.jobs {
            Some(jobs) => Bound::Jobs(jobs),
            None => Bound::Time(self.seconds),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.01..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| String::from("0.01 to 3600 seconds are expected"))
}

#[cfg(test)]
mod test {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: BenchArguments,
    }

    fn parsed(words: &[&str]) -> Result<BenchArguments, clap::Error> {
        Line::try_parse_from([&["bench"], words].concat()).map(|line| line.arguments)
    }

    #[test]
    fn lists_are_parted_by_commas() {
        let words = ["--workload", "true,c", "--clients", "1,8", "--against", "bwrap,bare", "--idle", "1.5"];
        let arguments = parsed(&words).unwrap();
        assert_eq!(arguments.workload, [Workload::True, Workload::C]);
        assert_eq!(arguments.against, [Peer::Bwrap, Peer::Bare]);
        let idle = Load::Idle(Duration::from_millis(1500));
        assert_eq!(arguments.loads(), [Load::Clients(1), Load::Clients(8), idle]);
    }

    #[test]
    fn without_arguments_the_daemon_alone_is_measured_for_a_time() {
        let arguments = parsed(&[]).unwrap();
        assert_eq!((arguments.workload.len(), arguments.loads().len(), arguments.against.len()), (5, 5, 0));
        assert_eq!(arguments.bound(), Bound::Time(Duration::from_secs(1)));
        assert_eq!(parsed(&["--jobs", "7"]).unwrap().bound(), Bound::Jobs(7));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for words in [
            ["--clients", "0"],
            ["--clients", "501"],
            ["--rounds", "0"],
            ["--jobs", "0"],
            ["--seconds", "0"],
            ["--seconds", "nan"],
            ["--idle", "-1"],
            ["--against", "docker"],
            ["--workload", "cobol"],
        ] {
            assert!(parsed(&words).is_err(), "{words:?}");
        }
        assert!(parsed(&["--seconds", "1", "--jobs", "1"]).is_err());
    }
}
