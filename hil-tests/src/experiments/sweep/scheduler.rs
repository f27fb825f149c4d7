//! The part of a sweep that a cluster's scheduler hands out through the environment.

use super::Share;

/// A scheduler has set its variables, but no part follows from them.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnclearShare {
    /// A variable that belongs to another one is not there.
    #[error("{set} is set and {missing} is not; set it, or say which part this is with --shard I/N")]
    Missing {
        /// The variable that is there.
        set: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A variable is no number.
    #[error("{name} is `{value}`, not a number; correct it, or say which part this is with --shard I/N")]
    NotANumber {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
    },
    /// A Slurm array with gaps.
    #[error(
        "task {id} of the {count} of a Slurm array from {first} to {last} by {step} is no part: the array has \
         gaps; give a range, such as sbatch --array=1-8, or say which part this is with --shard I/N"
    )]
    Gaps {
        /// This task.
        id: usize,
        /// Number of tasks.
        count: usize,
        /// Smallest task.
        first: usize,
        /// Largest task.
        last: usize,
        /// From one task to the next.
        step: usize,
    },
    /// A Kubernetes Job has more completions than the sweep has parts.
    #[error(
        "JOB_COMPLETION_INDEX is {index}, counted from 0, and JOB_COMPLETIONS is {count}; set JOB_COMPLETIONS to \
         the `completions` of the Job, or say which part this is with --shard I/N"
    )]
    Beyond {
        /// This pod.
        index: usize,
        /// Number of parts.
        count: usize,
    },
}

const SLURM: &str = "SLURM_ARRAY_TASK_ID";
const KUBERNETES: &str = "JOB_COMPLETION_INDEX";

impl Share {
    /// The share that this task of a Slurm array, whatever its first index and step, or else this pod of a Kubernetes
    /// indexed Job is to do, as `variable` reads the environment; `None` under neither. Kubernetes does not tell a pod
    /// the number of completions: the manifest sets `JOB_COMPLETIONS`.
    ///
    /// # Errors
    /// If a scheduler has set its variables and no part follows from them: to do all of a sweep then would have every
    /// task repeat the work of the others.
    pub fn from_scheduler(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, UnclearShare> {
        let number = |set, name| {
            let value = variable(name).ok_or(UnclearShare::Missing { set, missing: name })?;
            value.parse::<usize>().map_err(|_| UnclearShare::NotANumber { name, value })
        };
        if variable(SLURM).is_some() {
            let id = number(SLURM, SLURM)?;
            let count = number(SLURM, "SLURM_ARRAY_TASK_COUNT")?;
            let first = number(SLURM, "SLURM_ARRAY_TASK_MIN")?;
            let last = number(SLURM, "SLURM_ARRAY_TASK_MAX")?;
            let step = number(SLURM, "SLURM_ARRAY_TASK_STEP")?;
            let position = |id: usize| id.checked_sub(first)?.checked_div(step)?.checked_add(1);
            let even = position(last) == Some(count) && id.abs_diff(first).checked_rem(step) == Some(0);
            let share = position(id).filter(|_| even).and_then(|index| Share::new(index, count));
            return share.map(Some).ok_or(UnclearShare::Gaps { id, count, first, last, step });
        }
        if variable(KUBERNETES).is_some() {
            let index = number(KUBERNETES, KUBERNETES)?;
            let count = number(KUBERNETES, "JOB_COMPLETIONS")?;
            let share = index.checked_add(1).and_then(|index| Share::new(index, count));
            return share.map(Some).ok_or(UnclearShare::Beyond { index, count });
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheduler(variables: &[(&str, &str)]) -> Result<Option<Share>, UnclearShare> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Share::from_scheduler(find)
    }

    /// What Slurm sets in task `id` of an array of `count` tasks from `first` to `last` by `step`.
    fn slurm([id, count, first, last, step]: [usize; 5]) -> Result<Option<Share>, UnclearShare> {
        let text = [id, count, first, last, step].map(|number| number.to_string());
        let names = ["ID", "COUNT", "MIN", "MAX", "STEP"].map(|name| format!("SLURM_ARRAY_TASK_{name}"));
        let variables: Vec<_> =
            names.iter().map(String::as_str).zip(text.iter().map(String::as_str)).collect();
        scheduler(&variables)
    }

    #[test]
    fn without_a_scheduler_there_is_no_share() {
        assert_eq!(scheduler(&[]), Ok(None));
        assert_eq!(scheduler(&[("JOB_COMPLETIONS", "4")]), Ok(None));
    }

    #[test]
    fn slurm_arrays_may_start_anywhere_and_have_a_step() {
        assert_eq!(slurm([0, 8, 0, 7, 1]), Ok(Share::new(1, 8)));
        assert_eq!(slurm([8, 8, 1, 8, 1]), Ok(Share::new(8, 8)));
        assert_eq!(slurm([5, 3, 4, 6, 1]), Ok(Share::new(2, 3)));
        assert_eq!(slurm([7, 1, 7, 7, 1]), Ok(Share::new(1, 1)));
        for (position, id) in [0, 4, 8, 12].into_iter().enumerate() {
            assert_eq!(slurm([id, 4, 0, 12, 4]), Ok(Share::new(position + 1, 4)));
            assert_eq!(slurm([id, 4, 0, 15, 4]), Ok(Share::new(position + 1, 4)), "--array=0-15:4");
        }
    }

    #[test]
    fn a_slurm_array_with_gaps_is_refused_in_every_task() {
        for id in [1, 5, 7] {
            let error = slurm([id, 3, 1, 7, 1]).unwrap_err().to_string();
            assert!(
                error.contains(&format!("task {id} of the 3")) && error.contains("--array=1-8"),
                "{error}"
            );
        }
        for odd in [[3, 4, 0, 12, 4], [0, 4, 1, 4, 1], [5, 4, 1, 4, 1], [1, 1, 1, 1, 0], [1, 1, 2, 1, 1]] {
            assert!(matches!(slurm(odd), Err(UnclearShare::Gaps { .. })), "{odd:?}");
        }
    }

    #[test]
    fn an_indexed_job_counts_from_zero() {
        let pod = |index, count| scheduler(&[("JOB_COMPLETION_INDEX", index), ("JOB_COMPLETIONS", count)]);
        assert_eq!(pod("0", "4"), Ok(Share::new(1, 4)));
        assert_eq!(pod("3", "4"), Ok(Share::new(4, 4)));
        assert_eq!(pod("4", "4"), Err(UnclearShare::Beyond { index: 4, count: 4 }));
        assert!(pod(&usize::MAX.to_string(), "4").is_err());
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let complaint = |variables: &[_]| scheduler(variables).unwrap_err().to_string();
        let error = complaint(&[("JOB_COMPLETION_INDEX", "1")]);
        assert!(error.contains("JOB_COMPLETIONS is not; set it") && error.contains("--shard"), "{error}");
        let error = complaint(&[("SLURM_ARRAY_TASK_ID", "1")]);
        assert!(error.contains("SLURM_ARRAY_TASK_COUNT is not"), "{error}");
        let error = complaint(&[("JOB_COMPLETION_INDEX", "1"), ("JOB_COMPLETIONS", "four")]);
        assert!(error.contains("JOB_COMPLETIONS is `four`"), "{error}");
    }
}
