//! What the options say is to be done to which keys.

use simpledynamo_load::{Mix, Workload, Ycsb};

use crate::arguments::{BenchOptions, Distribution, YcsbWorkload};

impl BenchOptions {
    /// The workload of YCSB that was asked for, if one was.
    pub(super) fn ycsb(&self) -> Option<Ycsb> {
        self.workload.map(|workload| match workload {
            YcsbWorkload::A => Ycsb::A,
            YcsbWorkload::B => Ycsb::B,
            YcsbWorkload::C => Ycsb::C,
            YcsbWorkload::D => Ycsb::D,
            YcsbWorkload::F => Ycsb::F,
        })
    }

    /// The kinds of operations and the choice of keys.
    pub(super) fn load_workload(&self) -> Workload {
        let own = || {
            let distribution = match self.distribution {
                Distribution::Uniform => simpledynamo_load::Distribution::Uniform,
                Distribution::Zipfian => simpledynamo_load::Distribution::Zipfian,
            };
            (Mix::of_reads(self.reads), distribution)
        };
        let (mix, distribution) = self.ycsb().map_or_else(own, |ycsb| (ycsb.mix(), ycsb.distribution()));
        Workload { keys: self.keys, mix, distribution }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::arguments::{Arguments, Command};

    use super::*;

    fn workload(line: &str) -> Result<Workload, clap::Error> {
        let words = ["simpledynamo", "bench", "--keys", "7"].into_iter().chain(line.split_whitespace());
        Arguments::try_parse_from(words).map(|arguments| match arguments.command {
            Command::Bench(options) => options.load_workload(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn options_choose_the_workload() {
        use simpledynamo_load::Distribution::{Latest, Uniform, Zipfian};
        let of = |mix, distribution| Workload { keys: 7, mix, distribution };
        assert_eq!(workload("").expect("valid"), of(Mix::of_reads(50), Uniform));
        let own = workload("--reads 30 --distribution zipfian").expect("valid");
        assert_eq!(own, of(Mix::of_reads(30), Zipfian));
        assert_eq!(workload("--workload b").expect("valid"), of(Mix::of_reads(95), Zipfian));
        let latest = Mix { reads: 95, writes: 0, inserts: 5, read_modify_writes: 0 };
        assert_eq!(workload("--workload d").expect("valid"), of(latest, Latest));
    }

    #[test]
    fn workload_stands_for_reads_and_distribution() {
        assert!(workload("--workload a --reads 10").is_err());
        assert!(workload("--workload a --distribution uniform").is_err());
        assert!(workload("--workload e").is_err());
    }
}
