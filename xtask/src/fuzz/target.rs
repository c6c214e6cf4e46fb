//! The targets, each with how much of it is enough.

/// A fuzz target and the length of its long run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Of the file in `fuzz/fuzz_targets`.
    pub(super) name: &'static str,
    /// Of a long run without a sanitizer: what is fast gets more.
    pub(super) executions: u64,
    /// Bytes of an input: room for what the target's bounds are about, and no more, for length costs speed.
    pub(super) max_len: u32,
}

/// `millions` of executions.
const fn target(name: &'static str, millions: u64, max_len: u32) -> Target {
    Target { name, executions: millions * 1_000_000, max_len }
}

/// All, together 101 million executions.
pub(super) const TARGETS: [Target; 12] = [
    target("accept", 2, 200),
    target("chunked", 3, 256),
    target("conditional", 5, 300),
    target("config", 1, 1024),
    target("connection", 5, 512),
    target("forwarded", 8, 400),
    target("head", 4, 256),
    target("host", 26, 280),
    target("json", 4, 300),
    target("patience", 1, 60),
    target("range", 20, 120),
    target("target", 22, 200),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_target_has_a_row_and_a_hundred_million_executions_in_all() {
        let folder = crate::root().join("fuzz");
        let files = fs::read_dir(folder.join("fuzz_targets")).unwrap().flatten();
        let mut names: Vec<_> = files.map(|file| file.file_name().into_string().unwrap()).collect();
        names.sort();
        let rows: Vec<_> = TARGETS.iter().map(|target| format!("{}.rs", target.name)).collect();
        assert_eq!(names, rows);
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        for target in &TARGETS {
            assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
            assert!(target.executions >= 1_000_000, "{}", target.name);
        }
        assert!(TARGETS.iter().map(|target| target.executions).sum::<u64>() >= 100_000_000);
    }

    /// Most files and bytes of the seeds of one target: a corpus that is kept for ever must stay small.
    const SEEDS: (usize, u64) = (200, 300 * 1024);

    #[test]
    fn every_target_has_few_and_small_seeds() {
        for target in &TARGETS {
            let folder = crate::root().join("fuzz/seeds").join(target.name);
            let sizes: Vec<u64> =
                fs::read_dir(&folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
            assert!((1..=SEEDS.0).contains(&sizes.len()), "{}: {} files", target.name, sizes.len());
            assert!(sizes.iter().sum::<u64>() <= SEEDS.1, "{}", target.name);
            assert!(
                sizes.iter().all(|size| *size <= u64::from(target.max_len)),
                "{}: a seed is cut",
                target.name
            );
        }
    }
}
